/** A pulled model gives, wherever it is loaded, what the trainer's own gives. */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { runInNewContext } from "node:vm";
import { beforeAll, describe, expect, it } from "vitest";
import { openStartWeights } from "../adapters/start-weights.ts";
import { canonicalJson } from "../protocol/digest.ts";
import { exportModel, type ExportJob } from "./export-model.ts";
import { buildModel, loadDefinition, type Model } from "./model.ts";
import { nativeBackendOf } from "./native-backend.ts";
import { preprocessingOf, readmeOf } from "./preprocessing.ts";
import { readSafetensors, writeSafetensors, type TensorData } from "./safetensors.ts";
import type { Schema } from "./schema.ts";
import { START, stateText } from "./state.ts";
import { WITH_NATIVE, WITHOUT_NATIVE } from "./testing/backends.ts";
import { dense, INPUT, moduleOf, newFolder } from "./testing/rounds.ts";
import { idsByToken, writeIds } from "./text-tokens.ts";
import { loadTf, type Tf } from "./tf.ts";
import { assign, dtypeOfVariable } from "./variables.ts";

/** With TensorFlow, Keras and safetensors; what needs it is skipped without. */
const PYTHON = process.env["ACCRETE_PYTHON"];

interface Case {
  readonly module: string;
  readonly inputShape: readonly number[];
  /** the same model in Keras: a list of layers */
  readonly keras: string;
  /** what inputs are drawn from: token ids, or numbers */
  readonly ids?: number;
}

const CASES: Readonly<Record<string, Case>> = {
  "convolutions, batch norm and dropout": {
    inputShape: [8, 8, 3],
    module: moduleOf(`
      tf.layers.conv2d({ filters: 4, kernelSize: 3, padding: "same", activation: "relu", name: "conv", ${INPUT} }),
      tf.layers.batchNormalization({ name: "norm" }),
      tf.layers.maxPooling2d({ poolSize: 2, name: "pool" }),
      tf.layers.separableConv2d({ filters: 5, kernelSize: 3, name: "separable" }),
      tf.layers.flatten({ name: "flat" }),
      tf.layers.dropout({ rate: 0.5, name: "drop" }),
      tf.layers.reshape({ targetShape: [4, 5], name: "rows" }),
      ${dense("6", "each", 'activation: "tanh"')},
      tf.layers.globalAveragePooling1d({ name: "mean" }),
      ${dense("classes", "out")}`),
    keras: `L.Conv2D(4, 3, padding="same", activation="relu", name="conv"), L.BatchNormalization(name="norm"), L.MaxPooling2D(2, name="pool"),
      L.SeparableConv2D(5, 3, name="separable"), L.Flatten(name="flat"), L.Dropout(0.5, name="drop"), L.Reshape((4, 5), name="rows"),
      L.Dense(6, activation="tanh", name="each"), L.GlobalAveragePooling1D(name="mean"), L.Dense(3, name="out")`,
  },
  "embedding and recurrent layers": {
    inputShape: [5],
    ids: 11,
    module: moduleOf(`
      tf.layers.embedding({ inputDim: 11, outputDim: 4, name: "tokens", ${INPUT} }),
      tf.layers.lstm({ units: 6, returnSequences: true, name: "long", recurrentActivation: "sigmoid" }),
      tf.layers.gru({ units: 5, name: "gated", recurrentActivation: "sigmoid" }),
      tf.layers.layerNormalization({ name: "norm" }),
      ${dense("classes", "out")}`),
    keras: `L.Embedding(11, 4, name="tokens"), L.LSTM(6, return_sequences=True, name="long"), L.GRU(5, reset_after=False, name="gated"),
      L.LayerNormalization(epsilon=1e-3, name="norm"), L.Dense(3, name="out")`,
  },
};

const schemaOf = (inputShape: readonly number[]): Schema => ({
  format: 1,
  task: "classification",
  inputShape,
  classes: ["a", "b", "c"],
  columns: null,
  label: null,
});

/** Numbers that differ, none of them 0, and positive where a variance is. */
const numbers = (count: number, from: number): Float32Array =>
  Float32Array.from(
    { length: count },
    (_, i) => 0.1 + 0.8 * Math.abs(Math.sin(from + i * 1.7)) - (i % 3 === 0 ? 0 : 0.05),
  );

function inputsOf({ inputShape, ids }: Case, records: number): Float32Array {
  const count = records * inputShape.reduce((product, size) => product * size, 1);
  return ids === undefined ? numbers(count, 5) : Float32Array.from({ length: count }, (_, i) => (i * 7) % ids);
}

/** A checkpoint's files, as far as the exporter reads them. */
async function checkpointOf(tf: Tf, each: Case): Promise<{ folder: string; code: string; model: Model }> {
  const folder = newFolder();
  const code = join(folder, "model.mjs");
  writeFileSync(code, each.module);
  const schema = schemaOf(each.inputShape);
  const model = buildModel(tf, await loadDefinition(code), { seed: 1, trainer: { trainable: null } }, schema);
  model.weights.forEach(({ variable }, i) => assign(tf, variable, numbers(variable.size, i)));
  const tensors = model.weights.map(({ name, variable }) => ({
    name,
    dtype: dtypeOfVariable(variable),
    shape: variable.shape,
    data: variable.dataSync() as TensorData,
  }));
  await writeSafetensors(join(folder, "weights.safetensors"), tensors, ({ data }) => data);
  writeFileSync(join(folder, "schema.json"), canonicalJson(schema));
  const state = {
    format: 1,
    step: 1,
    epoch: 1,
    updates: 1,
    position: START,
    records: "x",
    normalisation: null,
  } as const;
  writeFileSync(join(folder, "state.json"), stateText(state));
  return { folder, code, model };
}

async function exported(
  checkpoint: { folder: string; code: string },
  formats: ExportJob["formats"],
  addon: string | null = null,
): Promise<string> {
  const out = join(newFolder(), "out");
  await mkdir(out);
  const { folder, code } = checkpoint;
  const answer = join(folder, "answer.json");
  await exportModel({ checkpoint: folder, code, out, answer, formats, beside: ["weights.safetensors"] }, addon);
  return out;
}

const scores = (tf: Tf, network: Model["network"], each: Case, records: number): Float32Array =>
  tf.tidy(() => {
    const x = tf.tensor(inputsOf(each, records), [records, ...each.inputShape]);
    return (network.predict(x) as ReturnType<Tf["tensor"]>).dataSync() as Float32Array;
  });

describe("as a TensorFlow.js model", () => {
  let tf: Tf;
  beforeAll(async () => void ({ tf } = await loadTf({ ...WITHOUT_NATIVE })));

  it.each(Object.keys(CASES))("loads, and gives the same bits: %s", async (name) => {
    const each = CASES[name]!;
    const checkpoint = await checkpointOf(tf, each);
    const out = await exported(checkpoint, ["tfjs"]);
    const { weightsManifest, modelTopology, userDefinedMetadata, format } = JSON.parse(
      readFileSync(join(out, "model.json"), "utf8"),
    );
    const [{ paths, weights }] = weightsManifest;
    const data = Buffer.concat(paths.map((path: string) => readFileSync(join(out, path))));
    const artifacts = { format, modelTopology, weightSpecs: weights, weightData: Uint8Array.from(data).buffer };
    const loaded = await tf.loadLayersModel(tf.io.fromMemory(artifacts));
    const own = scores(tf, checkpoint.model.network, each, 5);
    expect(own.every((value) => Number.isFinite(value) && value !== 0)).toBe(true);
    expect(scores(tf, loaded, each, 5)).toEqual(own);
    expect(userDefinedMetadata.classes).toEqual(["a", "b", "c"]);

    // a warm start from it has the weights that were pulled
    await using start = await openStartWeights(out, { from: "model.json", sha256: null }).read();
    const [there, here] = [
      readSafetensors(start.path, "start"),
      readSafetensors(join(checkpoint.folder, "weights.safetensors"), "weights"),
    ];
    expect([...there.keys()].sort()).toEqual([...here.keys()].sort());
    for (const [weight, { data: values }] of there) expect(values).toEqual(here.get(weight)!.data);
  });

  it("is refused where a layer has no form that can be loaded", async () => {
    const module = `export default { build: ({ tf, inputShape, classes }) => {
      class Odd extends tf.layers.Layer { call(x) { return x; } getConfig() { throw new Error("no config"); } }
      Odd.className = "Odd";
      return tf.sequential({ layers: [new Odd({ name: "odd", ${INPUT} }), tf.layers.dense({ units: classes, name: "out" })] });
    } };`;
    const checkpoint = await checkpointOf(tf, { module, inputShape: [2], keras: "" });
    await expect(exported(checkpoint, ["tfjs"])).rejects.toMatchObject({ code: "MODEL_NOT_EXPORTABLE" });
    await expect(exported(checkpoint, ["savedmodel"])).rejects.toThrow("a SavedModel needs TensorFlow's library");
  });
});

/** @returns what the program prints, as JSON */
function python(program: string, ...args: string[]): unknown {
  const env = { ...process.env, TF_CPP_MIN_LOG_LEVEL: "3", KERAS_BACKEND: "tensorflow" };
  const out = execFileSync(PYTHON!, ["-c", program, ...args], {
    encoding: "utf8",
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  return JSON.parse(out.trim().split("\n").at(-1)!);
}

function expectClose(found: readonly number[], expected: Float32Array): void {
  expect(found).toHaveLength(expected.length);
  for (const [i, value] of expected.entries()) expect(Math.abs(found[i]! - value)).toBeLessThan(1e-5);
}

describe.skipIf(WITH_NATIVE === undefined)("as a SavedModel (skipped without TensorFlow's library)", () => {
  let tf: Tf;
  beforeAll(async () => void ({ tf } = await loadTf({ ...WITH_NATIVE! })));

  it.each(Object.keys(CASES))("gives the same scores, whatever the number of records: %s", async (name) => {
    const each = CASES[name]!;
    const checkpoint = await checkpointOf(tf, each);
    const out = await exported(checkpoint, ["savedmodel"], WITH_NATIVE!.addon);
    const { binding } = nativeBackendOf(tf);
    const session = binding.loadSavedModel(join(out, "saved_model"), "serve");
    try {
      for (const records of [1, 5, 13]) {
        const x = binding.createTensor([records, ...each.inputShape], binding.TF_FLOAT, inputsOf(each, records));
        const [found, shares] = binding.runSavedModel(session, [x], "model/inputs:0", "scores:0,probabilities:0");
        expect(found!.shape).toEqual([records, 3]);
        expectClose([...binding.tensorDataSync(found!.id)], scores(tf, checkpoint.model.network, each, records));
        const [first, second, third] = binding.tensorDataSync(shares!.id);
        expect(first! + second! + third!).toBeCloseTo(1, 5);
        for (const id of [x, found!.id, shares!.id]) binding.deleteTensor(id);
      }
    } finally {
      binding.deleteSavedModel(session);
    }
  });

  it.skipIf(PYTHON === undefined).each(Object.keys(CASES))(
    "in Python as well (skipped without ACCRETE_PYTHON): %s",
    async (name) => {
      const each = CASES[name]!;
      const checkpoint = await checkpointOf(tf, each);
      const out = await exported(checkpoint, ["savedmodel"], WITH_NATIVE!.addon);
      const program = `
import json, sys
import numpy, tensorflow
x = numpy.array(json.loads(sys.argv[2]), dtype="float32").reshape(json.loads(sys.argv[3]))
found = tensorflow.saved_model.load(sys.argv[1]).signatures["serving_default"](inputs=tensorflow.constant(x))
print(json.dumps([value.numpy().ravel().tolist() for value in (found["scores"], found["probabilities"])]))`;
      const [found, shares] = python(
        program,
        join(out, "saved_model"),
        JSON.stringify([...inputsOf(each, 5)]),
        JSON.stringify([5, ...each.inputShape]),
      ) as [number[], number[]];
      expectClose(found, scores(tf, checkpoint.model.network, each, 5));
      expect(shares.reduce((sum, value) => sum + value, 0)).toBeCloseTo(5, 4);
    },
    120_000,
  );
});

describe.skipIf(PYTHON === undefined)("as Keras reads it (skipped without ACCRETE_PYTHON)", () => {
  it.each(Object.keys(CASES))(
    "by the lines of docs/pull.md: %s",
    async (name) => {
      const each = CASES[name]!;
      const { tf } = await loadTf({ ...WITHOUT_NATIVE });
      const checkpoint = await checkpointOf(tf, each);
      const docs = readFileSync(join(import.meta.dirname, "../docs/pull.md"), "utf8");
      const lines = /```python\n(# Keras[\s\S]*?)```/.exec(docs)![1]!;
      const program = `
import json, os, sys
import keras, numpy
L = keras.layers
os.chdir(sys.argv[1])
x = numpy.array(json.loads(sys.argv[2]), dtype="float32").reshape(json.loads(sys.argv[3]))
model = keras.Sequential([keras.Input(${JSON.stringify(each.inputShape)}), ${each.keras}])
${lines}
print(json.dumps(model.predict(x, verbose=0).ravel().tolist()))`;
      const found = python(
        program,
        checkpoint.folder,
        JSON.stringify([...inputsOf(each, 5)]),
        JSON.stringify([5, ...each.inputShape]),
      ) as number[];
      expectClose(found, scores(tf, checkpoint.model.network, each, 5));
    },
    120_000,
  );
});

describe("what is beside it", () => {
  const schema: Schema = {
    format: 1,
    task: "regression",
    inputShape: [4],
    classes: [],
    label: "price",
    columns: [
      { name: "colour", kind: "category", categories: ["blue", "red"] },
      { name: "length", kind: "number", categories: [] },
      { name: "same", kind: "number", categories: [] },
    ],
  };
  const about = preprocessingOf(schema, { count: 4, mean: [0, 0, 2.5, 7], m2: [0, 0, 5, 0], frozen: false });

  it("says the columns with their inputs, means and deviations", () => {
    expect(about.columns).toEqual([
      { name: "colour", kind: "category", input: 0, categories: ["blue", "red"] },
      { name: "length", kind: "number", input: 2, mean: 2.5, std: Math.sqrt(5 / 4) },
      { name: "same", kind: "number", input: 3, mean: 7, std: 1 },
    ]);
  });

  it("lists in README.md what is there, and nothing else", async () => {
    const text = readmeOf(about, ["preprocessing.json", "model.json", "group1-shard1of1.bin"]);
    expect(text).toContain("`model.json`");
    expect(text).not.toContain("saved_model");
    expect(text).toContain("The output is the value.");
    expect(readmeOf({ ...about, task: "classification", classes: ["a", "b"] }, [])).toContain("each of the 2 classes");
    expect(readmeOf({ ...about, task: "multi-label", classes: ["a", "b"] }, [])).toContain("sigmoid makes");
  });

  it("says of text the vocabulary, and what docs/pull.md makes of it are the ids of the training", () => {
    const vocabulary = ["free", "cafe\u0301".normalize("NFC"), "7"];
    const text = preprocessingOf({ ...schemaOf([6]), vocabulary }, null);
    expect(text).toMatchObject({ columns: null, text: { padding: 0, unknown: 1, first: 2, vocabulary } });
    expect(readmeOf(text, [])).toContain("ids of a text's tokens");
    expect(readmeOf(text, [])).not.toContain("255");

    const page = readFileSync(new URL("../docs/pull.md", import.meta.url), "utf8");
    const code = /## Text\n[^]*?```js\n([^]*?)```/.exec(page)![1]!;
    const line = `FREE cafe\u0301, ${"x".repeat(70)} 7!`;
    const expected = new Int32Array(6);
    writeIds(line, idsByToken(vocabulary), expected);
    expect(runInNewContext(`${code}; Array.from(input)`, { about: text, line })).toEqual([...expected]);
    expect([...expected]).toEqual([2, 3, 1, 4, 0, 0]);
  });
});
