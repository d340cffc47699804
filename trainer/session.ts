/** What one round trains with: model, slots, records, holdout; restored from where it begins, and saved from where it is. */
import { MANIFEST } from "../protocol/keys.ts";
import { canonicalJson } from "../protocol/digest.ts";
import type { TensorKind } from "../protocol/safetensors.ts";
import type { Checkpoint, Manifest, Plan } from "../protocol/types.ts";
import type { Beginning } from "./begin.ts";
import type { CheckpointWriter, TensorToSave } from "./checkpoint-writer.ts";
import type { Saved } from "./checkpoint.ts";
import { holdoutTensors, type Holdout } from "./holdout-state.ts";
import type { Model } from "./model.ts";
import type { Normalisation } from "./scale.ts";
import type { NamedTensor } from "./safetensors.ts";
import type { SaveJob } from "./save-job.ts";
import type { Schema } from "./schema.ts";
import { stateText, type State } from "./state.ts";
import type { Snapshot, Stepper } from "./step.ts";
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
  return new Map(manifest.files.map(({ name, sha256, size }) => [name, { key: prefix + name, sha256, size }]));
}

/** A save that is being written. */
export interface Save {
  readonly written: Promise<Checkpoint>;
}

export class Saver {
  readonly #writer: CheckpointWriter;
  readonly #name: RunName;
  readonly #environment: Manifest["environment"];
  #saved: Saved;
  /** the one that #saved has */
  #holdout: Holdout | undefined;

  constructor(options: {
    writer: CheckpointWriter;
    name: RunName;
    environment: Manifest["environment"];
    before: Saved;
  }) {
    this.#writer = options.writer;
    this.#name = options.name;
    this.#environment = options.environment;
    this.#saved = options.before;
  }

  /** Where nothing was trained yet: what the data looks like and the holdout, if any was read. */
  async saveUntrained(state: State, read: Pick<Trained, "schema" | "holdout"> | null): Promise<Checkpoint> {
    const { written } = await this.#begin(state, null, read, null);
    return written;
  }

  /**
   * Takes a consistent copy between two steps; steps may go on once this returns, while it is written. One at a time.
   * `written` rejects with AccreteError LOSS_NOT_FINITE before anything is in the store: no later run could go on from such weights.
   */
  async begin(state: State, trained: Trained, metricsText: string): Promise<Save> {
    const snapshot = trained.stepper.snapshot();
    try {
      return await this.#begin(state, snapshot, trained, metricsText);
    } finally {
      snapshot.dispose();
    }
  }

  async #begin(
    state: State,
    snapshot: Snapshot | null,
    data: Pick<Trained, "schema" | "holdout"> | null,
    metricsText: string | null,
  ): Promise<Save> {
    const { plan, planSha256, attempt, run } = this.#name;
    const holdout = data === null || data.holdout === this.#holdout ? undefined : data.holdout;
    const holdoutParts = holdout === undefined ? [] : holdoutTensors(holdout);
    const job: SaveJob = {
      about: {
        round: plan.round,
        plan: planSha256,
        code: plan.code,
        parent: plan.parent?.sha256 ?? null,
        attempt,
        run,
        step: state.step,
        epoch: state.epoch,
        environment: this.#environment,
      },
      texts: [
        { name: "state.json", text: stateText(state) },
        ...(data === null ? [] : [{ name: "schema.json", text: `${canonicalJson(data.schema)}\n` }]),
        ...(metricsText === null ? [] : [{ name: "metrics.jsonl", text: metricsText }]),
      ],
      tensorFiles: [
        ...(snapshot === null
          ? []
          : [
              { name: "weights.safetensors", tensors: snapshot.weights.map(kindOf), finite: true },
              { name: "optimizer.safetensors", tensors: snapshot.slots.map(kindOf), finite: true },
            ]),
        ...(holdout === undefined ? [] : [{ name: HOLDOUT, tensors: holdoutParts.map(kindOf), finite: false }]),
      ],
      unchanged: data !== null && holdout === undefined ? [HOLDOUT] : [],
      before: this.#saved,
      after: `step ${state.position.step} of the round`,
    };
    const { taken, written } = this.#writer.write(job, read(snapshot, holdoutParts));
    await taken;
    return {
      written: written.then(({ checkpoint, saved }) => {
        this.#saved = saved;
        this.#holdout = data?.holdout;
        return checkpoint;
      }),
    };
  }
}

const HOLDOUT = "holdout.safetensors";

const kindOf = ({ name, dtype, shape }: TensorKind): TensorKind => ({ name, dtype, shape });

/** Each once, as it is asked for. */
function* read(snapshot: Snapshot | null, holdoutParts: readonly NamedTensor[]): Generator<TensorToSave> {
  for (const tensor of snapshot === null ? [] : [...snapshot.weights, ...snapshot.slots])
    yield { data: tensor.read(), own: true };
  for (const { data } of holdoutParts) yield { data, own: false };
}
