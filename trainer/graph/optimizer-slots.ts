/** What an optimizer keeps and is fed in the step's program: slots behind the weights in its state, and scalars by name. */
import type { OptimizerConfig } from "../../protocol/trainer-config.ts";
import type { Model } from "../model.ts";
import { createOptimizer, slotName, type KernelInput, type Optimizer, type UpdateKernel } from "../optimizer.ts";
import type { Scalar, Tensor } from "../tf.ts";
import type { UpdateInput } from "./record-entry.ts";

export interface Slot {
  /** in optimizer.safetensors */
  readonly name: string;
  readonly kind: string;
  readonly shape: readonly number[];
  /** in the program's state */
  readonly index: number;
}

export interface ProgramOptimizer {
  readonly optimizer: Optimizer;
  /** null: it is spelt out */
  readonly kernel: UpdateKernel | null;
  /** names of what it is fed */
  readonly scalars: readonly string[];
  readonly slots: readonly Slot[];
  /** by index of the weight */
  readonly slotsOf: ReadonlyMap<number, readonly Slot[]>;
}

/** @param kernels by TensorFlow's own operation, where there is one */
export function programOptimizer(model: Model, config: OptimizerConfig, kernels: boolean): ProgramOptimizer {
  const optimizer = createOptimizer(config);
  // there is no kernel with a decay apart from the gradient
  const kernel = kernels && optimizer.decay === null ? optimizer.kernel : null;
  const ofWeights = slotsOf(model, config.name, optimizer);
  return {
    optimizer,
    kernel,
    scalars: scalarsOf(optimizer, kernel),
    slots: [...ofWeights.values()].flat(),
    slotsOf: ofWeights,
  };
}

function scalarsOf(optimizer: Optimizer, kernel: UpdateKernel | null): string[] {
  if (kernel === null) return Object.keys(optimizer.scalars({ update: 1, learningRate: 0.5 }));
  const used = kernel.inputs.flatMap((input) => (typeof input === "object" && "scalar" in input ? [input.scalar] : []));
  return [...new Set(used)];
}

/** They come behind the weights in the program's state. */
function slotsOf(
  { weights }: Model,
  optimizer: string,
  { slotKinds }: Optimizer,
): ReadonlyMap<number, readonly Slot[]> {
  const trained = [...weights.entries()].filter(([, { trainable }]) => trainable);
  return new Map(
    trained.map(([index, { name, variable }], nth) => [
      index,
      slotKinds.map((kind, k) => ({
        name: slotName(optimizer, kind, name),
        kind,
        shape: variable.shape,
        index: weights.length + nth * slotKinds.length + k,
      })),
    ]),
  );
}

export function updateInput(
  input: KernelInput,
  of: { index: number; gradient: Tensor; slots: readonly Slot[]; scalars: Readonly<Record<string, Scalar>> },
): UpdateInput {
  if (input === "variable") return { state: of.index };
  if (input === "gradient") return { gradient: of.gradient };
  if ("constant" in input) return input;
  if ("scalar" in input) return { tensor: of.scalars[input.scalar]! };
  return { state: of.slots.find(({ kind }) => kind === input.slot)!.index };
}
