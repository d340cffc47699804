/**
 * npm run demo: real handwritten digits in three deliveries, dropped into a folder while `accrete up` runs on it. In round 3 the trainer
 * is killed in the middle of an epoch; the loop goes on by itself, to the same bits as an undisturbed run. Exit 0 only if all of
 * that is true.
 */
import { cpSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, styleText } from "node:util";
import { kill } from "../adapters/process-alive.ts";
import { readLive } from "../ledger/read.ts";
import type { RoundEntry } from "../protocol/types.ts";
import { allDigits, idxFile } from "./digits.ts";
import { checkpointDigest, DigitsWorkspace, sleep, until } from "./workspace.ts";

const { values } = parseArgs({
  options: {
    dir: { type: "string", default: fileURLToPath(new URL("../.demo", import.meta.url)) },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(
    "npm run demo [-- --dir DIR]\n\nLearns 10,000 handwritten digits in three rounds, with a kill -9 in the third. DIR is emptied first; default: .demo",
  );
  process.exit(0);
}

const DELIVERIES: readonly (readonly [from: number, to: number])[] = [
  [0, 500],
  [500, 3_000],
  [3_000, 10_000],
];
/** A round takes some seconds; a machine that is busy with other things may need more. */
const ROUND_LIMIT_MS = 180_000;
const WANTED_ACCURACY = 0.93;

const bold = (text: string): string => styleText("bold", text);
const began = performance.now();
const say = (text: string): void =>
  console.log(`${bold(`${((performance.now() - began) / 1_000).toFixed(1).padStart(5)} s`)}  ${text}`);
const quote = (line: string): void => console.log(styleText("dim", `         │ ${line}`));

interface Row {
  readonly entry: RoundEntry;
  readonly seconds: number;
  readonly digest: string;
}

const failures: string[] = [];
const expect = (holds: boolean, what: string): void => {
  if (!holds) failures.push(what);
};

async function main(): Promise<void> {
  const here = new DigitsWorkspace(values.dir);
  const beside = new DigitsWorkspace(`${values.dir}-undisturbed`);
  const shown = relative(process.cwd(), values.dir) || ".";
  const digits = allDigits();
  const file = (i: number): Uint8Array => idxFile(digits.slice(...DELIVERIES[i]!));

  say(`accrete up --dir ${shown}`);
  const up = here.accrete(["up"], quote);
  try {
    const rows: Row[] = [];
    for (const i of DELIVERIES.keys()) {
      // what follows the commit deletes files, and a copy that meets that would abort this process
      await until("the end of what follows the commit", ROUND_LIMIT_MS, async () =>
        (await readLive(here.store)).live.seq >= i ? true : undefined,
      );
      if (i === 2) cpSync(join(here.folder, ".accrete"), join(beside.folder, ".accrete"), { recursive: true });
      const round = i + 1;
      const from = performance.now();
      say(`delivery ${round}: ${DELIVERIES[i]![1] - DELIVERIES[i]![0]} digits into ${shown}/.accrete/data/digits/`);
      here.drop(`digits-${round}.idx`, file(i));
      if (i === 2) await killTrainer(here);
      await until(`the commit of round ${round}`, ROUND_LIMIT_MS, async () =>
        (await here.head()).seq >= round ? true : undefined,
      );
      rows.push(await rowOf(here, round, (performance.now() - from) / 1_000));
    }
    up.kill("SIGTERM");
    await up.ended;

    say("the same round 3 again, undisturbed, from a copy made before it: accrete up --once");
    beside.drop("digits-3.idx", file(2));
    const code = await beside.accrete(["up", "--once"]).ended;
    expect(code === 0, `the undisturbed run of round 3 ended with ${code}`);
    const undisturbed = await rowOf(beside, 3, 0);
    say("accrete verify");
    const problems = await here.problems();
    expect(problems === undefined, `accrete verify: ${problems}`);
    report(rows, undisturbed.digest, shown);
  } finally {
    up.kill("SIGKILL");
    rmSync(beside.folder, { recursive: true, force: true });
  }
}

/** After this in an epoch it is neither at its start nor, on any machine, at its end: 186 steps take longer. */
const INTO_EPOCH_MS = 150;

/** kill -9 in the middle of an epoch: some time after one has ended and before the next one has. */
async function killTrainer(here: DigitsWorkspace): Promise<void> {
  // a slow machine says steps within an epoch, too
  const epochsDone = (job: string): number =>
    [...here.logOf(job).matchAll(/round 3 epoch (\d+)\/(\d+) step (\d+)\/(\d+)/g)].filter(
      ([, epoch, epochs, step, steps]) => Number(step) * Number(epochs) === Number(epoch) * Number(steps),
    ).length;
  const victim = await until("an epoch of round 3", ROUND_LIMIT_MS, async () =>
    (await here.trainers()).find(({ job }) => epochsDone(job) > 0),
  );
  const before = epochsDone(victim.job);
  await sleep(INTO_EPOCH_MS);
  kill(victim.pid, "SIGKILL");
  const after = epochsDone(victim.job);
  say(
    `kill -9 ${victim.pid}: the trainer of round 3 in the middle of epoch ${after + 1}, after "${here.logOf(victim.job).trim().split("\n").at(-1)}"`,
  );
  expect(
    before === after && !here.logOf(victim.job).includes("done"),
    "the kill did not come in the middle of an epoch",
  );
  const resumed = await until("the next attempt", ROUND_LIMIT_MS, async () => {
    const next = (await here.trainers()).find(({ job }) => job !== victim.job);
    return next === undefined ? undefined : /resumes at step \d+ of \d+/.exec(here.logOf(next.job))?.[0];
  });
  say(`the loop goes on by itself: it ${resumed}`);
}

async function rowOf(workspace: DigitsWorkspace, round: number, seconds: number): Promise<Row> {
  const entry = (await workspace.entries()).at(round - 1);
  if (entry?.kind !== "round" || entry.round !== round) throw new Error(`entry ${round} is not round ${round}`);
  return { entry, seconds, digest: checkpointDigest(await workspace.digests(entry)) };
}

function report(rows: readonly Row[], undisturbed: string, shown: string): void {
  const accuracies = rows.map(({ entry }) => entry.metrics["accuracy"] ?? 0);
  const cells = rows.map(({ entry, seconds, digest }) => [
    String(entry.round),
    String(entry.items),
    String(entry.metrics["trainRecords"]),
    String(entry.checkpoint?.epoch),
    String(entry.checkpoint?.step),
    `${(100 * (entry.metrics["accuracy"] ?? 0)).toFixed(1)} %`,
    seconds.toFixed(1),
    digest.slice(0, 16),
  ]);
  const table = [
    ["round", "items", "digits", "epochs", "step", "holdout accuracy", "seconds", "checkpoint digest"],
    ...cells,
  ];
  const widths = table[0]!.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
  console.log();
  table.forEach((row, i) => {
    const line = row.map((cell, column) => cell.padStart(widths[column]!)).join("  ");
    console.log(i === 0 ? bold(line) : line);
  });
  const last = rows.at(-1)!;
  console.log(`\nround 3, killed in the middle of an epoch   ${last.digest.slice(0, 32)}`);
  console.log(
    `round 3, undisturbed                        ${undisturbed.slice(0, 32)}  ${last.digest === undisturbed ? "equal" : "DIFFERENT"}`,
  );

  expect(last.digest === undisturbed, "the killed round has other bits than the undisturbed one");
  expect(
    accuracies.every((accuracy, i) => i === 0 || accuracy > accuracies[i - 1]!),
    `the accuracy does not rise in each round: ${accuracies.join(", ")}`,
  );
  expect(
    accuracies.at(-1)! >= WANTED_ACCURACY,
    `the accuracy after round 3 is ${accuracies.at(-1)}, at least ${WANTED_ACCURACY} was to be reached`,
  );
  console.log(
    `\nThe files are in ${shown}: accrete.config.ts and model.ts, the data in .accrete/data/, the state in .accrete/state/digits/.`,
  );
  console.log("What to type next:");
  const next = ["status", "log", "show 3", "why digits/digits-2.idx", "verify", "pull ./digits-model"];
  for (const command of next) console.log(`  npm run -s accrete -- --dir ${shown} ${command}`);
}

try {
  await main();
} catch (error) {
  failures.push(error instanceof Error ? error.message : String(error));
}
for (const failure of failures) console.error(styleText("red", `FAILED: ${failure}`));
console.log(
  failures.length === 0 ? `\nAll of it holds, in ${((performance.now() - began) / 1_000).toFixed(0)} s.` : "",
);
process.exitCode = failures.length === 0 ? 0 : 1;
