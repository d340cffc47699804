/** The log as a chain: no gap, no fork, each entry's parent the one before, each state following from the state before. */
import { NOTHING_SPENT } from "../protocol/budget.ts";
import { canonicalJson } from "../protocol/digest.ts";
import { sameCheckpoint } from "../protocol/head.ts";
import { beforeOnLine } from "../protocol/history.ts";
import { LIVE, LOG, logKey, planKey, resultKey, seqOfLogKey } from "../protocol/keys.ts";
import type { Checkpoint, Kept, LogEntry, Spent } from "../protocol/types.ts";
import type { Verifiable, VerifyContext } from "./verify-context.ts";

/** What is held of each entry: all of it would be too much for a long history. */
export interface Link {
  readonly seq: number;
  readonly kind: LogEntry["kind"];
  readonly sha256: string;
  readonly parent: string | null;
  readonly round: number;
  readonly checkpoint: Checkpoint | null;
  readonly live: Checkpoint | null;
  readonly before: number;
  readonly redo: string;
  readonly spent: Spent;
  readonly jobMs: number;
  /** of a round */
  readonly plan?: { readonly key: string; readonly sha256: string };
  readonly result?: { readonly key: string; readonly sha256: string };
  /** of a round: what its result has to say as well */
  readonly metrics?: string;
  readonly items?: number;
  readonly rejected?: number;
  readonly goesLive?: boolean;
  /** of a rollback: ids are read again when they are needed */
  readonly without?: number;
}

export interface Chain {
  /** by seq; an entry that can't be read is missing here, and was reported */
  readonly links: ReadonlyMap<number, Link>;
  readonly headSeq: number;
  /** undefined: the head's entry is damaged */
  readonly head: Link | undefined;
  readonly keep: readonly Kept[];
  /** seq of the entries on the head's line, as far as it can be followed */
  readonly line: ReadonlySet<number>;
  /** the entry of each committed round */
  readonly byRound: ReadonlyMap<number, Link>;
}

export async function readChain(context: VerifyContext): Promise<Chain> {
  const { store } = context;
  const links = new Map<number, Link>();
  const seen = new Set<number>();
  let keep: readonly Kept[] = [];
  let headSeq = 0;
  for (let after: string | undefined; ;) {
    const page = await store.list(LOG, after === undefined ? {} : { after });
    for (const { key } of page.objects) {
      const seq = seqOfLogKey(key);
      if (seq === undefined) continue; // reported as what belongs to nothing
      if (headSeq === 0) headSeq = seq;
      seen.add(seq);
      const read = await context.read("logEntry", key);
      if (read.is !== "whole") continue;
      if (read.document.seq !== seq) {
        context.report("damage", key, `it says that it is entry ${read.document.seq}, not ${seq}`);
        continue;
      }
      links.set(seq, linkOf(read.document, read.sha256));
      if (seq === headSeq) keep = read.document.keep;
    }
    after = page.objects.at(-1)?.key;
    if (!page.more || after === undefined) break;
  }
  for (let seq = 1; seq < headSeq; seq++)
    if (!seen.has(seq)) context.report("damage", logKey(seq), `entry ${seq} is missing`);

  const line = new Set<number>();
  for (let at = headSeq; at > 0; at = links.get(at)?.before ?? 0) line.add(at);
  const byRound = new Map(
    [...links.values()].flatMap((link) => (link.kind === "round" ? [[link.round, link] as const] : [])),
  );
  return {
    links,
    headSeq,
    head: links.get(headSeq),
    keep,
    line,
    byRound,
  };
}

function linkOf(entry: LogEntry, sha256: string): Link {
  const { seq, kind, parent, round, checkpoint, live } = entry;
  const common = {
    seq,
    kind,
    sha256,
    parent,
    round,
    checkpoint,
    live,
    before: beforeOnLine(entry),
    redo: canonicalJson(entry.redo),
    spent: entry.spent,
    jobMs: entry.kind === "promote" ? 0 : entry.jobMs,
  };
  if (entry.kind === "rollback") return { ...common, without: entry.without.length };
  if (entry.kind !== "round") return common;
  return {
    ...common,
    plan: entry.plan,
    result: entry.result,
    metrics: canonicalJson([entry.metrics, entry.liveMetrics]),
    items: entry.items,
    rejected: entry.rejected,
    goesLive: entry.gate.goesLive,
  };
}

/** What the first entry follows. */
const NOTHING = {
  seq: 0,
  sha256: null,
  round: 0,
  checkpoint: null,
  live: null,
  redo: "null",
  spent: NOTHING_SPENT,
} as const;

export function verifyEntries(context: VerifyContext, chain: Chain, live: Verifiable<"live">): void {
  for (let seq = 1; seq <= chain.headSeq; seq++) {
    const link = chain.links.get(seq);
    const before = seq === 1 ? NOTHING : chain.links.get(seq - 1);
    if (link === undefined || before === undefined) continue; // the unreadable one was reported
    const wrong = wrongStep(before, link);
    if (wrong !== undefined) context.report("damage", logKey(seq), wrong);
  }
  if (live.is === "whole") verifyLive(context, chain, live.document);
  // nobody creates an entry after one that is not finished, and live.json is what says so
  if (live.is === "gone" && chain.headSeq > 1)
    context.report("damage", LIVE, `it is missing, but the log has ${chain.headSeq} entries`);
  if (live.is === "gone" && chain.headSeq === 1)
    context.report("info", LIVE, "it is still to be written: the next tick finishes entry 1");
}

function verifyLive(context: VerifyContext, chain: Chain, live: { seq: number; live: Checkpoint | null }): void {
  if (live.seq > chain.headSeq || live.seq < chain.headSeq - 1) {
    context.report("damage", LIVE, `it says that entry ${live.seq} is finished, but the newest is ${chain.headSeq}`);
    return;
  }
  const named = live.seq === 0 ? NOTHING : chain.links.get(live.seq);
  if (named !== undefined && !sameCheckpoint(named.live, live.live))
    context.report("damage", LIVE, `it names another checkpoint than entry ${live.seq}`);
}

type Before = Pick<Link, "seq" | "round" | "checkpoint" | "live" | "redo" | "spent"> & {
  readonly sha256: string | null;
};

/** Why an entry does not follow from the one before it; undefined if it does. */
function wrongStep(before: Before, link: Link): string | undefined {
  if (link.parent !== before.sha256)
    return before.seq === 0
      ? "it names a parent, but is the first entry"
      : `its parent is not entry ${before.seq} as it is stored`;
  const moves = link.kind === "promote" ? 0 : 1;
  if (link.round !== before.round + moves) return `it says round ${link.round}, after round ${before.round}`;
  if (!mayFollow(before.spent, link)) return `its sums of the time of jobs do not follow from entry ${before.seq}`;
  if (link.kind === "promote" && (!sameCheckpoint(link.checkpoint, before.checkpoint) || link.redo !== before.redo))
    return "a promote that changes the head's checkpoint";
  if (link.kind === "rollback" && !sameCheckpoint(link.live, before.live)) return "a rollback that moves live";
  if (link.kind === "rollback" && link.before > before.seq)
    return `a rollback to entry ${link.before}, which is not before it`;
  if (link.kind === "round") {
    if (link.plan?.key !== planKey(link.round) || link.result?.key !== resultKey(link.round))
      return `it names plan or result of another round than ${link.round}`;
    if (!sameCheckpoint(link.live, link.goesLive === true ? link.checkpoint : before.live))
      return "its live is not what its gate has decided";
  }
  return undefined;
}

/** Of the jobs of the closed round some part ran on the entry's own day, and at least as much in its month. */
function mayFollow(before: Spent, { spent, jobMs }: Link): boolean {
  const added = (ms: number, from: number): boolean => ms >= from && ms <= from + jobMs;
  // a day that goes back (the clock was far ahead) takes its sums along
  const goesBack = spent.day < before.day;
  const sameMonth = spent.day.slice(0, 7) === before.day.slice(0, 7);
  return (
    added(spent.dayMs, goesBack || spent.day === before.day ? before.dayMs : 0) &&
    added(spent.monthMs, goesBack || sameMonth ? before.monthMs : 0)
  );
}
