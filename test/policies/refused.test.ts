/** Calls that a synthesised stack must refuse, each for the reason that is meant: without that reason the same call would be allowed. */
import { expect, test } from "vitest";
import type { Role } from "../../infra/policies.ts";
import type { Statement } from "../../infra/statement.ts";
import { deploy } from "./deployed.ts";
import { decide, type Asked, type Caller } from "./evaluate.ts";
import {
  ACCOUNT,
  bucketPoliciesOf,
  callersOf,
  DATA,
  JOB_QUEUES,
  NAMES,
  PIPELINE,
  policyFor,
  REGION,
  STATE,
  STRANGER,
} from "./place.ts";

const N = "0000000007";
const CREATE = { "s3:ObjectCreationOperation": "true", "s3:if-none-match": "*" };
const PLAIN = { "s3:ObjectCreationOperation": "true" };
const REPLACE = { ...PLAIN, "s3:if-match": '"0f"' };
const PART = { "s3:ObjectCreationOperation": "false" };

const s3 = (action: string, resource: string, context: Asked["context"] = {}): Asked => ({
  action: `s3:${action}`,
  resource: `arn:aws:s3:::${resource}`,
  account: ACCOUNT,
  context,
});
const state = (action: string, key: string, context: Asked["context"] = {}): Asked =>
  s3(action, `${STATE}/${PIPELINE}/${key}`, context);
const data = (action: string, key: string, context: Asked["context"] = {}): Asked =>
  s3(action, `${DATA}/${key}`, context);
const list = (bucket: string, prefix?: string): Asked =>
  s3("ListBucket", bucket, prefix === undefined ? {} : { "s3:prefix": prefix });
const other = (action: string, resource: string): Asked => ({
  action,
  resource: `arn:aws:${action.split(":")[0]}:${REGION}:${ACCOUNT}:${resource}`,
  account: ACCOUNT,
  context: {},
});

const LOG = `log/${N}.json`;
const CHECKPOINT = `rounds/${N}/checkpoints/0000000002-r1/weights.safetensors`;
const PLAN = `rounds/${N}/plan.json`;
const INTENT = `rounds/${N}/attempts/0000000001.json`;
const FAILURE = `rounds/${N}/attempts/0000000001.failure.json`;
const RESULT = `rounds/${N}/result.json`;
const SEGMENT = "inbox/1-2-3-4.json";
const BOUNDARY: Statement[] = [
  { Sid: "NoQueues", Effect: "Allow", Action: ["s3:*", "batch:*", "logs:*"], Resource: ["*"] },
];

const { callers, resources: buckets } = deploy(NAMES.dataPrefix);
/** May do anything that a policy can give: only a bucket's own policy refuses it something. */
const administrator: Caller = {
  arn: `arn:aws:iam::${ACCOUNT}:role/administrator`,
  statements: [{ Sid: "All", Effect: "Allow", Action: ["*"], Resource: ["*"] }],
};

/** A role lacks a permission: with `but` the call is as near to it as can be, and allowed. */
interface NotGiven {
  readonly who: Role | Caller;
  readonly asked: Asked;
  readonly but: { readonly who?: Role | Caller; readonly asked?: Asked };
}
const NOT_GIVEN: Record<string, NotGiven> = {
  "the trainer writes a log entry": {
    who: "trainer",
    asked: state("PutObject", LOG, CREATE),
    but: { who: "ledger" },
  },
  "the trainer writes a plan": { who: "trainer", asked: state("PutObject", PLAN, CREATE), but: { who: "ledger" } },
  "the trainer writes an intent, to be run again": {
    who: "trainer",
    asked: state("PutObject", INTENT, CREATE),
    but: { asked: state("PutObject", FAILURE, CREATE) },
  },
  "the trainer writes code that later rounds would run": {
    who: "trainer",
    asked: state("PutObject", "code/0.mjs", CREATE),
    but: { who: "ledger" },
  },
  "the trainer writes an item into the inbox": {
    who: "trainer",
    asked: state("PutObject", SEGMENT, CREATE),
    but: { who: "intake" },
  },
  "the trainer says what is live": {
    who: "trainer",
    asked: state("PutObject", "live.json", REPLACE),
    but: { who: "ledger" },
  },
  "the trainer takes an item out of what is consumed": {
    who: "trainer",
    asked: state("PutObject", "consumed/0a", REPLACE),
    but: { who: "ledger" },
  },
  "the trainer reads what is consumed": {
    who: "trainer",
    asked: state("GetObject", "consumed/0a"),
    but: { asked: state("GetObject", PLAN) },
  },
  "the trainer reads another pipeline's checkpoint": {
    who: "trainer",
    asked: s3("GetObject", `${STATE}/other/${CHECKPOINT}`),
    but: { asked: state("GetObject", CHECKPOINT) },
  },
  "the trainer reads a pipeline whose name begins like its own": {
    who: "trainer",
    asked: s3("GetObject", `${STATE}/${PIPELINE}2/${CHECKPOINT}`),
    but: { asked: state("GetObject", CHECKPOINT) },
  },
  "the trainer writes another pipeline's result": {
    who: "trainer",
    asked: s3("PutObject", `${STATE}/other/${RESULT}`, CREATE),
    but: { asked: state("PutObject", RESULT, CREATE) },
  },
  "the trainer lists another pipeline": {
    who: "trainer",
    asked: list(STATE, "other/rounds/"),
    but: { asked: list(STATE, `${PIPELINE}/rounds/`) },
  },
  "the trainer lists the whole state bucket": {
    who: "trainer",
    asked: list(STATE),
    but: { asked: list(STATE, `${PIPELINE}/rounds/`) },
  },
  "the trainer lists the inbox": {
    who: "trainer",
    asked: list(STATE, `${PIPELINE}/inbox/`),
    but: { asked: list(STATE, `${PIPELINE}/log/`) },
  },
  "the trainer writes data that it will be trained on": {
    who: "trainer",
    asked: data("PutObject", "f1", PLAIN),
    but: { asked: data("GetObject", "f1") },
  },
  "the trainer reads data that is not its pipeline's": {
    who: "trainer",
    asked: data("GetObject", "secret/1"),
    but: { asked: data("GetObject", "f1") },
  },
  "the trainer asks for a tick": {
    who: "trainer",
    asked: { action: "sqs:SendMessage", resource: NAMES.ticksQueue, account: ACCOUNT, context: {} },
    but: { who: "intake" },
  },
  "the trainer submits a job": {
    who: "trainer",
    asked: { action: "batch:SubmitJob", resource: NAMES.jobQueues[0]!, account: ACCOUNT, context: {} },
    but: { who: "ledger" },
  },
  "the trainer ends a job": { who: "trainer", asked: other("batch:TerminateJob", "job/1"), but: { who: "ledger" } },
  "intake reads data": { who: "intake", asked: data("GetObject", "f1"), but: { who: "trainer" } },
  "intake reads the inbox": { who: "intake", asked: state("GetObject", SEGMENT), but: { who: "ledger" } },
  "intake lists the inbox": {
    who: "intake",
    asked: list(STATE, `${PIPELINE}/inbox/`),
    but: { who: "ledger" },
  },
  "intake deletes a segment": { who: "intake", asked: state("DeleteObject", SEGMENT), but: { who: "ledger" } },
  "intake writes a log entry": {
    who: "intake",
    asked: state("PutObject", LOG, CREATE),
    but: { asked: state("PutObject", SEGMENT, CREATE) },
  },
  "intake submits a job": {
    who: "intake",
    asked: { action: "batch:SubmitJob", resource: NAMES.jobQueues[0]!, account: ACCOUNT, context: {} },
    but: { who: "ledger" },
  },
  "intake takes ticks": {
    who: "intake",
    asked: { action: "sqs:ReceiveMessage", resource: NAMES.ticksQueue, account: ACCOUNT, context: {} },
    but: { who: "ledger" },
  },
  "the ledger reads a data object": {
    who: "ledger",
    asked: data("GetObject", "f1"),
    but: { asked: list(DATA, "f") },
  },
  "the ledger reads an older version of a data object": {
    who: "ledger",
    asked: data("GetObjectVersion", "f1", { "s3:versionid": "v" }),
    but: { who: "trainer" },
  },
  "the ledger lists data that is not its pipeline's": {
    who: "ledger",
    asked: list(DATA, "secret/"),
    but: { asked: list(DATA, "f") },
  },
  "the ledger writes a checkpoint": {
    who: "ledger",
    asked: state("PutObject", CHECKPOINT, CREATE),
    but: { who: "trainer" },
  },
  "the ledger writes a result": { who: "ledger", asked: state("PutObject", RESULT, CREATE), but: { who: "trainer" } },
  "the ledger submits to a queue of another pipeline": {
    who: "ledger",
    asked: other("batch:SubmitJob", "job-queue/accrete-prod-eu-central-1-other"),
    but: { asked: { ...other("batch:SubmitJob", `job-queue/${JOB_QUEUES[0]}`) } },
  },
  "the ledger runs another pipeline's definition, with that one's role": {
    who: "ledger",
    asked: other("batch:SubmitJob", "job-definition/accrete-prod-other:1"),
    but: { asked: other("batch:SubmitJob", "job-definition/accrete-prod-sim:1") },
  },
  "the operator writes a checkpoint": {
    who: "operator",
    asked: state("PutObject", CHECKPOINT, CREATE),
    but: { who: "trainer" },
  },
  "the operator submits a job by hand": {
    who: "operator",
    asked: other("batch:SubmitJob", `job-queue/${JOB_QUEUES[0]}`),
    but: { who: "ledger" },
  },
  "the operator takes the ledger's role": {
    who: "operator",
    asked: { action: "sts:AssumeRole", resource: callers.ledger.arn, account: ACCOUNT, context: {} },
    but: { asked: { action: "sts:AssumeRole", resource: callers.repairer.arn, account: ACCOUNT, context: {} } },
  },
  "the ledger takes the repair role": {
    who: "ledger",
    asked: { action: "sts:AssumeRole", resource: callers.repairer.arn, account: ACCOUNT, context: {} },
    but: { who: "operator" },
  },
  "the operator deletes a data object": {
    who: "operator",
    asked: data("DeleteObject", "f1"),
    but: { asked: data("PutObject", "f1", PLAIN) },
  },
  "the scheduler writes to the state": {
    who: "scheduler",
    asked: state("PutObject", SEGMENT, CREATE),
    but: { who: "intake" },
  },
  "a role of another account reads a checkpoint, whatever its own policy allows": {
    who: { ...callers.trainer, arn: callers.trainer.arn.replace(ACCOUNT, STRANGER) },
    asked: state("GetObject", CHECKPOINT),
    but: { who: "trainer" },
  },
  "the ledger writes to a bucket of that name in another account": {
    who: callers.ledger,
    asked: { ...state("PutObject", LOG, CREATE), context: { ...CREATE, "s3:ResourceAccount": STRANGER } },
    but: { asked: state("PutObject", LOG, CREATE) },
  },
  "the ledger asks for a tick, where a boundary forbids queues": {
    who: { ...callers.ledger, boundary: BOUNDARY },
    asked: { action: "sqs:SendMessage", resource: NAMES.ticksQueue, account: ACCOUNT, context: {} },
    but: { who: "ledger" },
  },
};

/** The bucket's own policy refuses what the caller's policy would allow. */
interface Forbidden {
  readonly who: Role | Caller;
  readonly asked: Asked;
  /** Sid of the statement that alone refuses it */
  readonly by: string;
}
const FORBIDDEN: Record<string, Forbidden> = {
  "a log entry without If-None-Match": { who: "ledger", asked: state("PutObject", LOG, PLAIN), by: "CreateOnly" },
  "a log entry in the place of one, by If-Match": {
    who: "ledger",
    asked: state("PutObject", LOG, REPLACE),
    by: "CreateOnly",
  },
  "a log entry by the operator without If-None-Match": {
    who: "operator",
    asked: state("PutObject", LOG, PLAIN),
    by: "CreateOnly",
  },
  "a plan without If-None-Match": { who: "ledger", asked: state("PutObject", PLAN, PLAIN), by: "CreateOnly" },
  "code without If-None-Match": {
    who: "ledger",
    asked: state("PutObject", "code/0.mjs", PLAIN),
    by: "CreateOnly",
  },
  "weights of a warm start without If-None-Match": {
    who: "ledger",
    asked: state("PutObject", "start/0.safetensors", PLAIN),
    by: "CreateOnly",
  },
  "a segment without If-None-Match": { who: "intake", asked: state("PutObject", SEGMENT, PLAIN), by: "CreateOnly" },
  "the trainer replaces a committed checkpoint": {
    who: "trainer",
    asked: state("PutObject", CHECKPOINT, REPLACE),
    by: "CreateOnly",
  },
  "the trainer completes a multipart upload over a committed checkpoint": {
    who: "trainer",
    // PutObject and CompleteMultipartUpload ask for the same
    asked: state("PutObject", CHECKPOINT, PLAIN),
    by: "CreateOnly",
  },
  "the trainer copies over a committed checkpoint": {
    who: "trainer",
    asked: state("PutObject", CHECKPOINT, { ...PLAIN, "s3:x-amz-copy-source": `${STATE}/${PIPELINE}/${CHECKPOINT}2` }),
    by: "CreateOnly",
  },
  "a request that does not say whether it creates an object": {
    who: "trainer",
    asked: state("PutObject", CHECKPOINT),
    by: "CreateOnly",
  },
  "the trainer replaces a result": { who: "trainer", asked: state("PutObject", RESULT, PLAIN), by: "CreateOnly" },
  "an administrator writes over a log entry": {
    who: administrator,
    asked: state("PutObject", LOG, PLAIN),
    by: "CreateOnly",
  },
  "live.json without having read it": {
    who: "ledger",
    asked: state("PutObject", "live.json", PLAIN),
    by: "ReplaceOnlyWhatWasRead",
  },
  "consumed items without having read them": {
    who: "ledger",
    asked: state("PutObject", "consumed/0a", PLAIN),
    by: "ReplaceOnlyWhatWasRead",
  },
  "an administrator deletes a log entry": {
    who: administrator,
    asked: state("DeleteObject", LOG),
    by: "KeepForGood",
  },
  "an administrator deletes a plan": { who: administrator, asked: state("DeleteObject", PLAN), by: "KeepForGood" },
  "an administrator deletes an intent": {
    who: administrator,
    asked: state("DeleteObject", INTENT),
    by: "KeepForGood",
  },
  "an administrator deletes code": {
    who: administrator,
    asked: state("DeleteObject", "code/0.mjs"),
    by: "KeepForGood",
  },
  "an administrator deletes what is consumed": {
    who: administrator,
    asked: state("DeleteObject", "consumed/0a"),
    by: "KeepTheBooks",
  },
  "an administrator deletes a checkpoint": {
    who: administrator,
    asked: state("DeleteObject", CHECKPOINT),
    by: "OnlyTheJanitorDeletes",
  },
  "an administrator deletes a version of a log entry": {
    who: administrator,
    asked: state("DeleteObjectVersion", LOG, { "s3:versionid": "v" }),
    by: "KeepVersions",
  },
  "the ledger reads over plain HTTP": {
    who: "ledger",
    asked: state("GetObject", LOG, { "aws:SecureTransport": "false" }),
    by: "TlsOnly",
  },
  "the trainer reads data over plain HTTP": {
    who: "trainer",
    asked: data("GetObject", "f1", { "aws:SecureTransport": "false" }),
    by: "TlsOnly",
  },
  "the ledger lists the state over plain HTTP": {
    who: "ledger",
    asked: {
      ...list(STATE, `${PIPELINE}/log/`),
      context: { "s3:prefix": `${PIPELINE}/log/`, "aws:SecureTransport": "false" },
    },
    by: "TlsOnly",
  },
  "the ledger asks for a tick over plain HTTP": {
    who: "ledger",
    asked: {
      action: "sqs:SendMessage",
      resource: NAMES.ticksQueue,
      account: ACCOUNT,
      context: { "aws:SecureTransport": "false" },
    },
    by: "TlsOnly",
  },
};

const callerOf = (who: Role | Caller): Caller => (typeof who === "string" ? callers[who] : who);
const ask = (who: Role | Caller, asked: Asked): ReturnType<typeof decide> =>
  decide(callerOf(who), asked, policyFor(buckets, asked.resource));

test.each(Object.entries(NOT_GIVEN))("not given: %s", async (_title, { who, asked, but }) => {
  expect(await ask(who, asked)).toMatchObject({ result: "ImplicitlyDenied", refusedBy: [] });
  expect((await ask(but.who ?? who, but.asked ?? asked)).result).toBe("Allowed");
});

test.each(Object.entries(FORBIDDEN))("forbidden: %s", async (_title, { who, asked, by }) => {
  expect(await ask(who, asked)).toMatchObject({ result: "ExplicitlyDenied", refusedBy: [by] });
  const without = policyFor(buckets, asked.resource).filter(({ Sid }) => Sid !== by);
  expect((await decide(callerOf(who), asked, without)).result).toBe("Allowed");
});

const version = { "s3:versionid": "v" };
/** Refused by the bucket, and not given to the role either. */
const TWICE: Record<string, { readonly who: Role; readonly asked: Asked; readonly by: string }> = {
  "the operator deletes the log": { who: "operator", asked: state("DeleteObject", LOG), by: "KeepForGood" },
  "the operator deletes a plan": { who: "operator", asked: state("DeleteObject", PLAN), by: "KeepForGood" },
  "the operator deletes a result": { who: "operator", asked: state("DeleteObject", RESULT), by: "KeepForGood" },
  "the operator deletes live.json": { who: "operator", asked: state("DeleteObject", "live.json"), by: "KeepTheBooks" },
  "the operator deletes a checkpoint": {
    who: "operator",
    asked: state("DeleteObject", CHECKPOINT),
    by: "OnlyTheJanitorDeletes",
  },
  "the trainer deletes a checkpoint": {
    who: "trainer",
    asked: state("DeleteObject", CHECKPOINT),
    by: "OnlyTheJanitorDeletes",
  },
  "the trainer deletes an older version": {
    who: "trainer",
    asked: state("DeleteObjectVersion", CHECKPOINT, version),
    by: "KeepVersions",
  },
  "the janitor deletes an older version": {
    who: "ledger",
    asked: state("DeleteObjectVersion", CHECKPOINT, version),
    by: "KeepVersions",
  },
};

test.each(Object.entries(TWICE))("twice refused: %s", async (_title, { who, asked, by }) => {
  expect(await ask(who, asked)).toMatchObject({ result: "ExplicitlyDenied", refusedBy: [by] });
  expect((await decide(callers[who], asked)).result).toBe("ImplicitlyDenied");
});

test("the parts of a multipart upload carry no condition and are let through", async () => {
  expect((await ask("trainer", state("PutObject", CHECKPOINT, PART))).result).toBe("Allowed");
  expect((await ask("trainer", state("PutObject", CHECKPOINT, CREATE))).result).toBe("Allowed");
});

const REPAIRED: Record<string, Asked> = {
  "puts another entry in the place of a damaged one": state("PutObject", LOG, REPLACE),
  "takes the newest entry away": state("DeleteObject", LOG),
  "puts a checkpoint's file right": state("PutObject", CHECKPOINT, REPLACE),
  "takes a job record away": state("DeleteObject", `rounds/${N}/attempts/0000000001.job.json`),
};

test.each(Object.entries(REPAIRED))(
  "a repairer %s, and neither an operator nor an administrator can",
  async (_title, asked) => {
    expect((await ask("repairer", asked)).result).toBe("Allowed");
    for (const who of ["operator", administrator] as const)
      expect((await ask(who, asked)).result).toBe("ExplicitlyDenied");
    // a bucket that was not told of a repairer refuses that one as well
    const untold = policyFor(bucketPoliciesOf(NAMES), asked.resource);
    expect((await decide(callersOf(NAMES).repairer, asked, untold)).result).toBe("ExplicitlyDenied");
  },
);

test("a data prefix is a text: its wildcards and variables are what they are", async () => {
  const { trainer } = callersOf({ ...NAMES, dataPrefix: "a*b?$/" });
  expect((await decide(trainer, data("GetObject", "a/secret/bc$/1"))).result).toBe("ImplicitlyDenied");
  expect((await decide(trainer, list(DATA, "a*b?$/"))).result).toBe("Allowed");
  expect((await decide(trainer, list(DATA, "axxbx$/"))).result).toBe("ImplicitlyDenied");
});
