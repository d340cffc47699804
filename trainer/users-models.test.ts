/** What users write and drop: layers, regularizers, masks, first deliveries that lack something. */
import { describe, expect, it } from "vitest";
import { WITH_NATIVE, WITHOUT_NATIVE } from "./testing/backends.ts";
import { parseSafetensors } from "./safetensors.ts";
import { dense, INPUT, jsonl, moduleOf, Place, tableRow } from "./testing/rounds.ts";
import { loadTf, type LoadOptions } from "./tf.ts";

const rows = (to: number, chosen: (row: ReturnType<typeof tableRow>) => boolean = () => true): string =>
  jsonl(Array.from({ length: to }, (_, i) => tableRow(i)).filter(chosen));

async function ran(module: string, body = rows(60), backend: LoadOptions = WITHOUT_NATIVE) {
  const place = new Place();
  place.put("a.jsonl", body);
  await place.plan({ module });
  return { place, ...(await place.run({ backend })) };
}

async function kernelOf(place: Place): Promise<number[]> {
  const file = await place.file((await place.result()).checkpoint, "weights.safetensors");
  return [...parseSafetensors(file, "weights").get("out/kernel")!.data];
}

describe.each([
  ["wasm", WITHOUT_NATIVE],
  ["native", WITH_NATIVE],
] as const)("a model on %s", (on, backend) => {
  const run = (module: string, body?: string): ReturnType<typeof ran> => ran(module, body, backend);

  it.skipIf(!backend).each(["lstm", "gru", "simpleRNN"])("may have a recurrent layer: %s", async (layer) => {
    const { exit, message, said } = await run(
      moduleOf(`tf.layers.reshape({ targetShape: [inputShape[0], 1], name: "steps", ${INPUT} }),
        tf.layers.${layer}({ units: 3, name: "recurrent", recurrentDropout: 0.1 }), ${dense("classes", "out")}`),
    );
    expect({ exit, message }).toEqual({ exit: 0, message: "" });
    if (on === "native")
      expect(said).toContainEqual(expect.stringContaining("op by op, slower than as one graph: layer recurrent"));
  });

  it.skipIf(!backend)("that ends in softmax is refused: the trainer applies it itself", async () => {
    for (const layers of [
      dense("classes", "out", `${INPUT}, activation: "softmax"`),
      `${dense("classes", "scores", INPUT)}, tf.layers.softmax({ name: "out" })`,
    ]) {
      const { exit, place } = await run(moduleOf(layers));
      expect(exit).toBe(78);
      expect(await place.failure()).toMatchObject({
        code: "MODEL_INVALID",
        message: expect.stringContaining("out applies softmax"),
      });
    }
  });

  it.skipIf(!backend)("is held back by its regularizers", async () => {
    const norm = async (more: string): Promise<number> => {
      const { place } = await run(moduleOf(dense("classes", "out", `${INPUT}, ${more}`)));
      return (await kernelOf(place)).reduce((sum, w) => sum + w * w, 0);
    };
    expect(await norm("kernelRegularizer: tf.regularizers.l2({ l2: 1 })")).toBeLessThan(await norm(""));
  });

  it.skipIf(!backend)("draws another mask at each step, also where dropout has a seed of its own", async () => {
    // all it can learn from is one input: with the same mask at each step, half of the features would never be seen
    const wide = jsonl(
      Array.from({ length: 64 }, (_, i) => ({
        ...Object.fromEntries(Array.from({ length: 12 }, (_n, k) => [`x${k}`, (i * (k + 3)) % 17])),
        label: i % 2 ? "a" : "b",
      })),
    );
    const { place } = await run(
      moduleOf(
        `tf.layers.dropout({ rate: 0.5, seed, noiseShape: [1, 12], name: "drop", ${INPUT} }), ${dense("classes", "out", 'kernelInitializer: "zeros"')}`,
      ),
      wide,
    );
    expect((await kernelOf(place)).filter((w) => w === 0)).toEqual([]);
  });
});

it("x.flatten(), x.concat(y) and the like do as in @tensorflow/tfjs", async () => {
  const { tf } = await loadTf(WITHOUT_NATIVE);
  const call = (x: object, name: string, ...more: unknown[]): unknown => {
    const result: unknown = Reflect.apply(Reflect.get(x, name), x, more);
    return result instanceof tf.Tensor ? result.arraySync() : result;
  };
  const [x, y] = [tf.tensor2d([[1, 2]]), tf.tensor2d([[3, 4]])];
  expect(call(x, "flatten")).toEqual([1, 2]);
  expect(call(x, "concat", y)).toEqual([
    [1, 2],
    [3, 4],
  ]);
  expect(call(x, "stack", y)).toEqual([[[1, 2]], [[3, 4]]]);
  expect(call(x, "as2D", 2, 1)).toEqual([[1], [2]]);
  expect(call(x, "where", tf.tensor2d([[true, false]], [1, 2], "bool"), y)).toEqual([[1, 4]]);
  expect(call(x, "mul", y)).toEqual([[3, 8]]);
});

describe("a first round", () => {
  it("whose records all have one label is refused, and says what to do", async () => {
    const { exit, place } = await ran(
      moduleOf(dense("classes", "out", INPUT)),
      rows(80, ({ label }) => label === "high"),
    );
    expect(exit).toBe(78);
    expect(await place.failure()).toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining('the label "high": name all classes in data.labels'),
    });
  });

  it("has the categories of all its files, but of none that is rejected", async () => {
    const place = new Place();
    place.put(
      "a.jsonl",
      rows(60, ({ colour }) => colour === "red"),
    );
    place.put(
      "b.jsonl",
      rows(60, ({ colour }) => colour !== "red"),
    );
    place.put("c.jsonl", `${JSON.stringify({ a: 1, b: 2, colour: "grey", label: "high" })}\n{`);
    const { checkpoint, rejected } = await place.train();
    expect(rejected).toHaveLength(1);
    const schema: unknown = JSON.parse(new TextDecoder().decode(await place.file(checkpoint, "schema.json")));
    expect(schema).toMatchObject({
      inputShape: [5],
      columns: [{}, {}, { name: "colour", categories: ["blue", "green", "red"] }],
    });
  });

  it("keeps its holdout though nothing is left to train on", async () => {
    const place = new Place();
    place.put("a.jsonl", rows(20));
    const data = { holdout: 0.999_999 };
    const first = await place.train({ data });
    expect(first).toMatchObject({ epochsAdded: 0, metrics: { holdoutRecords: 20 } });
    place.put("b.jsonl", jsonl(Array.from({ length: 20 }, (_, i) => tableRow(i + 20))));
    const items = (await place.items.list("")).items.filter(({ key }) => key === "b.jsonl");
    const second = await place.train({ round: 2, parent: first.checkpoint, items, data: { holdout: 0.2 } });
    expect(second.metrics["holdoutRecords"]).toBeGreaterThan(20);
    expect(Object.keys(second.metrics)).toEqual(expect.arrayContaining(["accuracy.round1", "accuracy.round2"]));
  });
});

it("an attempt fails, and leaves no result without the figures of live, if live can't be read just now", async () => {
  const place = new Place();
  place.put("a.jsonl", rows(60));
  const { checkpoint } = await place.train();
  place.put(
    "b.jsonl",
    rows(90, ({ a }) => a > 5),
  );
  const items = (await place.items.list("")).items.filter(({ key }) => key === "b.jsonl");
  await place.plan({ round: 2, parent: checkpoint, live: checkpoint, items });
  const store = new Proxy(place.store, {
    get:
      (target, name) =>
      async (...args: unknown[]) => {
        if (name === "readToFile" && String(args[1]).includes("/live/")) throw new Error("the network is away");
        return Reflect.apply(Reflect.get(target, name), target, args);
      },
  });
  expect(await place.run({ round: 2, store })).toMatchObject({ exit: 70, message: "the network is away" });
  expect(await place.failure(1, 2)).toBeUndefined();
  expect(await place.keys("rounds/0000000002/result")).toEqual([]);
  expect((await place.run({ round: 2, attempt: 2 })).exit).toBe(0);
  expect((await place.result(2)).liveMetrics).not.toBeNull();
});
