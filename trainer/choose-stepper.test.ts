/** Which backend and stepper a model gets, and what is said about it. */
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { chooseStepper } from "./choose-stepper.ts";
import { WITH_NATIVE, WITHOUT_NATIVE } from "./testing/backends.ts";
import { batchOf, built, type Case } from "./testing/steps.ts";
import { csv, dense, INPUT, moduleOf, newFolder, Place } from "./testing/rounds.ts";
import { loadTf, type LoadOptions } from "./tf.ts";

const dense2 = (name: string, more: (tf: Parameters<Case["build"]>[0]["tf"]) => object[] = () => []): Case => ({
  inputShape: [3],
  classes: 2,
  build: ({ tf, inputShape, classes }) =>
    tf.sequential({
      layers: [
        tf.layers.dense({ units: 4, inputShape: [...inputShape], name }),
        ...(more(tf) as ReturnType<typeof tf.layers.dense>[]),
        tf.layers.dense({ units: classes, name: `${name}-out` }),
      ],
    }),
});

async function chosen(options: LoadOptions, of: Case, batch = true, scratch?: string) {
  const said: string[] = [];
  const loaded = await loadTf(options);
  const { model, plan, shape } = built(loaded.tf, of);
  const found = await chooseStepper(loaded, {
    model,
    plan,
    shape,
    batch: batch ? batchOf(of, 4, 0) : undefined,
    sizes: [4],
    say: (line) => void said.push(line),
    scratch,
  });
  return { said, kind: found.stepper.kind, backend: found.loaded.backend, tf: loaded.tf };
}

it("without TensorFlow's library: op by op on wasm", async () => {
  expect(await chosen(WITHOUT_NATIVE, dense2("a"))).toMatchObject({ said: [], kind: "op by op", backend: "wasm" });
});

it("without TensorFlow's library, for what wasm lacks: plain JavaScript, said once", async () => {
  const of: Case = {
    ...dense2("b"),
    inputShape: [4, 4, 1],
    build: ({ tf, inputShape, classes }) =>
      tf.sequential({
        layers: [
          tf.layers.conv2d({ filters: 2, kernelSize: 2, inputShape: [...inputShape], name: "conv" }),
          tf.layers.flatten({ name: "flat" }),
          tf.layers.dense({ units: classes, name: "conv-out" }),
        ],
      }),
  };
  expect(await chosen(WITHOUT_NATIVE, of)).toMatchObject({
    said: [
      expect.stringMatching(
        /^backend: plain JavaScript, as wasm lacks \w+: very slow; `accrete native` makes it fast$/,
      ),
    ],
    kind: "op by op",
    backend: "cpu",
  });
});

describe.skipIf(!WITH_NATIVE)("with TensorFlow's library:", () => {
  const native = WITH_NATIVE!;

  it("one graph", async () => {
    expect(await chosen(native, dense2("c"))).toMatchObject({ said: [], kind: "one graph", backend: "native" });
    // Node's own warns, in the training's log
    expect(Reflect.get(process.getBuiltinModule("node:util"), "isArray")).toBe(Array.isArray);
  });

  it("op by op, if nothing is there to train on", async () => {
    expect(await chosen(native, dense2("d"), false)).toMatchObject({ said: [], kind: "op by op", backend: "native" });
  });

  it("op by op for what can't be one graph, said with the layer's name", async () => {
    const of = dense2("e", (tf) => [
      tf.layers.reshape({ targetShape: [2, 2], name: "steps" }),
      tf.layers.gru({ units: 2, dropout: 0.3, name: "memory" }),
    ]);
    expect(await chosen(native, of)).toMatchObject({
      said: [
        "the step runs op by op, slower than as one graph: layer memory draws random numbers or counts in JavaScript",
      ],
      kind: "op by op",
      backend: "native",
    });
  });

  it("plain JavaScript for an operation that it lacks", async () => {
    const of = dense2("f", (tf) => {
      class Lacking extends tf.layers.Layer {
        static className = "Lacking";
        override call(inputs: object): ReturnType<typeof tf.tidy> & never {
          const [x] = [inputs].flat() as [Parameters<typeof tf.neg>[0]];
          if (tf.getBackend() !== "cpu") throw new Error("Kernel 'Odd' not registered for backend 'tensorflow'");
          return tf.neg(x) as never;
        }
      }
      return [new Lacking({ name: "lacking" })];
    });
    expect(await chosen(native, of)).toMatchObject({
      said: ["backend: plain JavaScript, as native lacks Odd"],
      kind: "op by op",
      backend: "cpu",
    });
  });

  it("a model that throws is invalid", async () => {
    const of = dense2("g", (tf) => [
      tf.layers.embedding({ inputDim: 2, outputDim: 2, name: "few" }),
      tf.layers.flatten({ name: "g-flat" }),
    ]);
    await expect(chosen(native, { ...of, inputShape: [3] })).rejects.toMatchObject({
      code: "MODEL_INVALID",
      message: expect.stringContaining("the model throws on a batch of 4 records"),
    });
  });

  it("a scratch folder without room is neither the model's fault nor a reason to go on with other bits", async () => {
    const gone = join(newFolder(), "gone");
    await expect(chosen(native, dense2("i"), true, gone)).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("a run that goes on by another one says so", async () => {
    const place = new Place();
    place.put("a.csv", csv(0, 60));
    const layers = `${dense("4", "j-hidden", INPUT)}, ${dense("classes", "j-out")}`;
    // as another version of TensorFlow might, it lets the second run have no graph
    const module = `export default { build: ({ tf, inputShape, classes }) => {
      const network = tf.sequential({ layers: [${layers}] });
      const { call } = network.layers[0];
      network.layers[0].call = function (x, more) {
        if (globalThis.accreteTestNoGraph) [x].flat()[0].dataSync();
        return call.call(this, x, more);
      };
      return network;
    } };`;
    await place.plan({ data: { format: "csv" }, module });
    let asked = 0;
    expect((await place.run({ backend: native, stopAsked: () => ++asked > 1 })).exit).toBe(75);
    Object.assign(globalThis, { accreteTestNoGraph: true });
    try {
      const { exit, said } = await place.run({ attempt: 2, backend: native });
      expect(exit).toBe(0);
      expect(said).toContain("the checkpoint was made elsewhere (stepper one graph -> op by op): the bits may differ");
    } finally {
      Reflect.deleteProperty(globalThis, "accreteTestNoGraph");
    }
  });

  it("a round says which at its start", async () => {
    const place = new Place();
    place.put("a.csv", csv(0, 60));
    await place.plan({
      data: { format: "csv" },
      module: moduleOf(`${dense("4", "h-hidden", INPUT)}, ${dense("classes", "h-out")}`),
    });
    const { exit, said } = await place.run({ backend: native });
    expect(exit).toBe(0);
    expect(said).toContainEqual(expect.stringMatching(/in the holdout, backend native, one graph$/));
  });
});
