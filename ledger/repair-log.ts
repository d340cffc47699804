/** An entry of the log whose bytes are damaged, made anew from what it was made of. */
import { costOf, roundEntry } from "../protocol/entry.ts";
import type { PipelineConfig } from "../protocol/config.ts";
import { sha256 } from "../protocol/digest.ts";
import { bestMetric, decideGate } from "../protocol/gate.ts";
import { headOf, sameCheckpoint, START, type Head } from "../protocol/head.ts";
import { logKey, planKey, resultKey } from "../protocol/keys.ts";
import type { Job, Store } from "../protocol/ports.ts";
import { documentBytes, type Plan, type Result } from "../protocol/types.ts";
import { notWhole } from "./inspect.ts";
import { readDocument, readEntry, readLive, type Read } from "./read.ts";

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
      keepBest: bestMetric(config),
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
 * Whether the newest entry, whose bytes can't be read, can be taken away so that a tick commits its round anew. What is left has to prove that it
 * was a round's: an operator's entry can't be told again by what it was made of, and to take it away would undo it unseen.
 * @returns "not-proved": a round waits that it may have committed, but it may as well have been a command that ended this round
 */
export async function canBeCommittedAnew(
  store: Store,
  seq: number,
  damaged: Uint8Array,
): Promise<"yes" | "no" | "not-proved"> {
  const work = await workOf(store, seq);
  if (work === undefined || (await notWhole(store, work.result.document, work.plan)) !== undefined) return "no";
  const { plan, result, before } = work;
  if (!sameCheckpoint(plan.document.parent, before.checkpoint)) return "no";
  const { live } = await readLive(store);
  if (live.seq > seq) return "no"; // the log has lost a newer one: something was built on this one
  if (isOfRound(damaged)) return "yes";
  const { checkpoint } = result.document;
  // only a round's own entry makes its checkpoint known to others
  if (live.seq === seq && sameCheckpoint(live.live, checkpoint)) return "yes";
  const next = await readDocument(store, "plan", planKey(before.round + 2));
  // only the state after this very round can have had such a plan
  if (next !== undefined) return sameCheckpoint(next.document.parent, checkpoint) ? "yes" : "no";
  return "not-proved";
}

/** What an operator's entry has between the two, or has not at all. In JSON no text can look like it: its quotes are escaped. */
function isOfRound(damaged: Uint8Array): boolean {
  return /"at":\d{1,13},"checkpoint":|"kind":"round"/.test(Buffer.from(damaged).toString("latin1"));
}

/** For the name that damaged bytes are put aside by. */
export const shortDigest = (body: Uint8Array): string => sha256(body).slice(0, 16);
