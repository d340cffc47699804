/** Reading an open round: its attempts, their jobs, its checkpoints. Used by the tick, which acts, and by `status`, which says. */
import type { Head } from "../protocol/head.ts";
import {
  attemptsPrefix,
  checkpointsPrefix,
  failureKey,
  intentKey,
  jobRecordKey,
  MANIFEST,
  parseAttemptKey,
  parseCheckpointFile,
} from "../protocol/keys.ts";
import type { Job, Jobs, Listed, Store } from "../protocol/ports.ts";
import {
  decideLimit,
  isAlive,
  nextAttempt,
  type AttemptFacts,
  type LimitDecision,
  type RoundFacts,
} from "../protocol/round.ts";
import { sha256 } from "../protocol/digest.ts";
import { parseDocument, type FailureRecord, type Manifest, type Plan, type Result } from "../protocol/types.ts";
import type { PipelineConfig } from "../protocol/config.ts";
import { inParallel } from "./ledger.ts";
import { needDocument, readDocument, type Read } from "./read.ts";

/** All keys under a prefix. Bounded: a round has few attempts, and its checkpoints are its own. */
export async function listAll(store: Store, prefix: string): Promise<{ objects: Listed[]; nowMs: number }> {
  const objects: Listed[] = [];
  for (;;) {
    const after = objects.at(-1)?.key;
    const page = await store.list(prefix, after === undefined ? {} : { after });
    objects.push(...page.objects);
    if (!page.more || page.objects.length === 0) return { objects, nowMs: page.nowMs };
  }
}

export interface InspectPorts {
  readonly store: Store;
  readonly jobs: Jobs;
  readonly config: PipelineConfig;
}

/** The attempts of a round, and what Jobs says of those that have a job record. */
export async function inspectAttempts({ store, jobs, config }: InspectPorts, round: number): Promise<RoundFacts> {
  const { objects, nowMs } = await listAll(store, attemptsPrefix(round));
  const of = (what: "intent" | "job"): Map<number, Listed> =>
    new Map(
      objects.flatMap((listed) => {
        const key = parseAttemptKey(listed.key);
        return key?.what === what ? [[key.attempt, listed] as const] : [];
      }),
    );
  const records = of("job");
  const ids = new Map(
    await inParallel([...records.keys()], async (attempt) => {
      const record = await needDocument(store, "jobRecord", jobRecordKey(round, attempt), "its folder");
      return [attempt, record.document.jobId] as const;
    }),
  );
  const known = new Map((ids.size === 0 ? [] : await jobs.describe([...ids.values()])).map((job) => [job.id, job]));
  const attempts = [...of("intent").values()].map((intent): AttemptFacts => {
    const attempt = parseAttemptKey(intent.key)!.attempt;
    const jobId = ids.get(attempt);
    const job = jobId === undefined ? undefined : known.get(jobId);
    return {
      attempt,
      intentMs: intent.modifiedMs,
      ...(jobId === undefined ? {} : { record: { jobId, modifiedMs: records.get(attempt)!.modifiedMs } }),
      ...(job === undefined ? {} : { job }),
    };
  });
  attempts.sort((a, b) => a.attempt - b.attempt);
  return { attempts, nowMs, lookupLagMs: jobs.lookupLagMs, maxWaitMs: config.jobs.maxWait };
}

/** Looks for the jobs of intents that have no record, by name; the first that is alive. */
export async function findUnrecorded(
  { store, jobs }: InspectPorts,
  round: number,
  attempts: readonly number[],
): Promise<{ attempt: number; job: Job } | undefined> {
  for (const attempt of attempts) {
    const intent = await needDocument(store, "intent", intentKey(round, attempt), "its folder");
    const job = (await jobs.findByName(intent.document.jobName)).find(isAlive);
    if (job !== undefined) return { attempt, job };
  }
  return undefined;
}

/** Whether one more attempt is allowed. Call it after the newest job was seen dead: its failure record is looked for here. */
export async function inspectLimit(
  { store, config }: InspectPorts,
  round: number,
  facts: RoundFacts,
  retryOf: number | undefined,
): Promise<LimitDecision & { failure?: FailureRecord }> {
  const newest = nextAttempt(facts.attempts) - 1;
  const failure =
    newest === 0 ? undefined : (await readDocument(store, "failure", failureKey(round, newest)))?.document;
  const decision = decideLimit({
    attempts: facts.attempts,
    newestHasFailure: failure !== undefined,
    // only at the limit is it worth a LIST
    progressMs: facts.attempts.length < config.jobs.attempts ? undefined : await progressMs(store, round),
    limit: config.jobs.attempts,
    retryOf,
  });
  return failure === undefined ? decision : { ...decision, failure };
}

/** When the checkpoint with the highest step of a round was whole first. */
async function progressMs(store: Store, round: number): Promise<number | undefined> {
  const { objects } = await listAll(store, checkpointsPrefix(round));
  const manifests = objects.flatMap(({ key, modifiedMs }) => {
    const file = parseCheckpointFile(key);
    return file?.name === MANIFEST ? [{ step: file.step, modifiedMs }] : [];
  });
  const highest = Math.max(...manifests.map(({ step }) => step));
  const times = manifests.filter(({ step }) => step === highest).map(({ modifiedMs }) => modifiedMs);
  return times.length === 0 ? undefined : Math.min(...times);
}

/** Why the checkpoint that a result names is not whole; undefined if it is: its manifest's digest, each file's size and etag. */
export async function notWhole(store: Store, result: Result, plan: Read<Plan>): Promise<string | undefined> {
  const { manifest: key, sha256: digest } = result.checkpoint;
  const stored = await store.get(key);
  if (stored === undefined) return `${key} is not there`;
  if (sha256(stored.body) !== digest) return `${key} is not the manifest that the result names`;
  const manifest: Manifest = parseDocument("manifest", key, stored.body);
  const parent = plan.document.parent?.sha256 ?? null;
  if (manifest.plan !== plan.sha256 || result.plan !== plan.sha256 || manifest.parent !== parent)
    return `${key} is of another plan`;
  const folder = key.slice(0, key.lastIndexOf("/") + 1);
  const wrong = await inParallel(manifest.files, async (file) => {
    const head = await store.head(folder + file.name);
    if (head === undefined) return `${folder}${file.name} is not there`;
    return head.size === file.size && head.etag === file.etag
      ? undefined
      : `${folder}${file.name} is not what its manifest names`;
  });
  return wrong.find((why) => why !== undefined);
}

/** The head that a tick's operator saw is still the head. */
export function isMeantFor(tick: { readonly seq: number }, head: Head): boolean {
  return tick.seq === head.seq;
}
