/** The longest delay of setTimeout, about 24.8 days: a longer one would fire at once. */
const TIMEOUT_MS_MAX = 2_147_483_647;

export interface LongTimeout {
  cancel(): void;
}

/** setTimeout for any delay. */
export function setLongTimeout(callback: () => void, delayMs: number): LongTimeout {
  const dueMs = performance.now() + delayMs;
  let timer: NodeJS.Timeout;
  const wait = (leftMs: number): void => {
    timer = setTimeout(
      () => {
        const left = dueMs - performance.now();
        // a timer may fire a fraction of a millisecond early
        if (left >= 1) wait(left);
        else callback();
      },
      Math.min(Math.max(leftMs, 0), TIMEOUT_MS_MAX),
    );
  };
  wait(delayMs);
  return { cancel: () => clearTimeout(timer) };
}
