/** What is different in a round that goes on from another: a new optimizer, another rate, another model, frozen layers. */
import { describe, expect, it } from "vitest";
import type { TrainerConfig } from "../protocol/trainer-config.ts";
import type { Checkpoint } from "../protocol/types.ts";
import { parseState, type State } from "./state.ts";
import {
  dense,
  FORGETFUL,
  INPUT,
  jsonl,
  moduleOf,
  Place,
  tableRows,
  type PlanInput,
  type Ran,
} from "./testing/rounds.ts";

const ADAM = { name: "adam", learningRate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-7 } as const;
/** 5 batches an epoch, the last not full. */
const TRAINER: Partial<TrainerConfig> = { epochs: 2, batchSize: 8, saveEverySteps: 1, optimizer: ADAM };
/** Leaves all weights but a 0 as they are, to the last bit. */
const STILL = { name: "sgd", learningRate: 1e-30, momentum: 0 } as const;

const small = (...names: string[]): string =>
  moduleOf(names.map((name, i) => dense(i === names.length - 1 ? "classes" : "3", name, i === 0 ? INPUT : "")).join());

interface Trained {
  readonly place: Place;
  readonly checkpoint: Checkpoint;
}

async function round1(input: PlanInput = {}): Promise<Trained> {
  const place = new Place();
  place.put("a.jsonl", jsonl(tableRows(0, 40)));
  const { checkpoint } = await place.train({ module: FORGETFUL, ...input, trainer: { ...TRAINER, ...input.trainer } });
  return { place, checkpoint };
}

async function planRound2({ place, checkpoint }: Trained, input: PlanInput = {}): Promise<void> {
  place.put("b.jsonl", jsonl(tableRows(40, 80)));
  const items = (await place.items.list("")).items.filter(({ key }) => key === "b.jsonl");
  const trainer = { ...TRAINER, ...input.trainer };
  await place.plan({ module: FORGETFUL, round: 2, parent: checkpoint, items, ...input, trainer });
}

async function round2(trained: Trained, input: PlanInput = {}): Promise<Ran> {
  await planRound2(trained, input);
  const ran = await trained.place.run({ round: 2 });
  expect(ran).toMatchObject({ exit: 0, message: "" });
  return ran;
}

async function stateOf(place: Place, manifest: string): Promise<State> {
  return parseState(new TextDecoder().decode(await place.file({ manifest }, "state.json")), manifest);
}

async function tensorsOf(place: Place, round: number, name?: string): Promise<Record<string, readonly number[]>> {
  const tensors = await place.tensors((await place.result(round)).checkpoint, name);
  return Object.fromEntries([...tensors].map(([of, { data }]) => [of, [...data]]));
}

describe("onRound", () => {
  const RESET = { onRound: { optimizer: "reset", learningRateScale: 0.25 } } as const;

  it("reset: slots and updates begin anew, steps and epochs go on; and that is said", async () => {
    const trained = await round1();
    const { said } = await round2(trained, { trainer: RESET });
    expect(said).toContain("the optimizer begins anew, as onRound says");
    const { checkpoint, stepsAdded } = await trained.place.result(2);
    const state = await stateOf(trained.place, checkpoint.manifest);
    expect(state).toMatchObject({ updates: stepsAdded, step: trained.checkpoint.step + stepsAdded, epoch: 4 });

    const kept = await round1();
    await round2(kept, { trainer: { onRound: { optimizer: "keep", learningRateScale: 0.25 } } });
    expect((await stateOf(kept.place, (await kept.place.result(2)).checkpoint.manifest)).updates).toBe(state.step);
    expect((await kept.place.bits(2))["weights.safetensors"]).not.toBe(
      (await trained.place.bits(2))["weights.safetensors"],
    );
  });

  it("does as a first round with the parent's weights would: nothing of the old slots is left", async () => {
    // the first step of Adam from empty slots is the rate in each weight that has a gradient
    const rate = 0.25 * ADAM.learningRate;
    const trained = await round1({ module: small("out") });
    await round2(trained, { module: small("out"), trainer: { ...RESET, schedule: { name: "constant" } } });
    const [first] = await trained.place.manifests(2);
    const [before, after] = [
      await trained.place.tensors(trained.checkpoint),
      await trained.place.tensors({ manifest: first! }),
    ];
    expect((await stateOf(trained.place, first!)).position.step).toBe(1);
    const moved = [...before.get("out/kernel")!.data].map((w, i) => Math.abs(w - after.get("out/kernel")!.data[i]!));
    for (const distance of moved) expect(distance).toBeCloseTo(rate, 6);
  });

  it("learningRateScale: times the configured rate in each round with a parent, not in the first, and does not add up", async () => {
    const rate = (scale: number): NonNullable<PlanInput["trainer"]> => ({
      optimizer: { name: "sgd", learningRate: 0.08 / scale, momentum: 0 },
      onRound: { optimizer: "keep", learningRateScale: scale },
    });
    const scaled = await round1({ trainer: rate(0.25) });
    const plain = await round1({
      trainer: { ...rate(1), optimizer: { name: "sgd", learningRate: 0.32, momentum: 0 } },
    });
    expect(await scaled.place.bits()).toEqual(await plain.place.bits());
    await round2(scaled, { trainer: rate(0.25) });
    await round2(plain, { trainer: rate(1) });
    const { "state.json": _, ...bits } = await scaled.place.bits(2);
    expect(await plain.place.bits(2)).toMatchObject(bits);
  });

  it("a stop after any step of the round, or after each, changes no bit", async () => {
    const undisturbed = await round1();
    await round2(undisturbed, { trainer: RESET });
    const bits = await undisturbed.place.bits(2);
    for (let at = 1; at <= 9; at += 4) {
      const disturbed = await round1();
      await planRound2(disturbed, { trainer: RESET });
      let asked = 0;
      expect((await disturbed.place.run({ round: 2, stopAsked: () => ++asked > at })).exit).toBe(75);
      const { said } = await disturbed.place.run({ round: 2, attempt: 2 });
      expect(said).toContainEqual(expect.stringContaining(`resumes at step ${at} of`));
      expect(said).not.toContain("the optimizer begins anew, as onRound says");
      expect(await disturbed.place.bits(2)).toEqual(bits);
    }
    const often = await round1();
    await planRound2(often, { trainer: RESET });
    for (let attempt = 1, exit = 75; exit === 75; attempt++) {
      let asked = 0;
      ({ exit } = await often.place.run({ round: 2, attempt, stopAsked: () => ++asked > 1 }));
    }
    expect(await often.place.bits(2)).toEqual(bits);
  });
});

describe("onModelChange", () => {
  const before = small("first", "out");
  const after = small("first", "more", "out");

  it("matching: weights of the same name and shape are taken over, and it is said once which are not", async () => {
    const trained = await round1({ module: before });
    const { said } = await round2(trained, {
      module: after,
      trainer: { onModelChange: "matching", optimizer: STILL },
    });
    expect(said.filter((line) => line.includes("does not fit"))).toEqual([
      "the model does not fit the checkpoint of round 1, 4 of 6 weights are taken over: it has more/kernel F32 [3, 3], there it is not there; it has more/bias F32 [3], there it is not there",
    ]);
    const [old, now] = [await tensorsOf(trained.place, 1), await tensorsOf(trained.place, 2)];
    expect(now).toMatchObject(old);
    expect(Object.keys(now)).toContain("more/kernel");
    expect((await trained.place.result(2)).checkpoint).toMatchObject({ epoch: 4, step: trained.checkpoint.step + 10 });
  });

  it("matching: the optimizer goes on if all its slots are there, and else begins anew", async () => {
    const grown = await round1({ module: before });
    expect((await round2(grown, { module: after, trainer: { onModelChange: "matching" } })).said).toContain(
      "the optimizer or what it trains was changed: it begins anew",
    );
    const shrunk = await round1({ module: after });
    await round2(shrunk, { module: before, trainer: { onModelChange: "matching" } });
    const { checkpoint } = await shrunk.place.result(2);
    expect((await stateOf(shrunk.place, checkpoint.manifest)).updates).toBe(checkpoint.step);
    // a slot of the same name but another shape is no slot
    const wider = await round1({ module: moduleOf(`${dense("4", "first", INPUT)}, ${dense("classes", "out")}`) });
    const { said } = await round2(wider, { module: before, trainer: { onModelChange: "matching" } });
    expect(said).toContain("the optimizer or what it trains was changed: it begins anew");
  });

  it("fresh: all weights begin anew as without a parent, slots too; and that is said once", async () => {
    const trained = await round1({ module: after });
    const { said } = await round2(trained, { module: before, trainer: { onModelChange: "fresh", optimizer: STILL } });
    expect(said.filter((line) => line.includes("does not fit"))).toEqual([
      "the model does not fit the checkpoint of round 1, all weights begin anew: there is more/kernel F32 [3, 3], which it lacks; there is more/bias F32 [3], which it lacks",
    ]);
    const alone = new Place(undefined, trained.place.dataFolder);
    const plan = { module: before, round: 2, trainer: { ...TRAINER, optimizer: STILL } };
    await alone.train(plan);
    // a bias begins at 0, where a step of 1e-30 shows
    const kernels = async (place: Place): Promise<object> =>
      Object.fromEntries(Object.entries(await tensorsOf(place, 2)).filter(([name]) => name.endsWith("/kernel")));
    expect(await kernels(trained.place)).toEqual(await kernels(alone));
    expect(Object.keys(await kernels(alone))).toHaveLength(2);
  });

  it.each(["matching", "fresh"] as const)("%s: changes nothing while the model fits", async (onModelChange) => {
    const [changing, failing] = [await round1(), await round1()];
    const { said } = await round2(changing, { trainer: { onModelChange } });
    expect(said.join("\n")).not.toMatch(/fit|anew/);
    await round2(failing);
    const { "state.json": _, ...bits } = await changing.place.bits(2);
    expect(await failing.place.bits(2)).toMatchObject(bits);
  });

  it("a resume of such a round changes no bit", async () => {
    const input = { module: after, trainer: { onModelChange: "matching" } } as const;
    const [undisturbed, disturbed] = [await round1({ module: before }), await round1({ module: before })];
    await round2(undisturbed, input);
    await planRound2(disturbed, input);
    let asked = 0;
    expect((await disturbed.place.run({ round: 2, stopAsked: () => ++asked > 3 })).exit).toBe(75);
    const { said } = await disturbed.place.run({ round: 2, attempt: 2 });
    expect(said.join("\n")).not.toMatch(/does not fit|anew/);
    expect(await disturbed.place.bits(2)).toEqual(await undisturbed.place.bits(2));
  });
});

it("a checkpoint of the round itself has to fit, whatever onModelChange says: a build() that changes is a mistake", async () => {
  const module = `export default { build: ({ tf, inputShape, classes }) =>
    tf.sequential({ layers: [tf.layers.dense({ units: classes, name: globalThis.accreteOther ?? "out", ${INPUT} })] }) };`;
  const trained = await round1({ module });
  await planRound2(trained, { module, trainer: { onModelChange: "matching" } });
  let asked = 0;
  expect((await trained.place.run({ round: 2, stopAsked: () => ++asked > 3 })).exit).toBe(75);
  Reflect.set(globalThis, "accreteOther", "other");
  try {
    const { exit, message } = await trained.place.run({ round: 2, attempt: 2 });
    expect(exit).toBe(78);
    expect(message).toContain("the model does not fit the checkpoint of round 2: it has other/kernel");
  } finally {
    Reflect.deleteProperty(globalThis, "accreteOther");
  }
});

describe("trainable", () => {
  const changed = async (trained: Trained): Promise<string[]> => {
    const [old, now] = [await tensorsOf(trained.place, 1), await tensorsOf(trained.place, 2)];
    return Object.keys(now).filter((name) => JSON.stringify(old[name]) !== JSON.stringify(now[name]));
  };

  it.each<[patterns: string[], names: string[]]>([
    [["out"], ["out/kernel", "out/bias"]],
    [
      ["o*", "*/beta"],
      ["norm/beta", "out/kernel", "out/bias"],
    ],
    [
      ["!norm", "!hid*", "!second/kernel"],
      ["second/bias", "out/kernel", "out/bias"],
    ],
    [
      ["!norm/gamma", "*"],
      [
        "hidden/kernel",
        "hidden/bias",
        "norm/beta",
        "second/kernel",
        "second/bias",
        "out/kernel",
        "out/bias",
        "norm/moving_mean",
        "norm/moving_variance",
      ],
    ],
  ])("%s: only those weights change, and no bit of the others; only they have slots", async (trainable, names) => {
    const trained = await round1();
    await round2(trained, { trainer: { trainable } });
    expect((await changed(trained)).sort()).toEqual([...names].sort());
    const slots = Object.keys(await tensorsOf(trained.place, 2, "optimizer.safetensors"));
    const expected = names
      .filter((name) => !name.includes("moving_"))
      .flatMap((name) => [`adam/m/${name}`, `adam/v/${name}`]);
    expect(slots.sort()).toEqual(expected.sort());
  });

  it("layers within a model or a wrapper are found by the names of both", async () => {
    const nested = `export default { build: ({ tf, inputShape, classes }) => {
      const inner = tf.sequential({ name: "encoder", layers: [${dense("4", "deep", INPUT)}, tf.layers.batchNormalization({ name: "deepNorm" })] });
      return tf.sequential({ layers: [inner, tf.layers.reshape({ targetShape: [4, 1], name: "steps" }),
        tf.layers.bidirectional({ layer: tf.layers.lstm({ units: 2, name: "recurrent" }), name: "both" }), ${dense("classes", "out")}] });
    } };`;
    const names = async (trainable: string[]): Promise<string[]> => {
      const trained = await round1({ module: nested });
      await round2(trained, { module: nested, trainer: { trainable } });
      return changed(trained);
    };
    expect(await names(["!encoder", "!both"])).toEqual(["out/kernel", "out/bias"]);
    const encoder = [
      "deep/kernel",
      "deep/bias",
      "deepNorm/gamma",
      "deepNorm/beta",
      "deepNorm/moving_mean",
      "deepNorm/moving_variance",
    ];
    expect((await names(["encoder"])).sort()).toEqual(encoder.sort());
    expect((await names(["*forward*"])).every((name) => name.includes("forward"))).toBe(true);
  });

  it("batch normalization that the module itself has frozen keeps its averages too, as in Keras", async () => {
    const module = moduleOf(`${dense("4", "hidden", INPUT)},
      tf.layers.batchNormalization({ name: "norm", trainable: false }), ${dense("classes", "out")}`);
    const trained = await round1({ module });
    await round2(trained, { module });
    expect(await changed(trained)).not.toContainEqual(expect.stringContaining("norm/"));
  });

  it("when it changes between rounds, the optimizer goes on if no slot is missing, and else begins anew", async () => {
    const fewer = await round1();
    expect((await round2(fewer, { trainer: { trainable: ["out"] } })).said.join("\n")).not.toContain("anew");
    const more = await round1({ trainer: { trainable: ["out"] } });
    expect((await round2(more)).said).toContain("the optimizer or what it trains was changed: it begins anew");
  });

  it("a stop in such a round changes no bit", async () => {
    const input = { trainer: { trainable: ["!norm"] } };
    const [undisturbed, disturbed] = [await round1(), await round1()];
    await round2(undisturbed, input);
    await planRound2(disturbed, input);
    let asked = 0;
    expect((await disturbed.place.run({ round: 2, stopAsked: () => ++asked > 3 })).exit).toBe(75);
    await disturbed.place.run({ round: 2, attempt: 2 });
    expect(await disturbed.place.bits(2)).toEqual(await undisturbed.place.bits(2));
  });

  it.each([
    [["dense_*"], '"dense_*" fits no layer and no weight: the layers with weights are hidden, norm, second, out'],
    [["out", "!no.m"], '"!no.m" fits no layer and no weight'],
    [["!*"], "nothing is left to train: the layers with weights are hidden, norm, second, out"],
    [["norm/moving_*"], "nothing is left to train"],
  ])("%s is refused, with the names that there are", async (trainable, why) => {
    const place = new Place();
    place.put("a.jsonl", jsonl(tableRows(0, 40)));
    await place.plan({ module: FORGETFUL, trainer: { trainable } });
    expect((await place.run()).exit).toBe(78);
    expect(await place.failure()).toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining(`trainer.trainable: ${why}`),
    });
  });
});
