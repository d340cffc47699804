/** Which backend a round trains on, and which stepper: the fastest that can do what this model does. */
import type { Plan } from "../protocol/types.ts";
import { EagerStepper } from "./eager-step.ts";
import type { Model } from "./model.ts";
import type { Batch, Shape, Stepper } from "./step.ts";
import { useCpu, type Loaded } from "./tf.ts";

/**
 * @param loaded the backend is another one afterwards where the model needs what that one lacks
 * @param options.batch one to try with, as large as any; undefined: there is nothing to train on
 * @throws {AccreteError} MODEL_INVALID if the model throws
 */
export async function chooseStepper(
  loaded: Loaded,
  options: { model: Model; plan: Plan; shape: Shape; batch: Batch | undefined; say: (line: string) => void },
): Promise<{ stepper: Stepper; loaded: Loaded }> {
  const { model, plan, shape, batch, say } = options;
  const { tf } = loaded;
  const stepper = new EagerStepper(tf, model, plan, shape);
  const missing = batch && stepper.probe(batch);
  if (batch === undefined || missing === undefined) return { stepper, loaded };
  say(`backend: plain JavaScript, as wasm lacks ${missing}`);
  const backend = await useCpu(tf);
  stepper.probe(batch);
  return { stepper, loaded: { ...loaded, backend } };
}
