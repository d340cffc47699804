/** The losses and their gradients against PyTorch's and Keras' numbers, on each backend. */
import { describe, expect, it } from "vitest";
import { meanLoss } from "./loss.ts";
import { WITH_NATIVE, WITHOUT_NATIVE } from "./testing/backends.ts";
import { FIXTURES } from "./testing/fixtures.ts";
import type { Shape } from "./step.ts";
import { loadTf, type LoadOptions, type Tf } from "./tf.ts";

type Case = (typeof FIXTURES.losses)[number];

function found(tf: Tf, of: Case): { loss: number; gradient: number[] } {
  const [batch, classes] = [of.scores.length, of.scores[0]!.length];
  const shape: Shape = { ...of.shape, inputShape: [1], classes };
  return tf.tidy(() => {
    const labels = of.shape.task === "multi-label" ? [batch, classes] : [batch];
    const y = tf.tensor(of.y, labels, of.shape.task === "classification" ? "int32" : "float32");
    const weights = of.weights === null ? null : tf.tensor(of.weights, labels);
    const scores = tf.variable(tf.tensor2d(of.scores));
    const { value, grads } = tf.variableGrads(() => meanLoss(tf, shape, y, scores, weights), [scores]);
    const result = { loss: value.dataSync()[0]!, gradient: [...grads[scores.name]!.dataSync()] };
    scores.dispose();
    return result;
  });
}

const BACKENDS: readonly [string, LoadOptions | undefined][] = [
  ["wasm", WITHOUT_NATIVE],
  ["native", WITH_NATIVE],
];

describe.each(BACKENDS)("on %s", (_, options) => {
  it.skipIf(options === undefined).each(FIXTURES.losses)("$name", async (of) => {
    const { tf } = await loadTf(options!);
    const ours = found(tf, of);
    expect(of.torch ?? of.keras).toBeDefined();
    for (const theirs of [of.torch, of.keras]) {
      if (theirs === undefined) continue;
      expect(Math.abs(ours.loss / theirs.loss - 1)).toBeLessThan(1e-6);
      theirs.gradient?.forEach((value, i) => expect(Math.abs(ours.gradient[i]! - value)).toBeLessThan(1e-6));
    }
  });
});

it("a batch whose records all count nothing has a loss of 0 and changes nothing", async () => {
  const { tf } = await loadTf(WITHOUT_NATIVE);
  const of = FIXTURES.losses.find(({ name }) => name === "mse, weighted")!;
  const ours = found(tf, { ...of, weights: of.y.map(() => 0) });
  expect(ours.loss).toBe(0);
  expect(ours.gradient.map(Math.abs)).toEqual(of.y.map(() => 0));
});
