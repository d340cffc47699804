/** The optimizers against PyTorch's and Keras' numbers, on each backend; and what a kernel of TensorFlow is told. */
import { describe, expect, it } from "vitest";
import { TrainerConfig } from "../protocol/trainer-config.ts";
import { updateWeights } from "./eager-step.ts";
import { createOptimizer, type Update } from "./optimizer.ts";
import { WITH_NATIVE, WITHOUT_NATIVE } from "./testing/backends.ts";
import { FIXTURES } from "./testing/fixtures.ts";
import { loadTf, type LoadOptions, type Tf } from "./tf.ts";

/** Rounding of 32-bit floats over ten steps: of weights of about 1, so absolute. */
const TOLERANCE = 3e-6;

type Case = (typeof FIXTURES.optimizers)[number];

/** The weights after the steps that there are numbers for. */
function path(tf: Tf, { trainer: given, rates }: Case): number[][] {
  const trainer = TrainerConfig.parse({ model: "m", ...given });
  const optimizer = createOptimizer(trainer.optimizer);
  const parts = [
    { from: 0, to: 6, shape: [3, 2] },
    { from: 6, to: 8, shape: [2] },
  ];
  const held = parts.map(({ from, to, shape }) => ({
    variable: tf.variable(tf.tensor(FIXTURES.start.slice(from, to), shape)),
    slots: new Map(
      optimizer.slotKinds.map((kind) => [kind, tf.variable(tf.fill(shape, optimizer.slotStart ?? 0))] as const),
    ),
  }));
  const found: number[][] = [];
  FIXTURES.gradients.forEach((gradient, step) => {
    tf.tidy(() => {
      const updates = held.map((of, i): Update => ({
        ...of,
        gradient: tf.tensor(gradient.slice(parts[i]!.from, parts[i]!.to), parts[i]!.shape),
      }));
      const learningRate = rates?.[step] ?? FIXTURES.rate;
      updateWeights(tf, optimizer, trainer, updates, { update: step + 1, learningRate });
    });
    if (FIXTURES.kept.includes(step + 1)) found.push(held.flatMap(({ variable }) => [...variable.dataSync()]));
  });
  for (const { variable, slots } of held) tf.dispose([variable, ...slots.values()]);
  return found;
}

const distance = (found: readonly number[][], theirs: readonly number[][]): number =>
  Math.max(...found.flatMap((weights, i) => weights.map((weight, j) => Math.abs(weight - theirs[i]![j]!))));

const BACKENDS: readonly [string, LoadOptions | undefined][] = [
  ["wasm", WITHOUT_NATIVE],
  ["native", WITH_NATIVE],
];

describe.each(BACKENDS)("on %s", (backend, options) => {
  describe.skipIf(options === undefined).each(FIXTURES.optimizers)("$name", (of) => {
    it.each(["torch", "keras"] as const)("as %s, where the formula is the same, and else not", async (library) => {
      const loaded = await loadTf(options!);
      expect(loaded.backend).toBe(backend);
      const theirs = of[library];
      if (theirs === undefined) return;
      const off = distance(path(loaded.tf, of), theirs.path);
      if (theirs.alike) expect(off).toBeLessThan(TOLERANCE);
      else expect(off).toBeGreaterThan(10 * TOLERANCE);
    });
  });
});

it("each kernel gets its variable, each slot, the gradient, and scalars that there are", () => {
  for (const { trainer: given } of FIXTURES.optimizers) {
    const { optimizer: config } = TrainerConfig.parse({ model: "m", ...given });
    const { kernel, slotKinds, scalars } = createOptimizer(config);
    const known = Object.keys(scalars({ update: 1, learningRate: 0.1 }));
    const inputs = kernel!.inputs.map((input) => (typeof input === "string" ? input : Object.values(input)[0]));
    expect(inputs[0]).toBe("variable");
    expect(inputs).toContain("gradient");
    expect(inputs.filter((input) => slotKinds.includes(String(input)))).toEqual(slotKinds);
    for (const input of kernel!.inputs)
      if (typeof input === "object" && "scalar" in input) expect(known).toContain(input.scalar);
  }
});
