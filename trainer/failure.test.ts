/** What can't go on as things are: a failure record with a code and what was found, and an exit code that nothing retries. */
import { describe, expect, it } from "vitest";
import { AccreteError } from "../protocol/errors.ts";
import { MANIFEST, resultKey } from "../protocol/keys.ts";
import type { Result } from "../protocol/types.ts";
import { exitCodeOf } from "./failure.ts";
import { parseSafetensors } from "./safetensors.ts";
import { WITH_NATIVE, WITHOUT_NATIVE } from "./testing/backends.ts";
import { dense, INPUT, jsonl, moduleOf, Place, tableRows, type PlanInput } from "./testing/rounds.ts";

async function placeWith(plan: PlanInput = {}): Promise<Place> {
  const place = new Place();
  place.put("a.jsonl", jsonl(tableRows(0, 40)));
  await place.plan(plan);
  return place;
}

/** Runs a round that has to fail: what it leaves behind. */
async function failureOf(
  place: Place,
  round = 1,
): Promise<{ code: string; exit: number; message: string; items: readonly string[] }> {
  const { exit, message } = await place.run({ round, attempt: 4 });
  const record = await place.failure(4, round);
  expect(record, `a failure record for: ${message}`).toBeDefined();
  expect({ exit, message }).toEqual({ exit: record!.exit, message: record!.message });
  expect(await place.keys(resultKey(round))).toEqual([]);
  return record!;
}

describe("the code", () => {
  it.each(["damaged", "not there"])("is %s", async (why) => {
    const place = await placeWith();
    const [key] = await place.keys("code/");
    if (why === "damaged") await place.damage(key!);
    else await place.store.delete(key!);
    expect(await failureOf(place)).toMatchObject({
      code: "CODE_MISMATCH",
      exit: 78,
      message: expect.stringContaining(why === "damaged" ? "is not what its name says" : "is not there"),
    });
  });

  it.each([
    [
      "throws while it is loaded",
      `throw new Error("no such package");`,
      "the model module throws while it is loaded: no such package",
    ],
    ["is no JavaScript", "export default {", "the model module throws while it is loaded"],
    [
      "exports nothing",
      "export const other = 1;",
      "the model module exports no model: export default defineModel({ build })",
    ],
    ["exports something else", "export default { make() {} };", "exports no model"],
    ["exports null", "export default null;", "exports no model"],
  ])("%s", async (_, module, why) => {
    expect(await failureOf(await placeWith({ module }))).toMatchObject({
      code: "MODEL_NOT_LOADABLE",
      exit: 78,
      message: expect.stringContaining(why),
    });
  });
});

describe.each([
  ["without TensorFlow's library", WITHOUT_NATIVE],
  ["with TensorFlow's library", WITH_NATIVE],
] as const)("a model %s", (_, backend) => {
  // TensorFlow throws for an id that has no place; without it the layer looks itself
  const module = `export default { build: ({ tf, inputShape, classes }) => {
    const network = tf.sequential({ layers: [
      tf.layers.embedding({ inputDim: 5, outputDim: 2, inputLength: inputShape[0], name: "few" }),
      tf.layers.flatten({ name: "flat" }), ${dense("classes", "out")}] });
    const { call } = network.layers[0];
    if (${backend === WITHOUT_NATIVE}) network.layers[0].call = function (x, more) {
      const most = Math.max(...[x].flat()[0].dataSync());
      if (most >= 5) throw new Error(most + " is not in [0, 5)");
      return call.call(this, x, more);
    };
    return network;
  } };`;
  const rows = (rare: string): object[] =>
    Array.from({ length: 60 }, (_, i) => ({
      text: i === 41 ? rare : i % 2 === 0 ? "so it is" : "it is so",
      label: i % 2 === 0 ? "a" : "b",
    }));

  it.skipIf(backend === undefined).each([
    [
      "a later batch",
      "rare words are these",
      0,
      /^the model throws in step \d+ of 15 of round 1: .*is not in \[0, 5\)/,
    ],
    [
      "the holdout",
      "one two three four",
      0.5,
      /^the model throws on \d+ records of the holdout: .*is not in \[0, 5\)/s,
    ],
  ])("that throws on %s alone is at fault", async (_where, rare, holdout, why) => {
    const place = new Place();
    place.put("a.jsonl", jsonl(rows(rare)));
    await place.plan({
      module,
      data: { format: "text", text: "text", label: "label", tokens: 4, vocabulary: 50, holdout },
      trainer: { batchSize: 4, epochs: 1 },
    });
    const { exit, message } = await place.run({ backend });
    expect(message).toMatch(why);
    expect(exit).toBe(78);
    expect(await place.failure()).toMatchObject({ code: "MODEL_INVALID", exit: 78, message });
  });
});

describe("the model", () => {
  const build = (body: string): string => `export const model = { build({ tf, inputShape, classes }) { ${body} } };`;
  it.each([
    ["throws in build", build(`throw new Error("out of ideas");`), "build() throws: out of ideas"],
    ["is nothing", build("return undefined;"), "build() gives no model that is ready"],
    ["has no input shape", moduleOf(`tf.layers.dense({ units: classes })`), "inputShape"],
    [
      "reads another shape",
      moduleOf(dense("classes", "out", "inputShape: [7]")),
      "the model's input is [batch, 7], the data's records are [batch, 5]",
    ],
    [
      "reads another rank",
      moduleOf(`tf.layers.flatten({ inputShape: [5, 1], name: "flat" }), ${dense("classes", "out")}`),
      "the model's input is [batch, 5, 1], the data's records are [batch, 5]",
    ],
    [
      "has other units",
      moduleOf(dense("classes + 1", "out", INPUT)),
      "the model's output is [batch, 3], expected is [batch, 2]: one score for each class",
    ],
    [
      "has an output of another rank",
      moduleOf(`${dense("4", "out", INPUT)}, tf.layers.reshape({ targetShape: [2, 2], name: "square" })`),
      "the model's output is [batch, 2, 2]",
    ],
    [
      "has two outputs",
      build(
        `const x = tf.input({ shape: [...inputShape] }); const head = () => tf.layers.dense({ units: classes }).apply(x); return tf.model({ inputs: x, outputs: [head(), head()] });`,
      ),
      "the model has to have one input and one output",
    ],
    ["has two layers of one name", moduleOf(`${dense("3", "same", INPUT)}, ${dense("classes", "same")}`), "same"],
    [
      "throws on a batch",
      build(`const network = tf.sequential({ layers: [tf.layers.dense({ units: classes, inputShape: [...inputShape], name: "d" })] });
        network.apply = () => { throw new Error("odd batch"); };
        return network;`),
      "the model throws on a batch of 8 records: odd batch",
    ],
  ])("%s", async (_, module, why) => {
    expect(await failureOf(await placeWith({ module }))).toMatchObject({
      code: "MODEL_INVALID",
      exit: 78,
      message: expect.stringContaining(why),
    });
  });

  it.each([
    [
      "another shape",
      moduleOf(`${dense("4", "hidden", INPUT)}, ${dense("classes", "out")}`),
      "it has hidden/kernel F32 [5, 4], there it is F32 [5, 3]",
    ],
    [
      "a weight more",
      moduleOf(`${dense("3", "hidden", INPUT)}, ${dense("classes", "other")}`),
      "it has other/kernel F32 [3, 2], there it is not there; it has other/bias F32 [2], there it is not there; there is out/kernel F32 [3, 2], which it lacks",
    ],
    [
      "a weight less",
      moduleOf(`${dense("3", "hidden", INPUT)}, tf.layers.dense({ units: classes, name: "out", useBias: false })`),
      "there is out/bias F32 [2], which it lacks",
    ],
  ])("was changed, so that it has %s than its parent", async (_, module, why) => {
    const place = await placeWith({ module: moduleOf(`${dense("3", "hidden", INPUT)}, ${dense("classes", "out")}`) });
    await place.run();
    await place.plan({ round: 2, parent: (await place.result()).checkpoint, module });
    expect(await failureOf(place, 2)).toMatchObject({
      code: "MODEL_INVALID",
      exit: 78,
      message: expect.stringContaining(`the model does not fit the checkpoint of round 1: ${why}`),
    });
  });
});

describe("the parent", () => {
  async function trained(): Promise<{ place: Place; result: Result }> {
    const place = await placeWith();
    await place.run();
    return { place, result: await place.result() };
  }

  it.each([
    "weights.safetensors",
    "optimizer.safetensors",
    "holdout.safetensors",
    "schema.json",
    "state.json",
    MANIFEST,
  ])("is damaged in %s", async (name) => {
    const { place, result } = await trained();
    await place.damage(result.checkpoint.manifest.slice(0, -MANIFEST.length) + name);
    await place.plan({ round: 2, parent: result.checkpoint });
    const { code, exit, message } = await failureOf(place, 2);
    expect([code, exit]).toEqual(["PARENT_NOT_WHOLE", 70]);
    expect(message).toMatch(/^the checkpoint of round 1: /);
    expect(message).toContain(name);
  });

  it.each(["weights.safetensors", MANIFEST])("lacks %s", async (name) => {
    const { place, result } = await trained();
    await place.store.delete(result.checkpoint.manifest.slice(0, -MANIFEST.length) + name);
    await place.plan({ round: 2, parent: result.checkpoint });
    expect(await failureOf(place, 2)).toMatchObject({
      code: "PARENT_NOT_WHOLE",
      exit: 70,
      message: expect.stringContaining(`${name} is not there`),
    });
  });

  it("is another manifest than the plan's", async () => {
    const { place, result } = await trained();
    await place.plan({ round: 2, parent: { ...result.checkpoint, sha256: "0".repeat(64) } });
    expect(await failureOf(place, 2)).toMatchObject({
      code: "PARENT_NOT_WHOLE",
      message: expect.stringContaining("is not the manifest that is named"),
    });
  });

  it("was trained on another task than the config now asks for", async () => {
    const { place, result } = await trained();
    await place.plan({ round: 2, parent: result.checkpoint, data: { task: "regression" } });
    expect(await failureOf(place, 2)).toMatchObject({
      code: "CONFIG_INVALID",
      exit: 78,
      message: expect.stringContaining('data.task is "regression"'),
    });
  });
});

describe("the loss", () => {
  it("is not finite: the round stops at the last good checkpoint", async () => {
    const place = new Place();
    place.put("a.jsonl", jsonl(Array.from({ length: 40 }, (_, i) => ({ x: i, label: i === 33 ? 3e38 : i }))));
    await place.plan({ data: { task: "regression", holdout: 0 }, trainer: { saveEverySteps: 1 } });
    expect(await failureOf(place)).toMatchObject({
      code: "LOSS_NOT_FINITE",
      exit: 70,
      message: expect.stringMatching(
        /^the loss is (Infinity|NaN) in step 3 of 10 of round 1, epoch 1, at a learning rate of 0\.00097; the last good checkpoint is that after step 2 of round 1$/,
      ),
    });
    for (const manifest of await place.manifests()) {
      const weights = parseSafetensors(await place.file({ manifest }, "weights.safetensors"), "x");
      for (const { data } of weights.values()) expect([...data].every((value) => Number.isFinite(value))).toBe(true);
    }
  });

  it("was finite, but the weights after the last step are not: they are neither saved nor a result", async () => {
    const place = new Place();
    place.put("a.jsonl", jsonl(Array.from({ length: 8 }, (_, i) => ({ x: i, label: i * 1e17 }))));
    await place.plan({
      data: { task: "regression", holdout: 0 },
      trainer: {
        epochs: 1,
        optimizer: { name: "sgd", learningRate: 1e30, momentum: 0 },
        schedule: { name: "constant" },
      },
    });
    expect(await failureOf(place)).toMatchObject({
      code: "LOSS_NOT_FINITE",
      exit: 70,
      message: expect.stringMatching(/out\/kernel.*; the last good checkpoint is none: nothing was trained before$/),
    });
    expect(await place.manifests()).toEqual([]);
  });

  it("is not finite in a later round, before that one has saved anything: the round before is named", async () => {
    const place = new Place();
    place.put("a.jsonl", jsonl(Array.from({ length: 8 }, (_, i) => ({ x: i, label: i }))));
    const plan: PlanInput = { data: { task: "regression", holdout: 0 } };
    const { checkpoint } = await place.train(plan);
    place.put("b.jsonl", jsonl([{ x: 1, label: 3e38 }]));
    const items = (await place.items.list("")).items.filter(({ key }) => key === "b.jsonl");
    await place.plan({ ...plan, round: 2, parent: checkpoint, items });
    expect(await failureOf(place, 2)).toMatchObject({
      code: "LOSS_NOT_FINITE",
      message: expect.stringMatching(/; the last good checkpoint is that of round 1, as nothing of round 2 is saved$/),
    });
  });
});

describe("too many items that can't be used", () => {
  it("11 and more than 1 %: named, the first of them", async () => {
    const place = new Place();
    place.put("a.jsonl", jsonl(tableRows(0, 20)));
    for (let i = 10; i < 35; i++) place.put(`bad${i}.jsonl`, "{");
    await place.plan();
    const { code, exit, message, items } = await failureOf(place);
    expect([code, exit]).toEqual(["TOO_MANY_REJECTED", 65]);
    expect(message).toMatch(/^25 of 26 items can't be used; the first: bad10.jsonl: /);
    expect(items).toEqual(Array.from({ length: 20 }, (_, i) => `bad${i + 10}.jsonl`));
  });

  it("11 are fewer than 1 % of a large round, and 10 are few of any", async () => {
    const place = new Place();
    place.put("a.jsonl", jsonl(tableRows(0, 20)));
    for (let i = 0; i < 10; i++) place.put(`bad${i}.jsonl`, "{");
    const { rejected } = await place.train();
    expect(rejected).toHaveLength(10);
    const large = new Place();
    large.put("a.jsonl", jsonl(tableRows(0, 4)));
    const [item] = (await large.items.list("")).items;
    const many = Array.from({ length: 1_101 }, (_, i) => ({ ...item!, key: `k${i}` }));
    await large.plan({ items: many, data: { holdout: 0 }, trainer: { epochs: 1, batchSize: 1_024 } });
    const real = large.items;
    const items = {
      list: real.list.bind(real),
      fetch: async (each: (typeof many)[number], path: string) =>
        Number(each.key.slice(1)) < 11 ? ({ outcome: "gone" } as const) : real.fetch(item!, path),
    };
    expect((await large.run({ items })).exit).toBe(0);
    expect((await large.result()).rejected).toHaveLength(11);
  });
});

describe("what may pass leaves no record, so it is tried again:", () => {
  it("a store that can't be read", async () => {
    const place = await placeWith();
    const { exit, message } = await place.run({
      items: {
        list: place.items.list.bind(place.items),
        fetch: () => Promise.reject(new Error("the network is away")),
      },
    });
    expect([exit, message]).toEqual([70, "the network is away"]);
    expect(await place.keys("rounds/0000000001/attempts/")).toEqual([]);
  });

  it("a signal before training", async () => {
    const place = await placeWith();
    expect((await place.run({ stopAsked: () => true })).exit).toBe(75);
    expect((await place.keys("rounds/")).map((key) => key.split("/").at(-1))).toEqual(["plan.json"]);
  });

  it("a plan that is not there is the caller's mistake", () => {
    expect(exitCodeOf(new AccreteError("PLAN_NOT_FOUND", "x"))).toBe(64);
    expect(exitCodeOf("thrown")).toBe(70);
  });
});
