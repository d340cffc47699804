/** 0.4 s, 3 s, 12 s, 3 min 5 s, 2 h 10 min, 4 d 3 h. */
export function duration(ms: number): string {
  const positive = Math.max(0, ms);
  if (positive < 9_950 && positive % 1_000 !== 0) return `${(positive / 1_000).toFixed(1)} s`;
  const seconds = Math.round(positive / 1_000);
  const parts = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor(seconds / 3_600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "min"],
    [seconds % 60, "s"],
  ] as const;
  if (seconds === 0) return "0 s";
  const first = parts.findIndex(([amount]) => amount > 0);
  return parts
    .slice(first, first + 2)
    .filter(([amount]) => amount > 0)
    .map(([amount, unit]) => `${amount} ${unit}`)
    .join(" ");
}
