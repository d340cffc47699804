/** A batch's memory is used again after its step: whoever keeps a batch in the weights keeps its values. */
import { beforeAll, expect, it } from "vitest";
import { EagerStepper } from "./eager-step.ts";
import { GraphStepper } from "./graph-step.ts";
import type { Stepper } from "./step.ts";
import { WITH_NATIVE } from "./testing/backends.ts";
import { batchOf, built, stepAt, valuesOf, type Case } from "./testing/steps.ts";
import { loadTf, type LayersModel, type Tensor, type Tf } from "./tf.ts";

const SIZE = 8;
let tf: Tf;
beforeAll(async () => {
  if (WITH_NATIVE) ({ tf } = await loadTf(WITH_NATIVE));
});

/** A layer whose input is one of its weights after each step. @param trainable whether the layer says that it is trained */
const keeping = (trainable: boolean): Case => ({
  inputShape: [6],
  classes: 3,
  build: ({ tf, inputShape, classes }) => {
    const { Layer } = tf.layers as unknown as { Layer: new (config: object) => LayersModel["layers"][number] };
    class Keeping extends Layer {
      #kept: { write(value: Tensor): void } | undefined;
      override build(): void {
        const zeros = tf.initializers.zeros();
        this.#kept = this.addWeight("kept", [SIZE, ...inputShape], "float32", zeros, undefined, trainable);
      }
      override call(inputs: Tensor | Tensor[]): Tensor {
        const x = [inputs].flat()[0]!;
        this.#kept!.write(x);
        return tf.clone(x);
      }
      static get className(): string {
        return "Keeping";
      }
    }
    return tf.sequential({
      layers: [new Keeping({ inputShape, name: "keeping" }), tf.layers.dense({ units: classes })],
    });
  },
});

/** TensorFlow uses memory in place that begins at a multiple of 64 bytes, which one of these does. */
const BEGINNINGS = Array.from({ length: 16 }, (_, i) => 4 * i);

const graph =
  (kernels: boolean) =>
  (of: Case): Stepper => {
    const { model, plan, shape } = built(tf, of);
    return new GraphStepper(tf, model, plan, shape, { batch: batchOf(of, SIZE, 0), sizes: [SIZE], kernels });
  };

const STEPPERS: Record<string, (of: Case) => Stepper> = {
  "one graph": graph(true),
  "one graph without kernels": graph(false),
  "op by op": (of) => {
    const { model, plan, shape } = built(tf, of);
    return new EagerStepper(tf, model, plan, shape);
  },
};

const cells = Object.keys(STEPPERS).flatMap((name) => [true, false].map((trainable) => ({ name, trainable })));

it.skipIf(!WITH_NATIVE).each(cells)("$name, trainable: $trainable", ({ name, trainable }) => {
  const of = keeping(trainable);
  const stepper = STEPPERS[name]!(of);
  for (const [index, beginning] of BEGINNINGS.entries()) {
    const { x, y } = batchOf(of, SIZE, index);
    const memory = new Float32Array(new ArrayBuffer(4_096), beginning, x.length);
    memory.set(x);
    stepper.run({ size: SIZE, x: memory, y }, stepAt(index));
    memory.fill(-1);
    expect(valuesOf(stepper)).toContainEqual(x);
  }
  stepper.dispose();
});
