/** An entry of the log whose bytes are damaged, made anew from what it was made of. */
import { costOf, roundEntry } from "../protocol/entry.ts";
import type { PipelineConfig } from "../protocol/config.ts";
import { itemId, sha256 } from "../protocol/digest.ts";
import { decideGate } from "../protocol/gate.ts";
import { headOf, sameCheckpoint, START, type Head } from "../protocol/head.ts";
import { logKey, planKey, resultKey } from "../protocol/keys.ts";
import type { Job, Store } from "../protocol/ports.ts";
import { documentBytes, type Plan, type Result } from "../protocol/types.ts";
import { notWhole } from "./inspect.ts";
import { readConsumed, readDocument, readEntry, readLive, type Read } from "./read.ts";

interface Work {
  readonly before: Head;
  readonly plan: Read<Plan>;
  readonly result: Read<Result>;
}

/** What a round's entry at `seq` would have been made of; undefined if not all of it is there and whole. @throws if it is damaged too */
async function workOf(store: Store, seq: number): Promise<Work | undefined> {
  const before = seq === 1 ? START : await headBefore(store, seq);
  const round = before.round + 1;
  const plan = await readDocument(store, "plan", planKey(round));
  const result = await readDocument(store, "result", resultKey(round));
  if (plan === undefined || result === undefined) return undefined;
  return { before, plan, result };
}

async function headBefore(store: Store, seq: number): Promise<Head> {
  const read = await readEntry(store, seq - 1);
  return headOf(read.document, { sha256: read.sha256, modifiedMs: read.modifiedMs });
}

/**
 * The very bytes that a round's entry had. Its time, its digest and what its jobs took are near the start of the file, so they often
 * outlive the damage; the rest follows from plan, result and the entry before, as long as gate and keep are as they were. That the digest is right proves it.
 * @returns undefined if they can't be told
 */
export async function entryAnew(
  store: Store,
  config: Pick<PipelineConfig, "gate" | "keep">,
  seq: number,
  damaged: Uint8Array,
): Promise<Uint8Array | undefined> {
  const text = Buffer.from(damaged).toString("latin1");
  const at = /"at":(\d{1,13}),/.exec(text)?.[1];
  const digest = /"digest":"([0-9a-f]{64})"/.exec(text)?.[1];
  const jobMs = Number(/"jobMs":(\d{1,15}),/.exec(text)?.[1] ?? 0);
  if (at === undefined || digest === undefined) return undefined;
  const work = await workOf(store, seq);
  if (work === undefined) return undefined;
  const { before, plan, result } = work;
  const entry = roundEntry(
    before,
    {
      plan: plan.document,
      planKey: planKey(before.round + 1),
      planSha256: plan.sha256,
      result: result.document,
      resultKey: resultKey(before.round + 1),
      resultSha256: result.sha256,
      gate: decideGate(config.gate, plan.document, result.document, before),
    },
    {
      keepRounds: config.keep.rounds,
      at: Number(at),
      cost: costOf(before, [jobThatRan(jobMs, Number(at))], Number(at)),
    },
  );
  const body = documentBytes("logEntry", logKey(seq), entry);
  return Buffer.from(body).includes(`"digest":"${digest}"`) ? body : undefined;
}

/** Which jobs a round had is not in its entry, but most have one, which ended just before. */
function jobThatRan(runMs: number, endMs: number): Job {
  return { id: "", name: "", state: "succeeded", createdMs: 0, startedMs: endMs - runMs, stoppedMs: endMs };
}

/**
 * Whether the head can be taken away so that a tick commits its round anew: it was a round's, and nobody has built on it but by the
 * checkpoint that the new entry will have as well. A rollback or promote can't be told again by what it was made of.
 */
export async function canBeCommittedAnew(store: Store, seq: number): Promise<boolean> {
  const work = await workOf(store, seq);
  if (work === undefined || (await notWhole(store, work.result.document, work.plan)) !== undefined) return false;
  const { plan, result, before } = work;
  if (!sameCheckpoint(plan.document.parent, before.checkpoint)) return false;
  const next = await readDocument(store, "plan", planKey(before.round + 2));
  // only the state after this very round can have had such a plan
  if (next !== undefined) return sameCheckpoint(next.document.parent, result.document.checkpoint);
  // a head that nobody has followed up has no consequences yet
  const { live } = await readLive(store);
  if (live.seq < seq) return true;
  const ids = plan.document.items.map(itemId);
  const consumed = await readConsumed(store, ids);
  return plan.document.kind === "extend" && ids.length > 0 && ids.every((id) => consumed.has(id));
}

/** For the name that damaged bytes are put aside by. */
export const shortDigest = (body: Uint8Array): string => sha256(body).slice(0, 16);
