/**
 * The trainer's part of the protocol without the learning: its weights are the text of what they were trained from and on, so that the
 * books can say whether a checkpoint is what its entry claims. A text that ends in "~" is half trained.
 */
import { itemId, sha256 } from "../../protocol/digest.ts";
import {
  attemptsPrefix,
  checkpointPrefix,
  checkpointsPrefix,
  failureKey,
  MANIFEST,
  parseAttemptKey,
  parseCheckpointFile,
  resultKey,
} from "../../protocol/keys.ts";
import type { Store } from "../../protocol/ports.ts";
import { documentBytes, parseDocument, type Manifest, type Plan, type Result } from "../../protocol/types.ts";
import { readHead } from "../../ledger/read.ts";

export interface TrainerBehaviour {
  readonly bad: ReadonlySet<string>;
  readonly poison: ReadonlySet<string>;
  readonly fails: () => boolean;
  readonly passes: () => boolean;
  readonly savesHalf: boolean;
  /** its checkpoints have a replay memory */
  readonly memory: boolean;
  readonly run: string;
}

const text = (body: Uint8Array): string => new TextDecoder().decode(body);
const bytes = (body: string): Uint8Array => new TextEncoder().encode(body);

/** What the weights say after a round: the books compute the same from the log. */
export function trainedText(parent: string, round: number, ids: readonly string[]): string {
  return `${parent}+${round}:${[...ids].sort().join(",")}`;
}

export async function train(
  store: Store,
  planKey: string,
  attempt: string,
  behaviour: TrainerBehaviour,
): Promise<void> {
  const stored = await store.get(planKey);
  if (stored === undefined) return;
  const plan = parseDocument("plan", planKey, stored.body);
  const of = { plan, planSha256: sha256(stored.body), attempt, run: behaviour.run, memory: behaviour.memory };
  if (await isSuperseded(store, plan, Number(attempt.split(".")[0]))) return;

  const rejected = plan.items.filter((item) => behaviour.bad.has(itemId(item)));
  const ids = plan.items.map(itemId).filter((id) => !behaviour.bad.has(id));
  const half = await newestHalf(store, plan.round, of.planSha256);
  const parent = half ?? (await parentText(store, plan));
  if (parent === undefined) return;
  const whole = half ?? trainedText(parent, plan.round, ids);

  if (behaviour.savesHalf && half === undefined) await save(store, of, 1, `${whole}~`);
  if (behaviour.fails()) {
    const key = failureKey(plan.round, Number(attempt.split(".")[0]));
    await store.create(
      key,
      documentBytes("failure", key, { format: 1, code: "SIMULATED", message: "on purpose", items: [], exit: 70 }),
    );
    return;
  }
  const checkpoint = await save(store, of, 2, whole);
  if (checkpoint === undefined) return;
  const poisoned = plan.items.some((item) => behaviour.poison.has(itemId(item)));
  const accuracy = poisoned || !behaviour.passes() ? 0.1 : 0.9;
  const result: Result = {
    format: 1,
    round: plan.round,
    plan: of.planSha256,
    attempt,
    checkpoint: { ...checkpoint, round: plan.round, step: 2 * plan.round, epoch: plan.round },
    epochsAdded: 1,
    stepsAdded: 2,
    rejected: rejected.map((item) => ({ item, code: "bad" as const, message: "simulated" })),
    metrics: { accuracy, holdoutRecords: 100 },
    liveMetrics: plan.live === null ? null : { accuracy: 0.5 },
  };
  const key = resultKey(plan.round);
  await store.create(key, documentBytes("result", key, result));
}

async function isSuperseded(store: Store, plan: Plan, attempt: number): Promise<boolean> {
  const { head } = await readHead(store);
  if (head.round >= plan.round) return true;
  if ((await store.head(resultKey(plan.round))) !== undefined) return true;
  const { objects } = await store.list(attemptsPrefix(plan.round));
  return objects.some(({ key }) => {
    const parsed = parseAttemptKey(key);
    return parsed?.what === "job" && parsed.attempt > attempt;
  });
}

async function newestHalf(store: Store, round: number, planSha256: string): Promise<string | undefined> {
  const { objects } = await store.list(checkpointsPrefix(round));
  for (const { key } of objects.toReversed()) {
    if (parseCheckpointFile(key)?.name !== MANIFEST) continue;
    const body = await wholeText(store, key, planSha256);
    if (body !== undefined) return body.replace(/~$/, "");
  }
  return undefined;
}

async function parentText(store: Store, plan: Plan): Promise<string | undefined> {
  return plan.parent === null ? "0" : wholeText(store, plan.parent.manifest, undefined);
}

async function wholeText(
  store: Store,
  manifestKey: string,
  planSha256: string | undefined,
): Promise<string | undefined> {
  const stored = await store.get(manifestKey);
  if (stored === undefined) return undefined;
  const manifest: Manifest = parseDocument("manifest", manifestKey, stored.body);
  const weights = await store.get(manifestKey.replace(MANIFEST, "weights"));
  if (weights === undefined || sha256(weights.body) !== manifest.files[0]!.sha256) return undefined;
  return planSha256 === undefined || manifest.plan === planSha256 ? text(weights.body) : undefined;
}

async function save(
  store: Store,
  of: { plan: Plan; planSha256: string; attempt: string; run: string; memory: boolean },
  step: number,
  body: string,
): Promise<{ manifest: string; sha256: string } | undefined> {
  const folder = checkpointPrefix({ round: of.plan.round, step, run: of.run });
  const weights = bytes(body);
  if ((await store.create(`${folder}weights`, weights)) !== "won") return undefined;
  const etag = (await store.head(`${folder}weights`))?.etag;
  if (etag === undefined) return undefined;
  const files: Manifest["files"] = [{ name: "weights", size: weights.byteLength, sha256: sha256(weights), etag }];
  if (of.memory) {
    const memory = bytes("remembered");
    await store.create(`${folder}memory.bin`, memory);
    const head = await store.head(`${folder}memory.bin`);
    if (head === undefined) return undefined;
    files.push({ name: "memory.bin", size: memory.byteLength, sha256: sha256(memory), etag: head.etag });
  }
  const manifest: Manifest = {
    format: 1,
    round: of.plan.round,
    plan: of.planSha256,
    code: of.plan.code,
    parent: of.plan.parent?.sha256 ?? null,
    attempt: of.attempt,
    run: of.run,
    step,
    epoch: 1,
    files,
    environment: {},
  };
  const key = folder + MANIFEST;
  const document = documentBytes("manifest", key, manifest);
  return (await store.create(key, document)) === "won" ? { manifest: key, sha256: sha256(document) } : undefined;
}
