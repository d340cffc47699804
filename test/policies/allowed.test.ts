/** What intake, ledger, trainer and CLI really ask AWS for is allowed by their policies, whatever a stack is made of. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openMemoryStore, type MemoryStore } from "../../adapters/memory-store.ts";
import { otherAccountStatements } from "../../infra/bucket-policies.ts";
import { instanceStatements } from "../../infra/instance-policy.ts";
import type { ResourceStatement } from "../../infra/statement.ts";
import { chooseCheckpoint, listCheckpoints } from "../../ledger/checkpoints.ts";
import { promote, rollback } from "../../ledger/commands.ts";
import { forecast } from "../../ledger/forecast.ts";
import { intake } from "../../ledger/intake.ts";
import { repair } from "../../ledger/repair.ts";
import { previewRollback } from "../../ledger/rollback.ts";
import { readRound } from "../../ledger/round-report.ts";
import { readStatus } from "../../ledger/status.ts";
import { tick } from "../../ledger/tick.ts";
import { readTrainingHistory } from "../../ledger/training-history.ts";
import { verify } from "../../ledger/verify.ts";
import { why } from "../../ledger/why.ts";
import { itemId, sha256 } from "../../protocol/digest.ts";
import { jobRecordKey, LIVE, logKey, planKey, quarantineKey } from "../../protocol/keys.ts";
import type { Job, Store } from "../../protocol/ports.ts";
import { jsonl, Place as TrainingPlace, tableRows } from "../../trainer/testing/rounds.ts";
import { A, BAD, fakeHistory, learn } from "../fake-history.ts";
import { fakePipeline, fakeStart } from "../fake-trainer.ts";
import { memoryStore } from "../small-states.ts";
import { deploy } from "./deployed.ts";
import { decide, type Asked } from "./evaluate.ts";
import { AROUND, ARRIVALS_URL, call, Judge, kindsOf, placeOf, type Place } from "./judge.ts";
import { recordHistory, Recorder } from "./recorded.ts";
import type { Recorded } from "./memory-aws.ts";
import { ACCOUNT, DATA, NAMES, PIPELINE, REGION, roleArn, STATE, STRANGER, TICKS_URL } from "./place.ts";

/** as it is synthesised */
const STACK: Place = { ...deploy(""), around: AROUND };
const judge = new Judge();
const refused = (calls: readonly Recorded[], place = STACK, only?: (one: Asked) => boolean): Promise<string[]> =>
  judge.refused(calls, place, only);

describe("all is allowed that is asked for", () => {
  const all: Recorded[] = [];
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "accrete-policies-"));
  });
  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  it("in histories of the simulation, with every fault", async () => {
    for (const seed of [9, 11, 44, 45, 50]) {
      const { history, calls } = await recordHistory(seed);
      expect(history.violation, `seed ${seed}`).toBeUndefined();
      all.push(...calls);
    }
    expect(kindsOf(all)).toEqual({
      intake: ["S3.PutObject", "SQS.SendMessage"],
      ledger: [
        "Batch.DescribeJobs",
        "Batch.ListJobs",
        "Batch.SubmitJob",
        "S3.DeleteObject",
        "S3.GetObject",
        "S3.HeadObject",
        "S3.ListObjectsV2",
        "S3.PutObject",
        "SNS.Publish",
        "SQS.SendMessage",
      ],
      operator: [
        "Batch.DescribeJobs",
        "Batch.TerminateJob",
        "S3.DeleteObject",
        "S3.GetObject",
        "S3.ListObjectsV2",
        "S3.PutObject",
        "SNS.Publish",
        "SQS.SendMessage",
      ],
      trainer: ["S3.GetObject", "S3.HeadObject", "S3.ListObjectsV2", "S3.PutObject"],
    });
    expect(await refused(all)).toEqual([]);
  });

  it("by trainers that train, resume from a parent, meet what they may not read, and fail", async () => {
    const recorder = new Recorder();
    const memory = openMemoryStore({ nowMs: () => 0 });
    const data = openMemoryStore({ nowMs: () => 0 });
    const place = new TrainingPlace(memory);
    const put = async (key: string, body: string): Promise<void> => {
      place.put(key, body);
      await data.create(key, new TextEncoder().encode(body));
    };
    const store = recorder.store("trainer", memory);
    await put("a.jsonl", jsonl(tableRows(0, 40)));
    await put("closed.jsonl", jsonl(tableRows(0, 5)));
    const [a, closed] = (await place.items.list("")).items;
    await place.plan({ items: [{ ...a!, versionId: "v1" }, closed!] });
    const items = recorder.items("trainer", data, new Set(["closed.jsonl"]));
    expect((await place.run({ store, items })).exit).toBe(0);
    const first = await place.result(1);
    expect(first.rejected.map(({ code }) => code)).toEqual(["forbidden"]);

    await put("b.jsonl", jsonl(tableRows(40, 60)));
    const { checkpoint } = first;
    const more = (await place.items.list("")).items.filter(({ key }) => key === "b.jsonl");
    await place.plan({ round: 2, parent: checkpoint, live: checkpoint, items: more });
    expect(await place.run({ round: 2, store, items })).toMatchObject({ exit: 0, message: "" });

    const module = 'export default { build: () => { throw new Error("on purpose"); } };';
    await place.plan({ round: 3, parent: checkpoint, items: more, module });
    expect((await place.run({ round: 3, store, items })).exit).not.toBe(0);
    expect(await place.failure(1, 3)).toBeDefined();

    const calls = await recorder.settled();
    all.push(...calls);
    expect(await refused(calls)).toEqual([]);
  });

  it("for files in parts: a checkpoint's, copied from another one's, given up; a warm start's", async () => {
    const recorder = new Recorder();
    const memory = memoryStore();
    const path = join(folder, "large");
    await writeFile(path, Buffer.alloc(9 * 1_048_576, 7));
    const [key, copy] = ["2-a", "2-b"].map(
      (run) => `rounds/0000000001/checkpoints/000000000${run}/weights.safetensors`,
    );
    const trainer = recorder.store("trainer", memory);
    expect(await trainer.createFromFile(key!, path)).toBe("won");
    expect(await trainer.copy(key!, copy!)).toBe("won");
    expect(await trainer.createFromFile(key!, path)).toBe("lost");
    expect(await trainer.readToFile(key!, join(folder, "read"))).toMatchObject({ size: 9 * 1_048_576 });

    const fake = fakePipeline(memory);
    fake.training = null;
    const start = fakeStart(new Uint8Array(9 * 1_048_576));
    await intake({ ...fake.ledger, store: recorder.store("intake", memory) }, [A]);
    const ledger = { ...fake.ledger, store: recorder.store("ledger", memory), start };
    await tick(ledger, { kind: "plain" });
    expect(start.reads).toBe(1);
    expect(await ledger.store.createFromFile(`start/${"0".repeat(64)}.safetensors`, path)).toBe("won");
    expect(await ledger.store.createFromFile(`start/${"0".repeat(64)}.safetensors`, path)).toBe("lost");
    expect(await trainer.readToFile(`start/${"0".repeat(64)}.safetensors`, join(folder, "read"))).toBeDefined();

    const calls = await recorder.settled();
    all.push(...calls);
    const parts = ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "AbortMultipartUpload"];
    const { trainer: byTrainer, ledger: byLedger } = kindsOf(calls);
    expect(byTrainer).toEqual(expect.arrayContaining([...parts, "UploadPartCopy"].map((name) => `S3.${name}`)));
    expect(byLedger).toEqual(expect.arrayContaining(parts.map((name) => `S3.${name}`)));
    expect(await refused(calls)).toEqual([]);
  });

  it("by a ledger that ends a job which waits too long", async () => {
    const recorder = new Recorder();
    const fake = fakePipeline(memoryStore(), { jobs: { maxWait: 1_000 } });
    fake.training = null;
    await intake(fake.ledger, [A]);
    await tick(fake.ledger, { kind: "plain" });
    const waiting = (id: string): Job => ({ id, name: "", state: "waiting", createdMs: 0 });
    const jobs = { ...fake.ledger.jobs, describe: async (ids: readonly string[]) => ids.map(waiting) };
    await tick({ ...fake.ledger, jobs: recorder.jobs("ledger", jobs) }, { kind: "plain" });
    const calls = await recorder.settled();
    all.push(...calls);
    expect(kindsOf(calls)["ledger"]).toContain("Batch.TerminateJob");
    expect(await refused(calls)).toEqual([]);
  });

  it("by the ledger's own code that the CLI runs", async () => {
    const recorder = new Recorder();
    const memory = memoryStore();
    const fake = await fakeHistory(memory);
    const store = recorder.store("operator", memory);
    const jobs = recorder.jobs("operator", fake.ledger.jobs);
    const items = recorder.items("operator", openMemoryStore({ nowMs: () => 0 }));
    const { config, clock } = fake.ledger;
    const ports = { store, jobs, config, clock };
    await readStatus(ports);
    await forecast(ports, items);
    await readRound(ports, 5);
    await readTrainingHistory(store);
    await listCheckpoints(store);
    await why({ store, items, config }, "a.csv");
    expect(await damagedKeys(store)).toEqual([]);
    const { manifest } = await chooseCheckpoint(store, { by: "live" });
    await store.readToFile(manifest, join(folder, "pulled"));
    const ledger = {
      ...fake.ledger,
      ...ports,
      ticks: recorder.ticks("operator", fake.ledger.ticks),
      notify: recorder.notify("operator"),
    };
    const young = memoryStore();
    await learn(fakePipeline(young), [A, BAD], { reject: ["bad.csv"] });
    const request = { to: 1, replay: true, without: [], with: [] } as const;
    await previewRollback(ports, request);
    await rollback(ledger, { ...request, by: "ada", reason: "a test" });
    // as if the ledger had died after an entry
    for (const key of [LIVE, quarantineKey(itemId(BAD))]) await young.delete(key);
    await promote({ ...ledger, store: recorder.store("operator", young) }, { round: 1, by: "ada", reason: "a test" });
    expect(await young.get(quarantineKey(itemId(BAD)))).toBeDefined();

    const calls = await recorder.settled();
    all.push(...calls);
    expect(await refused(calls)).toEqual([]);
  });

  it("in a role's name by Lambda and the scheduler", async () => {
    const calls = [
      ...["ReceiveMessage", "DeleteMessage", "GetQueueAttributes"].flatMap((command) => [
        call("intake", "SQS", command, { QueueUrl: ARRIVALS_URL }),
        call("ledger", "SQS", command, { QueueUrl: TICKS_URL }),
      ]),
      call("scheduler", "SQS", "SendMessage", { QueueUrl: TICKS_URL }),
    ];
    all.push(...calls);
    expect(await refused(calls)).toEqual([]);
  });

  it("also with own keys, which without their statements would not do", async () => {
    const key = (id: string): string => `arn:aws:kms:${REGION}:${ACCOUNT}:key/${id}`;
    const [stateKey, dataKey] = [key("state"), key("data")];
    // as a key's policy is made by default: the account's own policies decide
    const delegated: ResourceStatement[] = [
      {
        Sid: "Account",
        Effect: "Allow",
        Principal: { AWS: [`arn:aws:iam::${ACCOUNT}:root`] },
        Action: ["kms:*"],
        Resource: ["*"],
      },
    ];
    const around = { ...AROUND, keys: { [STATE]: stateKey, [DATA]: dataKey }, messageKey: stateKey };
    const policies = [stateKey, dataKey].map((arn) => [arn, delegated] as const);
    const names = { ...NAMES, dataPrefix: "", stateKey, dataKey };
    const isOfKeys = ({ action }: Asked): boolean => action.startsWith("kms:");
    expect(await refused(all, placeOf(names, around, policies), isOfKeys)).toEqual([]);
    const without = await refused(all, placeOf({ ...names, stateKey: null }, around, policies), isOfKeys);
    expect(new Set(without.map((line) => line.split(" ")[0]))).toEqual(
      new Set(["intake", "ledger", "trainer", "operator", "scheduler"]),
    );
  });

  it("also with data in another account, if its owner allows it as we say", async () => {
    const byProgram = all.filter(({ by, input }) => input["Bucket"] === DATA && by !== "operator");
    const names = { ...NAMES, dataPrefix: "", dataAccount: STRANGER };
    const around = { ...AROUND, owners: { [DATA]: STRANGER } };
    const roles = { trainerRole: roleArn("trainer"), ledgerRole: roleArn("ledger") };
    const owner = [[names.dataBucket, otherAccountStatements({ ...names, ...roles })] as const];
    expect(byProgram.length).toBeGreaterThan(10);
    expect(await refused(byProgram, placeOf(names, around, owner))).toEqual([]);
    expect((await refused(byProgram, placeOf(names, around))).length).toBeGreaterThan(1);
  });
});

describe("nothing is allowed that nobody asks for", () => {
  // the operator's: cli/stack.test.ts
  it.each(["intake", "ledger", "trainer"] as const)("by the policy of %s", (role) => {
    expect(judge.unused(role, STACK)).toEqual([]);
  });
});

describe("a repair", () => {
  it("is allowed to a repairer, and what it writes over or deletes to nobody else", async () => {
    const recorder = new Recorder();
    const memory = memoryStore();
    const fake = await fakeHistory(memory);
    for (const key of [logKey(3), LIVE, planKey(2)]) await damage(memory, key, flip);
    for (const key of [quarantineKey(itemId(BAD)), jobRecordKey(5, 1)]) await damage(memory, key, cut);
    const store = recorder.store("repairer", memory);
    const { config, code } = fake.ledger;
    const done = await repair({ store, config, code }, await damagedKeys(store));
    expect(done.map(({ did }) => did)).not.toContain("left");

    const calls = await recorder.settled();
    expect(await refused(calls)).toEqual([]);
    const asOperator = calls.map((one) => ({ ...one, by: "operator" }));
    const refusals = await refused(asOperator);
    expect(refusals.some((line) => line.includes("PutObject") && line.includes("CreateOnly"))).toBe(true);
    expect(refusals.some((line) => line.includes("DeleteObject") && line.includes("KeepForGood"))).toBe(true);
  });
});

describe("the machines' role", () => {
  it.each([
    ["ecs:RegisterContainerInstance", "ecs", "cluster/made-by-batch"],
    ["ecs:Poll", "ecs", "container-instance/made-by-batch/0f3a"],
    ["ecs:SubmitTaskStateChange", "ecs", "cluster/made-by-batch"],
    ["ecr:BatchGetImage", "ecr", "repository/trainer"],
    ["logs:PutLogEvents", "logs", "log-group:/accrete/prod/sim/jobs:log-stream:default/0f3a"],
  ])("may %s", async (action, service, resource) => {
    const statements = instanceStatements({
      partition: "aws",
      region: REGION,
      account: ACCOUNT,
      jobLogGroups: [NAMES.logGroups.jobs],
      imageRepositories: NAMES.imageRepositories,
    });
    const caller = { arn: `arn:aws:iam::${ACCOUNT}:role/instance`, statements };
    const asked = { action, account: ACCOUNT, context: {} };
    const of = (rest: string): Asked => ({ ...asked, resource: `arn:aws:${service}:${REGION}:${ACCOUNT}:${rest}` });
    expect((await decide(caller, of(resource))).result).toBe("Allowed");
    if (service !== "ecs")
      expect((await decide(caller, of(resource.replace(/trainer|sim/, "other")))).result).not.toBe("Allowed");
    const state = { ...asked, action: "s3:GetObject", resource: `arn:aws:s3:::${STATE}/${PIPELINE}/${LIVE}` };
    expect((await decide(caller, state)).result).toBe("ImplicitlyDenied");
  });
});

type Damage = (body: Uint8Array) => Uint8Array;
const flip: Damage = (body) => body.with(body.length >> 1, body[body.length >> 1]! ^ 4);
const cut: Damage = (body) => body.subarray(0, body.length >> 1);
async function damage(memory: MemoryStore, key: string, by: Damage): Promise<void> {
  const { body, etag } = (await memory.get(key))!;
  expect(await memory.replace(key, by(body), etag)).toBe("won");
}

async function damagedKeys(store: Store): Promise<string[]> {
  const keys = new Set<string>();
  await verify(store, {
    digestOf: async (key) => {
      const stored = await store.get(key);
      return stored && sha256(stored.body);
    },
    onFinding: ({ severity, key }) => void (severity === "damage" && keys.add(key)),
  });
  return [...keys];
}
