/** Whole rounds on records that have more than one class, weights or token ids, as they are packed. */
import { describe, expect, it } from "vitest";
import { WITH_NATIVE, WITHOUT_NATIVE } from "./testing/backends.ts";
import { dense, FORGETFUL, jsonl, LINEAR, moduleOf, Place, type PlanInput } from "./testing/rounds.ts";

/** Each of three classes follows from one number: 0 to 3 of them. */
function several(count: number): { a: number; b: number; label: string[] }[] {
  return Array.from({ length: count }, (_, i) => {
    const [a, b] = [((i * 37) % 101) / 50 - 1, ((i * 53) % 97) / 48 - 1];
    return { a, b, label: [a > 0 ? "right" : "", b > 0 ? "up" : "", a + b > 0 ? "far" : ""].filter((name) => name) };
  });
}

describe.each([
  ["without TensorFlow's library", WITHOUT_NATIVE],
  ["with TensorFlow's library", WITH_NATIVE],
])("records of several classes %s", (_, backend) => {
  const trainer: PlanInput["trainer"] = {
    epochs: 5,
    batchSize: 12,
    accumulate: 2,
    optimizer: { name: "adam", learningRate: 0.05 },
    classWeights: "balanced",
    earlyStopping: { patience: 2 },
  };
  const list: PlanInput = {
    module: FORGETFUL,
    data: { format: "jsonl", task: "multi-label", holdout: 0.2 },
    trainer,
  };
  const newPlace = async (): Promise<Place> => {
    const place = new Place();
    place.put("a.jsonl", jsonl(several(90)));
    place.put("b.jsonl", jsonl(several(150).slice(90)));
    await place.plan(list);
    return place;
  };

  it.skipIf(backend === undefined)("are learned and measured; a stop after each step changes no bit", async () => {
    const straight = await newPlace();
    expect(await straight.run({ backend })).toMatchObject({ exit: 0, message: "" });
    const { metrics } = await straight.result();
    expect(metrics["f1"]).toBeGreaterThan(0.7);
    expect(metrics["f1Micro"]).toBeGreaterThan(0.7);
    expect(metrics["holdoutRecords"]! + metrics["trainRecords"]!).toBe(150);
    expect(
      (await straight.tensors((await straight.result()).checkpoint, "holdout.safetensors")).get("labels"),
    ).toMatchObject({
      dtype: "F32",
      shape: [metrics["holdoutRecords"], 3],
    });
    const stopped = await newPlace();
    let [exit, runs] = [75, 0];
    for (; exit === 75; runs++) {
      let asked = 0;
      ({ exit } = await stopped.run({ backend, stopAsked: () => asked++ > 0 }));
    }
    expect([exit, runs > 8]).toEqual([0, true]);
    expect(await stopped.bits()).toEqual(await straight.bits());
  });

  it.skipIf(backend === undefined)("are the same from a column with a separator, and in the next round", async () => {
    const csv = new Place();
    const lines = (from: number, to: number): string =>
      `a,b,label\n${several(to).slice(from).map(({ a, b, label }) => `${a},${b},${label.join(";")}\n`).join("")}`; // prettier-ignore
    csv.put("a.csv", lines(0, 90));
    csv.put("b.csv", lines(90, 150));
    const input: PlanInput = { ...list, data: { ...list.data, format: "csv", labelSeparator: ";" } };
    await csv.plan(input);
    expect(await csv.run({ backend })).toMatchObject({ exit: 0, message: "" });
    const lists = await newPlace();
    expect(await lists.run({ backend })).toMatchObject({ exit: 0, message: "" });
    const [a, b] = [await csv.bits(), await lists.bits()];
    for (const name of ["weights.safetensors", "holdout.safetensors", "schema.json", "metrics"])
      expect([name, a[name]]).toEqual([name, b[name]]);

    const { checkpoint } = await csv.result();
    csv.remove("a.csv"); // what is left came before: its holdout stays what it is, and comes once more
    await csv.plan({ ...input, round: 2, parent: checkpoint, data: { ...input.data, holdout: 0 } });
    expect(await csv.run({ round: 2, backend })).toMatchObject({ exit: 0, message: "" });
    const { metrics } = await csv.result(2);
    const rounds = (await csv.tensors((await csv.result(2)).checkpoint, "holdout.safetensors")).get("rounds")!.data;
    expect(metrics["trainRecords"]).toBe(60 - [...rounds].filter((round) => round === 2).length);
    expect([...rounds]).toContain(2);
  });
});

describe("weights of records", () => {
  const rows = Array.from({ length: 30 }, (_, i) => ({
    x: (i % 11) / 5 - 1,
    z: (i % 7) / 3 - 1,
    label: i % 3 === 0 ? "a" : "b",
  }));
  const weights = rows.map((_, i) => (i % 4 === 0 ? 0 : (i % 3) + 1));
  // all of a round's records are one batch, so that their order does not matter
  const input = (data: PlanInput["data"], more: PlanInput["trainer"] = {}): PlanInput => ({
    module: LINEAR,
    data: { format: "jsonl", holdout: 0, normalise: "none", ...data },
    trainer: { epochs: 5, batchSize: 100, optimizer: { name: "sgd", learningRate: 0.5 }, ...more },
  });
  async function trained(body: readonly object[], plan: PlanInput): Promise<Float32Array> {
    const place = new Place();
    place.put("a.jsonl", jsonl(body));
    const { checkpoint } = await place.train(plan);
    const all = [...(await place.tensors(checkpoint)).values()];
    return Float32Array.from(all.flatMap(({ data }) => [...data]));
  }
  const near = (values: Float32Array): unknown[] => [...values].map((value) => expect.closeTo(value, 5) as unknown);
  const column = rows.map((row, i) => ({ ...row, w: weights[i] }));
  const repeated = rows.flatMap((row, i) => Array.from({ length: weights[i]! }, () => row));

  it("count as if the record came so often", async () => {
    const weighted = await trained(column, input({ weight: "w" }));
    expect([...weighted]).toEqual(near(await trained(repeated, input({}))));
    expect([...weighted]).not.toEqual(near(await trained(rows, input({}))));
  });

  it("also with weights of classes, and with accumulated batches", async () => {
    const more = { classWeights: { a: 4 }, batchSize: 7, accumulate: 15 };
    const weighted = await trained(column, input({ weight: "w" }, more));
    expect([...weighted]).toEqual(near(await trained(repeated, input({}, { ...more, batchSize: 100, accumulate: 1 }))));
  });

  it("of several classes count for each of them", async () => {
    const labelled = several(30);
    const data: PlanInput["data"] = { task: "multi-label", labels: ["far", "right", "up"] };
    const weighted = await trained(
      labelled.map((row, i) => ({ ...row, w: weights[i] })),
      input({ ...data, weight: "w" }),
    );
    const often = labelled.flatMap((row, i) => Array.from({ length: weights[i]! }, () => row));
    expect([...weighted]).toEqual(near(await trained(often, input(data))));
  });
});

it("text that is more than data.memory is trained on from the disk, to the same bits", async () => {
  const [tokens, records] = [2_048, 130]; // 1.1 MB
  const module = moduleOf(`
    tf.layers.embedding({ inputDim: 30, outputDim: 1, inputLength: inputShape[0], name: "words" }),
    tf.layers.globalAveragePooling1d({ name: "mean" }),
    ${dense("classes", "out")}`);
  const body = Array.from({ length: records }, (_, i) => `${i % 2 === 0 ? "even" : "odd"}\tword${i % 20} word${i % 3}`);
  const bits: Record<string, string>[] = [];
  for (const memory of [1_048_576, 1_073_741_824]) {
    const place = new Place();
    place.put("a.txt", body.join("\n"));
    const data = { format: "text", holdout: 0, tokens, vocabulary: 30, memory } as const;
    await place.train({ module, data, trainer: { epochs: 1, batchSize: 70 } });
    bits.push(await place.bits());
  }
  expect(4 * (tokens + 2) * records).toBeGreaterThan(1_048_576);
  expect(bits[0]).toEqual(bits[1]);
});
