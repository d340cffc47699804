/** Many histories at once: SIM_SEEDS=17 or 1-5000 npm run simulate. A failure prints the seed that repeats it. */
import { parseArgs } from "node:util";
import * as api from "./under-test.ts";
import { runHistory } from "./world.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: process.env["SIM_SEEDS"] ?? "1-2000" },
    trace: { type: "boolean", default: false },
  },
});
const [from = 1, to = from] = values.seeds.split("-").map(Number);
const began = performance.now();
let [entries, steps, failed] = [0, 0, 0];
for (let seed = from; seed <= to; seed++) {
  const history = await runHistory(seed, api);
  entries += history.entries;
  steps += history.trace.length;
  if (history.violation === undefined) continue;
  failed++;
  console.log(`seed ${seed}: ${history.violation}`);
  if (values.trace || from === to) console.log(history.trace.join("\n"));
  if (failed >= 5) break;
}
const seconds = (performance.now() - began) / 1_000;
console.log(
  `${to - from + 1} histories, ${entries} log entries, ${steps} calls, ${failed} failed, ${seconds.toFixed(1)} s`,
);
process.exitCode = failed > 0 ? 1 : 0;
