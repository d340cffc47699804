/** A first round that begins with the weights of another model. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openStartWeights } from "../adapters/start-weights.ts";
import { sha256 } from "../protocol/digest.ts";
import { startKey } from "../protocol/keys.ts";
import { writeSafetensors } from "./safetensors.ts";
import { dense, INPUT, jsonl, moduleOf, newFolder, Place, tableRows, type PlanInput } from "./testing/rounds.ts";

const MODULE = moduleOf(`${dense("3", "hidden", `activation: "tanh", ${INPUT}`)},
  tf.layers.batchNormalization({ name: "norm" }), ${dense("classes", "out")}`);
const WIDER = moduleOf(`${dense("3", "hidden", `activation: "tanh", ${INPUT}`)}, ${dense("classes", "out")}`);
/** Leaves all weights but a 0 as they are, to the last bit. */
const STILL = { optimizer: { name: "sgd", learningRate: 1e-30, momentum: 0 } } as const;

/** Another pipeline's, trained so that none of its weights is 0. */
async function pretrained(): Promise<Uint8Array> {
  const from = new Place();
  from.put("a.jsonl", jsonl(tableRows(0, 60)));
  const { checkpoint } = await from.train({ module: MODULE, trainer: { seed: 5 } });
  return from.file(checkpoint, "weights.safetensors");
}

async function placeWith(body: Uint8Array, input: PlanInput = {}): Promise<Place> {
  const place = new Place();
  place.put("b.jsonl", jsonl(tableRows(60, 120)));
  await place.store.create(startKey(sha256(body)), body);
  await place.plan({ module: MODULE, start: sha256(body), ...input });
  return place;
}

describe("a warm start", () => {
  // batch normalization in its own mode would move its averages; frozen, nothing but a step could change a bit
  const unchanged: PlanInput = { trainer: { ...STILL, trainable: ["!norm"] } };

  it("begins with the very weights of a checkpoint of another pipeline, and says so", async () => {
    const body = await pretrained();
    const place = await placeWith(body, unchanged);
    const { exit, said } = await place.run();
    expect({ exit, said }).toMatchObject({ exit: 0 });
    expect(said).toContain(`a warm start with the weights of ${startKey(sha256(body))}`);
    const result = await place.result();
    expect(await place.file(result.checkpoint, "weights.safetensors")).toEqual(body);
    expect(result.checkpoint).toMatchObject({ epoch: 2, step: result.stepsAdded });
    const cold = await placeWith(body, { ...unchanged, start: null });
    await cold.run();
    expect((await cold.result()).metrics["loss"]).not.toBe(result.metrics["loss"]);
  });

  it("begins with the weights of a TensorFlow.js model, its shards cut anywhere", async () => {
    const arrays = {
      "hidden/kernel": Float32Array.from({ length: 15 }, (_, i) => (i - 7.5) / 10),
      "hidden/bias": Float32Array.of(0.1, 0.2, 0.3),
      "out/kernel": Float32Array.from({ length: 6 }, (_, i) => (3.5 - i) / 7),
      "out/bias": Float32Array.of(-0.5, 0.5),
    };
    const shapes: Record<string, number[]> = {
      "hidden/kernel": [5, 3],
      "hidden/bias": [3],
      "out/kernel": [3, 2],
      "out/bias": [2],
    };
    const folder = join(newFolder(), "pretrained");
    mkdirSync(folder);
    const all = Buffer.concat(Object.values(arrays).map((array) => Buffer.from(array.buffer)));
    writeFileSync(join(folder, "group1-shard1of2.bin"), all.subarray(0, 30));
    writeFileSync(join(folder, "group1-shard2of2.bin"), all.subarray(30));
    const weights = Object.keys(arrays).map((name) => ({ name, shape: shapes[name], dtype: "float32" }));
    writeFileSync(
      join(folder, "model.json"),
      JSON.stringify({
        format: "layers-model",
        modelTopology: {},
        weightsManifest: [{ paths: ["group1-shard1of2.bin", "group1-shard2of2.bin"], weights }],
      }),
    );
    const place = new Place();
    place.put("b.jsonl", jsonl(tableRows(60, 120)));
    await using file = await openStartWeights(folder, { from: "model.json", sha256: null }).read();
    await place.store.createFromFile(startKey(file.sha256), file.path);
    await place.train({ module: WIDER, start: file.sha256, trainer: STILL });
    const found = await place.tensors((await place.result()).checkpoint);
    expect(Object.fromEntries([...found].map(([name, { data }]) => [name, data]))).toEqual(arrays);
  });

  it("trains on from there, and a stop changes no bit though the weights are gone by then", async () => {
    const body = await pretrained();
    const undisturbed = await placeWith(body, { trainer: { saveEverySteps: 1 } });
    await undisturbed.run();
    const disturbed = await placeWith(body, { trainer: { saveEverySteps: 1 } });
    let asked = 0;
    expect((await disturbed.run({ stopAsked: () => ++asked > 3 })).exit).toBe(75);
    await disturbed.store.delete(startKey(sha256(body)));
    expect((await disturbed.run({ attempt: 2 })).exit).toBe(0);
    expect(await disturbed.bits()).toEqual(await undisturbed.bits());
    expect((await undisturbed.bits())["weights.safetensors"]).not.toBe(sha256(body));
  });

  it("has no part in a round that goes on from trained weights, but comes after one in which nothing could be trained", async () => {
    const body = await pretrained();
    const place = new Place();
    place.put("bad.jsonl", "{");
    await place.store.create(startKey(sha256(body)), body);
    const { checkpoint } = await place.train({ module: MODULE, start: sha256(body) });
    expect(checkpoint.step).toBe(0);
    place.remove("bad.jsonl");
    place.put("b.jsonl", jsonl(tableRows(60, 120)));
    const second = await place.train({
      round: 2,
      module: MODULE,
      parent: checkpoint,
      start: sha256(body),
      ...unchanged,
    });
    expect(await place.file(second.checkpoint, "weights.safetensors")).toEqual(body);
    await place.plan({ round: 3, module: MODULE, parent: second.checkpoint });
    expect((await place.run({ round: 3 })).said.join("\n")).not.toContain("warm start");
  });

  it("is as onModelChange says if it does not fit", async () => {
    const body = await pretrained();
    const failing = await placeWith(body, { module: WIDER });
    expect((await failing.run()).exit).toBe(78);
    expect(await failing.failure()).toMatchObject({
      code: "MODEL_INVALID",
      message: expect.stringMatching(
        /^the model does not fit the weights of trainer\.start: there is norm\/gamma F32 \[3\], which it lacks; .* set trainer\.onModelChange to "matching" or "fresh"/,
      ),
    });
    const matching = await placeWith(body, { module: WIDER, trainer: { ...STILL, onModelChange: "matching" } });
    const { said } = await matching.run();
    expect(said).toContainEqual(
      expect.stringMatching(/^the model does not fit the weights of trainer\.start, 4 of 4 weights are taken over: /),
    );
    const fresh = await placeWith(body, { module: WIDER, trainer: { onModelChange: "fresh" } });
    expect((await fresh.run()).said.join("\n")).toMatch(/trainer\.start, all weights begin anew: /);
    const cold = await placeWith(body, { module: WIDER, start: null });
    await cold.run();
    expect((await fresh.bits())["weights.safetensors"]).toBe((await cold.bits())["weights.safetensors"]);
  });

  it("takes no weight of another type, though its shape fits", async () => {
    const path = join(newFolder(), "weights.safetensors");
    const { sha256: digest } = await writeSafetensors(
      path,
      [
        { name: "out/kernel", dtype: "I32", shape: [5, 2], data: new Int32Array(10) },
        { name: "out/bias", dtype: "F32", shape: [2], data: new Float32Array(2) },
      ],
      ({ data }) => data,
    );
    const place = new Place();
    place.put("b.jsonl", jsonl(tableRows(60, 120)));
    await place.store.createFromFile(startKey(digest), path);
    await place.plan({ start: digest });
    expect((await place.run()).message).toContain("it has out/kernel F32 [5, 2], there it is I32 [5, 2]");
  });

  it.each(["is not there", "is not what its name says", "not a safetensors file"])(
    "fails for good if the stored file %s",
    async (why) => {
      const body = await pretrained();
      const stored = why === "not a safetensors file" ? Buffer.from("something else") : body;
      const place = await placeWith(stored);
      const key = startKey(sha256(stored));
      if (why === "is not there") await place.store.delete(key);
      if (why === "is not what its name says") await place.damage(key);
      expect((await place.run()).exit).toBe(70);
      expect(await place.failure()).toMatchObject({
        code: "START_NOT_WHOLE",
        message: expect.stringContaining(why),
      });
      expect((await place.failure())!.message).toContain(key);
    },
  );
});
