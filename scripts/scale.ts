/**
 * npm run scale: 10,000 files dropped at once while `accrete up` runs, then dropped again, then the same after 100,000 earlier items.
 * Counts the requests to the state store, and takes the time and the memory. Exit 0 only if each item is in one round once, what
 * came again started nothing, and the requests are within their limits.
 */
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { jobIds } from "../adapters/process-jobs.ts";
import { sampleCsv } from "../cli/sample.ts";
import { rollback } from "../ledger/commands.ts";
import { intake } from "../ledger/intake.ts";
import { listInbox, needDocument, readCommitted, readLive } from "../ledger/read.ts";
import { tick } from "../ledger/tick.ts";
import { itemId, sha256 } from "../protocol/digest.ts";
import { planKey } from "../protocol/keys.ts";
import type { Item, RoundEntry } from "../protocol/types.ts";
import { fakePipeline } from "../test/fake-trainer.ts";
import { PeakMemory } from "./processes.ts";
import { FlowersWorkspace, sleep, until } from "./workspace.ts";

const { values } = parseArgs({
  options: {
    items: { type: "string", default: "10000" },
    "earlier-rounds": { type: "string", default: "10" },
    keep: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(
    "npm run scale -- [--items 10000] [--earlier-rounds 10] [--keep]\n\nDrops so many files, and again after so many earlier rounds of as many. --keep leaves the folders.",
  );
  process.exit(0);
}
const ITEMS = Number(values.items);
const EARLIER_ROUNDS = Number(values["earlier-rounds"]);
const ROWS = 20;
const LIMIT_MS = 900_000;
/** Of the loop and of the trainer, for each item. */
const WRITES_MAX = 0.05;
const READS_MAX = 0.1;
const HISTORY_FACTOR_MAX = 1.05;

const began = performance.now();
const say = (text: string): void =>
  console.log(`${((performance.now() - began) / 1_000).toFixed(1).padStart(6)} s  ${text}`);
const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;

/** Little training: it is the loop that is looked at. */
const quicker = (config: string): string =>
  config.replace("epochs: 20", "epochs: 2").replace("batchSize: 16", "batchSize: 256");

const nameOf = (set: string, i: number): string => `${set}-${String(i).padStart(5, "0")}.csv`;
const bodies = (set: number): Uint8Array[] =>
  Array.from({ length: ITEMS }, (_, i) => new TextEncoder().encode(sampleCsv(ROWS, set * 1_000_003 + i)));

interface Requests {
  readonly writes: number;
  readonly reads: number;
}
const minus = (a: Requests, b: Requests): Requests => ({ writes: a.writes - b.writes, reads: a.reads - b.reads });
const plus = (a: Requests, b: Requests): Requests => ({ writes: a.writes + b.writes, reads: a.reads + b.reads });
const text = ({ writes, reads }: Requests): string => `${writes} writes, ${reads} reads`;

function requestsIn(lines: readonly string[]): Requests | undefined {
  const [, writes, reads] = /(\d+) writes and (\d+) reads of the state store/.exec(lines.join("\n")) ?? [];
  return writes === undefined ? undefined : { writes: Number(writes), reads: Number(reads) };
}

/** `accrete up`, watched. */
class Up {
  readonly workspace: FlowersWorkspace;
  readonly memory: PeakMemory;
  readonly startedMs = performance.now();
  readonly #lines: string[] = [];
  readonly #up: ReturnType<FlowersWorkspace["accrete"]>;

  constructor(workspace: FlowersWorkspace) {
    this.workspace = workspace;
    this.#up = workspace.accrete(["up"], (line) => this.#lines.push(line), { ACCRETE_DEBUG: "1" });
    this.memory = new PeakMemory(() => this.#pids());
  }

  async #pids(): Promise<Record<string, number>> {
    const [trainer] = await this.workspace.trainers();
    return { up: this.#up.pid!, ...(trainer === undefined ? {} : { trainer: trainer.pid }) };
  }

  /** @returns how many times it has been said */
  said(pattern: RegExp): number {
    return this.#lines.filter((line) => pattern.test(line)).length;
  }

  async swept(): Promise<void> {
    await until("the first sweep", LIMIT_MS, async () => (this.said(/ swept /) > 0 ? true : undefined));
  }

  async requests(): Promise<Requests> {
    const before = this.#lines.length;
    this.#up.kill("SIGUSR2");
    return until("its count of requests", LIMIT_MS, async () => requestsIn(this.#lines.slice(before)));
  }

  /** Everything is committed and followed up, and nothing waits, in looks that are a while apart. */
  async quiet(seq: number): Promise<void> {
    for (let looks = 0; looks < 5;) {
      await sleep(1_000);
      const { store } = this.workspace;
      const rests = (await listInbox(store)).segments.length === 0 && (await readLive(store)).live.seq >= seq;
      looks = rests ? looks + 1 : 0;
    }
  }

  async end(): Promise<void> {
    this.memory.close();
    this.#up.kill("SIGTERM");
    await this.#up.ended;
  }
}

/** What the trainers of a round wrote into their logs. */
async function trainersRequests(workspace: FlowersWorkspace): Promise<Requests> {
  let sum: Requests = { writes: 0, reads: 0 };
  for (const id of await jobIds(workspace.jobs))
    sum = plus(sum, requestsIn([workspace.logOf(join(workspace.jobs, id))]) ?? { writes: 0, reads: 0 });
  return sum;
}

interface Measured {
  readonly ledger: Requests;
  readonly trainer: Requests;
}
const total = ({ ledger, trainer }: Measured): Requests => plus(ledger, trainer);

/** Drops the files and waits for the round. */
async function dropAndLearn(up: Up, set: string, files: readonly Uint8Array[], seq: number): Promise<Measured> {
  const { workspace } = up;
  const before = await up.requests();
  const trainersBefore = await trainersRequests(workspace);
  const droppedMs = performance.now();
  for (const [i, body] of files.entries()) workspace.drop(nameOf(set, i), body);
  say(`dropped ${files.length} files in ${seconds(performance.now() - droppedMs)}`);
  const { round } = await workspace.head();
  await until("the plan", LIMIT_MS, async () => ((await workspace.store.head(planKey(round + 1))) ? true : undefined));
  say(`planned ${seconds(performance.now() - droppedMs)} after the first was dropped`);
  await until("the commit", LIMIT_MS, async () => ((await workspace.head()).seq >= seq ? true : undefined));
  say(`committed ${seconds(performance.now() - droppedMs)} after the first was dropped`);
  await up.quiet(seq);
  const measured = {
    ledger: minus(await up.requests(), before),
    trainer: minus(await trainersRequests(workspace), trainersBefore),
  };
  say(`requests: ledger ${text(measured.ledger)}; trainer ${text(measured.trainer)}`);
  say(`peak memory so far: ${up.memory.text()}`);
  return measured;
}

const failures: string[] = [];
const expect = (holds: boolean, what: string): void => {
  if (!holds) failures.push(what);
};

/** The newest entry is a round of exactly these files, each once. */
async function expectRound(workspace: FlowersWorkspace, set: string): Promise<void> {
  const entry = (await workspace.entries()).at(-1);
  if (entry?.kind !== "round") return expect(false, `the newest entry is no round`);
  const { plan, result } = await readCommitted(workspace.store, entry satisfies RoundEntry);
  expect(plan.items.length === ITEMS, `the round has ${plan.items.length} items`);
  expect(new Set(plan.items.map(itemId)).size === ITEMS, "an item is in the plan twice");
  expect(
    plan.items.every(({ key }, i) => key === `flowers/${nameOf(set, i)}`),
    "the plan has other items than those that were dropped",
  );
  expect(result.rejected.length === 0, `${result.rejected.length} items were rejected`);
}

async function expectNothingStarts(up: Up, how: string, again: () => void): Promise<void> {
  const { workspace } = up;
  const [before, arrived, { seq, round }] = [await up.requests(), up.said(/ arrived /), await workspace.head()];
  again();
  await until("the news", LIMIT_MS, async () => (up.said(/ arrived /) > arrived ? true : undefined));
  await up.quiet(seq);
  const after = await workspace.head();
  const planned = await workspace.store.head(planKey(round + 1));
  expect(after.seq === seq && planned === undefined, `files that were ${how} have started a round`);
  say(`the same files ${how}: nothing started; requests: ${text(minus(await up.requests(), before))}`);
}

/** Rounds that were learned before, by a trainer that does not train; their files lie in the data folder. */
async function makeHistory(workspace: FlowersWorkspace): Promise<void> {
  const fake = fakePipeline(workspace.store);
  const ledger = { ...fake.ledger, config: { ...fake.ledger.config, name: "flowers" } };
  for (let round = 1; round <= EARLIER_ROUNDS; round++) {
    const items = bodies(round).map((body, i): Item => {
      const name = nameOf(`earlier-${round}`, i);
      writeFileSync(join(workspace.data, name), body);
      return { bucket: "data", key: `flowers/${name}`, etag: sha256(body), size: body.byteLength };
    });
    await intake(ledger, items);
    await tick(ledger, { kind: "plain" });
  }
  // the model of a trainer that does not train can't be gone on from; what was consumed stays so
  await rollback(ledger, { to: 0, replay: false, without: [], with: [], by: "scale", reason: "a fresh model" });
  await tick(ledger, { kind: "plain" });
  const { document } = await needDocument(workspace.store, "plan", planKey(EARLIER_ROUNDS), "the history");
  expect(document.items.length === ITEMS, `the history's last round has ${document.items.length} items`);
}

const folder = join(tmpdir(), `accrete-scale-${process.pid}`);
const files = bodies(0);

async function alone(): Promise<Measured> {
  const up = new Up(new FlowersWorkspace(join(folder, "alone"), quicker));
  const { workspace } = up;
  try {
    await up.swept();
    await up.quiet(0);
    const measured = await dropAndLearn(up, "new", files, 1);
    await expectRound(workspace, "new");
    const { writes, reads } = total(measured);
    expect(writes <= WRITES_MAX * ITEMS, `${writes} writes are more than ${WRITES_MAX} an item`);
    expect(reads <= READS_MAX * ITEMS, `${reads} reads are more than ${READS_MAX} an item`);
    await expectNothingStarts(up, "written again", () => {
      for (const [i, body] of files.entries()) writeFileSync(join(workspace.data, nameOf("new", i)), body);
    });
    await expectNothingStarts(up, "renamed away and back", () => {
      for (let i = 0; i < ITEMS; i++) {
        const [path, beside] = [join(workspace.data, nameOf("new", i)), join(workspace.folder, nameOf("new", i))];
        renameSync(path, beside);
        renameSync(beside, path);
      }
    });
    return measured;
  } finally {
    await up.end();
    const problems = await workspace.problems();
    expect(problems === undefined, `accrete verify: ${problems}`);
  }
}

async function afterHistory(): Promise<Measured> {
  const workspace = new FlowersWorkspace(join(folder, "history"), quicker);
  await makeHistory(workspace);
  say(`a history of ${EARLIER_ROUNDS} rounds of ${ITEMS} items was made`);
  const up = new Up(workspace);
  try {
    await up.swept();
    say(`up has started on ${EARLIER_ROUNDS * ITEMS} files in ${seconds(performance.now() - up.startedMs)}`);
    say(`its start: ${text(await up.requests())}; peak memory: ${up.memory.text()}`);
    const { seq } = await workspace.head();
    await up.quiet(seq);
    const measured = await dropAndLearn(up, "new", files, seq + 1);
    await expectRound(workspace, "new");
    return measured;
  } finally {
    await up.end();
  }
}

const first = await alone();
const later = await afterHistory();
const factor = (of: keyof Requests): number => total(later)[of] / total(first)[of];
say(
  `after ${EARLIER_ROUNDS * ITEMS} earlier items: ${factor("writes").toFixed(3)} times the writes, ${factor("reads").toFixed(3)} times the reads`,
);
const [all, allLater] = [total(first), total(later)];
const times = (allLater.writes + allLater.reads) / (all.writes + all.reads);
expect(times <= HISTORY_FACTOR_MAX, `the requests are ${times.toFixed(3)} times those without a history`);
say(
  `an item: ${(all.writes / ITEMS).toFixed(4)} writes, ${(all.reads / ITEMS).toFixed(4)} reads; with the history ${times.toFixed(3)} times as many requests: ${failures.length === 0 ? "ok" : "FAILED"}`,
);
for (const failure of failures) console.error(`FAILED: ${failure} (the folder is kept: ${folder})`);
if (failures.length === 0 && !values.keep) rmSync(folder, { recursive: true, force: true });
process.exitCode = failures.length === 0 ? 0 : 1;
