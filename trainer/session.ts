/** What one round trains with: model, slots, records, holdout; restored from where it begins, and saved from where it is. */
import { mkdir, writeFile } from "node:fs/promises";
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
import type { SnapshotTensor, Stepper } from "./step.ts";
import type { Tf } from "./tf.ts";

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
  readonly #environment: Manifest["environment"];
  #saved: Saved;

  constructor(options: {
    store: Store;
    name: RunName;
    folder: string;
    environment: Manifest["environment"];
    before: Saved;
  }) {
    this.#store = options.store;
    this.#name = options.name;
    this.#folder = options.folder;
    this.#environment = options.environment;
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
    const snapshot = trained.stepper.snapshot();
    const weights = snapshot.weights.map(read);
    const slots = snapshot.slots.map(read);
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
      environment: this.#environment,
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

const read = ({ name, dtype, shape, read: values }: SnapshotTensor): NamedTensor => ({
  name,
  dtype,
  shape,
  data: values(),
});

function checkFinite(tensors: readonly NamedTensor[], { position }: State): void {
  const broken = tensors.find(({ data }) => data.some((value) => !Number.isFinite(value)));
  if (broken !== undefined)
    throw new AccreteError("LOSS_NOT_FINITE", `${broken.name} is not finite after step ${position.step} of the round`);
}
