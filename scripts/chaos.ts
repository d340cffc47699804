/**
 * npm run chaos: rounds of real digits, four files each, while `accrete up`, a second ledger beside it and the trainer are killed with SIGKILL:
 * each kill waits for a moment that is worth it, such as the result being there and its entry not. Some deliveries bring an object that
 * was overwritten, and some bring one again that was learned. At the end each round's weights are those of an undisturbed run, each
 * item was consumed once, and `verify` is clean.
 */
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { kill } from "../adapters/process-alive.ts";
import { itemId } from "../protocol/digest.ts";
import type { RoundEntry } from "../protocol/types.ts";
import { readCommitted } from "../ledger/read.ts";
import { Random } from "../test/simulation/random.ts";
import { AIMS, Moments, nearAims, type Aim } from "./chaos-aims.ts";
import { allDigits, idxFile } from "./digits.ts";
import { checkpointDigest, DigitsWorkspace, sleep, until } from "./workspace.ts";

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "20" },
    seed: { type: "string", default: String(1 + Math.floor(Math.random() * 999_999)) },
    keep: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(
    "npm run chaos -- [--kills 20] [--seed N] [--keep]\n\nThere are as many rounds as the kills need. The seed gives who is killed and when; what that meets depends on the machine. --keep leaves the folders.",
  );
  process.exit(0);
}
const KILLS = Number(values.kills);
const KILLS_A_ROUND = 10;
const FILES_A_ROUND = 4;
const DIGITS_A_FILE = 100;
const ROUND_LIMIT_MS = 300_000;

const random = new Random(Number(values.seed));
const began = performance.now();
const say = (text: string): void =>
  console.log(`${((performance.now() - began) / 1_000).toFixed(1).padStart(6)} s  ${text}`);

/** Saves often, so that kills meet saves; a round starts with all its files, so that it has the same ones in each run; keeps what is compared. */
const changed = (config: string): string =>
  config
    .replace(/epochs: \d+/, "epochs: 12")
    .replace(/batchSize: \d+/, "batchSize: 8")
    .replace(/saveEverySteps: \d+/, "saveEverySteps: 30")
    .replace(/quietPeriod: "[^"]+"/, `quietPeriod: "200 ms", minItems: ${FILES_A_ROUND}`)
    .replace("gate: {", "keep: { rounds: 1_000, history: 0 },\n      gate: {");

interface Delivery {
  readonly name: string;
  readonly body: Uint8Array;
}

const digits = allDigits();

function fileOf(index: number): Uint8Array {
  const from = (index * DIGITS_A_FILE) % digits.length;
  return idxFile(digits.slice(from, from + DIGITS_A_FILE));
}

/** A round's items: in every third one an object of the round before is overwritten. */
function delivery(round: number): Delivery[] {
  return Array.from({ length: FILES_A_ROUND }, (_, i) => {
    const overwrites = i === 0 && round % 3 === 0;
    return {
      name: `digits-${overwrites ? round - 1 : round}-${overwrites ? 1 : i}.idx`,
      body: fileOf(round * FILES_A_ROUND + i),
    };
  });
}

/** What every second round's delivery brings again, though it was learned: the very same object. */
function duplicate(round: number): Delivery | undefined {
  return round % 2 === 0 ? delivery(round - 1)[2] : undefined;
}

function drop(workspace: DigitsWorkspace, round: number): void {
  for (const { name, body } of delivery(round)) workspace.drop(name, body);
  const again = duplicate(round);
  if (again !== undefined) workspace.drop(again.name, again.body);
}

async function undisturbed(folder: string, rounds: number): Promise<string[]> {
  const workspace = new DigitsWorkspace(folder, changed);
  const up = workspace.accrete(["up"]);
  try {
    for (let round = 1; round <= rounds; round++) {
      drop(workspace, round);
      await until(`the undisturbed commit of round ${round}`, ROUND_LIMIT_MS, async () =>
        (await workspace.head()).seq >= round ? true : undefined,
      );
    }
    return await digestsOf(workspace);
  } finally {
    up.kill("SIGTERM");
    await up.ended;
  }
}

async function digestsOf(workspace: DigitsWorkspace): Promise<string[]> {
  const entries = await workspace.entries();
  return Promise.all(entries.map(async (entry) => checkpointDigest(await workspace.digests(entry))));
}

/** A run that is killed again and again, and put up again. */
class Chaos {
  readonly workspace: DigitsWorkspace;
  readonly killed: Record<Aim["victim"], number> = { up: 0, ledger: 0, trainer: 0 };
  /** kills by what they met */
  readonly met = new Map<string, number>();
  retries = 0;
  readonly #made = new Map<Aim, number>();
  readonly #moments: Moments;
  readonly #lines: string[] = [];
  #up: ReturnType<DigitsWorkspace["accrete"]>;

  constructor(folder: string) {
    this.workspace = new DigitsWorkspace(folder, changed);
    this.#moments = new Moments(this.workspace);
    this.#up = this.#start();
  }

  #start(): ReturnType<DigitsWorkspace["accrete"]> {
    return this.workspace.accrete(["up"], (line) => this.#lines.push(line));
  }

  get kills(): number {
    return this.killed.up + this.killed.ledger + this.killed.trainer;
  }

  isFinished(round: number): boolean {
    return this.#moments.isFinished(round);
  }

  /** Makes one kill of the open round, if its moment comes. */
  async killOne(round: number): Promise<void> {
    const aim = this.#chooseAim(round);
    if (aim === undefined) return sleep(20);
    const ledger = aim.victim === "ledger" ? this.workspace.accrete(["up", "--once"]) : undefined;
    let seen: { pid: number } | undefined;
    await until(
      `the moment to kill ${aim.victim} (${aim.when})`,
      ROUND_LIMIT_MS,
      async () => {
        await this.#unblock();
        seen = await this.#moments.look(round, aim);
        return seen !== undefined || this.#moments.hasPassed(round, aim) || this.#moments.isFinished(round)
          ? true
          : undefined;
      },
      2,
    );
    if (seen !== undefined) {
      await sleep(random.below(aim.delayMsMax));
      const met = this.#moments.phase(round);
      if (await this.#kill(aim, seen.pid, ledger)) {
        this.killed[aim.victim]++;
        this.#made.set(aim, (this.#made.get(aim) ?? 0) + 1);
        this.met.set(met, (this.met.get(met) ?? 0) + 1);
        say(`round ${round}: kill ${this.kills}: ${aim.victim} while ${met}`);
      }
    }
    ledger?.kill("SIGKILL");
    await ledger?.ended;
  }

  /** Of those that are near the one that has had the fewest kills; undefined: these have had their share. */
  #chooseAim(round: number): Aim | undefined {
    const made = (aim: Aim): number => this.#made.get(aim) ?? 0;
    const near = nearAims(this.#moments.phase(round));
    const fewest = Math.min(...near.map(made));
    if (fewest > (1.5 * this.kills) / AIMS.length + 2) return undefined;
    return random.pick(near.filter((aim) => made(aim) === fewest));
  }

  async #kill(aim: Aim, trainer: number, ledger: ReturnType<DigitsWorkspace["accrete"]> | undefined): Promise<boolean> {
    if (aim.victim === "ledger") return ledger?.exitCode === null && ledger.kill("SIGKILL");
    if (aim.victim === "trainer") return kill(trainer, "SIGKILL");
    this.#up.kill("SIGKILL");
    await this.#up.ended;
    this.#up = this.#start();
    return true;
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
        return this.#moments.isFinished(round) ? true : undefined;
      },
    );
  }

  async end(): Promise<void> {
    this.#up.kill("SIGTERM");
    await this.#up.ended;
  }
}

/** What is not as it has to be. */
async function faults(chaos: Chaos, rounds: number, expected: readonly string[]): Promise<string[]> {
  const { workspace } = chaos;
  const found: string[] = [];
  const entries = await workspace.entries();
  const committed = entries.flatMap((entry): RoundEntry[] => (entry.kind === "round" ? [entry] : []));
  if (committed.length !== rounds || entries.length !== rounds)
    found.push(`${entries.length} entries, ${committed.length} rounds: ${rounds} were expected`);
  const items = rounds * FILES_A_ROUND;
  const consumed: string[] = [];
  for (const entry of committed) consumed.push(...(await readCommitted(workspace.store, entry)).plan.items.map(itemId));
  const different = new Set(consumed).size;
  if (consumed.length !== items || different !== items)
    found.push(`${consumed.length} items were consumed, ${different} of them different: ${items} were dropped`);
  for (const [i, digest] of (await digestsOf(workspace)).entries())
    if (digest !== expected[i])
      found.push(`round ${i + 1}: the checkpoint is ${digest}, undisturbed it is ${expected[i]}`);
  const problems = await workspace.problems();
  if (problems !== undefined) found.push(`accrete verify: ${problems}`);
  return found;
}

const folder = join(tmpdir(), `accrete-chaos-${process.pid}`);
say(`seed ${values.seed}: ${KILLS} kills, at most ${KILLS_A_ROUND} a round`);
const chaos = new Chaos(join(folder, "chaos"));
let round = 0;
while (chaos.kills < KILLS) {
  round++;
  drop(chaos.workspace, round);
  const before = chaos.kills;
  while (chaos.kills < Math.min(KILLS, before + KILLS_A_ROUND) && !chaos.isFinished(round)) await chaos.killOne(round);
  await chaos.committed(round);
}
await chaos.end();
say(`${chaos.kills} kills in ${round} rounds; now the same rounds undisturbed`);
const expected = await undisturbed(join(folder, "undisturbed"), round);
const found = await faults(chaos, round, expected);
const { up, ledger, trainer } = chaos.killed;
say(
  `met while: ${[...chaos.met]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([what, times]) => `${what} ${times}`)
    .join(", ")}`,
);
say(
  `${chaos.kills} kills (${up} up, ${ledger} ledger, ${trainer} trainer) in ${round} rounds of ${FILES_A_ROUND} items, ${chaos.retries} retries: ${found.length === 0 ? "the same weights in each round, each item once, verify clean" : "FAILED"}`,
);
for (const fault of found) console.error(`FAILED: ${fault} (seed ${values.seed}; the folder is kept: ${folder})`);
if (found.length === 0 && !values.keep) rmSync(folder, { recursive: true, force: true });
process.exitCode = found.length === 0 ? 0 : 1;
