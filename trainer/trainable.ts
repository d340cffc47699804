/** Which weights a round trains: `trainable` of the config, over what the module itself has frozen. */
import { AccreteError } from "../protocol/errors.ts";
import type { LayersModel } from "./tf.ts";

type LayerWeight = LayersModel["weights"][number];
type Layer = LayersModel["layers"][number];

const NAMES_SAID_MAX = 50;

/**
 * The weights that may change. A pattern fits a layer (also one that holds others) or a weight, `*` stands for any characters. With a
 * positive pattern, those that one of them fits; less those that a pattern after "!" fits, in whatever order.
 * @param patterns null: all
 * @throws {AccreteError} CONFIG_INVALID for a pattern that fits nothing, or if nothing is left to train
 */
export function chooseTrainable(network: LayersModel, patterns: readonly string[] | null): ReadonlySet<LayerWeight> {
  if (patterns === null) return new Set(network.weights);
  const names = namesByWeight(network);
  const parsed = patterns.map((pattern) => ({
    pattern,
    excludes: pattern.startsWith("!"),
    regex: globToRegex(pattern.replace(/^!/, "")),
  }));
  const fits = (weight: LayerWeight, { regex }: { regex: RegExp }): boolean =>
    [...(names.get(weight) ?? [])].some((name) => regex.test(name));
  for (const one of parsed)
    if (!network.weights.some((weight) => fits(weight, one)))
      throw invalid(`"${one.pattern}" fits no layer and no weight: the layers with weights are ${layersOf(names)}`);
  const [positive, negative] = [parsed.filter(({ excludes }) => !excludes), parsed.filter(({ excludes }) => excludes)];
  const chosen = network.weights.filter(
    (weight) =>
      (positive.length === 0 || positive.some((one) => fits(weight, one))) &&
      !negative.some((one) => fits(weight, one)),
  );
  const trainable = new Set(network.trainableWeights);
  if (!chosen.some((weight) => trainable.has(weight)))
    throw invalid(`nothing is left to train: the layers with weights are ${layersOf(names)}`);
  return new Set(chosen);
}

/**
 * Batch normalization whose averages or whose every trainable weight are frozen uses its averages and leaves them as they are, as in
 * Keras. TensorFlow.js goes by the call alone and would change them.
 */
export function freezeAverages(network: LayersModel, chosen: ReadonlySet<LayerWeight>): void {
  const trainable = new Set(network.trainableWeights);
  const visit = (layer: Layer): void => {
    if (layer.getClassName() === "BatchNormalization") {
      const [averages, others] = [
        layer.weights.filter(isAverage),
        layer.weights.filter((weight) => !isAverage(weight)),
      ];
      const frozenByModule = others.length > 0 && !others.some((weight) => trainable.has(weight));
      if (frozenByModule || averages.some((weight) => !chosen.has(weight))) inferAlways(layer);
    }
    innerLayers(layer).forEach(visit);
  };
  network.layers.forEach(visit);
}

const isAverage = ({ originalName }: LayerWeight): boolean => /\/moving_(mean|variance)$/.test(originalName);

function inferAlways(layer: Layer): void {
  const call = layer.call.bind(layer);
  layer.call = (inputs, kwargs) => call(inputs, { ...kwargs, training: false });
}

/** Of a model within a model, of a wrapper. */
export function innerLayers(layer: Layer): readonly Layer[] {
  const inner: Layer[] = [];
  if ("layers" in layer && Array.isArray(layer.layers)) inner.push(...(layer.layers as Layer[]));
  for (const name of ["layer", "forwardLayer", "backwardLayer", "cell"]) {
    const one: unknown = Reflect.get(layer, name);
    if (isLayer(one)) inner.push(one);
  }
  return inner;
}

function isLayer(value: unknown): value is Layer {
  return typeof value === "object" && value !== null && "getClassName" in value && "weights" in value;
}

/** For each weight its own name and those of the layers that it lies in. */
function namesByWeight(network: LayersModel): ReadonlyMap<LayerWeight, ReadonlySet<string>> {
  const names = new Map(network.weights.map((weight) => [weight, new Set([weight.originalName])]));
  const visit = (layer: Layer): void => {
    for (const weight of layer.weights) names.get(weight)?.add(layer.name);
    innerLayers(layer).forEach(visit);
  };
  network.layers.forEach(visit);
  return names;
}

function layersOf(names: ReadonlyMap<LayerWeight, ReadonlySet<string>>): string {
  const layers = new Set(
    [...names].flatMap(([{ originalName }, of]) => [...of].filter((name) => name !== originalName)),
  );
  const more = layers.size - NAMES_SAID_MAX;
  return `${[...layers].slice(0, NAMES_SAID_MAX).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

function globToRegex(glob: string): RegExp {
  const literal = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return new RegExp(`^${glob.split(/\*+/).map(literal).join(".*")}$`);
}

function invalid(why: string): AccreteError {
  return new AccreteError("CONFIG_INVALID", `trainer.trainable: ${why}`);
}
