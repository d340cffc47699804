/** Whole rounds for the tests: a data folder, plans as the ledger makes them, and the trainer run within this process. */
import { mkdirSync, mkdtempSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll } from "vitest";
import { openDirectoryItems } from "../../adapters/directory-items.ts";
import { openMemoryStore } from "../../adapters/memory-store.ts";
import { messageOf } from "../../protocol/errors.ts";
import { checkpointsPrefix, failureKey, MANIFEST, planKey, resultKey } from "../../protocol/keys.ts";
import { withoutRun } from "../../protocol/run-metrics.ts";
import type { Items, Store } from "../../protocol/ports.ts";
import { parseDocument, type FailureRecord, type Manifest, type Plan, type Result } from "../../protocol/types.ts";
import { exitCodeOf, recordFailure } from "../failure.ts";
import { Reader } from "../reader-process.ts";
import { readPlan, runTrainer } from "../run.ts";
import type { LoadOptions } from "../tf.ts";
import type { Watchdog } from "../watchdog.ts";
import { WITHOUT_NATIVE } from "./backends.ts";
import { storePlan, type PlanInput } from "./samples.ts";
import { parseSafetensors, type NamedTensor } from "../safetensors.ts";

export {
  csv,
  dense,
  FORGETFUL,
  INPUT,
  jsonl,
  LINEAR,
  moduleOf,
  tableRow,
  tableRows,
  type PlanInput,
} from "./samples.ts";

const temporary = mkdtempSync(join(tmpdir(), "accrete-rounds-"));
const readers: Reader[] = [];
export function newReader(program?: string): Reader {
  const reader = new Reader({ scratch: newFolder(), memory: 2 ** 31, program });
  readers.push(reader);
  return reader;
}
let made = 0;
export function newFolder(): string {
  const folder = join(temporary, String(made++));
  mkdirSync(folder);
  return folder;
}

/** For all runs within this process: a start takes longer than such a round. */
const shared = newReader();
afterAll(async () => {
  for (const reader of readers) await reader.close();
  rmSync(temporary, { recursive: true, force: true });
});

export interface Ran {
  readonly exit: number;
  readonly said: readonly string[];
  /** what ended it, if something was thrown */
  readonly message: string;
}

export interface RunInput {
  readonly round?: number;
  readonly attempt?: number;
  readonly store?: Store;
  readonly items?: Items;
  readonly stopAsked?: () => boolean;
  readonly nowMs?: () => number;
  /** @default without TensorFlow's library */
  readonly backend?: LoadOptions | undefined;
  readonly reader?: Reader;
  readonly watchdog?: Watchdog;
}

let runs = 0;

/** A pipeline's state and data: in memory and in a folder, or where it is told. */
export class Place {
  readonly dataFolder: string;
  readonly items: Items;
  readonly store: Store;

  constructor(store: Store = openMemoryStore({ nowMs: () => 0 }), dataFolder: string = newFolder()) {
    this.store = store;
    this.dataFolder = dataFolder;
    this.items = openDirectoryItems(this.dataFolder, { settleMs: 0 });
  }

  put(key: string, body: string | Uint8Array): void {
    const path = join(this.dataFolder, key);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, body);
  }

  remove(key: string): void {
    unlinkSync(join(this.dataFolder, key));
  }

  /** Stores a plan for what is in the data folder now, and the module it names. */
  plan(input: PlanInput = {}): Promise<Plan> {
    return storePlan(this, input);
  }

  /** One run, with the failure record and the exit code that trainer/main.ts would give. */
  async run(input: RunInput = {}): Promise<Ran> {
    const store = input.store ?? this.store;
    const said: string[] = [];
    const { plan, sha256: digest } = await readPlan(this.store, planKey(input.round ?? 1));
    const options = {
      store,
      items: input.items ?? this.items,
      attempt: input.attempt ?? 1,
      retry: 1,
      run: `run${runs++}`,
      scratch: newFolder(),
      say: (line: string): void => void said.push(line),
      stopAsked: input.stopAsked ?? (() => false),
      unsaved: () => undefined,
      nowMs: input.nowMs ?? (() => performance.now()),
      addon: (input.backend ?? WITHOUT_NATIVE).addon,
      threads: (input.backend ?? WITHOUT_NATIVE).threads,
      reader: input.reader ?? shared,
      watchdog: input.watchdog,
    };
    try {
      return { exit: await runTrainer(options, plan, digest), said, message: "" };
    } catch (error) {
      await recordFailure(store, { round: plan.round, attempt: options.attempt }, error);
      return { exit: exitCodeOf(error), said, message: messageOf(error) };
    } finally {
      rmSync(options.scratch, { recursive: true, force: true });
    }
  }

  /** Plans a round, trains it, and gives its result. */
  async train(input: PlanInput = {}): Promise<Result> {
    await this.plan(input);
    const { exit, message } = await this.run({ round: input.round ?? 1 });
    if (exit !== 0) throw new Error(`exit ${exit}: ${message}`);
    return this.result(input.round ?? 1);
  }

  async result(round = 1): Promise<Result> {
    const key = resultKey(round);
    return parseDocument("result", key, (await this.store.get(key))!.body);
  }

  async failure(attempt = 1, round = 1): Promise<FailureRecord | undefined> {
    const key = failureKey(round, attempt);
    const stored = await this.store.get(key);
    return stored && parseDocument("failure", key, stored.body);
  }

  async manifest(key: string): Promise<Manifest> {
    return parseDocument("manifest", key, (await this.store.get(key))!.body);
  }

  async file(checkpoint: { readonly manifest: string }, name: string): Promise<Uint8Array> {
    return (await this.store.get(checkpoint.manifest.slice(0, -MANIFEST.length) + name))!.body;
  }

  async keys(prefix = ""): Promise<string[]> {
    return (await this.store.list(prefix)).objects.map(({ key }) => key);
  }

  /** A checkpoint's tensors by name. */
  async tensors(
    checkpoint: { readonly manifest: string },
    name = "weights.safetensors",
  ): Promise<ReadonlyMap<string, NamedTensor>> {
    return parseSafetensors(await this.file(checkpoint, name), name);
  }

  /** Manifest keys of a round, the lowest step first. */
  async manifests(round = 1): Promise<string[]> {
    return (await this.keys(checkpointsPrefix(round))).filter((key) => key.endsWith(MANIFEST));
  }

  /** What has to be the same whatever happened on the way. */
  async bits(round = 1): Promise<Record<string, string>> {
    const { checkpoint, metrics } = await this.result(round);
    const { files } = await this.manifest(checkpoint.manifest);
    const measured = withoutRun(metrics);
    return {
      ...Object.fromEntries(files.map((file) => [file.name, file.sha256])),
      at: `step ${checkpoint.step} epoch ${checkpoint.epoch}`,
      metrics: JSON.stringify(measured),
    };
  }

  /** Changes one stored byte, as a bad disk does. */
  async damage(key: string): Promise<void> {
    const { body } = (await this.store.get(key))!;
    body[body.length >> 1]! ^= 1;
    await this.store.delete(key);
    await this.store.create(key, body);
  }
}
