/** Tables of numbers for readers: the label follows from the first two. */
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { CounterRandom } from "../../trainer/random.ts";

export async function writeTable(
  path: string,
  { format, rows, columns }: { format: "csv" | "jsonl"; rows: number; columns: number },
): Promise<void> {
  const random = new CounterRandom({ seed: 7, stream: "order", index: 0 });
  const names = Array.from({ length: columns }, (_, i) => `x${i}`);
  const out = createWriteStream(path);
  let part = format === "csv" ? `${[...names, "label"].join(",")}\n` : "";
  for (let row = 0; row < rows; row++) {
    const cells = names.map(() => Number((random.float() * 200 - 100).toFixed(3)));
    const label = cells[0]! + cells[1]! > 0 ? 1 : 0;
    part +=
      format === "csv"
        ? `${cells.join(",")},${label}\n`
        : `${JSON.stringify({ ...Object.fromEntries(names.map((name, i) => [name, cells[i]])), label })}\n`;
    if (part.length < 1_000_000) continue;
    if (!out.write(part)) await once(out, "drain");
    part = "";
  }
  out.end(part);
  await once(out, "finish");
}
