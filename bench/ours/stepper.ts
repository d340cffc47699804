/** A trainer's parts without a round: a stepper for a network, and who saves it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { openDirectoryStore } from "../../adapters/directory-store.ts";
import type { Store } from "../../protocol/ports.ts";
import type { TrainerConfig } from "../../protocol/trainer-config.ts";
import { chooseStepper } from "../../trainer/choose-stepper.ts";
import { emptyHoldout } from "../../trainer/holdout-state.ts";
import { buildModel } from "../../trainer/model.ts";
import { SaveThread } from "../../trainer/save-thread.ts";
import type { Schema } from "../../trainer/schema.ts";
import { Saver, type Save, type Trained } from "../../trainer/session.ts";
import { START } from "../../trainer/state.ts";
import { shapeOf, type Batch, type Stepper } from "../../trainer/step.ts";
import type { LayersModel, Tf } from "../../trainer/tf.ts";
import { loadNative } from "./native.ts";
import { planOf } from "../../trainer/testing/plan.ts";

export async function openStepper(options: {
  readonly threads: number;
  readonly schema: Schema;
  readonly network: (tf: Tf) => LayersModel;
  readonly batch: Batch;
  readonly trainer?: Partial<TrainerConfig>;
}): Promise<{ trained: Trained; stepper: Stepper }> {
  const { threads, schema, batch, network } = options;
  const loaded = await loadNative(threads);
  const plan = planOf({ batchSize: batch.size, schedule: { name: "constant" }, ...options.trainer });
  const model = buildModel(loaded.tf, { build: ({ tf }) => network(tf) }, plan, schema);
  const { stepper } = await chooseStepper(loaded, {
    model,
    plan,
    shape: shapeOf(schema, plan.trainer),
    batch,
    sizes: [batch.size],
    say: (line) => console.error(line),
  });
  console.log(stepper.kind);
  const holdout = emptyHoldout(batch.x.length / batch.size, schema.task);
  return { trained: { tf: loaded.tf, model, stepper, schema, holdout, normalisation: null }, stepper };
}

export interface OpenSaver extends AsyncDisposable {
  readonly store: Store;
  readonly folder: string;
  /** as after this step */
  begin(trained: Trained, step: number): Promise<Save>;
}

/** Into a directory, by the thread that the trainer has for it. */
export function openSaver(): OpenSaver {
  const folder = mkdtempSync(join(tmpdir(), "accrete-bench-"));
  const state = join(folder, "state");
  const writer = new SaveThread({ state: { url: pathToFileURL(state).href }, folder: join(folder, "save") });
  const name = { plan: planOf({}), planSha256: "0".repeat(64), attempt: "1.1", run: "bench" };
  const saver = new Saver({ writer, name, environment: {}, before: new Map() });
  return {
    store: openDirectoryStore(state),
    folder,
    begin: (trained, step) =>
      saver.begin(
        { format: 1, step, epoch: 0, updates: step, position: { ...START, step }, records: "", normalisation: null },
        trained,
        "",
      ),
    async [Symbol.asyncDispose]() {
      await writer.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
