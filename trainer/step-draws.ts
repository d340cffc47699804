/**
 * Random numbers that TensorFlow draws itself, within a step: a function of (seed, step, which draw of the step), like CounterRandom's.
 * They are an operation of the step, so that a step that was recorded as a graph draws anew each time.
 */
import { nativeBackendOf } from "./native-backend.ts";
import type { Tensor, Tf } from "./tf.ts";

/** 2^32 over the golden ratio, odd: no two draws of a step have the same seed. */
const STRIDE = 0x9e37_79b1;

let current: { readonly seed: Tensor; drawn: number } | null = null;

/**
 * Runs `work` with its draws taken from the step's seed. Synchronous work only, as withSeededRandom.
 * @param seed int32 [2], see stepSeed; null: there is no native backend, and layers draw as TensorFlow.js has them
 */
export function withStepDraws<T>(seed: Tensor | null, work: () => T): T {
  const before = current;
  current = seed && { seed, drawn: 0 };
  try {
    return work();
  } finally {
    current = before;
  }
}

/** The values of the seed of one step of a round. */
export const stepSeed = (seed: number, step: number): Int32Array => Int32Array.of(seed, step);

/** The seed by which the step's draws go on after so many. */
export const seedAfter = ([seed, step]: Int32Array, drawn: number): Int32Array =>
  Int32Array.of(seed! + Math.imul(drawn, STRIDE), step!);

/** How often the step has drawn so far. */
export const drawnInStep = (): number => current?.drawn ?? 0;

/**
 * Uniform in [0, 1), or normal with mean 0 and standard deviation 1.
 * @returns undefined outside of withStepDraws
 */
export function drawInStep(tf: Tf, kind: "uniform" | "normal", shape: readonly number[]): Tensor | undefined {
  if (current === null) return undefined;
  const native = nativeBackendOf(tf);
  const { TF_ATTR_TYPE: type, TF_FLOAT, TF_INT32 } = native.binding;
  const salt = tf.tensor1d(Int32Array.of(Math.imul(current.drawn++, STRIDE), 0), "int32");
  return native.executeSingleOutput(
    kind === "uniform" ? "StatelessRandomUniform" : "StatelessRandomNormal",
    [
      { name: "dtype", type, value: TF_FLOAT },
      { name: "T", type, value: TF_INT32 },
      { name: "Tseed", type, value: TF_INT32 },
    ],
    [tf.tensor1d(Int32Array.from(shape), "int32"), tf.add(current.seed, salt)],
  ) as Tensor;
}
