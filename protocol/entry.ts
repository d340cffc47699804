/** From what is read to the next log entry: the state after it, and what happened. */
import { runMs, spentAfter } from "./budget.ts";
import { worseBy } from "./gate.ts";
import { sameCheckpoint, type Head } from "./head.ts";
import type { Job } from "./ports.ts";
import type {
  Checkpoint,
  GateDecision,
  Item,
  Kept,
  Plan,
  PromoteEntry,
  Redo,
  Result,
  RollbackEntry,
  RoundEntry,
  Spent,
} from "./types.ts";

/** Lives before the present one that are kept. */
export const LIVES_KEPT = 5;

/** The one given as live carries that it was so at `seq`. */
function withLiveAt(keep: readonly Kept[], live: Checkpoint | null, seq: number): Kept[] {
  return keep.map((kept) => (sameCheckpoint(kept.checkpoint, live) ? { ...kept, liveAt: seq } : kept));
}

/**
 * What later entries may name: the newest `rounds`, the head's, of a refused round its parent's, live and the lives before it, and the best
 * by `best`, among those that were measured by it.
 * Only a round's entry adds one (its own) and lets others go; what has left never comes back.
 */
export function keepAfterRound(
  head: Head,
  own: Kept,
  options: {
    rounds: number;
    live: Checkpoint | null;
    refusedParent: Checkpoint | null;
    /** a metric; null: none */
    best: string | null;
  },
): Kept[] {
  const all = withLiveAt([...head.keep, own], options.live, own.seq);
  const newest = new Set(all.slice(-options.rounds));
  const lives = all.filter((kept) => kept.liveAt > 0).sort((a, b) => b.liveAt - a.liveAt);
  const kept = new Set([...newest, bestOf(all, options.best), ...lives.slice(0, LIVES_KEPT + 1)]);
  return all.filter(
    (one) =>
      kept.has(one) ||
      sameCheckpoint(one.checkpoint, own.checkpoint) ||
      sameCheckpoint(one.checkpoint, options.live) ||
      (options.refusedParent !== null && sameCheckpoint(one.checkpoint, options.refusedParent)),
  );
}

/** Of equals the newest. */
function bestOf(keep: readonly Kept[], metric: string | null): Kept | undefined {
  let best: { kept: Kept; value: number } | undefined;
  for (const kept of keep) {
    if (kept.measured === null || kept.measured.metric !== metric) continue;
    const { value } = kept.measured;
    if (best === undefined || worseBy(metric, value, best.value) <= 0) best = { kept, value };
  }
  return best?.kept;
}

/** What the jobs of the round took that an entry closes, and the sums after it. */
export interface Cost {
  readonly jobMs: number;
  readonly spent: Spent;
}

/** @param jobs of the round that is closed. @param nowMs by the store's clock */
export function costOf(head: Head, jobs: readonly Job[], nowMs: number): Cost {
  return { jobMs: runMs(jobs, nowMs), spent: spentAfter(head.spent, jobs, nowMs) };
}

/** Of an entry that closes a round of which nothing was planned. */
export function noCost(head: Head): Cost {
  return { jobMs: 0, spent: head.spent };
}

export function roundEntry(
  head: Head,
  work: {
    plan: Plan;
    planKey: string;
    planSha256: string;
    result: Result;
    resultKey: string;
    resultSha256: string;
    gate: GateDecision;
  },
  options: { keepRounds: number; keepBest: string | null; at: number; cost: Cost },
): RoundEntry {
  const { plan, result, gate } = work;
  const seq = head.seq + 1;
  const live = gate.goesLive ? result.checkpoint : head.live;
  const measured = options.keepBest === null ? undefined : result.metrics[options.keepBest];
  const own: Kept = {
    checkpoint: result.checkpoint,
    seq,
    liveAt: 0,
    measured:
      options.keepBest === null || measured === undefined ? null : { metric: options.keepBest, value: measured },
  };
  return {
    format: 1,
    seq,
    kind: "round",
    parent: head.sha256,
    at: options.at,
    round: plan.round,
    checkpoint: result.checkpoint,
    redo: null,
    live,
    keep: keepAfterRound(head, own, {
      rounds: options.keepRounds,
      live,
      refusedParent: gate.passed ? null : plan.parent,
      best: options.keepBest,
    }),
    scheduled: Math.max(head.scheduled, plan.scheduled),
    ...options.cost,
    plan: { key: work.planKey, sha256: work.planSha256 },
    result: { key: work.resultKey, sha256: work.resultSha256 },
    items: plan.items.length,
    rejected: result.rejected.length,
    metrics: result.metrics,
    liveMetrics: result.liveMetrics,
    gate,
    wasRedo: plan.kind === "redo",
  };
}

/** Who gave a command, and why. */
export interface Said {
  readonly by: string;
  readonly reason: string;
  readonly nonce: string;
  /** ms since 1970, by the writer's own clock: for people */
  readonly at: number;
}

export function rollbackEntry(
  head: Head,
  work: {
    /** the state to go on from; seq 0 and null: nothing trained */
    target: { seq: number; checkpoint: Checkpoint | null };
    redo: Redo | null;
    replay: boolean;
    without: readonly Item[];
    with: readonly Item[];
    cause: RollbackEntry["cause"];
    /** time of the schedule that asks for it, and that of the open plan which it ends; 0: none */
    scheduled: number;
    cost: Cost;
  },
  said: Said,
): RollbackEntry {
  const seq = head.seq + 1;
  return {
    format: 1,
    seq,
    kind: "rollback",
    parent: head.sha256,
    at: said.at,
    round: head.round + 1, // so the open plan dies
    checkpoint: work.target.checkpoint,
    redo: work.redo,
    live: head.live,
    keep: withLiveAt(head.keep, head.live, seq),
    scheduled: Math.max(head.scheduled, work.scheduled),
    ...work.cost,
    to: work.target.seq,
    replay: work.replay,
    without: [...work.without],
    with: [...work.with],
    cause: work.cause,
    by: said.by,
    reason: said.reason,
    nonce: said.nonce,
  };
}

export function promoteEntry(
  head: Head,
  target: { seq: number; checkpoint: Checkpoint | null },
  said: Said,
): PromoteEntry {
  const seq = head.seq + 1;
  return {
    format: 1,
    seq,
    kind: "promote",
    parent: head.sha256,
    at: said.at,
    round: head.round, // so a running job goes on
    checkpoint: head.checkpoint,
    redo: head.redo,
    live: target.checkpoint,
    keep: withLiveAt(head.keep, target.checkpoint, seq),
    scheduled: head.scheduled,
    spent: head.spent,
    target: target.seq,
    by: said.by,
    reason: said.reason,
    nonce: said.nonce,
  };
}
