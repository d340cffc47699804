/** What data.holdout, data.augment and data.normalise do to whole rounds. */
import { describe, expect, it } from "vitest";
import { parseState } from "./state.ts";
import { idxArray } from "./testing/reading.ts";
import { csv, dense, moduleOf, Place, type PlanInput } from "./testing/rounds.ts";

const NETWORK = moduleOf(
  `tf.layers.flatten({ inputShape: [...inputShape], name: "flat" }), tf.layers.dropout({ rate: 0.2, name: "drop" }), ${dense("classes", "out")}`,
);

/** Asked once before the first step, and then after each. */
function afterAStep(): () => boolean {
  let asked = 0;
  return () => asked++ > 0;
}

function pictures(count: number): Buffer {
  const values = Array.from({ length: count * 36 }, (_, i) => (i * 7_919) % 256);
  const labels = Array.from({ length: count }, (_, i) => i % 3);
  return Buffer.concat([idxArray("u8", [count, 6, 6], values), idxArray("u8", [count], labels)]);
}

describe("augmentation", () => {
  const input: PlanInput = {
    module: NETWORK,
    data: { format: "idx", augment: { flip: "horizontal", shift: 1, crop: 0.2 } },
    trainer: { epochs: 3, batchSize: 16 },
  };

  it("changes what is trained on, and not what is measured; a stop after each step changes no bit", async () => {
    const [plain, changed, stopped] = [new Place(), new Place(), new Place()];
    for (const place of [plain, changed, stopped]) place.put("a.idx", pictures(50));
    await plain.train({ ...input, data: { format: "idx" } });
    await changed.train(input);
    await stopped.plan(input);
    let runs = 0;
    for (let exit = 75; exit === 75; runs++) ({ exit } = await stopped.run({ stopAsked: afterAStep() }));
    expect(runs).toBeGreaterThan(8);
    expect(await stopped.bits()).toEqual(await changed.bits());
    const [a, b] = [await plain.bits(), await changed.bits()];
    expect(b["weights.safetensors"]).not.toBe(a["weights.safetensors"]);
    expect(b["holdout.safetensors"]).toBe(a["holdout.safetensors"]);
  });

  it("of what is no image can't go on, and says why", async () => {
    const place = new Place();
    const flat = Array.from({ length: 40 }, (_, i) => i);
    place.put("a.idx", Buffer.concat([idxArray("u8", [10, 4], flat), idxArray("u8", [10], flat.slice(0, 10))]));
    await place.plan(input);
    expect(await place.run()).toMatchObject({ exit: 78, message: expect.stringContaining("a record is [4]") });
  });
});

describe("a holdout of a prefix", () => {
  it("is never trained on, also when the same records come again elsewhere; a resume changes no bit", async () => {
    const rounds = async (run: (place: Place, round: number) => Promise<void>): Promise<Place> => {
      const place = new Place();
      place.put("train/a.csv", csv(0, 40));
      place.put("test/a.csv", csv(40, 60));
      const input: PlanInput = { data: { format: "csv", holdout: { by: "prefix", prefix: "test/" } } };
      await place.plan(input);
      await run(place, 1);
      const { checkpoint } = await place.result();
      const first = (await place.items.list("")).items;
      place.put("train/b.csv", csv(50, 80)); // ten of them are in the holdout
      const all = (await place.items.list("")).items;
      const items = all.filter(({ key }) => !first.some((known) => known.key === key));
      await place.plan({ ...input, round: 2, parent: checkpoint, items });
      await run(place, 2);
      return place;
    };
    const straight = await rounds(async (place, round) => void expect((await place.run({ round })).exit).toBe(0));
    const stopped = await rounds(async (place, round) => {
      for (let exit = 75; exit === 75;) ({ exit } = await place.run({ round, stopAsked: afterAStep() }));
    });
    const { metrics: first } = await straight.result(1);
    const { metrics: second } = await straight.result(2);
    expect(first).toMatchObject({ trainRecords: 40, holdoutRecords: 20 });
    expect(second).toMatchObject({ trainRecords: 20, holdoutRecords: 30 });
    for (const round of [1, 2]) expect(await stopped.bits(round)).toEqual(await straight.bits(round));
  });
});

describe("statistics of columns", () => {
  it.each([
    [10, { count: 10, frozen: true }],
    ["always", { count: 40, frozen: false }],
    ["none", null],
  ] as const)("with data.normalise: %s", async (normalise, expected) => {
    const place = new Place();
    place.put("a.csv", csv(0, 40));
    const { checkpoint } = await place.train({ data: { format: "csv", holdout: 0, normalise } });
    const state = parseState(new TextDecoder().decode(await place.file(checkpoint, "state.json")), "it");
    if (expected === null) expect(state.normalisation).toBeNull();
    else expect(state.normalisation).toMatchObject(expected);
  });
});
