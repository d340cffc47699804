/** Saved weights and slots put into a model: all of them, or as far as they fit. */
import { AccreteError } from "../protocol/errors.ts";
import type { TrainerConfig } from "../protocol/trainer-config.ts";
import type { Model, Weight } from "./model.ts";
import type { StoredTensor } from "./safetensors.ts";
import type { Stepper } from "./step.ts";
import type { Tf, Variable } from "./tf.ts";
import { assign, dtypeOfVariable } from "./variables.ts";

export type SavedTensors = ReadonlyMap<string, StoredTensor>;

/** Of a list of differences, how many are said. */
const SAID_MAX = 5;

/** Puts a checkpoint's weights into the model. @throws {AccreteError} MODEL_INVALID if they don't fit */
export function restoreWeights(tf: Tf, model: Model, weights: SavedTensors, of: string): void {
  restoreFitting(tf, model, weights, { of, onModelChange: "fail", say: () => undefined });
}

/**
 * Puts weights into the model that may be another one's. Those that are not taken over stay as they were built.
 * @param how.say told once if not all fit
 * @returns whether any were taken over
 * @throws {AccreteError} MODEL_INVALID if they don't fit and onModelChange is "fail"
 */
export function restoreFitting(
  tf: Tf,
  model: Model,
  weights: SavedTensors,
  how: { of: string; onModelChange: TrainerConfig["onModelChange"]; say: (line: string) => void },
): boolean {
  const { fitting, differences } = compare(model, weights);
  if (differences.length > 0 && how.onModelChange !== "matching") {
    const said = listed(differences);
    if (how.onModelChange === "fail")
      throw new AccreteError(
        "MODEL_INVALID",
        `the model does not fit ${how.of}: ${said}. To go on with this model, set trainer.onModelChange to "matching" or "fresh", and give the round up with \`accrete rollback --to head\``,
      );
    how.say(`the model does not fit ${how.of}, all weights begin anew: ${said}`);
    return false;
  }
  for (const [{ variable }, saved] of fitting) assign(tf, variable, valuesOf(saved));
  if (differences.length > 0)
    how.say(
      `the model does not fit ${how.of}, ${fitting.length} of ${model.weights.length} weights are taken over: ${listed(differences)}`,
    );
  return fitting.length > 0;
}

/** By name, shape and type. */
function compare(
  model: Model,
  weights: SavedTensors,
): { fitting: [weight: Weight, saved: StoredTensor][]; differences: string[] } {
  const fitting: [Weight, StoredTensor][] = [];
  const differences: string[] = [];
  for (const weight of model.weights) {
    const { name, variable } = weight;
    const saved = weights.get(name);
    if (saved !== undefined && fits(variable, saved)) fitting.push([weight, saved]);
    else differences.push(`it has ${name} ${kindOf(variable)}, there it ${foundIn(saved)}`);
  }
  const names = new Set(model.weights.map(({ name }) => name));
  for (const { name, dtype, shape } of weights.values())
    if (!names.has(name)) differences.push(`there is ${name} ${dtype} [${shape.join(", ")}], which it lacks`);
  return { fitting, differences };
}

/**
 * Puts the weights of a checkpoint that the same code has made into another build of it. By their order: TensorFlow.js counts on in
 * the names of layers that have none, so those of a second model in one process are others.
 * @throws {AccreteError} MODEL_INVALID if they don't fit
 */
export function restoreInOrder(tf: Tf, model: Model, weights: SavedTensors, of: string): void {
  const saved = [...weights.values()];
  if (saved.length !== model.weights.length)
    throw new AccreteError(
      "MODEL_INVALID",
      `the model does not fit ${of}: it has ${model.weights.length} weights, there are ${saved.length}`,
    );
  model.weights.forEach(({ name, variable }, i) => {
    if (!fits(variable, saved[i]!))
      throw new AccreteError(
        "MODEL_INVALID",
        `the model does not fit ${of}: it has ${name} ${kindOf(variable)}, there ${saved[i]!.name} ${foundIn(saved[i])}`,
      );
  });
  model.weights.forEach(({ variable }, i) => assign(tf, variable, valuesOf(saved[i]!)));
}

/** Slots of another optimizer, or of other weights, are left as they are: the optimizer begins anew. @returns whether they were restored */
export function restoreSlots(stepper: Stepper, slots: SavedTensors): boolean {
  for (const { name, dtype, shape } of stepper.slots) {
    const saved = slots.get(name);
    if (saved?.dtype !== dtype || saved.shape.join() !== shape.join()) return false;
  }
  stepper.setSlots((name) => valuesOf(slots.get(name)!));
  return true;
}

function fits(variable: Variable, saved: StoredTensor): boolean {
  return saved.shape.join() === variable.shape.join() && saved.dtype === dtypeOfVariable(variable);
}

const kindOf = (variable: Variable): string => `${dtypeOfVariable(variable)} [${variable.shape.join(", ")}]`;

const foundIn = (saved: StoredTensor | undefined): string =>
  saved === undefined ? "is not there" : `is ${saved.dtype} [${saved.shape.join(", ")}]`;

function listed(differences: readonly string[]): string {
  const more = differences.length - SAID_MAX;
  return `${differences.slice(0, SAID_MAX).join("; ")}${more > 0 ? `; and ${more} more` : ""}`;
}

function valuesOf({ name, read }: StoredTensor): Float32Array | Int32Array | Uint8Array {
  const data = read();
  if (data instanceof Float32Array || data instanceof Int32Array || data instanceof Uint8Array) return data;
  throw new AccreteError("STORED_NOT_READABLE", `tensor ${name} is of a type that no weight has`);
}
