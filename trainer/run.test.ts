/** Rounds that go well: where they begin, what they save, what they measure, and when there is nothing to do. */
import { statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openDirectoryStore } from "../adapters/directory-store.ts";
import { sha256 } from "../protocol/digest.ts";
import { intentKey, jobRecordKey, logKey, MANIFEST, resultKey } from "../protocol/keys.ts";
import { NOTHING_SPENT } from "../protocol/budget.ts";
import { withoutRun } from "../protocol/run-metrics.ts";
import { documentBytes, type Checkpoint, type Plan } from "../protocol/types.ts";
import { holdoutOf } from "./holdout-state.ts";
import { parseSafetensors } from "./safetensors.ts";
import { idxArray } from "./testing/reading.ts";
import { dense, INPUT, jsonl, moduleOf, newFolder, Place, tableRows, type PlanInput } from "./testing/rounds.ts";

async function placeWith(rows: number, plan: PlanInput = {}): Promise<Place> {
  const place = new Place();
  place.put("a.jsonl", jsonl(tableRows(0, rows)));
  await place.plan(plan);
  return place;
}

/** Plans a round on top of another one with the files that it alone has. */
async function next(place: Place, round: number, more: PlanInput, keys: readonly string[]): Promise<Plan> {
  const { checkpoint } = await place.result(round - 1);
  const items = (await place.items.list("")).items.filter(({ key }) => keys.includes(key));
  return place.plan({ round, parent: checkpoint, items, ...more });
}

const promoted = (round: number): Uint8Array =>
  documentBytes("logEntry", logKey(1), {
    format: 1,
    seq: 1,
    kind: "promote",
    parent: null,
    at: 0,
    round,
    checkpoint: null,
    redo: null,
    live: null,
    keep: [],
    scheduled: 0,
    spent: NOTHING_SPENT,
    by: "me",
    reason: "",
    nonce: "0".repeat(32),
    target: 0,
  });

describe("a run that nobody needs any more says so, writes nothing and is no failure:", () => {
  it.each([
    [
      "the round is closed",
      "round 1 is closed: the log is at round 1",
      (place: Place) => place.store.create(logKey(1), promoted(1)),
    ],
    [
      "a result is there",
      "round 1 has its result",
      (place: Place) => place.store.create(resultKey(1), Uint8Array.of(1)),
    ],
    [
      "a newer attempt has a job",
      "attempt 2 of round 1 has a job",
      (place: Place) => place.store.create(jobRecordKey(1, 2), Uint8Array.of(1)),
    ],
  ])("%s", async (_, why, happen) => {
    const place = await placeWith(20);
    await happen(place);
    const before = await place.keys();
    expect(await place.run()).toEqual({ exit: 0, said: [`nothing to do: ${why}`], message: "" });
    expect(await place.keys()).toEqual(before);
  });

  it("but the intent of a newer attempt proves no job, its own and older jobs are no others, and the log may be behind", async () => {
    const place = await placeWith(20);
    await place.store.create(intentKey(1, 4), Uint8Array.of(1));
    await place.store.create(jobRecordKey(1, 3), Uint8Array.of(1));
    await place.store.create(jobRecordKey(1, 2), Uint8Array.of(1));
    await place.store.create(logKey(1), promoted(0));
    expect((await place.run({ attempt: 3 })).exit).toBe(0);
    expect((await place.result()).attempt).toBe("3.1");
  });

  it("also in the middle, after a save", async () => {
    const place = await placeWith(80, { trainer: { epochs: 4 } });
    let asked = 0;
    const newer = (): boolean => {
      if (++asked === 5) void place.store.create(jobRecordKey(1, 2), Uint8Array.of(1));
      return false;
    };
    const { exit, said } = await place.run({ stopAsked: newer });
    expect(exit).toBe(0);
    expect(said.at(-1)).toBe("stops: attempt 2 of round 1 has a job");
    expect(await place.manifests()).toHaveLength(1);
    expect(await place.keys(resultKey(1))).toEqual([]);
  });

  it("also at the end: the first result counts", async () => {
    const place = await placeWith(20);
    const { create } = place.store;
    const store = {
      ...bound(place.store),
      create: async (key: string, body: Uint8Array) => {
        if (key === resultKey(1)) await create.call(place.store, key, Uint8Array.of(7));
        return create.call(place.store, key, body);
      },
    };
    const { exit, said } = await place.run({ store });
    expect([exit, said.at(-1)]).toEqual([0, "round 1: another run was first"]);
    expect([...(await place.store.get(resultKey(1)))!.body]).toEqual([7]);
  });
});

function bound(store: Place["store"]): Place["store"] {
  return {
    create: store.create.bind(store),
    replace: store.replace.bind(store),
    get: store.get.bind(store),
    head: store.head.bind(store),
    list: store.list.bind(store),
    delete: store.delete.bind(store),
    createFromFile: store.createFromFile.bind(store),
    readToFile: store.readToFile.bind(store),
    copy: store.copy.bind(store),
  };
}

describe("a save", () => {
  it("comes at each epoch, after so many steps and after so much time", async () => {
    const at = async (trainer: PlanInput["trainer"], nowMs?: () => number): Promise<number[]> => {
      const place = await placeWith(40, { data: { holdout: 0 }, ...(trainer === undefined ? {} : { trainer }) });
      expect((await place.run(nowMs === undefined ? {} : { nowMs })).exit).toBe(0);
      return (await place.manifests()).map((key) => Number(/(\d{10})-/.exec(key)![1]));
    };
    expect(await at({})).toEqual([5, 10]);
    expect(await at({ saveEverySteps: 3 })).toEqual([3, 5, 8, 10]);
    let ms = 0;
    expect(await at({ saveEvery: 1 }, () => ms++)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  it("is whole, refers to nothing outside its folder, and its unchanged files are links", async () => {
    const folder = newFolder();
    const place = new Place(openDirectoryStore(folder));
    place.put("a.jsonl", jsonl(tableRows(0, 40)));
    const { checkpoint } = await place.train({ trainer: { epochs: 3, saveEverySteps: 2 } });
    const manifests = await place.manifests();
    expect(manifests.length).toBeGreaterThan(5);
    expect(manifests.at(-1)).toBe(checkpoint.manifest);
    const inodes = { "holdout.safetensors": new Set<number>(), "weights.safetensors": new Set<number>() };
    for (const key of manifests) {
      const manifest = await place.manifest(key);
      const prefix = key.slice(0, -MANIFEST.length);
      expect(
        manifest.files
          .map(({ name }) => prefix + name)
          .concat(key)
          .sort(),
      ).toEqual(await place.keys(prefix));
      for (const { name, size, sha256: digest, etag } of manifest.files) {
        const { body, etag: stored } = (await place.store.get(prefix + name))!;
        expect([body.length, sha256(body), stored]).toEqual([size, digest, etag]);
      }
      for (const name of ["holdout.safetensors", "weights.safetensors"] as const)
        inodes[name].add(statSync(join(folder, prefix, name)).ino);
      expect(manifest).toMatchObject({
        round: 1,
        attempt: "1.1",
        parent: null,
        environment: { backend: "wasm", threads: "1" },
      });
    }
    expect(inodes["holdout.safetensors"].size).toBe(1);
    expect(inodes["weights.safetensors"].size).toBe(manifests.length);
  });
});

describe("a run goes on from", () => {
  /** A round that was stopped after some steps, having saved after each. */
  async function stopped(after: number): Promise<Place> {
    const place = await placeWith(40, { trainer: { saveEverySteps: 1 } });
    let asked = 0;
    expect((await place.run({ stopAsked: () => ++asked > after })).exit).toBe(75);
    return place;
  }

  it.each(["weights.safetensors", "state.json", MANIFEST])(
    "the older of its checkpoints if the newest's %s is damaged, and says so",
    async (name) => {
      const undisturbed = await placeWith(40, { trainer: { saveEverySteps: 1 } });
      await undisturbed.run();
      const place = await stopped(4);
      const newest = (await place.manifests()).at(-1)!;
      await place.damage(newest.slice(0, -MANIFEST.length) + name);
      const { exit, said } = await place.run({ attempt: 2 });
      expect(exit).toBe(0);
      expect(said.filter((line) => line.startsWith("CHECKPOINT_NOT_WHOLE"))).toEqual([expect.stringContaining(name)]);
      expect(said).toContainEqual(expect.stringContaining("resumes at step 3"));
      expect(await place.bits()).toEqual(await undisturbed.bits());
    },
  );

  it("the older of its checkpoints if a file of the newest is gone, or its manifest never came", async () => {
    const place = await stopped(4);
    const [, , third, newest] = await place.manifests();
    await place.store.delete(newest!);
    await place.store.delete(`${third!.slice(0, -MANIFEST.length)}optimizer.safetensors`);
    const { said } = await place.run({ attempt: 2 });
    expect(said.filter((line) => line.startsWith("CHECKPOINT_NOT_WHOLE"))).toEqual([
      expect.stringMatching(/optimizer.safetensors is not there/),
    ]);
    expect(said).toContainEqual(expect.stringContaining("resumes at step 2"));
  });

  it("a checkpoint of another machine, too, and says that the bits may differ", async () => {
    const place = await stopped(4);
    const newest = (await place.manifests()).at(-1)!;
    const manifest = await place.manifest(newest);
    await place.store.delete(newest);
    await place.store.create(
      newest,
      documentBytes("manifest", newest, { ...manifest, environment: { ...manifest.environment, cpu: "another" } }),
    );
    const { exit, said } = await place.run({ attempt: 2 });
    expect(exit).toBe(0);
    expect(said).toContainEqual(
      expect.stringMatching(/^the checkpoint was made elsewhere \(cpu another -> \S.*\): the bits may differ$/),
    );
    expect(said).toContainEqual(expect.stringContaining("resumes at step 4"));
  });

  it("no checkpoint of another plan, though it lies in the round's folder", async () => {
    const place = await stopped(4);
    const other = await placeWith(40, { trainer: { saveEverySteps: 1, epochs: 3 } });
    for (const key of await place.keys("rounds/0000000001/checkpoints/"))
      await other.store.create(key, (await place.store.get(key))!.body);
    const { exit, said } = await other.run();
    expect(exit).toBe(0);
    expect(said).toContainEqual(expect.stringContaining("records to train on"));
  });

  it("the parent if an item has gone between two attempts, and then from its own again", async () => {
    const place = new Place();
    place.put("a.jsonl", jsonl(tableRows(0, 40)));
    place.put("b.jsonl", jsonl(tableRows(40, 60)));
    await place.plan({ trainer: { saveEverySteps: 1 } });
    let asked = 0;
    await place.run({ stopAsked: () => ++asked > 6 });
    place.remove("b.jsonl");
    asked = 0;
    const second = await place.run({ attempt: 2, stopAsked: () => ++asked > 3 });
    expect(second.said).toContainEqual(expect.stringContaining("an item has gone since"));
    expect(second.said).toContainEqual(expect.stringContaining("records to train on"));
    expect(second.exit).toBe(75);
    const third = await place.run({ attempt: 3 });
    expect(third.said).toContainEqual(expect.stringContaining("resumes at step 3"));
    expect((await place.result()).rejected).toMatchObject([{ code: "gone", item: { key: "b.jsonl" } }]);

    const alone = await placeWith(40, { trainer: { saveEverySteps: 1 } });
    await alone.run();
    expect((await place.bits())["weights.safetensors"]).toBe((await alone.bits())["weights.safetensors"]);
  });

  it("the parent's weights, slots, counts and statistics in the next round", async () => {
    const place = await placeWith(40);
    expect((await place.run()).exit).toBe(0);
    const first = await place.result();
    place.put("b.jsonl", jsonl(tableRows(40, 70)));
    await next(place, 2, { live: first.checkpoint, trainer: { epochs: 3 } }, ["b.jsonl"]);
    const { exit, said } = await place.run({ round: 2 });
    expect([exit, said.filter((line) => line.includes("optimizer"))]).toEqual([0, []]);
    const second = await place.result(2);
    const state = async (checkpoint: Checkpoint): Promise<{ updates: number; normalisation: { count: number } }> =>
      JSON.parse(new TextDecoder().decode(await place.file(checkpoint, "state.json")));
    const [before, after] = [await state(first.checkpoint), await state(second.checkpoint)];
    expect(second.checkpoint).toMatchObject({ round: 2, epoch: 5, step: first.checkpoint.step + second.stepsAdded });
    expect(after).toMatchObject({
      step: second.checkpoint.step,
      epoch: 5,
      updates: before.updates + second.stepsAdded,
    });
    expect(after.normalisation.count).toBe(before.normalisation.count + second.metrics["trainRecords"]!);
    expect(
      new TextDecoder()
        .decode(await place.file(second.checkpoint, "metrics.jsonl"))
        .trim()
        .split("\n"),
    ).toHaveLength(5);
    // the plan's live is the first round's, measured on both holdouts
    expect(second.liveMetrics).toMatchObject({
      holdoutRecords: second.metrics["holdoutRecords"],
      "accuracy.round1": first.metrics["accuracy.round1"],
    });
    expect((await place.manifest(second.checkpoint.manifest)).parent).toBe(first.checkpoint.sha256);
  });

  it("the parent's weights with a fresh optimizer if that was changed, and says so", async () => {
    const place = await placeWith(40);
    await place.run();
    place.put("b.jsonl", jsonl(tableRows(40, 70)));
    await next(place, 2, { trainer: { optimizer: { name: "sgd", learningRate: 0.01, momentum: 0.9 } } }, ["b.jsonl"]);
    const { said } = await place.run({ round: 2 });
    expect(said).toContain("the optimizer or what it trains was changed: it begins anew");
    const { checkpoint, stepsAdded } = await place.result(2);
    expect(JSON.parse(new TextDecoder().decode(await place.file(checkpoint, "state.json"))).updates).toBe(stepsAdded);
    expect([...parseSafetensors(await place.file(checkpoint, "optimizer.safetensors"), "x").keys()]).toEqual([
      "sgd/momentum/out/kernel",
      "sgd/momentum/out/bias",
    ]);
  });
});

describe("the holdout", () => {
  it("grows round by round, holds what was never trained on, and is measured as a whole and by round", async () => {
    const place = await placeWith(60, { data: { holdout: 0.3 } });
    await place.run();
    place.put("b.jsonl", jsonl(tableRows(60, 100)));
    await next(place, 2, { data: { holdout: 0.3 } }, ["b.jsonl"]);
    await place.run({ round: 2 });
    const results = [await place.result(1), await place.result(2)];
    const [first, second] = await Promise.all(
      results.map(async ({ checkpoint }) => holdoutOf(await place.tensors(checkpoint, "holdout.safetensors"), "x")),
    );
    expect(second!.count).toBeGreaterThan(first!.count);
    expect([...second!.rounds]).toEqual([
      ...Array.from({ length: first!.count }, () => 1),
      ...Array.from({ length: second!.count - first!.count }, () => 2),
    ]);
    expect(second!.features.subarray(0, first!.features.length)).toEqual(first!.features);
    const [one, two] = results.map(({ metrics }) => metrics);
    expect(one!["holdoutRecords"]! + one!["trainRecords"]!).toBe(60);
    expect(two!["holdoutRecords"]! - one!["holdoutRecords"]! + two!["trainRecords"]!).toBe(40);
    expect(Object.keys(two!).filter((name) => name.startsWith("accuracy"))).toEqual([
      "accuracy",
      "accuracy.round1",
      "accuracy.round2",
    ]);
    const part = first!.count / second!.count;
    expect(two!["accuracy"]).toBeCloseTo(part * two!["accuracy.round1"]! + (1 - part) * two!["accuracy.round2"]!, 12);
  });

  it("has no figures where it is empty", async () => {
    const place = await placeWith(30, { data: { holdout: 0 } });
    await place.run();
    const { metrics } = await place.result();
    expect(Object.keys(withoutRun(metrics)).sort()).toEqual(["holdoutRecords", "trainLoss", "trainRecords"]);
    expect(metrics).toMatchObject({ holdoutRecords: 0, trainRecords: 30 });
  });
});

describe("a round learns", () => {
  it("a table: accuracy above 0.9 on what it never saw", async () => {
    const place = await placeWith(300, {
      data: { holdout: 0.2 },
      trainer: { epochs: 8, optimizer: { name: "adam", learningRate: 0.05, beta1: 0.9, beta2: 0.999, epsilon: 1e-7 } },
    });
    expect((await place.run()).exit).toBe(0);
    const { metrics } = await place.result();
    expect(metrics["accuracy"]).toBeGreaterThan(0.9);
    expect(metrics["loss"]).toBeLessThan(0.4);
  });

  it("values: mse, its root's bound mae, and loss the same as mse", async () => {
    const place = new Place();
    place.put(
      "a.jsonl",
      jsonl(
        Array.from({ length: 200 }, (_, i) => ({
          x: i % 17,
          z: (i * 7) % 23,
          label: 0.5 * (i % 17) - 0.25 * ((i * 7) % 23) + 3,
        })),
      ),
    );
    const { metrics } = await place.train({
      data: { task: "regression", holdout: 0.2 },
      trainer: { epochs: 10, optimizer: { name: "sgd", learningRate: 0.1, momentum: 0 } },
    });
    expect(metrics["mse"]).toBeLessThan(0.01);
    expect(metrics["loss"]).toBe(metrics["mse"]);
    expect(metrics["mse.round1"]).toBe(metrics["mse"]);
    expect(metrics["mae"]! ** 2).toBeLessThanOrEqual(metrics["mse"]!);
    expect(metrics).not.toHaveProperty("accuracy");
  });

  it("pictures with convolutions on the plain backend, once it has said what wasm lacks", async () => {
    const place = new Place();
    const values = Array.from(
      { length: 64 * 36 },
      (_, i) => (i % 36 < 18 === Math.floor(i / 36) % 2 > 0 ? 180 : 20) + ((i * i) % 53),
    );
    const labels = Array.from({ length: 64 }, (_, i) => i % 2);
    place.put("a.idx", Buffer.concat([idxArray("u8", [64, 6, 6], values), idxArray("u8", [64], labels)]));
    const module = moduleOf(`
      tf.layers.conv2d({ filters: 2, kernelSize: 3, activation: "tanh", ${INPUT}, name: "conv" }),
      tf.layers.flatten({ name: "flat" }), ${dense("classes", "out")}`);
    await place.plan({
      module,
      data: { format: "idx", holdout: 0.2 },
      trainer: { epochs: 6, optimizer: { name: "adam", learningRate: 0.05, beta1: 0.9, beta2: 0.999, epsilon: 1e-7 } },
    });
    const { exit, said } = await place.run();
    expect(exit).toBe(0);
    expect(said.filter((line) => line.includes("backend:"))).toEqual([
      expect.stringMatching(/^backend: plain JavaScript, as wasm lacks Conv2D\w+: very slow; `accrete native`/),
    ]);
    const { checkpoint, metrics } = await place.result();
    expect((await place.manifest(checkpoint.manifest)).environment["backend"]).toBe("cpu");
    expect(metrics["accuracy"]).toBe(1);
  });
});

describe("items that can't be used", () => {
  it("are in the result with their reasons, and the others are learned", async () => {
    const place = new Place();
    place.put("a.jsonl", jsonl(tableRows(0, 30)));
    place.put("bad.jsonl", `${jsonl(tableRows(0, 2))}{"a": 1\n`);
    place.put("gone.jsonl", jsonl(tableRows(30, 40)));
    await place.plan({ data: { holdout: 0 } });
    place.remove("gone.jsonl");
    expect((await place.run()).exit).toBe(0);
    const { rejected, metrics } = await place.result();
    expect(rejected.map(({ item, code }) => [item.key, code]).sort()).toEqual([
      ["bad.jsonl", "bad"],
      ["gone.jsonl", "gone"],
    ]);
    expect(rejected.find(({ code }) => code === "bad")!.message).toMatch(/^bad.jsonl: line 3/);
    expect(metrics["trainRecords"]).toBe(30);
  });

  it("all of them in the first round: nothing is trained, and the next round begins anew", async () => {
    const place = new Place();
    place.put("bad.jsonl", "{");
    const { checkpoint, rejected, metrics, epochsAdded, stepsAdded } = await place.train();
    expect({ step: checkpoint.step, epoch: checkpoint.epoch, epochsAdded, stepsAdded, metrics }).toEqual({
      step: 0,
      epoch: 0,
      epochsAdded: 0,
      stepsAdded: 0,
      metrics: { holdoutRecords: 0 },
    });
    expect(rejected).toHaveLength(1);
    place.put("a.jsonl", jsonl(tableRows(0, 30)));
    await next(place, 2, {}, ["a.jsonl"]);
    expect((await place.run({ round: 2 })).exit).toBe(0);
    expect((await place.result(2)).checkpoint.epoch).toBe(2);
  });

  it("all of them later on: the parent's weights and slots are saved anew, untrained", async () => {
    const place = await placeWith(40);
    await place.run();
    place.put("bad.jsonl", "{");
    await next(place, 2, {}, ["bad.jsonl"]);
    expect((await place.run({ round: 2 })).exit).toBe(0);
    const [first, second] = [await place.result(1), await place.result(2)];
    expect(second).toMatchObject({
      epochsAdded: 0,
      stepsAdded: 0,
      rejected: [{ code: "bad" }],
      checkpoint: { step: first.checkpoint.step, epoch: first.checkpoint.epoch, round: 2 },
    });
    const [before, after] = [await place.bits(1), await place.bits(2)];
    for (const name of ["weights.safetensors", "optimizer.safetensors", "holdout.safetensors", "schema.json"])
      expect(after[name]).toBe(before[name]);
    expect(second.metrics["accuracy"]).toBe(first.metrics["accuracy"]);
  });
});
