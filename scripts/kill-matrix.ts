/**
 * npm run kills: a round for each cell of backend x optimizer x schedule x what is easily forgotten in a checkpoint, once undisturbed and once
 * with its trainer killed at random moments, by SIGKILL or SIGTERM. The files of both final checkpoints must be the same, byte by byte.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openDirectoryItems } from "../adapters/directory-items.ts";
import { openDirectoryStore } from "../adapters/directory-store.ts";
import { findNative } from "../adapters/native-library.ts";
import { needDocument } from "../ledger/read.ts";
import { sha256 } from "../protocol/digest.ts";
import { MANIFEST, resultKey } from "../protocol/keys.ts";
import { Random } from "../test/simulation/random.ts";
import { endOf, startTrainer, type TrainerProcess } from "../trainer/testing/process.ts";
import { storePlan } from "../trainer/testing/samples.ts";
import { axesOf, roundOf, type Cell } from "./kill-cells.ts";
import { combinations, pairwise } from "./pairwise.ts";
import { sleep } from "./workspace.ts";

const { values } = parseArgs({
  options: {
    pairwise: { type: "boolean", default: false },
    kills: { type: "string", default: "0" },
    seconds: { type: "string", default: "Infinity" },
    only: { type: "string", default: "" },
    seed: { type: "string", default: String(1 + Math.floor(Math.random() * 999_999)) },
    keep: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(
    `npm run kills -- [--pairwise] [--kills 100] [--seconds 60] [--only TEXT] [--seed N] [--keep]

All cells, or so few that each two values meet. --kills: at least so many in all, else one or two a cell. --seconds: no new cell after so long;
which cells come first follows from the seed. --only: cells whose name has this in it. What a kill meets depends on the machine.`,
  );
  process.exit(0);
}
/** A machine is kept busy by so many: each waits for disk and process starts half of its time. */
const AT_ONCE = 2;
/** A kill of four may come before the training has begun. */
const BEFORE_TRAINING = 0.25;
/** On a busy machine a round may be over before it was killed: then it is trained anew. */
const TRIES_MAX = 4;
const PASSES_MAX = 5;

const random = new Random(Number(values.seed));
const began = performance.now();
const seconds = (): number => (performance.now() - began) / 1_000;
const say = (text: string): void => console.log(`${seconds().toFixed(1).padStart(6)} s  ${text}`);
const temporary = mkdtempSync(join(tmpdir(), "accrete-kills-"));
const compiled = join(temporary, "compiled"); // many short processes: each has the others' compiled code

const nameOf = ({ backend, optimizer, schedule, feature }: Cell): string =>
  `${backend}, ${optimizer}, ${schedule}, ${feature}`;

let folders = 0;
function newFolder(): string {
  const folder = join(temporary, String(folders++));
  mkdirSync(folder);
  return folder;
}

/** A state with the cell's plan, and its data. */
class Disk {
  readonly #cell: Cell;
  readonly #stateFolder = newFolder();
  readonly #dataFolder = newFolder();
  readonly #scratch = newFolder();
  readonly #store = openDirectoryStore(this.#stateFolder);

  constructor(cell: Cell) {
    this.#cell = cell;
  }

  async plan(): Promise<void> {
    const { plan, files } = roundOf(this.#cell);
    for (const [name, body] of Object.entries(files)) writeFileSync(join(this.#dataFolder, name), body);
    await storePlan({ store: this.#store, items: openDirectoryItems(this.#dataFolder, { settleMs: 0 }) }, plan);
  }

  start(attempt: number): TrainerProcess {
    return startTrainer({
      stateFolder: this.#stateFolder,
      dataFolder: this.#dataFolder,
      scratch: this.#scratch,
      round: 1,
      attempt,
      env: {
        NODE_COMPILE_CACHE: compiled,
        ...(this.#cell.backend === "native" ? {} : { ACCRETE_NATIVE_DIR: join(temporary, "none") }),
      },
    });
  }

  /** sha256 of each file of the final checkpoint, of the bytes that are stored. */
  async digests(): Promise<Record<string, string>> {
    const { checkpoint } = (await needDocument(this.#store, "result", resultKey(1), "this script")).document;
    const { files } = (await needDocument(this.#store, "manifest", checkpoint.manifest, "the result")).document;
    const prefix = checkpoint.manifest.slice(0, -MANIFEST.length);
    const digests: Record<string, string> = { at: `step ${checkpoint.step}, epoch ${checkpoint.epoch}` };
    for (const { name } of files) digests[name] = sha256((await this.#store.get(prefix + name))!.body);
    return digests;
  }
}

interface Undisturbed {
  readonly digests: Record<string, string>;
  readonly startMs: number;
  readonly trainMs: number;
}

async function undisturbed(cell: Cell): Promise<Undisturbed> {
  const disk = new Disk(cell);
  await disk.plan();
  const fromMs = performance.now();
  const { child, training, output } = disk.start(1);
  await training;
  const trainingMs = performance.now();
  const exit = await endOf(child);
  if (exit !== 0) throw new Error(`undisturbed: exit ${exit}: ${output()}`);
  if (!output().includes(`backend ${cell.backend}`)) throw new Error(`it trained on another backend: ${output()}`);
  return { digests: await disk.digests(), startMs: trainingMs - fromMs, trainMs: performance.now() - trainingMs };
}

interface Killed {
  readonly kills: number;
  /** starts that went on from a checkpoint of the round */
  readonly resumes: number;
  readonly digests: Record<string, string>;
}

/** Kills it so often, then lets it end. */
async function disturbed(cell: Cell, kills: number, { startMs, trainMs }: Undisturbed): Promise<Killed> {
  const disk = new Disk(cell);
  await disk.plan();
  let [killed, resumes] = [0, 0];
  for (let attempt = 1; ; attempt++) {
    const { child, training, output } = disk.start(attempt);
    if (killed < kills) {
      if (random.chance(BEFORE_TRAINING)) await Promise.race([training, sleep(random.next() * startMs)]);
      else {
        await training;
        await sleep(random.next() * trainMs);
      }
      child.kill(random.chance(0.5) ? "SIGKILL" : "SIGTERM");
    }
    const exit = await endOf(child);
    if (/resumes at/.test(output())) resumes++;
    if (exit === 0) return { kills: killed, resumes, digests: await disk.digests() };
    // null: killed by SIGKILL, or by a signal before its first line was run
    if (exit !== null && exit !== 75) throw new Error(`exit ${exit}: ${output()}`);
    killed++;
  }
}

/** What differs; empty: nothing. */
async function faultsOf(cell: Cell, kills: number, told: { kills: number; resumes: number }): Promise<string[]> {
  const before = await undisturbed(cell);
  let after: Killed | undefined;
  for (let tries = 0; (after === undefined || after.kills === 0) && tries < TRIES_MAX; tries++)
    after = await disturbed(cell, kills, before);
  told.kills += after!.kills;
  told.resumes += after!.resumes;
  const names = [...new Set([...Object.keys(before.digests), ...Object.keys(after!.digests)])];
  const differing = names.filter((name) => before.digests[name] !== after!.digests[name]);
  return differing.map((name) => `${name} is ${after!.digests[name]}, undisturbed ${before.digests[name]}`);
}

const backends = findNative() === undefined ? ["wasm"] : ["native", "wasm"];
if (backends.length === 1) say("TensorFlow's library is not there: wasm alone (npm run native)");
const axes = axesOf(backends);
const all = values.pairwise ? pairwise(axes, random) : combinations(axes);
const cells = all.filter((cell) => nameOf(cell).includes(values.only));
for (let i = cells.length - 1; i > 0; i--) {
  const j = random.below(i + 1);
  [cells[i], cells[j]] = [cells[j]!, cells[i]!];
}
const killsOfEach = Math.max(values.pairwise ? 1 : 2, Math.ceil(Number(values.kills) / Math.max(1, cells.length)));
say(
  `seed ${values.seed}: ${cells.length} of ${combinations(axes).length} cells, ${killsOfEach} ${killsOfEach === 1 ? "kill" : "kills"} each: ${Object.entries(
    axes,
  )
    .map(([axis, names]) => `${axis} ${names.join(" | ")}`)
    .join("; ")}`,
);
const told = { kills: 0, resumes: 0 };
const faults: string[] = [];
let [next, done] = [0, 0];
/** Once more from the first cell where rounds were over before they were killed, and kills are missing. */
function isDue(): boolean {
  if (seconds() >= Number(values.seconds) || cells.length === 0) return false;
  return next < cells.length || (told.kills < Number(values.kills) && next < PASSES_MAX * cells.length);
}
async function work(): Promise<void> {
  while (isDue()) {
    const cell = cells[next++ % cells.length]!;
    const found = await faultsOf(cell, killsOfEach, told).catch((error: Error) => [error.message]);
    done++;
    say(`${nameOf(cell)}: ${found.length === 0 ? "the same bits" : "FAILED"}`);
    faults.push(...found.map((fault) => `${nameOf(cell)}: ${fault}`));
  }
}
await Promise.all(Array.from({ length: AT_ONCE }, work));
const left = Math.max(0, cells.length - done);
if (left === 0 && told.kills < Number(values.kills)) faults.push(`${told.kills} kills, ${values.kills} were asked for`);
say(
  `${done} rounds of ${Math.min(done, cells.length)} cells, ${told.kills} kills, ${told.resumes} resumes: ${faults.length === 0 ? "the same bits in each" : "FAILED"}${left === 0 ? "" : `; ${left} cells are left to another seed`}`,
);
for (const fault of faults)
  console.error(`FAILED: ${fault} (seed ${values.seed}${values.keep ? `, ${temporary}` : ""})`);
if (!values.keep) rmSync(temporary, { recursive: true, force: true });
process.exitCode = faults.length === 0 && done > 0 ? 0 : 1;
