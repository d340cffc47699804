/** The user's model: loaded from the plan's code, built, checked, its weights by name. */
import { pathToFileURL } from "node:url";
import type { Task } from "../protocol/data-config.ts";
import { AccreteError, messageOf } from "../protocol/errors.ts";
import type { ModelContext, ModelDefinition } from "../protocol/model.ts";
import type { TrainerConfig } from "../protocol/trainer-config.ts";
import { useNativeLayers } from "./native-layers.ts";
import { CounterRandom, withSeededRandom } from "./random.ts";
import { outputsOf, type Schema } from "./schema.ts";
import { idsOf } from "./text-tokens.ts";
import type { LayersModel, Tensor, Tf, Variable } from "./tf.ts";
import { chooseTrainable, freezeAverages } from "./trainable.ts";

export interface Weight {
  /** `<layer>/<weight>`, the same in every process: its slots and its place in a checkpoint go by it */
  readonly name: string;
  readonly variable: Variable;
  readonly trainable: boolean;
}

export interface Model {
  readonly network: LayersModel;
  readonly weights: readonly Weight[];
  /** logits or values, [batch, classes] */
  apply(x: Tensor, options: { training: boolean }): Tensor;
}

/** @throws {AccreteError} MODEL_NOT_LOADABLE */
export async function loadDefinition(path: string): Promise<ModelDefinition> {
  let module: Record<string, unknown>;
  try {
    module = (await import(pathToFileURL(path).href)) as Record<string, unknown>;
  } catch (cause) {
    throw new AccreteError("MODEL_NOT_LOADABLE", `the model module throws while it is loaded: ${messageOf(cause)}`, {
      cause,
    });
  }
  const definition = module["default"] ?? module["model"];
  if (isDefinition(definition)) return definition;
  throw new AccreteError(
    "MODEL_NOT_LOADABLE",
    "the model module exports no model: export default defineModel({ build })",
  );
}

function isDefinition(value: unknown): value is ModelDefinition {
  return typeof value === "object" && value !== null && "build" in value && typeof value.build === "function";
}

/**
 * Builds the network. Its initial weights depend on the plan's seed alone, also where an initializer has no seed of its own.
 * The plan's own comes first in a process: TensorFlow.js counts on in the names of layers that have none.
 * @throws {AccreteError} MODEL_INVALID; CONFIG_INVALID if `trainable` does not fit it
 */
export function buildModel(
  tf: Tf,
  definition: ModelDefinition,
  plan: { readonly seed: number; readonly trainer: Pick<TrainerConfig, "trainable"> },
  schema: Schema,
): Model {
  const classes = outputsOf(schema);
  const { inputShape, task } = schema;
  const vocabulary = schema.vocabulary === undefined ? undefined : idsOf(schema.vocabulary);
  const context: ModelContext = { tf, inputShape, classes, task, vocabulary, seed: plan.seed };
  const random = new CounterRandom({ seed: plan.seed, stream: "weights", index: 0 });
  let network: LayersModel;
  try {
    network = withSeededRandom(random, () => definition.build(context));
    checkShapes(network, schema.inputShape, classes);
    checkRawScores(network, schema.task);
    forgetDropoutSeeds(network);
    useNativeLayers(tf, network);
  } catch (cause) {
    if (cause instanceof AccreteError) throw cause;
    throw new AccreteError("MODEL_INVALID", `build() throws: ${messageOf(cause)}`, { cause });
  }
  const chosen = chooseTrainable(network, plan.trainer.trainable);
  const trainable = new Set(network.trainableWeights); // a weight itself does not know of `trainable: false` on its layer
  const weights = network.weights.map((weight): Weight => {
    const variable = weight.read() as Variable;
    return { name: weight.originalName, variable, trainable: trainable.has(weight) && chosen.has(weight) };
  });
  freezeAverages(network, chosen);
  const names = weights.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined)
    throw new AccreteError("MODEL_INVALID", `two weights are named ${twice}: give each layer a name of its own`);
  return { network, weights, apply: (x, options) => network.apply(x, options) as Tensor };
}

function checkShapes(network: LayersModel, inputShape: readonly number[], classes: number): void {
  if (
    typeof network !== "object" ||
    network === null ||
    !Array.isArray(network.inputs) ||
    network.inputs.length === 0
  ) {
    throw new AccreteError(
      "MODEL_INVALID",
      "build() gives no model that is ready: the first layer needs inputShape: [...inputShape]",
    );
  }
  const [input, ...moreInputs] = network.inputs;
  const [output, ...moreOutputs] = network.outputs;
  const found = (shape: readonly (number | null)[] | undefined): string =>
    `[${(shape ?? []).map((size) => size ?? "batch").join(", ")}]`;
  const fits = (shape: readonly (number | null)[], wanted: readonly number[]): boolean =>
    shape.length === wanted.length + 1 && wanted.every((size, i) => shape[i + 1] === null || shape[i + 1] === size);
  if (moreInputs.length > 0 || moreOutputs.length > 0)
    throw new AccreteError("MODEL_INVALID", "the model has to have one input and one output");
  if (!fits(input!.shape, inputShape))
    throw new AccreteError(
      "MODEL_INVALID",
      `the model's input is ${found(input!.shape)}, the data's records are [batch, ${inputShape.join(", ")}]`,
    );
  if (!fits(output!.shape, [classes]))
    throw new AccreteError(
      "MODEL_INVALID",
      `the model's output is ${found(output!.shape)}, expected is [batch, ${classes}]: one score for each class`,
    );
}

/** What the trainer's loss applies, by task. */
const APPLIED: Readonly<Record<Task, readonly string[]>> = {
  classification: ["softmax"],
  "multi-label": ["sigmoid", "softmax"],
  regression: [],
};

function checkRawScores(network: LayersModel, task: Task): void {
  const last = network.outputs[0]!.sourceLayer;
  const { activation } = last.getConfig();
  const applied = last.getClassName() === "Softmax" ? "softmax" : activation;
  if (typeof applied !== "string" || !APPLIED[task].includes(applied)) return;
  const [own] = APPLIED[task];
  throw new AccreteError(
    "MODEL_INVALID",
    `the model's last layer ${last.name} applies ${applied}: the trainer applies ${own} itself, and expects the raw scores`,
  );
}

/** TensorFlow.js draws the same mask at each step from a seed of dropout's own. Without one it draws from the step's random numbers. */
function forgetDropoutSeeds(layer: object): void {
  if ("getClassName" in layer && "seed" in layer && "rate" in layer) layer.seed = undefined;
  if ("layers" in layer && Array.isArray(layer.layers)) layer.layers.forEach(forgetDropoutSeeds); // a model
  if ("layer" in layer && typeof layer.layer === "object" && layer.layer !== null) forgetDropoutSeeds(layer.layer); // a wrapper
}
