/**
 * npm run idle: what `accrete up` takes while there is nothing to do, with a committed round and 1,000 data files. Exit 0 only if that is
 * less than 1 % of a core, and its memory does not grow.
 */
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { sampleCsv } from "../cli/sample.ts";
import { readLive } from "../ledger/read.ts";
import { cpuSeconds, memoryMb } from "./processes.ts";
import { FlowersWorkspace, sleep, until } from "./workspace.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    files: { type: "string", default: "1000" },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log("npm run idle -- [--minutes 10] [--files 1000]");
  process.exit(0);
}
const MINUTES = Number(values.minutes);
const FILES = Number(values.files);
const LIMIT_MS = 300_000;
/** What follows a commit (deleting old checkpoints, a garbage collection) is over by then. */
const SETTLE_MS = 20_000;
const SAMPLE_MS = 10_000;
const CPU_PERCENT_MAX = 1;
/** The heap's young part fills and is emptied by turns: medians that far apart are no growth. */
const GROWTH_MB_MAX = 10;

const median = (of: readonly number[]): number => of.toSorted((a, b) => a - b)[Math.floor(of.length / 2)]!;

const workspace = new FlowersWorkspace(join(tmpdir(), `accrete-idle-${process.pid}`), (config) =>
  config.replace("epochs: 20", "epochs: 2").replace("batchSize: 16", "batchSize: 256"),
);
const up = workspace.accrete(["up"]);
const pid = up.pid!;
try {
  for (let i = 0; i < FILES; i++) workspace.drop(`flowers-${i}.csv`, new TextEncoder().encode(sampleCsv(20, i)));
  await until("the round", LIMIT_MS, async () => ((await readLive(workspace.store)).live.seq >= 1 ? true : undefined));
  await sleep(SETTLE_MS);
  console.log(`a round of ${FILES} files is committed; ${MINUTES} minutes of nothing to do`);

  const [beganMs, beganCpu] = [performance.now(), cpuSeconds(pid)];
  const samples: number[] = [];
  while (performance.now() - beganMs < MINUTES * 60_000) {
    await sleep(SAMPLE_MS);
    const mb = memoryMb(pid, "VmRSS");
    if (mb === undefined) throw new Error("accrete up has ended");
    samples.push(mb);
  }
  const percent = ((cpuSeconds(pid) - beganCpu) / ((performance.now() - beganMs) / 1_000)) * 100;
  const third = Math.ceil(samples.length / 3);
  const [first, last] = [median(samples.slice(0, third)), median(samples.slice(-third))];
  const ok = percent < CPU_PERCENT_MAX && last - first <= GROWTH_MB_MAX;
  console.log(
    `idle for ${MINUTES} minutes: ${percent.toFixed(2)} % of a core; memory ${first.toFixed(1)} MB in the first third, ${last.toFixed(1)} MB in the last (medians), ${Math.min(...samples).toFixed(1)} to ${Math.max(...samples).toFixed(1)} MB: ${ok ? "ok" : "FAILED"}`,
  );
  process.exitCode = ok ? 0 : 1;
} finally {
  up.kill("SIGTERM");
  await up.ended;
  rmSync(workspace.folder, { recursive: true, force: true });
}
