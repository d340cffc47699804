/** State that a disk, a crash or a hand has damaged: each is named, `accrete verify --repair` mends it or says what to do, and nothing is lost. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { initWorkspace, runCli, startCli } from "../run-cli.ts";
import {
  copyWorkspace,
  csv,
  cutShort,
  damage,
  drop,
  emptied,
  expectDone,
  expectFailure,
  filesIn,
  flipBit,
  state,
  whereIs,
} from "./workspace.ts";

const folder = await mkdtemp(join(tmpdir(), "accrete-damaged-"));
/** two rounds; the first has rejected a file */
let base: string;
/** the same with round 3 open and blocked */
let blocked: string;
const copies = new Map<string, number>();
const copyOf = (of: string): Promise<string> => {
  const n = (copies.get(of) ?? 0) + 1;
  copies.set(of, n);
  return copyWorkspace(of, `${of}-${n}`);
};

beforeAll(async () => {
  base = await initWorkspace(folder, "base", [["epochs: 5,", "epochs: 2,"]]);
  await drop(base, "1.csv", csv(1));
  await drop(base, "bad.csv", "length,width,label\n1,wide,iris\n");
  await expectDone(base, "up", "--once");
  await drop(base, "2.csv", csv(2));
  await expectDone(base, "up", "--once");
  blocked = await copyOf(base);
  await drop(blocked, "3.csv", csv(3));
  const model = await readFile(join(blocked, "model.ts"), "utf8");
  await writeFile(join(blocked, "model.ts"), model.replace("tf.sequential(", "nothing.sequential("));
  expectFailure(await runCli(blocked, ["up", "--once"]), 1, "MODEL_INVALID", "build() throws: nothing is not defined");
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** The only key that starts so. */
async function keyOf(dir: string, start: string): Promise<string> {
  const [key] = (await filesIn(state(dir))).filter((name) => name.startsWith(start)).reverse();
  if (key === undefined) throw new Error(`no key starts with ${start}`);
  return key;
}

async function learnsOn(dir: string): Promise<void> {
  await drop(dir, "new.csv", csv(9));
  const up = await expectDone(dir, "up", "--once");
  expect(up.out).toContain("round 3 has learned 1 item");
  expect(await whereIs(dir, "1.csv", "bad.csv", "2.csv", "new.csv")).toEqual([
    "learned 1",
    "rejected 1",
    "learned 2",
    "learned 3",
  ]);
  expect((await expectDone(dir, "verify")).out).toContain("all whole");
}

describe("a flipped bit", () => {
  it("in every file of the state at once: all are mended to what they were, but for what is too large", async () => {
    const dir = await copyOf(base);
    const keys = (await filesIn(state(dir))).filter((key) => !key.endsWith("holdout.safetensors"));
    const before = await Promise.all(keys.map((key) => readFile(state(dir, key), "hex")));
    for (const key of keys) await damage(state(dir, key), flipBit);
    expectFailure(
      await runCli(dir, ["up", "--once"]),
      1,
      "STORED_NOT_READABLE",
      /: (consumed\/|log\/9999999997|live\.json)/,
    );
    expectFailure(await runCli(dir, ["status"]), 1, "STORED_NOT_READABLE", "log/9999999997.json");
    const repaired = await runCli(dir, ["verify", "--repair"]);
    expect(repaired).toMatchObject({ code: 0, err: "" });
    expect(repaired.out.match(/^mended /gm)).toHaveLength(keys.length);
    expect(await Promise.all(keys.map((key) => readFile(state(dir, key), "hex")))).toEqual(before);
    await learnsOn(dir);
  });
});

describe.concurrent("a file of the state that was cut short", () => {
  it("the newest entry of the log: every command says so, and it is made anew", async () => {
    const dir = await copyOf(base);
    const key = "log/9999999997.json";
    await damage(state(dir, key), cutShort);
    for (const args of [["status"], ["up", "--once"]])
      expectFailure(await runCli(dir, args), 1, "STORED_NOT_READABLE", key);
    const plain = await runCli(dir, ["verify"]);
    expectFailure(plain, 1, "NOT_VERIFIED", key);
    expect(plain.err).toContain("accrete verify --repair");
    expect((await expectDone(dir, "verify", "--repair")).out).toMatch(/^rebuilt {2}log\/9999999997\.json: made anew/m);
    await learnsOn(dir);
  });

  it("live.json, a shard of consumed/, a rejected item's copy and the bundled model: made anew, and nothing is trained twice", async () => {
    const dir = await copyOf(base);
    const keys = await Promise.all(["consumed/", "quarantine/", "code/"].map((start) => keyOf(dir, start)));
    for (const key of keys) await damage(state(dir, key), cutShort);
    await damage(state(dir, "live.json"), emptied);
    for (const args of [["status"], ["up", "--once"]])
      expectFailure(await runCli(dir, args), 1, "STORED_NOT_READABLE", /: (live\.json|consumed\/..): /);
    expect((await expectDone(dir, "verify", "--repair")).out.match(/^rebuilt /gm)).toHaveLength(4);
    await learnsOn(dir);
  });

  it("job record, failure record and segment of the open round: put aside, and the round goes on", async () => {
    const dir = await copyOf(blocked);
    const attempt = "rounds/0000000003/attempts/0000000001";
    const keys = [`${attempt}.job.json`, `${attempt}.failure.json`, await keyOf(dir, "inbox/")];
    for (const key of keys) await damage(state(dir, key), cutShort);
    expectFailure(await runCli(dir, ["up", "--once"]), 1, "STORED_NOT_READABLE", keys[0]!);
    expect((await expectDone(dir, "verify", "--repair")).out.match(/^aside /gm)).toHaveLength(3);
    // what had blocked it has not changed
    const again = await runCli(dir, ["up", "--once"]);
    expectFailure(again, 1, "MODEL_INVALID", "nothing is not defined");
    expect(again.out).toContain("attempt 2 started");
    expect((await expectDone(dir, "verify")).out).toContain("all whole");
  });

  it("a segment of which nothing was planned yet: its files are taken in again", async () => {
    const dir = await copyOf(base);
    const config = await readFile(join(dir, "accrete.config.ts"), "utf8");
    await writeFile(join(dir, "accrete.config.ts"), config.replace("minItems: 1", "minItems: 2"));
    await drop(dir, "new.csv", csv(9));
    expect((await expectDone(dir, "up", "--once")).out).toContain("1 item of at least 2 wait for more");
    await damage(state(dir, await keyOf(dir, "inbox/")), flipBit);
    await damage(state(dir, await keyOf(dir, "inbox/")), cutShort);
    expect((await expectDone(dir, "status")).out).toContain("1 segment is damaged: see `accrete verify`");
    await writeFile(join(dir, "accrete.config.ts"), config);
    expect((await expectDone(dir, "verify", "--repair")).out).toMatch(/^aside .*inbox\//m);
    await learnsOn(dir);
  });

  it("the weights that the open round goes on from: status says how to go back", async () => {
    const dir = await copyOf(base);
    const key = (await filesIn(state(dir))).findLast((name) => /0000000002\/.*\/weights\.safetensors$/.test(name))!;
    await damage(state(dir, key), cutShort);
    await drop(dir, "new.csv", csv(9));
    expectFailure(await runCli(dir, ["up", "--once"]), 1, "PARENT_NOT_WHOLE", key);
    expect((await expectDone(dir, "status")).out).toMatch(
      new RegExp(`blocked: PARENT_NOT_WHOLE: .*${key}[^]*what to do: .*accrete verify --repair`),
    );
    expect(await whereIs(dir, "new.csv")).toEqual(["being-learned 3"]);
    const repaired = await runCli(dir, ["verify", "--repair"]);
    expectFailure(repaired, 1, "NOT_VERIFIED", key);
    expect(repaired.out).toMatch(/^left .*or train it again: `accrete rollback --to 1 --replay`$/m);
    await expectDone(dir, "rollback", "--to", "1", "--replay", "--yes");
    await expectDone(dir, "up", "--once");
    const where = await whereIs(dir, "1.csv", "2.csv", "new.csv");
    expect(where.map((at) => at.split(" ")[0])).toEqual(["learned", "learned", "learned"]);
  });

  it("the open round's plan: the round can be given up, its items are planned anew", async () => {
    const dir = await copyOf(blocked);
    const key = "rounds/0000000003/plan.json";
    await damage(state(dir, key), cutShort);
    for (const args of [["status"], ["up", "--once"], ["retry"]])
      expectFailure(await runCli(dir, args), 1, "STORED_NOT_READABLE", key);
    const repaired = await runCli(dir, ["verify", "--repair"]);
    expectFailure(repaired, 1, "NOT_VERIFIED", key);
    expect(repaired.err).toContain("or give the round up: `accrete rollback --to head` plans its items anew");
    await writeFile(join(dir, "model.ts"), await readFile(join(base, "model.ts")));
    await expectDone(dir, "rollback", "--to", "head", "--yes");
    expect((await expectDone(dir, "up", "--once")).out).toContain("round 4 has learned 1 item");
  });
});

describe.concurrent("other damage", () => {
  it("a checkpoint of the open round: training goes on from the one before it, and says so", async () => {
    const dir = await initWorkspace(folder, "resumes", [["epochs: 5,", "epochs: 300,"]]);
    await drop(dir, "1.csv", csv(1, 300));
    const up = startCli(dir, ["up"]);
    await up.says(/round 1 {4}epoch (?:[2-9]|\d{2,3})\//);
    up.process.kill("SIGINT");
    await up.ended;
    const newest = (await filesIn(state(dir))).findLast((key) => key.endsWith("/weights.safetensors"))!;
    await damage(state(dir, newest), flipBit);
    const again = await expectDone(dir, "up", "--once");
    expect(again.out).toMatch(/CHECKPOINT_NOT_WHOLE: .*weights\.safetensors is not what its manifest names; going on/);
    expect(again.out).toMatch(/round 1 {4}resumes at step \d+/);
    expect(JSON.parse((await runCli(dir, ["show", "1", "--json"])).out)).toMatchObject({
      result: { epochsAdded: 300 },
    });
  });

  it("a shard of consumed/ that is gone: verify sees it before anything is trained twice", async () => {
    const dir = await copyOf(base);
    for (const key of (await filesIn(state(dir))).filter((name) => name.startsWith("consumed/")))
      await rm(state(dir, key));
    expectFailure(await runCli(dir, ["verify"]), 1, "NOT_VERIFIED", "consumed/");
    expect((await expectDone(dir, "verify", "--repair")).out).toContain("rebuilt");
    await learnsOn(dir);
  });

  it("a state folder that is a file: every command says which", async () => {
    const dir = await copyOf(base);
    await rm(state(dir), { recursive: true });
    await writeFile(state(dir), "not a folder");
    for (const args of [["status"], ["log"], ["verify"], ["train"], ["why", "flowers/1.csv"]])
      expectFailure(await runCli(dir, args), 1, "STORE_UNREADABLE", /state\/flowers/);
  });
});
