/** A warm start as a user makes one: a model is trained here, pulled, and another pipeline begins with it. */
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { sha256 } from "../protocol/digest.ts";
import { initWorkspace, runCli, type CliResult } from "../test/run-cli.ts";

const ADAM = 'optimizer: { name: "adam", learningRate: 0.01 }'; // of init
/** Leaves all weights as they are, to the last bit: none of a trained model is 0. */
const STILL = 'optimizer: { name: "sgd", learningRate: 1e-30 }';

let folder: string;
let pulled: string;
let trained: CliResult;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "accrete-warm-"));
  const first = await initWorkspace(folder, "first");
  await runCli(first, ["add", "sample/flowers-1.csv"]);
  trained = await runCli(first, ["up", "--once"]);
  pulled = join(folder, "pulled");
  await runCli(first, ["pull", pulled]);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A workspace whose first round begins with `start`, and whose training changes no weight. */
async function warm(name: string, start: string): Promise<string> {
  const dir = await initWorkspace(folder, name, [[ADAM, `${STILL}, start: ${start}`]]);
  await runCli(dir, ["add", "sample/flowers-1.csv"]);
  return dir;
}
const up = (dir: string): Promise<CliResult> => runCli(dir, ["up", "--once"]);

describe("trainer.start", () => {
  it("begins the first round with a pulled checkpoint, and is not needed once something was trained", async () => {
    const weights = await readFile(join(pulled, "weights.safetensors"));
    await mkdir(join(folder, "from"));
    const from = join(folder, "from", "weights.safetensors");
    await writeFile(from, weights);
    const dir = await warm("second", `{ from: "../from/weights.safetensors", sha256: "${sha256(weights)}" }`);
    const done = await up(dir);
    expect(done).toMatchObject({ code: 0, err: "" });
    expect(done.out).toContain(`a warm start with the weights of start/${sha256(weights)}.safetensors`);
    expect(await runCli(dir, ["pull", "model"])).toMatchObject({ code: 0 });
    expect((await readFile(join(dir, "model", "weights.safetensors"))).equals(weights)).toBe(true);
    // the same weights, data and holdout have the same figures as in the pipeline that trained them
    const figures = ({ out }: CliResult): string => /has learned 1 item; (accuracy .*, loss .*)\n/.exec(out)![1]!;
    expect(figures(done)).toBe(figures(trained));

    await rename(from, `${from}.gone`);
    await runCli(dir, ["add", "sample/flowers-2.csv"]);
    const again = await up(dir);
    expect(again).toMatchObject({ code: 0, err: "" });
    expect(again.out).toContain("the model is at round 2");
    expect(await runCli(dir, ["verify"])).toMatchObject({ code: 0 });
  });

  it("begins with a pulled model.json as with the weights beside it", async () => {
    const json = sha256(
      Buffer.concat(
        await Promise.all(["model.json", "group1-shard1of1.bin"].map((name) => readFile(join(pulled, name)))),
      ),
    );
    const dir = await warm("from-json", `{ from: "../pulled/model.json", sha256: "${json}" }`);
    expect(await up(dir)).toMatchObject({ code: 0, err: "" });
    expect(await runCli(dir, ["pull", "model"])).toMatchObject({ code: 0 });
    for (const name of ["model.json", "group1-shard1of1.bin"])
      expect((await readFile(join(dir, "model", name))).equals(await readFile(join(pulled, name)))).toBe(true);
  });

  it("that is missing or another file is said before anything is started", async () => {
    const missing = await warm("missing", '{ from: "./pretrained/model.json" }');
    const refused = await up(missing);
    expect(refused).toMatchObject({
      code: 78,
      err: expect.stringMatching(/^error START_NOT_READABLE: .*pretrained\/model\.json: ENOENT.*\nwhat to do: /),
    });
    // before it would plan a round, not only then
    expect(refused.out).not.toContain("arrived");
    const other = await warm("other", `{ from: "../pulled/weights.safetensors", sha256: "${"0".repeat(64)}" }`);
    for (const command of [["up", "--once"], ["train"]])
      expect(await runCli(other, command)).toMatchObject({
        code: 78,
        err: expect.stringMatching(/^error START_NOT_MATCHING: .*its sha256 is [0-9a-f]{64}, expected is 0{64}\n/),
      });
    expect((await runCli(other, ["status"])).code).toBe(0);
  });
});
