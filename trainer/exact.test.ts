/** The same bits whatever happens on the way: kills, signals, a store that fails. The trainer's process is the real one. */
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { openDirectoryStore } from "../adapters/directory-store.ts";
import { MANIFEST } from "../protocol/keys.ts";
import { failingStore } from "./testing/failing-store.ts";
import { WITH_NATIVE, WITHOUT_NATIVE } from "./testing/backends.ts";
import { endOf, startTrainer, type TrainerProcess } from "./testing/process.ts";
import { csv, FORGETFUL, jsonl, newFolder, Place, tableRows, type PlanInput } from "./testing/rounds.ts";
import type { LoadOptions } from "./tf.ts";

type OptimizerConfig = NonNullable<NonNullable<PlanInput["trainer"]>["optimizer"]>;

const OPTIMIZERS: Record<string, OptimizerConfig> = {
  sgd: { name: "sgd", learningRate: 0.05, momentum: 0 },
  "sgd with momentum": { name: "sgd", learningRate: 0.02, momentum: 0.9 },
  adam: { name: "adam", learningRate: 0.01, beta1: 0.9, beta2: 0.999, epsilon: 1e-7 },
};

const FILES = [
  "holdout.safetensors",
  "metrics.jsonl",
  "optimizer.safetensors",
  "schema.json",
  "state.json",
  "weights.safetensors",
];

/** A short round: 2 epochs of 5 batches, the last of them not full. */
const short = (optimizer: OptimizerConfig): PlanInput => ({
  module: FORGETFUL,
  trainer: { epochs: 2, batchSize: 16, saveEverySteps: 2, optimizer },
});

async function shortPlace(optimizer: OptimizerConfig, more: PlanInput = {}): Promise<Place> {
  const place = new Place();
  place.put("a.jsonl", jsonl(tableRows(0, 45)));
  place.put("b.jsonl", jsonl(tableRows(45, 80)));
  await place.plan({ ...short(optimizer), ...more });
  return place;
}

const BACKENDS = { wasm: WITHOUT_NATIVE, native: WITH_NATIVE };
const MATRIX = Object.entries(BACKENDS).flatMap(([on, backend]) =>
  Object.entries(OPTIMIZERS).map(([name, optimizer]) => ({ on, backend, name, optimizer })),
);

describe.each(MATRIX)("with $name on $on", ({ on, backend, name, optimizer }) => {
  it.skipIf(!backend)("a stop after any step, or after each, changes no bit", async () => {
    const undisturbed = await shortPlace(optimizer);
    const { said } = await undisturbed.run({ backend });
    if (on === "native") expect(said.join("\n")).toContain("backend native, one graph");
    const bits = await undisturbed.bits();
    expect(Object.keys(bits).sort()).toEqual(["at", "metrics", ...FILES].sort());
    const steps = (await undisturbed.result()).checkpoint.step;
    expect(steps).toBe(10);

    // a graph is made anew in each run, which takes a while: on native after a full batch, before and after the one that is not
    for (const at of on === "native" ? [1, 4, 5] : Array.from({ length: steps }, (_, i) => i + 1)) {
      const place = await shortPlace(optimizer);
      let asked = 0; // the first question comes before there is anything to save
      expect((await place.run({ backend, stopAsked: () => ++asked > at })).exit).toBe(75);
      expect((await place.run({ backend, attempt: 2 })).said).toContain(`round 1: resumes at step ${at} of ${steps}`);
      expect(await place.bits()).toEqual(bits);
    }

    if (on === "native" && name !== "adam") return;
    const often = await shortPlace(optimizer);
    for (let attempt = 1; attempt <= steps; attempt++) {
      let asked = 0;
      expect((await often.run({ backend, attempt, stopAsked: () => ++asked > 1 })).exit).toBe(75);
    }
    expect((await often.run({ backend, attempt: steps + 1 })).exit).toBe(0);
    expect(await often.bits()).toEqual(bits);
  });
});

it("a store that fails at any call, before or after it took effect, changes no bit", async () => {
  const optimizer = OPTIMIZERS["adam"]!;
  const plan: PlanInput = { ...short(optimizer), trainer: { epochs: 1, batchSize: 16, saveEverySteps: 3, optimizer } };
  const undisturbed = await shortPlace(optimizer, plan);
  const counted = failingStore(undisturbed.store, Infinity, "before");
  await undisturbed.run({ store: counted.store });
  const bits = await undisturbed.bits();
  expect(counted.calls()).toBeGreaterThan(20);
  for (let call = 1; call <= counted.calls(); call++) {
    const place = await shortPlace(optimizer, plan);
    const { store } = failingStore(place.store, call, call % 2 === 0 ? "before" : "after");
    expect((await place.run({ store })).message).toBe("the power is cut");
    expect((await place.run({ attempt: 2 })).exit).toBe(0);
    expect(await place.bits()).toEqual(bits);
  }
});

it("another seed, another order of the data or one record more gives other weights", async () => {
  const optimizer = OPTIMIZERS["adam"]!;
  const first = await shortPlace(optimizer);
  await first.run();
  const again = await shortPlace(optimizer);
  await again.run();
  const { trainer } = short(optimizer);
  const reseeded = await shortPlace(optimizer, { trainer: { ...trainer, seed: 2 } });
  await reseeded.run();
  const swapped = new Place();
  swapped.put("b.jsonl", jsonl(tableRows(0, 45)));
  swapped.put("a.jsonl", jsonl(tableRows(45, 80)));
  await swapped.train(short(optimizer));
  const more = new Place();
  more.put("a.jsonl", jsonl(tableRows(0, 45)));
  more.put("b.jsonl", jsonl(tableRows(45, 81)));
  await more.train(short(optimizer));
  const weights = await Promise.all(
    [first, again, reseeded, swapped, more].map(async (place) => (await place.bits())["weights.safetensors"]!),
  );
  expect(weights[1]).toBe(weights[0]);
  expect(new Set(weights).size).toBe(4);
});

/** Of a process on a directory: 6 batches, the last not full, times 8, saved at every fourth step as well. */
const long = (optimizer: OptimizerConfig): PlanInput => ({
  module: FORGETFUL,
  data: { format: "csv" },
  trainer: { epochs: 8, batchSize: 16, saveEverySteps: 4, optimizer },
});

interface Disk {
  readonly place: Place;
  readonly stateFolder: string;
}

function newDisk(): Disk {
  const stateFolder = newFolder();
  const place = new Place(openDirectoryStore(stateFolder));
  place.put("a.csv", csv(0, 60));
  place.put("b.csv", csv(60, 100));
  return { place, stateFolder };
}

const compiled = newFolder(); // many short processes: each has the others' compiled code

const start = (disk: Disk, round: number, attempt: number, backend: LoadOptions = WITHOUT_NATIVE): TrainerProcess =>
  startTrainer({
    stateFolder: disk.stateFolder,
    dataFolder: disk.place.dataFolder,
    scratch: newFolder(),
    round,
    attempt,
    env: {
      NODE_COMPILE_CACHE: compiled,
      // as the undisturbed run within this process
      ACCRETE_BACKEND: backend.addon === null ? "wasm" : "native",
      ACCRETE_THREADS: String(backend.threads),
    },
  });

/** Waits until a checkpoint with at least that many steps is there. */
async function savedAtLeast({ place }: Disk, round: number, step: number): Promise<void> {
  while (!(await place.manifests(round)).some((key) => Number(/(\d{10})-\w+\/[^/]+$/.exec(key)![1]) >= step)) {
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 2 ** 31));

/** kill -9 at moments drawn from the seed, at most so often; then it may end. */
async function trainWithKills(
  disk: Disk,
  round: number,
  kills: number,
  backend: LoadOptions,
): Promise<{ killed: number; resumed: number }> {
  let state = seed;
  const drawn = (): number => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 1) / 2 ** 31;
  let [killed, resumed] = [0, 0];
  for (let attempt = 1; ; attempt++) {
    const { child, output, training } = start(disk, round, attempt, backend);
    if (attempt <= kills) {
      await training;
      if (killed === 0) await Promise.race([savedAtLeast(disk, round, 1), once(child, "close")]);
      await pause(drawn() * 50);
      child.kill("SIGKILL");
    }
    const exit = await endOf(child);
    if (/resumes at/.test(output())) resumed++;
    if (exit === 0) return { killed, resumed };
    if (exit !== null) throw new Error(`exit ${exit}: ${output()}`);
    killed++;
  }
}

describe.concurrent("the trainer's process", () => {
  it.each(MATRIX.filter(({ on, name, backend }) => backend !== undefined && (on !== "native" || name === "adam")))(
    `killed with SIGKILL at random moments (SEED=${seed}), gives the bits of an undisturbed run: $name on $on`,
    async ({ backend, optimizer }) => {
      const undisturbed = newDisk();
      await undisturbed.place.plan(long(optimizer));
      const whole = start(undisturbed, 1, 1, backend); // the backend is one for all of a process
      expect(await endOf(whole.child), whole.output()).toBe(0);
      const result = await undisturbed.place.result();
      const bits = await undisturbed.place.bits();
      expect(result).toMatchObject({ epochsAdded: 8, stepsAdded: 48, rejected: [] });

      let [disk, told] = [newDisk(), { killed: 0, resumed: 0 }];
      for (let tries = 0; told.killed === 0 && tries < 5; tries++) {
        disk = newDisk(); // on a busy machine the process may have ended before it was killed
        await disk.place.plan(long(optimizer));
        told = await trainWithKills(disk, 1, 2, backend!);
      }
      expect(told.killed).toBeGreaterThan(0);
      expect(told.resumed).toBeGreaterThan(0);
      expect(await disk.place.bits()).toEqual(bits);
      expect((await disk.place.keys()).filter((key) => key.includes(".failure"))).toEqual([]);
    },
  );

  it("asked to stop by SIGTERM, saves, exits 75 and goes on to the same bits; also in a round on top of another", async () => {
    const optimizer = OPTIMIZERS["adam"]!;
    const [undisturbed, disk] = [newDisk(), newDisk()];
    for (const { place } of [undisturbed, disk]) await place.train(long(optimizer));
    for (const { place } of [undisturbed, disk]) {
      const { checkpoint } = await place.result(1);
      place.put("c.csv", csv(100, 170));
      const items = (await place.items.list("")).items.filter(({ key }) => key === "c.csv");
      await place.plan({ ...long(optimizer), round: 2, parent: { ...checkpoint }, live: checkpoint, items });
    }
    expect((await undisturbed.place.run({ round: 2 })).exit).toBe(0);

    const first = start(disk, 2, 1);
    await savedAtLeast(disk, 2, 48 + 8);
    first.child.kill("SIGTERM");
    expect(await endOf(first.child)).toBe(75);
    expect(first.output()).toMatch(/saved at step \d+ of 40: asked to stop/);
    const second = start(disk, 2, 2);
    expect(await endOf(second.child)).toBe(0);
    expect(second.output()).toMatch(/round 2: resumes at step \d+ of 40/);

    const [bits, expected] = [await disk.place.bits(2), await undisturbed.place.bits(2)];
    const { "weights.safetensors": before } = await disk.place.bits(1);
    expect(bits).toEqual(expected);
    expect(bits["weights.safetensors"]).not.toBe(before);
    const metrics = Object.keys((await disk.place.result(2)).metrics);
    expect(metrics).toEqual(expect.arrayContaining(["accuracy.round1", "accuracy.round2"]));
  });
});

it("names each file of the undisturbed checkpoint, and a manifest last", async () => {
  const place = await shortPlace(OPTIMIZERS["adam"]!);
  await place.run();
  const { checkpoint } = await place.result();
  const folder = checkpoint.manifest.slice(0, -MANIFEST.length);
  expect((await place.keys(folder)).map((key) => key.slice(folder.length)).sort()).toEqual([MANIFEST, ...FILES].sort());
});
