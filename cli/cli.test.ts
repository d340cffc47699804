/** `accrete` as a user runs it: real processes, real files, the real trainer. One workspace for the first part, to be quick. */
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { sha256 } from "../protocol/digest.ts";
import { initWorkspace, runCli, startCli, type Changes, type CliResult } from "../test/run-cli.ts";
import { sampleCsv } from "./sample.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "accrete-cli-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));
const workspace = (name: string, changes?: Changes): Promise<string> => initWorkspace(folder, name, changes);

/** The workspace that the first parts go through, one after the other. */
let dir: string;
const accrete = (...args: string[]): Promise<CliResult> => runCli(dir, args);
const json = async (...args: string[]): Promise<unknown> => JSON.parse((await accrete(...args, "--json")).out);

describe("a new workspace", () => {
  it("init writes what works, says what to type, and overwrites nothing", async () => {
    dir = await workspace("first");
    const again = await runCli(folder, ["init", "first"]);
    expect(again).toMatchObject({
      code: 1,
      out: "",
      err: expect.stringMatching(/^error TARGET_EXISTS: .*nothing was written\nwhat to do: /),
    });
    const other = await runCli(folder, ["init", "other"]);
    expect(other.out).toContain("  cd other\n  accrete add sample/flowers-1.csv\n  accrete up --once\n");
  });

  it("says that nothing has been done yet", async () => {
    const [status, log, once, pull, train, retry] = await Promise.all([
      accrete("status"),
      accrete("log"),
      accrete("up", "--once"),
      accrete("pull", "model"),
      accrete("train"),
      accrete("retry"),
    ]);
    expect(status).toMatchObject({
      code: 0,
      out: expect.stringContaining("nothing waits: `accrete up` takes in and learns what is new in the data folder"),
    });
    expect(log).toMatchObject({ code: 0, out: "nothing has been committed yet\n" });
    expect(once).toMatchObject({
      code: 0,
      err: "",
      out: expect.stringContaining("nothing is left to do: nothing has been trained yet"),
    });
    expect(pull).toMatchObject({
      code: 1,
      err: expect.stringContaining("error NOT_FOUND: nothing has been trained yet"),
    });
    expect(train).toMatchObject({ code: 1, err: expect.stringContaining("error NOTHING_TO_TRAIN") });
    expect(retry).toMatchObject({ code: 1, err: expect.stringContaining("error NOTHING_TO_RETRY") });
  });

  it("add copies whole files, and overwrites only if it is told to", async () => {
    expect(await accrete("add", "sample/flowers-1.csv")).toMatchObject({
      code: 0,
      out: expect.stringMatching(
        /^added 1 file, 4\.7 kB, to .*under flowers\/\n`accrete up` learns what was added; one that runs already does so by itself\n$/,
      ),
    });
    expect((await accrete("add", "sample/flowers-1.csv")).out).toContain(
      "1 file is there already with the same content",
    );
    await writeFile(join(dir, "empty.csv"), "");
    await mkdir(join(dir, "changed"), { recursive: true });
    await writeFile(join(dir, "changed", "flowers-1.csv"), sampleCsv(100, 7));
    const [clash, missing, empty, suffix] = await Promise.all([
      accrete("add", "changed/flowers-1.csv"),
      accrete("add", "nowhere.csv"),
      accrete("add", "empty.csv"),
      accrete("add", "model.ts"),
    ]);
    expect(clash).toMatchObject({
      code: 1,
      err: expect.stringContaining("another content is in the data folder already as flowers/flowers-1.csv"),
    });
    expect(missing).toMatchObject({ code: 1, err: expect.stringContaining("error NOT_FOUND") });
    expect(empty).toMatchObject({ code: 64, err: expect.stringContaining("it is empty") });
    expect(suffix).toMatchObject({ code: 64, err: expect.stringContaining("data.suffixes: .csv") });
    expect(await readdir(join(dir, ".accrete", "data", "flowers"))).toEqual(["flowers-1.csv"]);
    expect((await accrete("why", "flowers/flowers-1.csv")).out).toContain("not taken in yet");
  });
});

describe("a workspace that learns", () => {
  it("up --once learns what was added and ends", async () => {
    const up = await accrete("up", "--once");
    expect(up).toMatchObject({ code: 0, err: "" });
    expect(up.out).toMatch(
      /planned {4}round 1: 1 item planned\n.*submitted(.*\n)+.*round 1 {4}epoch 5\/5 .*\n(.*\n)*.*committed  round 1 has learned 1 item; accuracy .*loss .*\n/,
    );
    expect(up.out).toContain("nothing is left to do: the model is at round 1, epoch 5\n");
    expect(up.out).not.toContain("\u001b");
  });

  it("status, log, show and why tell of it", async () => {
    const [status, log, show, why] = await Promise.all([
      json("status"),
      json("log"),
      accrete("show", "1"),
      accrete("why", ".accrete/data/flowers/flowers-1.csv"),
    ]);
    expect(status).toMatchObject({
      pipeline: "flowers",
      round: 1,
      checkpoint: { epoch: 5 },
      metrics: { accuracy: expect.any(Number) },
      waiting: null,
      open: null,
      next: { is: "idle" },
    });
    expect(log).toMatchObject([{ seq: 1, kind: "round", round: 1, items: 1, gate: { because: "first" } }]);
    expect(show.out).toMatch(
      /round 1 {2}committed as entry 1[^]*flowers\/flowers-1\.csv \(4\.7 kB\)[^]*succeeded: exit code 0[^]*log \/[^]*rounds\/0000000001\/checkpoints\/[^]*accuracy[^]*passed: goes live/,
    );
    expect(why.out).toContain("learned by round 1\n");
    expect((await accrete("show", "9")).err).toContain("error NOT_FOUND: there is no round 9");
    expect(await accrete("why", "nowhere.csv")).toMatchObject({
      code: 1,
      err: expect.stringContaining("error NOT_FOUND"),
    });
    const [logs, other, cost] = await Promise.all([
      accrete("logs", "1"),
      accrete("logs", "1", "--attempt", "7"),
      json("cost"),
    ]);
    expect(logs).toMatchObject({
      code: 0,
      err: "",
      out: expect.stringMatching(/^accrete .*\nround 1: .*items staged[^]*epoch 5\/5/),
    });
    expect((await accrete("logs", "1", "--follow")).out).toBe(logs.out); // it has ended
    expect(other).toMatchObject({ code: 1, err: expect.stringContaining("NOT_FOUND: round 1 has attempts 1") });
    expect(cost).toMatchObject({
      pricePerHour: null,
      rounds: [{ round: 1, kind: "round", items: 1, jobMs: expect.any(Number), dollars: null }],
      open: null,
    });
    // of its key, the prefix was left out
    expect((await accrete("why", "flowers-1.csv")).err).toContain(': did you mean "flowers/flowers-1.csv"?\n');
  });

  it("train starts at once what waits, and add --force makes a new item of an overwritten object", async () => {
    expect((await accrete("add", "--force", "changed/flowers-1.csv")).out).toContain(
      "1 file was overwritten: a new item each",
    );
    expect(await accrete("train")).toMatchObject({
      code: 0,
      err: "",
      out: expect.stringMatching(/planned[^]*submitted[^]*flowers: round 2: /),
    });
    expect(await accrete("up", "--once")).toMatchObject({ code: 0, err: "" });
    expect(await json("status")).toMatchObject({ round: 2, checkpoint: { epoch: 10 } });
    expect(await json("why", "flowers/flowers-1.csv")).toMatchObject([
      { present: false, now: { is: "learned", round: 1 } },
      { present: true, now: { is: "learned", round: 2 } },
    ]);
  });

  it("a second up --once has nothing to do, and writes nothing", async () => {
    const before = await json("log");
    expect((await accrete("up", "--once")).out).not.toMatch(/planned|arrived/);
    expect(await json("log")).toEqual(before);
  });
});

describe("a workspace that has learned", () => {
  it("pull makes a model for TensorFlow.js, and its weights as their manifest names them", async () => {
    expect(await accrete("pull", "model", "--format", "tfjs,safetensors")).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^round 2, epoch 10, step \d+, live: 6 files/),
    });
    expect((await readdir(join(dir, "model"))).sort()).toEqual([
      "MANIFEST.json",
      "README.md",
      "group1-shard1of1.bin",
      "model.json",
      "preprocessing.json",
      "weights.safetensors",
    ]);
    const { files } = JSON.parse((await accrete("--json", "pull", "by-default")).out);
    for (const { name, size, sha256: digest } of files) {
      const bytes = await readFile(join(dir, "by-default", name));
      expect([bytes.length, sha256(bytes)]).toEqual([size, digest]);
      expect(bytes.equals(await readFile(join(dir, "model", name)))).toBe(true);
    }
    expect((await accrete("pull", "x", "--format", "tfjs,onnx")).err).toContain("expected are some of tfjs, ");
    await Promise.all(["model", "by-default"].map((name) => rm(join(dir, name), { recursive: true })));
  });

  it("pull copies a checkpoint whose bytes are those that its manifest names", async () => {
    expect(await accrete("pull", "model", "--format", "checkpoint")).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^round 2, epoch 10, step \d+, live: \d+ files/),
    });
    const names = (await readdir(join(dir, "model"))).sort();
    const manifest: { files: { name: string; sha256: string }[] } = JSON.parse(
      await readFile(join(dir, "model", "MANIFEST.json"), "utf8"),
    );
    expect(names).toEqual(["MANIFEST.json", ...manifest.files.map(({ name }) => name)].sort());
    for (const { name, sha256: digest } of manifest.files)
      expect(sha256(await readFile(join(dir, "model", name)))).toBe(digest);
    expect(await accrete("pull", "model")).toMatchObject({
      code: 1,
      err: expect.stringContaining("error TARGET_EXISTS"),
    });
    expect((await accrete("pull", "model", "--force", "--round", "1")).out).toContain("round 1, epoch 5");
    expect((await accrete("pull", "at-7", "--epoch", "7")).out).toContain("round 2, epoch 7");
    expect((await accrete("pull", "sample", "--force")).err).toContain("files in it that are no checkpoint");
    expect((await accrete("pull", "x", "--round", "1", "--epoch", "2")).code).toBe(64);
    expect((await readdir(dir)).filter((name) => name.startsWith("."))).toEqual([".accrete"]);
  });

  it("verify finds all whole, and names a file whose bytes were flipped; pull refuses it", async () => {
    expect(await accrete("verify")).toMatchObject({
      code: 0,
      out: expect.stringMatching(/2 entries of the log: all whole\n$/),
    });
    const { checkpoint } = (await json("status")) as { checkpoint: { manifest: string } };
    const key = checkpoint.manifest.replace("MANIFEST.json", "weights.safetensors");
    const path = join(dir, ".accrete", "state", "flowers", key);
    const whole = await readFile(path);
    await rm(path);
    await writeFile(path, whole.with(whole.length - 5, whole.at(-5)! ^ 1));
    const [damaged, pulled] = await Promise.all([accrete("verify"), accrete("pull", "damaged")]);
    expect(damaged).toMatchObject({
      code: 1,
      err: expect.stringContaining(`error NOT_VERIFIED: 1 file of flowers: ${key}\n`),
    });
    expect(damaged.out).toContain(`damage   ${key}: its bytes are not those`);
    expect(pulled).toMatchObject({ code: 1, err: expect.stringContaining(key) });
    expect(await readdir(dir)).not.toContain("damaged");
    await rm(path);
    await writeFile(path, whole);
    expect(await json("verify")).toMatchObject({ damaged: 0, findings: [] });
  });

  it("shows a key with control characters as text", async () => {
    const name = "\u001b[31mred\u202e.csv";
    await writeFile(join(dir, ".accrete", "data", "flowers", name), "length,width,label\n1,2,iris\n");
    const why = await accrete("why", `flowers/${name}`);
    expect(why.out).toContain("flowers/\\x1b[31mred\\u{202e}.csv");
    for (const character of ["\u001b", "\u202e"]) expect(why.out).not.toContain(character);
    await rm(join(dir, ".accrete", "data", "flowers", name));
  });

  it("status --follow says it again when it changes, one line each", async () => {
    const follow = startCli(dir, ["status", "--follow"]);
    try {
      await follow.says(
        /^flowers: round 2, .*; nothing waits: `accrete up` takes in and learns what is new in the data folder\n$/,
      );
      await accrete("add", "sample/flowers-2.csv");
      await accrete("up", "--once");
      await follow.says(/\nflowers: round 3, [^\n]*; nothing waits[^\n]*\n$/);
    } finally {
      follow.process.kill();
      await follow.ended;
    }
  });

  it("doctor looks at this machine and finds what training needs", async () => {
    const doctor = await accrete("doctor");
    expect(doctor).toMatchObject({ code: 0, err: "" });
    expect(doctor.out).toMatch(/ok {7}Node/);
    expect(doctor.out).toMatch(/TensorFlow .*trainings use TensorFlow/);
    expect(await json("doctor")).toContainEqual(expect.objectContaining({ name: "state folder", state: "ok" }));
  });
});

describe.concurrent("a command that can't be done", () => {
  const failing = (...args: string[]): Promise<CliResult> => runCli(folder, args);

  it("says what was not understood and what is near, exit code 64", async () => {
    const [verb, option, number, none] = await Promise.all([
      failing("statsu"),
      failing("up", "--onse"),
      failing("show", "two"),
      failing(),
    ]);
    expect(verb).toMatchObject({ code: 64, err: expect.stringMatching(/unknown command 'statsu'[^]*status/) });
    expect(option).toMatchObject({ code: 64, err: expect.stringMatching(/unknown option '--onse'[^]*--once/) });
    expect(number).toMatchObject({ code: 64, err: expect.stringContaining("whole number") });
    expect(none.code).toBe(64);
    expect(verb.err).toMatch(/\nwhat to do: See `accrete --help`\.\n$/);
    expect((await failing("rollback")).err).toMatch(
      /'--to <round>' not specified\nwhat to do: See `accrete rollback --help`/,
    );
  });

  it("says that there is no config, or what is wrong with it, exit code 78", async () => {
    await mkdir(join(folder, "wrong"));
    await writeFile(
      join(folder, "wrong", "accrete.config.ts"),
      `export default { pipelines: [{ name: "a", data: { format: "csv" }, trainer: { model: "./m.ts", epoch: 3 } }] };`,
    );
    await mkdir(join(folder, "no-model"));
    await writeFile(
      join(folder, "no-model", "accrete.config.ts"),
      `export default { pipelines: [{ name: "a", data: { format: "csv" }, trainer: { model: "./m.ts" } }] };`,
    );
    const [none, wrong, model] = await Promise.all([
      failing("status"),
      failing("status", "--dir", "wrong"),
      failing("up", "--once", "--dir", "no-model"),
    ]);
    expect(none).toMatchObject({ code: 78, err: expect.stringContaining("error CONFIG_NOT_FOUND") });
    expect(wrong).toMatchObject({
      code: 78,
      err: expect.stringMatching(/error CONFIG_INVALID: .*"epoch" is not known: did you mean "epochs"\?/),
    });
    expect(model).toMatchObject({ code: 78, err: expect.stringContaining("error MODEL_NOT_LOADABLE") });
  });

  it("asks which pipeline is meant, and says which there are", async () => {
    const two = `const of = (name) => ({ name, data: { format: "csv", prefix: name + "/" }, trainer: { model: "./m.ts" } });\nexport default { pipelines: [of("cats"), of("dogs")] };`;
    await mkdir(join(folder, "two"));
    await writeFile(join(folder, "two", "accrete.config.ts"), two);
    const [which, near, status] = await Promise.all([
      failing("log", "--dir", "two"),
      failing("log", "--dir", "two", "--pipeline", "dog"),
      failing("status", "--dir", "two"),
    ]);
    expect(which).toMatchObject({ code: 64, err: expect.stringMatching(/error PIPELINE_UNKNOWN: .*cats, dogs/) });
    expect(near).toMatchObject({ code: 64, err: expect.stringContaining('did you mean "dogs"?') });
    expect(status.out).toMatch(/^cats\n[^]*\ndogs\n/);
  });

  it("each command has help with examples", async () => {
    const help = await failing("--help");
    expect(help.code).toBe(0);
    const verbs = [...help.out.matchAll(/^ {2}([a-z]+) .*$/gm)]
      .map(([, verb]) => verb!)
      .filter((verb) => verb !== "help");
    expect(verbs).toEqual([
      "init",
      "up",
      "add",
      "status",
      "log",
      "show",
      "why",
      "verify",
      "pull",
      "tensorboard",
      "train",
      "rehearse",
      "retry",
      "rollback",
      "drop",
      "promote",
      "logs",
      "cost",
      "doctor",
      "native",
      "image",
      "completion",
    ]);
    for (const { out } of await Promise.all(verbs.slice(0, 4).map((verb) => failing(verb, "--help")))) {
      expect(out).toMatch(/Examples:\n {2}\$ accrete/);
      // full lines: none ends where its source does
      const lines = /\n\n([^]*?)\n\n/.exec(out)![1]!.split("\n");
      for (const [i, next] of lines.slice(1).entries())
        expect(`${lines[i]} ${next.split(" ")[0]}`.length).toBeGreaterThanOrEqual(80);
    }
    expect((await failing("--version")).out).toBe(
      `${JSON.parse(await readFile(new URL("../package.json", import.meta.url), "utf8")).version}\n`,
    );
  });

  it("a blocked round ends up --once with its reason; retry makes one attempt more", async () => {
    const dir = await workspace("blocked", [["learningRate: 0.01", "learningRate: 1e30"]]);
    await runCli(dir, ["add", "sample/flowers-1.csv"]);
    const up = await runCli(dir, ["up", "--once"]);
    expect(up).toMatchObject({
      code: 1,
      err: expect.stringMatching(/error LOSS_NOT_FINITE: flowers is blocked: .*\nwhat to do: Lower the learning rate/),
    });
    expect((await runCli(dir, ["status"])).out).toMatch(
      /blocked: LOSS_NOT_FINITE: .*\n.*what to do: Lower the learning rate/,
    );
    expect(await runCli(dir, ["retry"])).toMatchObject({
      code: 0,
      out: expect.stringMatching(/submitted {2}round 1: attempt 2 started/),
    });
    expect((await runCli(dir, ["up", "--once"])).code).toBe(1);
    expect((await runCli(dir, ["show", "1"])).out.match(/LOSS_NOT_FINITE/g)).toHaveLength(2);
  });

  it("waits for its minimum and says so; train does not", async () => {
    const dir = await workspace("few", [["minItems: 1", "minItems: 2"]]);
    await runCli(dir, ["add", "sample/flowers-1.csv"]);
    expect(await runCli(dir, ["up", "--once"])).toMatchObject({
      code: 0,
      out: expect.stringContaining("1 item of at least 2 wait for more"),
    });
    expect((await runCli(dir, ["train"])).out).toContain("planned    round 1: 1 item planned");
    expect((await runCli(dir, ["up", "--once"])).out).toContain("committed");
  });
});
