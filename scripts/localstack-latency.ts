/**
 * How long the deployed stack on LocalStack takes for each of its steps, over rounds of real training, and what it takes while there is nothing
 * to do. Times are read off the calls that LocalStack and Batch have recorded, and off the jobs' logs. Exit 0 only within the limits: 1.5 times
 * what was once measured with the smallest possible programs in the places of functions and trainer.
 */
import { readFileSync } from "node:fs";
import { loadavg } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { CloudWatchLogsClient, FilterLogEventsCommand } from "@aws-sdk/client-cloudwatch-logs";
import { PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { openS3Store } from "../adapters/s3-store.ts";
import { bucketOf } from "../adapters/stack-outputs.ts";
import { startCloud, type Cloud } from "../localstack/cloud.ts";
import { deploy, DEMO, type DeployedPipeline } from "../localstack/deploy.ts";
import { ACCOUNT, JOB_KEY } from "../localstack/environment.ts";
import { Phases } from "../localstack/phases.ts";
import { readCalls, type RecordedCall } from "../localstack/testing/calls.ts";
import { clientOptions } from "../localstack/testing/cloud-of-tests.ts";
import { processesOf } from "../localstack/testing/listeners.ts";
import { readHead } from "../ledger/read.ts";
import { INBOX, logKey, resultKey } from "../protocol/keys.ts";
import { allDigits, idxFile } from "./digits.ts";
import { cpuSeconds } from "./processes.ts";
import { sleep, until } from "./workspace.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "10" },
    "idle-seconds": { type: "string", default: "60" },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log("node scripts/localstack-latency.ts [--rounds 10] [--idle-seconds 60]");
  process.exit(0);
}
const ROUNDS = Number(values.rounds);
const IDLE_SECONDS = Number(values["idle-seconds"]);

const ROUND_MS_MAX = 180_000;
const FACTOR = 1.5;
const IDLE_PERCENT_MAX = 5;
const MEMORY_MIB_MAX = 700;
/** After a round LocalStack's pollers and the functions' processes have settled. */
const SETTLE_MS = 15_000;
/** trigger.quietPeriod of localstack/demo */
const QUIET_MS = 5_000;
const FIRST_DIGITS = 500;
const MORE_DIGITS = 100;

interface Step {
  readonly what: string;
  /** the upper end of what was measured then */
  readonly wasMs: number;
}
const STEPS = {
  segment: { what: "object put -> segment written", wasMs: 1_500 },
  // the ledger's tick came 4.8 to 6.6 s after the segment with a quiet period of 5 s, and took 70 ms at most
  submitted: { what: "end of the quiet period -> SubmitJob", wasMs: 1_670 },
  said: { what: "SubmitJob -> the trainer's first line", wasMs: 300 },
  committed: { what: "result -> commit", wasMs: 800 },
} as const satisfies Record<string, Step>;

const phases = new Phases();
const cloud = await startCloud({ phases, recordsCalls: true });
try {
  const { pipelines } = await deploy({ cloud, phases, config: DEMO });
  const [pipeline] = pipelines;
  if (pipeline === undefined) throw new Error("the demo has a pipeline");
  const rounds = await measureRounds(cloud, pipeline);
  const table = Object.entries(STEPS).map(([name, step]) =>
    row(
      step,
      rounds.map((one) => one[name as keyof typeof STEPS]),
    ),
  );
  await sleep(SETTLE_MS);
  const idle = await measureIdle(cloud);
  console.log(`\n| median of ${ROUNDS} | ms | least to most | once, with small programs | at most | |`);
  console.log("| --- | --- | --- | --- | --- | --- |");
  for (const { text } of table) console.log(text);
  console.log(
    `idle for ${IDLE_SECONDS} s: ${idle.percent.toFixed(2)} % of a core (at most ${IDLE_PERCENT_MAX}), ${Math.round(idle.mib)} MiB (at most ${MEMORY_MIB_MAX}): ${idle.ok ? "ok" : "FAILED"}`,
  );
  console.log(
    `the machine's load: ${loadavg()
      .map((load) => load.toFixed(1))
      .join(" ")}`,
  );
  process.exitCode = idle.ok && table.every(({ ok }) => ok) ? 0 : 1;
} finally {
  await phases.time("stop", cloud.stop);
}

type Round = Readonly<Record<keyof typeof STEPS, number>>;

async function measureRounds(at: Cloud, { stack, prefix }: DeployedPipeline): Promise<Round[]> {
  const { outputs } = stack;
  const [data, state] = [bucketOf(outputs.DataUrl), bucketOf(outputs.StateUrl)];
  const client = new S3Client(clientOptions(at));
  const logs = new CloudWatchLogsClient(clientOptions(at));
  const store = openS3Store({ client, bucket: state.bucket, prefix: state.prefix, owner: ACCOUNT });
  const digits = allDigits();
  const rounds: Round[] = [];
  let from = 0;
  // the first one has cold functions: its figures are shown, and not counted
  for (let round = 1; round <= ROUNDS + 1; round++) {
    const to = from + (round === 1 ? FIRST_DIGITS : MORE_DIGITS);
    const Key = `${prefix}digits-${round}.idx`;
    await client.send(new PutObjectCommand({ Bucket: data.bucket, Key, Body: idxFile(digits.slice(from, to)) }));
    from = to;
    const { seq } = (await readHead(store)).head;
    await until(
      `round ${round}`,
      ROUND_MS_MAX,
      async () => ((await readHead(store)).head.seq > seq ? true : undefined),
      250,
    );
    const calls = readCalls(at.folder);
    const firstLine = async (jobMs: number): Promise<number> => {
      const query = { logGroupName: outputs.JobLogGroup, startTime: Math.floor(jobMs), limit: 1 };
      const { events = [] } = await logs.send(new FilterLogEventsCommand(query));
      return events[0]?.timestamp ?? Number.NaN;
    };
    const measured = await stepsOf(calls, { round, seq: seq + 1, dataKey: Key, state: state.prefix, firstLine });
    console.log(
      `round ${round}${round === 1 ? " (cold)" : ""}: ${Object.values(measured).map(Math.round).join(", ")} ms`,
    );
    if (round > 1) rounds.push(measured);
  }
  client.destroy();
  logs.destroy();
  return rounds;
}

interface Where {
  readonly round: number;
  readonly seq: number;
  readonly dataKey: string;
  /** prefix of the pipeline's keys in the state's bucket */
  readonly state: string;
  /** since when -> when */
  readonly firstLine: (ms: number) => Promise<number>;
}

async function stepsOf(
  calls: readonly RecordedCall[],
  { round, seq, dataKey, state, firstLine }: Where,
): Promise<Round> {
  const when = (what: string, since: number, is: (call: RecordedCall) => boolean): number => {
    const found = calls.find((call) => call.ms >= since && call.status < 300 && is(call));
    if (found === undefined) throw new Error(`round ${round}: no ${what}`);
    return found.ms;
  };
  const isPut = (key: (key: string) => boolean, by?: string) => (call: RecordedCall) =>
    ["PutObject", "CompleteMultipartUpload"].includes(call.command) &&
    key(String(call.input["Key"])) &&
    (by === undefined || call.key === by);
  const base = state === "" ? "" : `${state}/`;
  const put = when(
    "object",
    0,
    isPut((key) => key === dataKey),
  );
  const segment = when(
    "segment",
    put,
    isPut((key) => key.startsWith(base + INBOX)),
  );
  const submit = when("job", segment, ({ command }) => command === "SubmitJob");
  const result = when(
    "result",
    submit,
    isPut((key) => key === base + resultKey(round), JOB_KEY),
  );
  const commit = when(
    "commit",
    result,
    isPut((key) => key === base + logKey(seq)),
  );
  return {
    segment: segment - put,
    submitted: submit - segment - QUIET_MS,
    said: (await firstLine(submit)) - submit,
    committed: commit - result,
  };
}

function row({ what, wasMs }: Step, of: readonly number[]): { text: string; ok: boolean } {
  const sorted = of.toSorted((a, b) => a - b);
  const median = (sorted[Math.floor((sorted.length - 1) / 2)]! + sorted[Math.ceil((sorted.length - 1) / 2)]!) / 2;
  const most = FACTOR * wasMs;
  const ok = median <= most;
  const [least, longest] = [sorted[0]!, sorted.at(-1)!].map(Math.round);
  return {
    ok,
    text: `| ${what} | ${Math.round(median)} | ${least} to ${longest} | ${wasMs} | ${most} | ${ok ? "ok" : "FAILED"} |`,
  };
}

/** Of LocalStack, its functions' processes and the Batch server together. */
async function measureIdle({ pids }: Cloud): Promise<{ percent: number; mib: number; ok: boolean }> {
  const all = (): number[] => Object.values(pids).flatMap(processesOf);
  const before = new Map(all().map((pid) => [pid, cpuSeconds(pid)]));
  await sleep(IDLE_SECONDS * 1_000);
  const now = all();
  const seconds = now.reduce((sum, pid) => sum + cpuSeconds(pid) - (before.get(pid) ?? 0), 0);
  const percent = (seconds / IDLE_SECONDS) * 100;
  const mib = now.reduce((sum, pid) => sum + proportionalMib(pid), 0);
  return { percent, mib, ok: percent <= IDLE_PERCENT_MAX && mib <= MEMORY_MIB_MAX };
}

/** What processes share counts once. */
function proportionalMib(pid: number): number {
  const [, kib] = /^Pss:\s+(\d+) kB/m.exec(readFileSync(join("/proc", String(pid), "smaps_rollup"), "utf8")) ?? [];
  return Number(kib ?? 0) / 1_024;
}
