/** What an operator types in the course of some rounds; the same on a directory and on a stack, so that what is said can be compared. */
import { writeFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { sampleCsv } from "../../cli/sample.ts";
import { onStack, ON_THIS_MACHINE } from "../../cli/words.ts";
import type { CliResult } from "../../test/run-cli.ts";

/** Where the commands are typed. */
export interface Place {
  /** has the config */
  readonly folder: string;
  /** while it is there, jobs fail */
  readonly broken: string;
  run(...args: string[]): Promise<CliResult>;
  /** Until what was added is taken in, where the loop does that by itself. */
  takenIn(): Promise<void>;
  /** Until nothing goes on any more. */
  settled(): Promise<void>;
}

/** One command, and what came of it. */
export interface Said extends CliResult {
  readonly typed: string;
}

export async function operate(place: Place): Promise<Said[]> {
  const said: Said[] = [];
  const type = async (...args: string[]): Promise<void> => {
    said.push({ typed: args.join(" "), ...(await place.run(...args)) });
  };
  const add = async (name: string, seed: number): Promise<void> => {
    writeFileSync(join(place.folder, name), sampleCsv(60, seed));
    await type("add", name);
    await place.takenIn();
  };
  const train = async (): Promise<void> => {
    await type("train");
    await place.settled();
  };

  await type("status");
  await type("train");
  await add("a.csv", 1);
  await type("train", "--dry-run");
  await train();
  for (const line of ["status", "log", "show 1", "why flowers/a.csv", "logs 1", "verify"])
    await type(...line.split(" "));

  await add("b.csv", 2);
  await type("train");
  await type("logs", "2", "--follow");
  await place.settled();
  await type("show", "2");

  writeFileSync(place.broken, "");
  await add("c.csv", 3);
  await train();
  await type("status");
  await type("logs", "3");
  rmSync(place.broken);
  await type("retry");
  await place.settled();
  await type("why", "flowers/c.csv");

  await type("promote", "1", "--yes");
  await type("status");
  await type("rollback", "--to", "1", "--replay", "--reason", "again", "--yes");
  await place.settled();
  await type("log");
  await type("promote", "5", "--yes");
  await type("drop", "flowers/b.csv", "--yes");
  await place.settled();
  for (const name of ["a", "b", "c"]) await type("why", `flowers/${name}.csv`);
  await type("why", "flowers/d.csv");
  await type("rollback", "--to", "99", "--yes");
  await type("log");
  await type("status");
  await type("pull", "model", "--format", "checkpoint");
  await type("verify");
  return said;
}

const STACK_WORDS = onStack(undefined);
/** Who says what differs by cli/words.ts alone; those that name the data's place come before that. */
const WORDS = ["idle", "learns", "notTakenIn", "runsOn", "soon", "needsLoop", "data"] as const;

/**
 * What may differ, taken out: places, the words for who does what, times and figures of a machine, ids, sizes of files that name ids. The
 * notices, which a command prints that makes the tick itself: on a stack a function makes it. How a job's end is told: Batch's reason or the
 * process's. Progress between two epochs, which goes by time.
 */
export function withoutPlaces(text: string, { folder }: Pick<Place, "folder">): string {
  let plain = text.replaceAll(folder, "FOLDER");
  for (const name of WORDS)
    for (const words of [STACK_WORDS, ON_THIS_MACHINE])
      if (words[name] !== "")
        plain = plain.replaceAll(words[name], name === "soon" || name === "needsLoop" ? "" : name);
  const lines = plain
    .replaceAll(/s3:\/\/[a-z0-9-]+|FOLDER\/\.accrete\/data/g, "DATA")
    .split("\n")
    .filter((line) => !/^\d\d:\d\d:\d\d /.test(line) && !isBetweenEpochs(line))
    .map((line) =>
      FIGURES.reduce((one, [found, name]) => one.replaceAll(found, name), line)
        .replaceAll(/ +/g, " ")
        .trimEnd(),
    );
  return lines.join("\n");
}

const FIGURES: readonly (readonly [RegExp, string])[] = [
  [/\b(log|free in) \S+/g, "$1 PLACE"],
  [/Essential container in task exited|exit code \d+/g, "ENDED"],
  [/is (training|waiting for a machine)/g, "is under way"],
  [/\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, "TIME"],
  [/\bin \d+ d \d+ h/g, "in A WHILE"],
  [/a step [\d.]+ \/ [\d.]+ \/ [\d.]+ ms/g, "a step A WHILE"],
  [/\b[\d,.]+ (ms|s|min|h)\b/g, "A WHILE"],
  [/\b[\d,]+ examples\/s/g, "SPEED"],
  [/peak memory [\d.]+ MB/g, "peak memory"],
  [/\d+ threads?/g, "THREADS"],
  [/[\d.]+ GiB/g, "GiB"],
  [/\d+ files, [\d.]+ kB/g, "files"], // consumed/ has a file for each first byte of an id
  [/(code|etag) [0-9a-f]+/g, "$1 ID"],
  [/-[0-9a-f]{16}\//g, "-ID/"],
  [/ {2}[\w-]{22}(?= |$)/g, " ID"],
  [/, A WHILE left/g, ""], // not in each line
];

/** "round 2 epoch 1/3 step 2/12 ...": 4/12 is an epoch's end. */
function isBetweenEpochs(line: string): boolean {
  const [, epoch, epochs, step, steps] = (/^round \d+ epoch (\d+)\/(\d+) step (\d+)\/(\d+)/.exec(line) ?? []).map(
    Number,
  );
  return epoch !== undefined && step! * epochs! !== epoch * steps!;
}
