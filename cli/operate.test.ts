/** The operator's commands as a user types them: real processes, real files, the real trainer. */
import { cp, mkdir, mkdtemp, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openDirectoryStore } from "../adapters/directory-store.ts";
import { readDocument, readHead } from "../ledger/read.ts";
import { ADVICE } from "../protocol/errors.ts";
import { documentBytes } from "../protocol/types.ts";
import { learn } from "../test/fake-history.ts";
import { fakeItem, fakePipeline } from "../test/fake-trainer.ts";
import { initWorkspace, runCli, type CliResult } from "../test/run-cli.ts";
import { sampleCsv } from "./sample.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "accrete-operate-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Throws at a record that is far from all others. */
const MODEL = `import { defineModel } from "@accrete/pipeline";
export default defineModel({
  build({ tf, inputShape, classes, seed }) {
    class Careful extends tf.layers.Layer {
      static className = "Careful";
      call(inputs) {
        const x = Array.isArray(inputs) ? inputs[0] : inputs;
        if (tf.max(tf.abs(x)).dataSync()[0] > 6) process.kill(process.pid, "SIGKILL"); // what it throws would be told
        return x;
      }
    }
    return tf.sequential({
      layers: [
        new Careful({ inputShape: [...inputShape], name: "careful" }),
        tf.layers.dense({ units: classes, name: "out", kernelInitializer: tf.initializers.glorotUniform({ seed }) }),
      ],
    });
  },
});
`;

const ROWS = 40;
const data = (dir: string, name: string): string => join(dir, ".accrete", "data", "flowers", name);
const state = (dir: string, key: string): string => join(dir, ".accrete", "state", "flowers", key);
async function put(dir: string, name: string, body: string): Promise<void> {
  await mkdir(join(dir, ".accrete", "data", "flowers"), { recursive: true });
  await writeFile(data(dir, name), body);
  // settled: what is put together is learned together
  const past = new Date(Date.now() - 60_000);
  await utimes(data(dir, name), past, past);
}
async function json<T>(dir: string, ...args: string[]): Promise<T> {
  const { out, err } = await runCli(dir, [...args, "--json"]);
  try {
    return JSON.parse(out) as T;
  } catch {
    throw new Error(`accrete ${args.join(" ")}: ${out}${err}`);
  }
}
/** Whether all that is there is learned by now. */
async function up(dir: string): Promise<CliResult> {
  return runCli(dir, ["up", "--once"]);
}
async function done(dir: string, ...args: string[]): Promise<string> {
  const { code, out, err } = await runCli(dir, args);
  expect({ args, code, err }).toEqual({ args, code: 0, err: "" });
  return out;
}
const entries = async (dir: string): Promise<number> => (await json<unknown[]>(dir, "log")).length;
const whereIs = async (dir: string, name: string): Promise<unknown> =>
  (await json<{ now: unknown }[]>(dir, "why", `flowers/${name}`)).at(-1)!.now;

/** Digest of the head's weights, as its manifest names it. */
async function weightsOf(dir: string): Promise<string> {
  const { checkpoint } = await json<{ checkpoint: { manifest: string } }>(dir, "status");
  const manifest = JSON.parse(await readFile(state(dir, checkpoint.manifest), "utf8")) as {
    files: { name: string; sha256: string }[];
  };
  return manifest.files.find(({ name }) => name === "weights.safetensors")!.sha256;
}

/** The state and the data after three rounds: a.csv; b.csv; c.csv, and bad.csv, which was rejected. */
let base: string;
const copy = async (name: string): Promise<string> => {
  const dir = join(folder, name);
  await cp(base, dir, { recursive: true, preserveTimestamps: true });
  return dir;
};
beforeAll(async () => {
  base = await initWorkspace(folder, "three", [
    ["epochs: 5", "epochs: 2"],
    ['gate: { metric: "accuracy", maxDrop: 0.05, onFail: "hold" }', "gate: null"],
    ["keep: { rounds: 10 }", "keep: { rounds: 10 }, jobs: { attempts: 2 }"],
  ]);
  await writeFile(join(base, "model.ts"), MODEL);
  await put(base, "a.csv", sampleCsv(ROWS, 1));
  await up(base);
  await put(base, "b.csv", sampleCsv(ROWS, 2));
  await up(base);
  await put(base, "c.csv", sampleCsv(ROWS, 3));
  await put(base, "bad.csv", "length,width,label\n1,2\n");
  await up(base);
});

/** A busy machine may take its time. */
const SLOW = { timeout: 240_000 };

describe.concurrent("three rounds", SLOW, () => {
  it("are as they should be", async () => {
    expect(await json(base, "status")).toMatchObject({ round: 3, next: { is: "idle" } });
    expect(await whereIs(base, "bad.csv")).toMatchObject({ is: "rejected", round: 3 });
  });

  it("a command shows what it would do, and does nothing without --yes where nobody can be asked", async () => {
    const rollback = ["rollback", "--to", "1", "--replay", "--without", "flowers/b.csv"];
    const [shown, asJson, drop, retry, promote] = await Promise.all([
      runCli(base, rollback),
      runCli(base, [...rollback, "--json"]),
      runCli(base, ["drop", data(base, "c.csv")]),
      runCli(base, ["retry", "flowers/bad.csv"]),
      runCli(base, ["promote", "1"]),
    ]);
    for (const { code, err } of [shown, asJson, drop, retry, promote])
      expect({ code, err }).toEqual({
        code: 64,
        err: expect.stringMatching(/^error CONFIRMATION_NEEDED: nothing was changed.*\nwhat to do: .*--yes/),
      });
    expect(shown.out).toMatch(
      /^flowers\n {2}goes on from {2}round 1, epoch 2, .*\n {2}leaves {8}rounds 3, 2\n {2}trains again {2}1 item .*: flowers\/c\.csv\n {2}takes out {5}1 item .*: flowers\/b\.csv.*\n {2}live {10}stays round 3, .*`accrete promote 1` moves it\n$/,
    );
    expect(JSON.parse(asJson.out)).toMatchObject({ kind: "rollback", seq: 3, to: 1, leaves: [3, 2], ends: null });
    expect(drop.out).toMatch(/goes on from {2}round 2.*\n {2}leaves {8}round 3\n {2}takes out/);
    expect(retry.out).toMatch(/trains again {2}1 item \(23 B\): flowers\/bad\.csv\n/);
    expect(promote.out).toMatch(/live {3}round 3, .* -> round 1, /);
    expect(await entries(base)).toBe(3);
  });

  it("a command that can't be done says why, and changes nothing", async () => {
    const failing = async (code: number, text: RegExp, ...args: string[]): Promise<void> => {
      const { code: exit, out, err } = await runCli(base, args);
      expect({ args, exit, out, err }).toEqual({ args, exit: code, out: "", err: expect.stringMatching(text) });
    };
    await Promise.all([
      failing(1, /NOT_KEPT: round 9 .*: kept are rounds 1, 2, 3\n/, "rollback", "--to", "9", "--yes"),
      failing(1, /NOT_KEPT/, "promote", "9", "--yes"),
      failing(64, /'two' is invalid.*a round's number, head or 0/, "rollback", "--to", "two"),
      failing(64, /required option '--to <round>'/, "rollback", "--replay"),
      failing(
        64,
        /error USAGE: flowers\/b\.csv is named twice/,
        "rollback",
        "--to",
        "1",
        "--yes",
        "--without",
        "flowers/b.csv",
        data(base, "b.csv"),
      ),
      failing(
        64,
        /error USAGE: flowers\/b\.csv is named by --with and by --without/,
        "rollback",
        "--to",
        "1",
        "--yes",
        "--with",
        "flowers/b.csv",
        "--without",
        "flowers/b.csv",
      ),
      failing(1, /NOT_FOUND: flowers\/d\.csv: .*: did you mean "flowers\/a\.csv"\?/, "drop", "flowers/d.csv", "--yes"),
      failing(1, /NOTHING_TO_RETRY: flowers\/a\.csv .*: learned by round 1\n/, "retry", "flowers/a.csv", "--yes"),
      failing(1, /NO_MEMORY: the checkpoint of round 3 has no replay memory\n/, "rehearse"),
    ]);
    expect(await done(base, "promote", "3", "--yes")).toMatch(/^round 3, .* is live already: nothing to do\n$/);
    expect(await entries(base)).toBe(3);
  });

  it("a rejected file that was overwritten is not tried again with what it had: the new content is learned by itself", async () => {
    const dir = await copy("overwritten");
    await put(dir, "bad.csv", sampleCsv(ROWS, 9));
    const retry = await runCli(dir, ["retry", "flowers/bad.csv", "--yes"]);
    expect(retry).toMatchObject({
      code: 1,
      err: expect.stringMatching(
        /error NOTHING_TO_RETRY: flowers\/bad\.csv has other content now: in the data folder, but not taken in yet: `accrete up` does it/,
      ),
    });
    expect(await entries(dir)).toBe(3);
    await done(dir, "up", "--once");
    expect(await whereIs(dir, "bad.csv")).toMatchObject({ is: "learned", round: 4 });
    const id = (await json<{ itemId: string }[]>(dir, "why", "flowers/bad.csv"))[0]!.itemId;
    expect((await runCli(dir, ["retry", "--", id])).out).toMatch(
      /trains again +1 item [^]*which is not in the data folder now: put/,
    );
  });

  it("a rollback with replay and without a file gives the same weights each time, and why tells it", async () => {
    const dirs = await Promise.all([copy("again-1"), copy("again-2")]);
    const weights = await Promise.all(
      dirs.map(async (dir) => {
        const said = await done(
          dir,
          "rollback",
          "--to",
          "1",
          "--replay",
          "--without",
          "flowers/b.csv",
          "--reason",
          "poisoned",
          "--yes",
        );
        expect(said).toMatch(/planned {4}round 5: 1 item planned\n[^]*flowers: entry 4 is written; round 5: /);
        expect(await up(dir)).toMatchObject({ code: 0, err: "" });
        expect(await Promise.all(["a.csv", "b.csv", "c.csv"].map((name) => whereIs(dir, name)))).toEqual([
          { is: "learned", round: 1 },
          { is: "taken-out", seq: 4, reason: "poisoned" },
          { is: "learned", round: 5 },
        ]);
        return weightsOf(dir);
      }),
    );
    expect(weights[0]).toBe(weights[1]);
    expect(weights[0]).not.toBe(await weightsOf(base));
    expect(await done(dirs[0]!, "verify")).toContain("all whole");
  });

  it("what was taken out stays out although it is named by --with too; a file that is gone is said before it is forgotten", async () => {
    const dir = await copy("gone");
    await rm(data(dir, "c.csv"));
    expect(await done(dir, "drop", "flowers/b.csv", "--yes")).toMatch(
      /trains again {2}.*\n +1 item \(\S+ \S+\): flowers\/c\.csv is not in the data folder now: put it back first, or the model will not know it\n/,
    );
    const both = ["rollback", "--to", "0", "--yes", "--with", "flowers/b.csv", "--without", "flowers/b.csv"];
    expect(await runCli(dir, both)).toMatchObject({
      code: 64,
      err: expect.stringContaining("flowers/b.csv is named by --with and by --without"),
    });
    // b.csv is out by now, but round 2 has learned it
    expect(await done(dir, "rollback", "--to", "2", "--yes", "--without", "flowers/b.csv")).toContain(
      "flowers/b.csv stays in the model",
    );
    expect(await up(dir)).toMatchObject({ code: 0 });
    expect(await done(dir, "why", "flowers/b.csv")).toContain("learned by round 2");
  });

  it("a rollback by two rounds without replay leaves their items; asked for, they and a mended file are learned; promote while it trains", async () => {
    const dir = await copy("left");
    const entry = await json(dir, "rollback", "--to", "1", "--yes");
    expect(entry).toMatchObject({ kind: "rollback", to: 1, redo: null, reason: "rollback --to 1" });
    expect(await whereIs(dir, "b.csv")).toEqual({ is: "left-by-rollback", rounds: [2] });
    expect(await done(dir, "retry", "flowers/b.csv", "flowers/bad.csv", "--yes")).toMatch(
      /planned {4}round 6: 2 items planned\n/,
    );
    expect(await whereIs(dir, "b.csv")).toEqual({ is: "being-learned", round: 6 });
    const again = await runCli(dir, ["retry", "flowers/b.csv", "--yes"]);
    expect(again.err).toContain("error NOTHING_TO_RETRY: flowers/b.csv is under way: being learned by round 6");
    expect(await done(dir, "promote", "1", "--yes")).toMatch(/goes on {2}round 6, which is open/);
    expect(await up(dir)).toMatchObject({ code: 0, err: "" });
    expect(await json(dir, "log")).toMatchObject([
      { kind: "round", round: 6, live: { round: 1 }, gate: { because: "live-changed" }, rejected: 1 },
      { kind: "promote", live: { round: 1 } },
      { kind: "rollback", with: [{ key: "flowers/b.csv" }, { key: "flowers/bad.csv" }] },
      { kind: "rollback" },
      { kind: "round", round: 3 },
      { kind: "round", round: 2 },
      { kind: "round", round: 1 },
    ]);
    expect(await Promise.all(["b.csv", "c.csv", "bad.csv"].map((name) => whereIs(dir, name)))).toMatchObject([
      { is: "learned", round: 6 },
      { is: "left-by-rollback", rounds: [3] },
      { is: "rejected", round: 6 },
    ]);
    // one that nobody has taken in yet, and one that was rejected
    await put(dir, "new.csv", sampleCsv(ROWS, 4));
    await done(dir, "drop", "flowers/new.csv", "flowers/bad.csv", "--yes");
    expect(await done(dir, "drop", "flowers/new.csv", "--yes")).toContain("nothing to do: taken out by entry 8");
    expect(await up(dir)).toMatchObject({ code: 0, out: expect.stringContaining("nothing is left to do") });
    expect(await whereIs(dir, "new.csv")).toMatchObject({ is: "taken-out", seq: 8 });
  });
});

describe.concurrent("what status advises for a blocked round works", SLOW, () => {
  const blockedBy = async (dir: string, code: string): Promise<void> => {
    expect((await up(dir)).code).toBe(1);
    expect(await json(dir, "status")).toMatchObject({ next: { is: "blocked", code } });
    expect((await runCli(dir, ["status"])).out).toContain("what to do: ");
  };

  it.each([
    ["LOSS_NOT_FINITE", "learningRate: 0.01", "learningRate: 1e38"],
    ["CONFIG_INVALID", 'label: "label"', 'label: "width"'],
  ])("of a wrong config (%s): mended, the same items are planned anew", async (code, right, wrong) => {
    const dir = await copy(code.toLowerCase());
    const config = join(dir, "accrete.config.ts");
    const text = await readFile(config, "utf8");
    await writeFile(config, text.replace(right, wrong));
    await put(dir, "d.csv", sampleCsv(ROWS, 4));
    await blockedBy(dir, code);
    await writeFile(config, text);
    expect(await done(dir, "rollback", "--to", "head", "--yes")).toMatch(
      /ends {10}round 4, which is open \(1 item\)[^]*planned {4}round 5: 1 item planned/,
    );
    expect((await up(dir)).code).toBe(0);
    expect(await whereIs(dir, "d.csv")).toEqual({ is: "learned", round: 5 });
  });

  it("of another model that is meant to be one: all again from nothing", async () => {
    const dir = await copy("model");
    await writeFile(join(dir, "model.ts"), MODEL.replace('name: "out"', 'name: "other"'));
    await put(dir, "d.csv", sampleCsv(ROWS, 4));
    await blockedBy(dir, "MODEL_INVALID");
    await done(dir, "rollback", "--to", "0", "--replay", "--yes");
    expect((await up(dir)).code).toBe(0);
    expect(await Promise.all(["a.csv", "d.csv"].map((name) => whereIs(dir, name)))).toEqual([
      { is: "learned", round: 5 },
      { is: "learned", round: 6 },
    ]);
  });

  it("of files that can't be read: without them the loop goes on, and mended ones are learned", async () => {
    const dir = await copy("rejected");
    const bad = Array.from({ length: 11 }, (_, i) => `d-${i}.csv`);
    for (const [i, name] of bad.entries()) await put(dir, name, `length,width,label\n${i},2\n`);
    await put(dir, "good.csv", sampleCsv(ROWS, 4));
    await blockedBy(dir, "TOO_MANY_REJECTED");
    await done(dir, "drop", "--yes", ...bad.map((name) => data(dir, name)));
    await put(dir, bad[0]!, sampleCsv(ROWS, 5));
    expect((await up(dir)).code).toBe(0);
    expect(await whereIs(dir, "good.csv")).toEqual({ is: "learned", round: 5 });
    expect(await json(dir, "why", `flowers/${bad[0]}`)).toMatchObject([
      { present: false, now: { is: "taken-out" } },
      { present: true, now: { is: "learned" } },
    ]);
  });

  it("of an object at which the trainer crashes each time: without it the loop goes on", async () => {
    const dir = await copy("crash");
    const poison = Array.from({ length: 8 }, (_, i) => `9000${i},1,iris`).join("\n");
    await put(dir, "poison.csv", `length,width,label\n${poison}\n`);
    await put(dir, "d.csv", sampleCsv(ROWS, 4));
    await blockedBy(dir, "ATTEMPTS_USED_UP");
    await done(dir, "drop", "flowers/poison.csv", "--yes");
    expect((await up(dir)).code).toBe(0);
    expect(await whereIs(dir, "poison.csv")).toMatchObject({ is: "taken-out" });
    expect(await whereIs(dir, "d.csv")).toEqual({ is: "learned", round: 5 });
  });

  it("of a damaged model: deleted, it is bundled anew", async () => {
    const dir = await copy("code");
    const plan = JSON.parse(await readFile(state(dir, "rounds/0000000003/plan.json"), "utf8")) as { code: string };
    const code = state(dir, `code/${plan.code}.mjs`);
    await rm(code);
    await writeFile(code, "damaged");
    await put(dir, "d.csv", sampleCsv(ROWS, 4));
    await blockedBy(dir, "CODE_MISMATCH");
    await rm(code);
    await done(dir, "rollback", "--to", "head", "--yes");
    expect((await up(dir)).code).toBe(0);
    expect(await whereIs(dir, "d.csv")).toEqual({ is: "learned", round: 5 });
  });

  it("of a damaged parent, live too: from an older round all is trained again", async () => {
    const dir = await copy("parent");
    const { checkpoint } = await json<{ checkpoint: { manifest: string } }>(dir, "status");
    const weights = state(dir, checkpoint.manifest.replace("MANIFEST.json", "weights.safetensors"));
    const whole = await readFile(weights);
    await rm(weights);
    await writeFile(weights, whole.with(whole.length - 5, whole.at(-5)! ^ 1));
    await put(dir, "d.csv", sampleCsv(ROWS, 4));
    await blockedBy(dir, "PARENT_NOT_WHOLE");
    await done(dir, "rollback", "--to", "2", "--replay", "--yes");
    expect((await up(dir)).code).toBe(0);
    expect(await Promise.all(["c.csv", "d.csv"].map((name) => whereIs(dir, name)))).toEqual([
      { is: "learned", round: 5 },
      { is: "learned", round: 6 },
    ]);
  });
});

describe.concurrent("a pipeline that the gate has paused", SLOW, () => {
  /** Round 2 was refused. */
  const paused = async (name: string): Promise<string> => {
    const dir = join(folder, name);
    await mkdir(dir);
    await writeFile(
      join(dir, "accrete.config.ts"),
      `export default { pipelines: [{ name: "fake", data: { format: "csv" }, trainer: { model: "./model.mjs" }, gate: { onFail: "pause" } }] };`,
    );
    await writeFile(join(dir, "model.mjs"), "export default { build() {} };");
    const store = openDirectoryStore(join(dir, ".accrete", "state", "fake"));
    const fake = fakePipeline(store, { gate: { metric: "accuracy", maxDrop: 0, onFail: "pause" } });
    await learn(fake, [fakeItem("a.csv")]);
    await learn(fake, [fakeItem("b.csv")], { metrics: { accuracy: 0.1 } });
    expect(await json(dir, "status")).toMatchObject({
      next: { is: "paused", round: 2, code: "GATE_REFUSED", advice: ADVICE.GATE_REFUSED },
    });
    return dir;
  };

  it.each([
    ["goes on from the refused round", ["rollback", "--to", "head"], { checkpoint: 2, live: 1 }],
    ["takes the refused round back", ["rollback", "--to", "1"], { checkpoint: 1, live: 1 }],
    ["lets the refused round go live", ["promote", "2"], { checkpoint: 2, live: 2 }],
  ])("%s, as status advises", async (name, command, { checkpoint, live }) => {
    const dir = await paused(name.replaceAll(" ", "-"));
    expect(ADVICE.GATE_REFUSED).toContain(`accrete ${command.join(" ").replace(/\d/, "ROUND")}\``);
    await done(dir, ...command, "--yes");
    expect(await json(dir, "status")).toMatchObject({
      checkpoint: { round: checkpoint },
      live: { round: live },
      next: { is: "idle" },
    });
  });

  it("rehearses where its checkpoint has a memory", async () => {
    const dir = await paused("rehearses");
    const store = openDirectoryStore(join(dir, ".accrete", "state", "fake"));
    const { checkpoint } = (await readHead(store)).head;
    const { document, etag } = (await readDocument(store, "manifest", checkpoint!.manifest))!;
    const files = [...document.files, { ...document.files[0]!, name: "memory.safetensors" }];
    await store.replace(
      checkpoint!.manifest,
      documentBytes("manifest", checkpoint!.manifest, { ...document, files }),
      etag,
    );
    expect(await done(dir, "rehearse")).toContain("No rehearsal was started");
    await done(dir, "rollback", "--to", "head", "--yes");
    expect(await done(dir, "rehearse")).toMatch(
      /planned {4}round 4: 0 items planned\n[^]*The training runs on by itself/,
    );
    expect(await json(dir, "status")).toMatchObject({ open: { round: 4, kind: "rehearse", items: 0 } });
    await up(dir); // its job ends before the folder is removed
  });
});
