/** Whole rounds for the tests: a data folder, plans as the ledger makes them, and the trainer run within this process. */
import { mkdirSync, mkdtempSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll } from "vitest";
import type * as z from "zod/mini";
import { openDirectoryItems } from "../../adapters/directory-items.ts";
import { openMemoryStore } from "../../adapters/memory-store.ts";
import { DataConfig } from "../../protocol/data-config.ts";
import { TrainerConfig } from "../../protocol/trainer-config.ts";
import { sha256 } from "../../protocol/digest.ts";
import { messageOf } from "../../protocol/errors.ts";
import { arrivedItem } from "../../protocol/intake.ts";
import { checkpointsPrefix, codeKey, failureKey, MANIFEST, planKey, resultKey } from "../../protocol/keys.ts";
import { seedOf } from "../../protocol/plan.ts";
import type { Items, Store } from "../../protocol/ports.ts";
import {
  documentBytes,
  parseDocument,
  type Checkpoint,
  type FailureRecord,
  type Manifest,
  type Plan,
  type Result,
} from "../../protocol/types.ts";
import { exitCodeOf, recordFailure } from "../failure.ts";
import { Reader } from "../reader-process.ts";
import { readPlan, runTrainer } from "../run.ts";
import type { LoadOptions } from "../tf.ts";
import { WITHOUT_NATIVE } from "./backends.ts";
import { parseSafetensors, type NamedTensor } from "../safetensors.ts";

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

const temporary = mkdtempSync(join(tmpdir(), "accrete-rounds-"));
const readers: Reader[] = [];
export function newReader(program?: string): Reader {
  const reader = new Reader({ folder: temporary, scratch: newFolder(), memory: 2 ** 31, program });
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

/** A model module as text. Its layers have names, as one process builds many models here. */
export function moduleOf(layers: string): string {
  return `export default { build: ({ tf, inputShape, classes, seed }) => tf.sequential({ layers: [${layers}] }) };`;
}

export const dense = (units: string, name: string, more = ""): string =>
  `tf.layers.dense({ units: ${units}, name: "${name}", ${more} })`;

export const INPUT = "inputShape: [...inputShape]";

/** For tables: one layer. */
export const LINEAR = moduleOf(dense("classes", "out", INPUT));

/** What is easily forgotten in a checkpoint: dropout's counter (with a seed of its own and without) and the averages of batch norm. */
export const FORGETFUL = moduleOf(`
  ${dense("8", "hidden", `activation: "relu", ${INPUT}`)},
  tf.layers.batchNormalization({ name: "norm" }),
  tf.layers.dropout({ rate: 0.3, seed: 7, name: "seeded" }),
  ${dense("6", "second", 'activation: "tanh"')},
  tf.layers.dropout({ rate: 0.2, name: "unseeded" }),
  tf.layers.gaussianNoise({ stddev: 0.05, name: "noise" }),
  ${dense("classes", "out")}`);

/** Two numbers, a colour and a label that follows from them. */
export function tableRow(i: number): { a: number; b: number; colour: string; label: string } {
  const a = ((i * 37) % 101) / 10;
  const b = ((i * 53) % 97) / 5 - 9;
  return { a, b, colour: ["red", "green", "blue"][i % 3]!, label: a + b > 4 ? "high" : "low" };
}

export function csv(from: number, to: number): string {
  const lines = ["a,b,colour,label"];
  for (let i = from; i < to; i++) lines.push(Object.values(tableRow(i)).join(","));
  return `${lines.join("\n")}\n`;
}

export function jsonl(rows: readonly object[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join("");
}

export const tableRows = (from: number, to: number): object[] =>
  Array.from({ length: to - from }, (_, i) => tableRow(from + i));

export interface PlanInput {
  readonly round?: number;
  readonly module?: string;
  readonly data?: Partial<DataConfig>;
  readonly trainer?: Partial<z.input<typeof TrainerConfig>>;
  readonly parent?: Checkpoint | null;
  readonly live?: Checkpoint | null;
  readonly start?: string | null;
  readonly items?: Plan["items"];
}

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
  async plan(input: PlanInput = {}): Promise<Plan> {
    const round = input.round ?? 1;
    const module = text(input.module ?? LINEAR);
    await this.store.create(codeKey(sha256(module)), module);
    const trainer = TrainerConfig.parse({ model: "./model.ts", epochs: 2, batchSize: 8, ...input.trainer });
    const plan: Plan = {
      format: 1,
      pipeline: "p",
      round,
      kind: "extend",
      items: (input.items ?? (await this.items.list("")).items).map(arrivedItem),
      segments: [],
      parent: input.parent ?? null,
      live: input.live ?? null,
      epochsToAdd: trainer.epochs,
      trainer,
      data: DataConfig.parse({ format: "jsonl", ...input.data }),
      code: sha256(module),
      start: input.start ?? null,
      image: null,
      jobDefinition: null,
      seed: seedOf(trainer.seed, "p", round),
      scheduled: 0,
    };
    await this.store.create(planKey(round), documentBytes("plan", planKey(round), plan));
    return plan;
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
      begin: () => undefined,
      nowMs: input.nowMs ?? (() => performance.now()),
      addon: (input.backend ?? WITHOUT_NATIVE).addon,
      threads: (input.backend ?? WITHOUT_NATIVE).threads,
      reader: input.reader ?? shared,
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
    const { seconds: _, ...measured } = metrics;
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
