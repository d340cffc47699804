/** What one round trains with: model, slots, records, holdout; restored from where it begins, and saved from where it is. */
import { mkdir, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { MANIFEST } from "../protocol/keys.ts";
import { canonicalJson, sha256 } from "../protocol/digest.ts";
import { AccreteError } from "../protocol/errors.ts";
import type { Store } from "../protocol/ports.ts";
import type { Checkpoint, Manifest, Plan } from "../protocol/types.ts";
import type { Beginning } from "./begin.ts";
import { save, type FileToSave, type Saved } from "./checkpoint.ts";
import { holdoutTensors, type Holdout } from "./holdout-state.ts";
import type { Model } from "./model.ts";
import type { Normalisation } from "./normalise.ts";
import { writeSafetensors, type NamedTensor } from "./safetensors.ts";
import type { Schema } from "./schema.ts";
import { stateText, type State } from "./state.ts";
import { assign, type Stepper } from "./step.ts";
import type { Backend, Tf, Variable } from "./tf.ts";

/** What names a checkpoint of this run. */
export interface RunName {
  readonly plan: Plan;
  readonly planSha256: string;
  /** `<k>.<retry>` */
  readonly attempt: string;
  /** drawn at the start of the process */
  readonly run: string;
}

export interface Trained {
  readonly tf: Tf;
  readonly model: Model;
  readonly stepper: Stepper;
  readonly schema: Schema;
  readonly holdout: Holdout;
  readonly normalisation: Normalisation | null;
}

/** Puts a checkpoint's weights into the model. @throws {AccreteError} MODEL_INVALID if they don't fit */
export function restoreWeights(tf: Tf, model: Model, weights: ReadonlyMap<string, NamedTensor>, of: string): void {
  const names = new Set(model.weights.map(({ name }) => name));
  const unknown = [...weights.keys()].filter((name) => !names.has(name));
  for (const { name, variable } of model.weights) {
    const saved = weights.get(name);
    if (saved === undefined || saved.shape.join() !== variable.shape.join()) {
      const found = saved === undefined ? "is not there" : `is [${saved.shape.join(", ")}]`;
      throw new AccreteError(
        "MODEL_INVALID",
        `the model no longer fits ${of}: it has ${name} [${variable.shape.join(", ")}], there it ${found}${unknown.length > 0 ? ` (and there is ${unknown[0]})` : ""}`,
      );
    }
    assign(tf, variable, valuesOf(saved));
  }
  if (unknown.length > 0)
    throw new AccreteError("MODEL_INVALID", `the model no longer fits ${of}: there is ${unknown[0]}, which it lacks`);
}

/** Slots of another optimizer are left at 0: a changed optimizer begins anew. @returns whether they were restored */
export function restoreSlots(tf: Tf, stepper: Stepper, slots: ReadonlyMap<string, NamedTensor>): boolean {
  if ([...stepper.slots.keys()].some((name) => !slots.has(name))) return false;
  for (const [name, variable] of stepper.slots) assign(tf, variable, valuesOf(slots.get(name)!));
  return true;
}

function valuesOf({ name, data }: NamedTensor): Float32Array | Int32Array | Uint8Array {
  if (data instanceof Float32Array || data instanceof Int32Array || data instanceof Uint8Array) return data;
  throw new AccreteError("STORED_NOT_READABLE", `tensor ${name} is of a type that no weight has`);
}

/** The checkpoint that a run goes on from, as far as its unchanged files can be copied inside the store. */
export function savedOf(beginning: Beginning | null): Saved {
  if (beginning === null) return new Map();
  const { manifest, manifestKey } = beginning.restored;
  const prefix = manifestKey.slice(0, -MANIFEST.length);
  return new Map(manifest.files.map(({ name, sha256: digest }) => [name, { key: prefix + name, sha256: digest }]));
}

export class Saver {
  readonly #store: Store;
  readonly #name: RunName;
  readonly #folder: string;
  readonly #backend: Backend;
  #saved: Saved;

  constructor(options: { store: Store; name: RunName; folder: string; backend: Backend; before: Saved }) {
    this.#store = options.store;
    this.#name = options.name;
    this.#folder = options.folder;
    this.#backend = options.backend;
    this.#saved = options.before;
  }

  /** Where nothing was trained yet: what the data looks like and the holdout, if any was read. */
  async saveUntrained(state: State, read: Pick<Trained, "schema" | "holdout"> | null): Promise<Checkpoint> {
    return this.#save(state, async () => (read === null ? [] : this.#dataFiles(read)));
  }

  /**
   * A consistent copy between two steps, in the store when it returns.
   * @throws {AccreteError} LOSS_NOT_FINITE, before anything is written: no later run could go on from such weights
   */
  async save(state: State, trained: Trained, metricsText: string): Promise<Checkpoint> {
    const { model, stepper } = trained;
    const weights = model.weights.map(({ name, variable }) => tensorOf(name, variable));
    const slots = [...stepper.slots].map(([name, variable]) => tensorOf(name, variable));
    checkFinite([...weights, ...slots], state);
    return this.#save(state, async () => [
      await this.#tensors("weights.safetensors", weights),
      await this.#tensors("optimizer.safetensors", slots),
      ...(await this.#dataFiles(trained)),
      await this.#text("metrics.jsonl", metricsText),
    ]);
  }

  async #dataFiles({ schema, holdout }: Pick<Trained, "schema" | "holdout">): Promise<FileToSave[]> {
    return [
      await this.#tensors("holdout.safetensors", holdoutTensors(holdout)),
      await this.#text("schema.json", `${canonicalJson(schema)}\n`),
    ];
  }

  async #save(state: State, more: () => Promise<FileToSave[]>): Promise<Checkpoint> {
    await mkdir(this.#folder, { recursive: true });
    const files = [await this.#text("state.json", stateText(state)), ...(await more())];
    const { plan, planSha256, attempt, run } = this.#name;
    const about: Omit<Manifest, "format" | "files"> = {
      round: plan.round,
      plan: planSha256,
      code: plan.code,
      parent: plan.parent?.sha256 ?? null,
      attempt,
      run,
      step: state.step,
      epoch: state.epoch,
      environment: environment(this.#backend),
    };
    const { checkpoint, saved } = await save(this.#store, files, about, this.#saved);
    this.#saved = saved;
    return checkpoint;
  }

  async #text(name: string, text: string): Promise<FileToSave> {
    const path = join(this.#folder, name);
    await writeFile(path, text);
    return { name, path, sha256: sha256(text), size: Buffer.byteLength(text) };
  }

  async #tensors(name: string, tensors: readonly NamedTensor[]): Promise<FileToSave> {
    const path = join(this.#folder, name);
    return { name, path, ...(await writeSafetensors(path, tensors)) };
  }
}

function tensorOf(name: string, variable: Variable): NamedTensor {
  const data = variable.dataSync();
  const dtype = variable.dtype === "int32" ? "I32" : variable.dtype === "bool" ? "U8" : "F32";
  return { name, dtype, shape: variable.shape, data: data as Float32Array };
}

function checkFinite(tensors: readonly NamedTensor[], { position }: State): void {
  const broken = tensors.find(({ data }) => data.some((value) => !Number.isFinite(value)));
  if (broken !== undefined)
    throw new AccreteError("LOSS_NOT_FINITE", `${broken.name} is not finite after step ${position.step} of the round`);
}

/** What the bits depend on. Another machine may round otherwise: a resume there goes on, and says so. */
export function environment(backend: Backend): Manifest["environment"] {
  return {
    backend,
    cpu: (cpus()[0]?.model ?? "unknown").trim().slice(0, 256),
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    threads: "1",
  };
}
