/** Checkpoints that are written while steps go on: by a thread, or on this one between the steps. */
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { openDirectoryStore } from "../adapters/directory-store.ts";
import { MANIFEST } from "../protocol/keys.ts";
import { Flow, TensorQueue, writeHere, type TensorToSave } from "./checkpoint-writer.ts";
import { isFiniteAll, type SaveJob } from "./save-job.ts";
import { SaveThread } from "./save-thread.ts";
import { csv, newFolder, Place } from "./testing/rounds.ts";

const KERNEL = Float32Array.of(1, -2.5, 3e-40, -0);

function jobOf(run: string, part: Partial<SaveJob> = {}): SaveJob {
  const digest = "0".repeat(64);
  return {
    about: {
      round: 1,
      plan: digest,
      code: digest,
      parent: null,
      attempt: "1.1",
      run,
      step: 7,
      epoch: 1,
      environment: {},
    },
    texts: [{ name: "state.json", text: "{}\n" }],
    tensorFiles: [
      {
        name: "weights.safetensors",
        tensors: [
          { name: "out/kernel", dtype: "F32", shape: [2, 2] },
          { name: "out/bias", dtype: "F32", shape: [1] },
        ],
        finite: true,
      },
    ],
    unchanged: [],
    before: new Map(),
    after: "step 7 of the round",
    ...part,
  };
}

const tensors = (...arrays: Float32Array[]): TensorToSave[] =>
  arrays.map((data) => ({ data: data.slice(), own: true }));

const threads: SaveThread[] = [];
afterEach(async () => {
  for (const thread of threads.splice(0)) await thread.close();
});
function threadOn(state: string): { thread: SaveThread; folder: string } {
  const folder = join(newFolder(), "save");
  const thread = new SaveThread({ state: { url: pathToFileURL(state).href }, folder });
  threads.push(thread);
  return { thread, folder };
}

const newest = async (place: Place): Promise<Record<string, string>> => {
  const { files } = await place.manifest((await place.manifests()).at(-1)!);
  return Object.fromEntries(files.map((file) => [file.name, file.sha256]));
};

describe("the thread that writes checkpoints", () => {
  it("writes what this thread writes, moves what is only its, and leaves no file of its own", async () => {
    const [there, here] = [newFolder(), newFolder()];
    const { thread, folder } = threadOn(there);
    const moved = tensors(KERNEL, Float32Array.of(9));
    const { taken, written } = thread.write(jobOf("a"), moved);
    await taken;
    expect(moved[0]!.data.length).toBe(0);
    const { checkpoint, saved } = await written;
    const place = new Place(openDirectoryStore(there));
    expect((await place.tensors(checkpoint)).get("out/kernel")?.data).toEqual(KERNEL);
    const store = openDirectoryStore(here);
    await writeHere(store, newFolder()).write(jobOf("a"), tensors(KERNEL, Float32Array.of(9))).written;
    expect(await newest(new Place(store))).toEqual(await newest(place));
    expect(readdirSync(folder)).toEqual([]);
    expect(thread.requests.writes).toBe(3);

    const again = jobOf("b", { before: saved, unchanged: ["weights.safetensors"], tensorFiles: [] });
    const second = (await thread.write(again, []).written).checkpoint;
    expect((await place.tensors(second)).get("out/bias")?.data).toEqual(Float32Array.of(9));
  });

  it.each([NaN, Infinity, -Infinity])("keeps %d out of the store", async (broken) => {
    const state = newFolder();
    const { thread } = threadOn(state);
    const { written } = thread.write(jobOf("a"), tensors(KERNEL, Float32Array.of(broken)));
    await expect(written).rejects.toMatchObject({
      code: "LOSS_NOT_FINITE",
      message: "out/bias is not finite after step 7 of the round",
    });
    expect(await new Place(openDirectoryStore(state)).keys()).toEqual([]);
  });

  it("says what went wrong with its code", async () => {
    const notAFolder = join(newFolder(), "state");
    writeFileSync(notAFolder, "a file");
    const { thread } = threadOn(notAFolder);
    const { written } = thread.write(jobOf("a"), tensors(KERNEL, Float32Array.of(1)));
    await expect(written).rejects.toMatchObject({ code: "STORE_UNREADABLE" });
  });

  it("that ends in the middle fails the save", async () => {
    const { thread } = threadOn(newFolder());
    const { written } = thread.write(jobOf("a"), tensors(KERNEL)); // one tensor is missing: it waits
    await Promise.all([
      expect(written).rejects.toThrow("the thread that writes checkpoints has ended"),
      thread.close(),
    ]);
  });
});

describe("a state that is too large to be there twice", () => {
  const large = jobOf("a", {
    tensorFiles: [
      {
        name: "w",
        finite: true,
        tensors: [0, 1, 2, 3].map((i) => ({ name: `w${i}`, dtype: "F32", shape: [2 ** 27] })),
      },
    ],
  });

  it("is read no faster than it is written", async () => {
    const flow = new Flow(large);
    const queue = new TensorQueue((bytes) => flow.release(bytes));
    let read = 0;
    function* parts(): Generator<TensorToSave> {
      while (read++ < 4) yield { data: new Float32Array(2 ** 23 + 1), own: true }; // a little more than 32 MiB
    }
    let done = false;
    const written = Promise.withResolvers<never>();
    const { taken } = flow.writing(parts(), ({ data }) => queue.push(data), written.promise);
    void taken.then(() => (done = true));
    // what is being written counts, until the next one is asked for
    for (const expected of [2, 2, 3]) {
      await new Promise((resolve) => setImmediate(resolve));
      expect([read, done]).toEqual([expected, false]);
      await queue.next();
    }
    await taken;
    expect(read).toBe(4);
  });

  it("is read no further once the save has failed", async () => {
    const flow = new Flow(large);
    const written = Promise.withResolvers<never>();
    const part = (): TensorToSave => ({ data: new Float32Array(2 ** 25), own: true });
    const sent: TensorToSave[] = [];
    const { taken } = flow.writing([part(), part(), part()], (one) => sent.push(one), written.promise);
    written.reject(new Error("no space"));
    await taken;
    expect(sent).toHaveLength(1);
  });
});

it("a number is finite unless its exponent is all ones", () => {
  expect(isFiniteAll(Float32Array.of(0, -0, 3.4e38, -3.4e38, 1e-45))).toBe(true);
  for (const broken of [NaN, -NaN, Infinity, -Infinity]) {
    expect(isFiniteAll(Float32Array.of(1, broken))).toBe(false);
    expect(isFiniteAll(Float64Array.of(1, broken))).toBe(false);
  }
  expect(isFiniteAll(Int32Array.of(-1))).toBe(true);
});

describe("while a checkpoint is being written", () => {
  async function placeWith(saveEverySteps: number): Promise<Place> {
    const place = new Place();
    place.put("a.csv", csv(0, 80));
    await place.plan({ data: { format: "csv", holdout: 0 }, trainer: { epochs: 1, batchSize: 8, saveEverySteps } });
    return place;
  }
  const at = async (place: Place): Promise<number[]> =>
    (await place.manifests()).map((key) => Number(/(\d{10})-/.exec(key)![1]));

  it("steps go on, until the next one is due", async () => {
    const place = await placeWith(3);
    let steps = 0;
    const { promise: twoMore, resolve } = Promise.withResolvers<void>();
    const store = {
      ...bound(place),
      createFromFile: async (...args: Parameters<Place["store"]["createFromFile"]>) => {
        await twoMore; // for ever, if no step came after the third
        return place.store.createFromFile(...args);
      },
    };
    const stopAsked = (): boolean => {
      if (++steps === 5) resolve();
      return false;
    };
    expect((await place.run({ store, stopAsked })).exit).toBe(0);
    expect(await at(place)).toEqual([3, 6, 9, 10]);
  });

  it("a stop waits for it, and for the one of this very moment", async () => {
    const place = await placeWith(3);
    let steps = 0;
    const { exit, said } = await place.run({ stopAsked: () => ++steps > 5 });
    expect([exit, said.at(-1)]).toEqual([75, "saved at step 5 of 10: asked to stop"]);
    expect(await at(place)).toEqual([3, 5]);
  });

  it("its failure ends the run soon, and leaves no checkpoint", async () => {
    const place = await placeWith(2);
    let steps = 0;
    const store = {
      ...bound(place),
      createFromFile: async () => {
        throw new Error("the disk is gone");
      },
    };
    const { message } = await place.run({ store, stopAsked: () => (steps++, false) });
    expect(message).toBe("the disk is gone");
    expect(steps).toBeLessThan(6);
    expect((await place.keys()).filter((key) => key.endsWith(MANIFEST))).toEqual([]);
  });
});

function bound({ store }: Place): Place["store"] {
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
