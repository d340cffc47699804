/**
 * npm run chaos: five rounds on real digits, while `accrete up`, a second ledger beside it and the trainer are killed with SIGKILL at random
 * moments. At the end the weights are those of an undisturbed run, each item was consumed once, and `verify` is clean.
 */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rmSync } from "node:fs";
import { parseArgs } from "node:util";
import { kill } from "../adapters/process-alive.ts";
import { itemId } from "../protocol/digest.ts";
import type { LogEntry } from "../protocol/types.ts";
import { readCommitted } from "../ledger/read.ts";
import { Random } from "../test/simulation/random.ts";
import { allDigits, idxFile, type Digit } from "./digits.ts";
import { checkpointDigest, DigitsWorkspace, sleep, until } from "./workspace.ts";

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "20" },
    rounds: { type: "string", default: "5" },
    seed: { type: "string", default: String(1 + Math.floor(Math.random() * 999_999)) },
    keep: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(
    "npm run chaos -- [--kills 20] [--rounds 5] [--seed N] [--keep]\n\nThe seed gives who is killed and after how long; what that meets depends on the machine. --keep leaves the folders.",
  );
  process.exit(0);
}
const KILLS = Number(values.kills);
const ROUNDS = Number(values.rounds);
const DIGITS_A_ROUND = Math.floor(10_000 / ROUNDS);
const ROUND_LIMIT_MS = 300_000;
/** A kill comes so long after its victim was seen, at most. */
const DELAY_MAX_MS = 2_000;

type Victim = "up" | "ledger" | "trainer";
const VICTIMS: readonly Victim[] = ["up", "ledger", "trainer", "trainer"];

const random = new Random(Number(values.seed));
const began = performance.now();
const say = (text: string): void =>
  console.log(`${((performance.now() - began) / 1_000).toFixed(1).padStart(6)} s  ${text}`);

/** Saves often, so that kills meet saves; trains long, so that there is time for them. */
const slower = (config: string): string =>
  config
    .replace(/epochs: \d+/, "epochs: 12")
    .replace(/saveEverySteps: \d+/, "saveEverySteps: 20")
    .replace(/quietPeriod: "[^"]+"/, 'quietPeriod: "200 ms"');

const delivery = (digits: readonly Digit[], round: number): Uint8Array =>
  idxFile(digits.slice((round - 1) * DIGITS_A_ROUND, round * DIGITS_A_ROUND));
const nameOf = (round: number): string => `digits-${round}.idx`;

async function undisturbed(folder: string, digits: readonly Digit[]): Promise<string> {
  const workspace = new DigitsWorkspace(folder, slower);
  const up = workspace.accrete(["up"]);
  try {
    for (let round = 1; round <= ROUNDS; round++) {
      workspace.drop(nameOf(round), delivery(digits, round));
      await until(`the undisturbed commit of round ${round}`, ROUND_LIMIT_MS, async () =>
        (await workspace.head()).seq >= round ? true : undefined,
      );
    }
    return checkpointDigest(await workspace.digests((await workspace.entries()).at(-1)!));
  } finally {
    up.kill("SIGTERM");
    await up.ended;
  }
}

/** A run that is killed again and again, and put up again. */
class Chaos {
  readonly workspace: DigitsWorkspace;
  readonly killed: Record<Victim, number> = { up: 0, ledger: 0, trainer: 0 };
  retries = 0;
  readonly #lines: string[] = [];
  #up: ReturnType<DigitsWorkspace["accrete"]>;

  constructor(folder: string) {
    this.workspace = new DigitsWorkspace(folder, slower);
    this.#up = this.#start();
  }

  #start(): ReturnType<DigitsWorkspace["accrete"]> {
    return this.workspace.accrete(["up"], (line) => this.#lines.push(line));
  }

  get kills(): number {
    return this.killed.up + this.killed.ledger + this.killed.trainer;
  }

  /** @returns whether a kill was made before the round was committed */
  async killOne(round: number): Promise<boolean> {
    const victim = random.pick(VICTIMS);
    const delayMs = random.below(DELAY_MAX_MS);
    const done = await this.#kill(victim, delayMs, round);
    if (!done) return false;
    this.killed[victim]++;
    say(`round ${round}: kill ${this.kills}: ${victim} after ${delayMs} ms`);
    return true;
  }

  async #kill(victim: Victim, delayMs: number, round: number): Promise<boolean> {
    if (victim === "up") {
      await sleep(delayMs);
      this.#up.kill("SIGKILL");
      await this.#up.ended;
      this.#up = this.#start();
      return true;
    }
    if (victim === "ledger") {
      const ledger = this.workspace.accrete(["up", "--once"]); // a second ledger on the same directory
      await sleep(delayMs);
      const killed = ledger.kill("SIGKILL");
      await ledger.ended;
      return killed;
    }
    const trainer = await until("a trainer, or the commit", ROUND_LIMIT_MS, async () => {
      await this.#unblock();
      if ((await this.workspace.head()).seq >= round) return "committed";
      return (await this.workspace.trainers())[0];
    });
    if (trainer === "committed") return false;
    await sleep(delayMs / 2);
    const still = (await this.workspace.trainers()).some(({ pid }) => pid === trainer.pid);
    return still && kill(trainer.pid, "SIGKILL");
  }

  /** Kills that always come before the first save use the attempts up: then the operator asks for one more. */
  async #unblock(): Promise<void> {
    const last = this.#lines.at(-1) ?? "";
    if (!last.includes("blocked") || !last.includes("attempts without progress")) return;
    this.#lines.push("");
    this.retries++;
    say("blocked by kills before the first save: accrete retry");
    await this.workspace.accrete(["retry"]).ended;
  }

  async committed(round: number): Promise<void> {
    await until(
      `the commit of round ${round} (last: ${this.#lines.slice(-3).join(" | ")})`,
      ROUND_LIMIT_MS,
      async () => {
        await this.#unblock();
        return (await this.workspace.head()).seq >= round ? true : undefined;
      },
    );
  }

  async end(): Promise<void> {
    this.#up.kill("SIGTERM");
    await this.#up.ended;
  }
}

/** What is not as it has to be. */
async function faults(chaos: Chaos, expected: string): Promise<string[]> {
  const { workspace } = chaos;
  const found: string[] = [];
  const entries = await workspace.entries();
  const rounds = entries.flatMap((entry): Extract<LogEntry, { kind: "round" }>[] =>
    entry.kind === "round" ? [entry] : [],
  );
  if (rounds.length !== ROUNDS || entries.length !== ROUNDS)
    found.push(`${entries.length} entries, ${rounds.length} rounds: ${ROUNDS} were expected`);
  const consumed: string[] = [];
  for (const entry of rounds) consumed.push(...(await readCommitted(workspace.store, entry)).plan.items.map(itemId));
  if (consumed.length !== ROUNDS || new Set(consumed).size !== ROUNDS)
    found.push(
      `${consumed.length} items were consumed, ${new Set(consumed).size} of them different: ${ROUNDS} were dropped`,
    );
  const digest = checkpointDigest(await workspace.digests(entries.at(-1)!));
  if (digest !== expected) found.push(`the checkpoint is ${digest}, undisturbed it is ${expected}`);
  const problems = await workspace.problems();
  if (problems !== undefined) found.push(`accrete verify: ${problems}`);
  if (chaos.kills < KILLS) found.push(`only ${chaos.kills} of ${KILLS} kills were made`);
  return found;
}

const folder = join(tmpdir(), `accrete-chaos-${process.pid}`);
const digits = allDigits();
say(`seed ${values.seed}: ${ROUNDS} rounds of ${DIGITS_A_ROUND} digits, undisturbed`);
const expected = await undisturbed(join(folder, "undisturbed"), digits);
say(`undisturbed: ${expected.slice(0, 32)}; now with ${KILLS} kills`);

const chaos = new Chaos(join(folder, "chaos"));
for (let round = 1; round <= ROUNDS; round++) {
  chaos.workspace.drop(nameOf(round), delivery(digits, round));
  const share = Math.ceil((KILLS * round) / ROUNDS);
  while (chaos.kills < share && (await chaos.workspace.head()).seq < round) await chaos.killOne(round);
  // kills that the last round was too short for come after its commit: nothing may change any more
  while (round === ROUNDS && chaos.kills < KILLS) {
    const { up, ledger } = chaos.killed;
    await chaos.killOne(round);
    if (chaos.killed.up === up && chaos.killed.ledger === ledger) await sleep(50);
  }
  await chaos.committed(round);
}
await chaos.end();
const found = await faults(chaos, expected);
const { up, ledger, trainer } = chaos.killed;
say(
  `${chaos.kills} kills (${up} up, ${ledger} ledger, ${trainer} trainer), ${chaos.retries} retries: ${found.length === 0 ? "the same weights, each item once, verify clean" : "FAILED"}`,
);
for (const fault of found) console.error(`FAILED: ${fault} (seed ${values.seed}; the folder is kept: ${folder})`);
if (found.length === 0 && !values.keep) rmSync(folder, { recursive: true, force: true });
process.exitCode = found.length === 0 ? 0 : 1;
