/** Mixed precision as a graph, on the processor: what it computes is the same there, if slower than on a GPU. */
import { beforeAll, describe, expect, it } from "vitest";
import { GraphStepper } from "./graph-step.ts";
import { WITH_NATIVE } from "./testing/backends.ts";
import { batchOf, built, distance, stepAt, valuesOf, type Case } from "./testing/steps.ts";
import { loadTf, type Tf } from "./tf.ts";

let tf: Tf;
beforeAll(async () => {
  if (WITH_NATIVE !== undefined) ({ tf } = await loadTf(WITH_NATIVE));
});

let made = 0;
const CONVOLUTIONS: Case = {
  inputShape: [6, 6, 2],
  classes: 3,
  build: ({ tf: of }) => {
    const id = made++;
    return of.sequential({
      layers: [
        of.layers.conv2d({ filters: 4, kernelSize: 3, inputShape: [6, 6, 2], useBias: false, name: `conv${id}` }),
        of.layers.batchNormalization({ name: `norm${id}` }),
        of.layers.depthwiseConv2d({ kernelSize: 2, activation: "relu", name: `depth${id}` }),
        of.layers.flatten({ name: `flat${id}` }),
        of.layers.dense({ units: 3, name: `last${id}` }),
      ],
    });
  },
};

function trained(bfloat16: boolean): { values: ReturnType<typeof valuesOf>; losses: number[]; kind: string } {
  const { model, shape, plan } = built(tf, CONVOLUTIONS);
  const stepper = new GraphStepper(tf, model, plan, shape, {
    batch: batchOf(CONVOLUTIONS, 8, 0),
    sizes: [8],
    bfloat16,
  });
  const losses = Array.from({ length: 12 }, (_, i) => stepper.run(batchOf(CONVOLUTIONS, 8, i), stepAt(i)));
  const values = valuesOf(stepper);
  stepper.dispose();
  return { values, losses, kind: stepper.kind };
}

describe.skipIf(!WITH_NATIVE)("mixed precision", () => {
  it("rounds as bfloat16 does, has nearly the losses of float32, weights in float32, and the same bits each time", () => {
    const [whole, mixed, again] = [trained(false), trained(true), trained(true)];
    expect(mixed.kind).toBe("one graph, mixed precision");
    expect(distance(mixed.values, again.values)).toBe(0);
    expect(mixed.losses).not.toEqual(whole.losses);
    mixed.losses.forEach((loss, i) => expect(Math.abs(loss - whole.losses[i]!)).toBeLessThan(0.05 * whole.losses[i]!));
    for (const values of mixed.values) expect(values).toBeInstanceOf(Float32Array);
    // a bfloat16 has 16 zero bits at its end: the weights are not rounded to one
    expect(mixed.values.some((values) => new Uint32Array(values.buffer).some((bits) => (bits & 0xffff) !== 0))).toBe(
      true,
    );
  });
});
