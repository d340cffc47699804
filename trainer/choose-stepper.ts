/** Which backend a round trains on, and which stepper: the fastest that can do what this model does. */
import type { Plan } from "../protocol/types.ts";
import { EagerStepper, missingKernel } from "./eager-step.ts";
import { GraphStepper } from "./graph-step.ts";
import { NotRecordable } from "./graph/recorder.ts";
import type { Model } from "./model.ts";
import { isOfSystem, modelThrows } from "./model-throws.ts";
import type { Batch, Shape, Stepper } from "./step.ts";
import { useCpu, type Loaded } from "./tf.ts";

interface Options {
  readonly model: Model;
  readonly plan: Plan;
  readonly shape: Shape;
  /** one to try with, as large as any; undefined: there is nothing to train on */
  readonly batch: Batch | undefined;
  /** how many records batches have */
  readonly sizes: readonly number[];
  /** mixed precision, where the step is one graph */
  readonly bfloat16?: boolean | undefined;
  readonly say: (line: string) => void;
  /** see GraphOptions */
  readonly scratch?: string | undefined;
}

/**
 * On the native backend one graph, else op by op; on the plain backend where the model needs what the one in use lacks.
 * @param loaded the backend is another one afterwards where the model needs it
 * @throws {AccreteError} MODEL_INVALID if the model throws; the system's error if there is no room in the scratch folder
 */
export async function chooseStepper(loaded: Loaded, options: Options): Promise<{ stepper: Stepper; loaded: Loaded }> {
  const { model, plan, shape, batch, say } = options;
  const { tf } = loaded;
  if (loaded.backend === "native" && batch !== undefined) {
    const stepper = graphStepper(loaded, { ...options, batch });
    if (stepper !== undefined) return { stepper, loaded };
  }
  const stepper = new EagerStepper(tf, model, plan, shape);
  const missing = batch && stepper.probe(batch);
  if (batch === undefined || missing === undefined) return { stepper, loaded };
  const faster = loaded.backend === "wasm" ? ": very slow; `accrete native` makes it fast" : "";
  say(`backend: plain JavaScript, as ${loaded.backend} lacks ${missing}${faster}`);
  const backend = await useCpu(tf);
  stepper.probe(batch);
  return { stepper, loaded: { ...loaded, backend } };
}

/** @returns undefined if the step can't be a graph, having said why, or if the backend lacks an operation */
function graphStepper({ tf }: Loaded, options: Options & { readonly batch: Batch }): GraphStepper | undefined {
  const { model, plan, shape, batch, sizes, bfloat16, say, scratch } = options;
  try {
    return new GraphStepper(tf, model, plan, shape, { batch, sizes, bfloat16, scratch });
  } catch (error) {
    if (error instanceof NotRecordable) say(`the step runs op by op, slower than as one graph: ${error.message}`);
    else if (isOfSystem(error)) throw error; // op by op the bits would be others, for want of some room
    else if (missingKernel(tf, error) === undefined) throw modelThrows(error, `on a batch of ${batch.size} records`);
    return undefined;
  }
}
