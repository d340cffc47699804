/**
 * One pass over the state, from the top, by any trigger: finish the head, bring the open round on, or start one. Any number of
 * ticks may run at once and any may die or sleep at any point: the state alone says what is due (docs/protocol.md, "tick()").
 */
import { budgetText, dayOf, decideBudget, spentAfter, type BudgetDecision } from "../protocol/budget.ts";
import { bestMetric, decideGate } from "../protocol/gate.ts";
import { costOf, noCost, roundEntry, rollbackEntry } from "../protocol/entry.ts";
import { isRefused, START, type Head } from "../protocol/head.ts";
import { encodeRedo } from "../protocol/history.ts";
import { noProgressText } from "../protocol/job-end.ts";
import { intentKey, jobRecordKey, logKey, planKey, resultKey } from "../protocol/keys.ts";
import type { JobRequest, Tick } from "../protocol/ports.ts";
import { decideRound, jobsOf, needsOnDemand, nextAttempt } from "../protocol/round.ts";
import {
  documentBytes,
  PLAN_ITEMS_MAX,
  type Intent,
  type LogEntry,
  type Plan,
  type Result,
} from "../protocol/types.ts";
import { finishHead } from "./finish.ts";
import { findUnrecorded, inspectAttempts, inspectLimit, isMeantFor, notWhole } from "./inspect.ts";
import { LATE_MS, type Ledger } from "./ledger.ts";
import { readRedo, readReplay } from "./line.ts";
import { readDocument, readEntry, readHead, type Read } from "./read.ts";
import { createPlan, startRound, type Pass } from "./start.ts";

/** A tick changes something in each pass but the last: so many in a row are a fault, and the next trigger goes on. */
const PASSES_MAX = 1_000;

/** A tick that is wanted later, but has nothing to name a time, is asked for again after this. */
const ASK_AGAIN_MS = 60_000;
/**
 * ... and where an operator has to do something first, which may be days away, after this: as long as a message can wait. Each due time of a
 * schedule is a tick that asks so.
 */
const ASK_BLOCKED_MS = 15 * 60_000;

/** @returns why the tick stopped, for the log */
export async function tick(ledger: Ledger, why: Tick): Promise<string> {
  let [finishedByMe, plannedByMe] = [false, false];
  for (let passes = 0; passes < PASSES_MAX; passes++) {
    const { head } = await readHead(ledger.store);
    const finished = await finishHead(ledger, head);
    if (finished === "by-me") finishedByMe = true;
    if (finished === "again") continue;
    const pass = await onePass(ledger, head, { why, finishedByMe, plannedByMe });
    if (pass === "planned") plannedByMe = true;
    else if (pass !== "again") return pass.stopped;
  }
  return "gave way: the state changed in every pass";
}

/** A tick, and what it has done in its passes before this one: what nobody else may look after. */
interface Passing {
  readonly why: Tick;
  readonly finishedByMe: boolean;
  readonly plannedByMe: boolean;
}

async function onePass(ledger: Ledger, head: Head, passing: Passing): Promise<Pass> {
  const { store } = ledger;
  const { why, finishedByMe } = passing;
  const plan = await readDocument(store, "plan", planKey(head.round + 1));
  const schedule = why.kind === "schedule" && why.timeMs > head.scheduled ? why : undefined;
  if (plan !== undefined) {
    const pass = await bringOn(ledger, head, plan, passing);
    if (typeof pass === "object" && schedule !== undefined) await ledger.ticks.ask(why, pass.laterMs ?? ASK_AGAIN_MS);
    return pass;
  }
  if (isRefused(head)) {
    const { onFail } = ledger.config.gate ?? { onFail: "hold" };
    const wasRedo = head.entry?.kind === "round" && head.entry.wasRedo;
    if (onFail === "pause" || (onFail === "rollback" && wasRedo)) {
      if (schedule !== undefined) await ledger.ticks.ask(why, ASK_BLOCKED_MS);
      return blocked(ledger, head.round, 0, `the gate refused round ${head.round}: an operator decides how to go on`);
    }
    if (onFail === "rollback") return takeBack(ledger, head);
  }
  if (schedule?.retrain === "full") return retrainFull(ledger, head, schedule.timeMs);
  if (head.redo !== null) return startRedo(ledger, head, schedule?.timeMs ?? 0);
  return startRound(ledger, head, { why, schedule, finishedByMe });
}

// ------------------------------------------------------------------------------------------------ the open round

async function bringOn(ledger: Ledger, head: Head, plan: Read<Plan>, passing: Passing): Promise<Pass> {
  const { store, jobs, ticks } = ledger;
  const { why } = passing;
  const { round } = plan.document;
  const result = await readDocument(store, "result", resultKey(round));
  if (result !== undefined) return commit(ledger, head, plan, result);

  const facts = await inspectAttempts(ledger, round);
  const decision = decideRound(facts);
  switch (decision.do) {
    case "stop":
      return { stopped: `round ${round} is being trained` };
    case "terminate":
      await jobs.terminate(decision.job.id, `waited longer than ${ledger.config.jobs.maxWait} ms for a machine`);
      return { stopped: `round ${round} waited too long for a machine: its job is ended` };
    case "wait":
      await ticks.ask({ kind: "plain" }, decision.untilMs - facts.nowMs + LATE_MS);
      return { stopped: `round ${round}: whether its job runs can't be told yet` };
    case "look-up": {
      const found = await findUnrecorded(ledger, round, decision.attempts);
      if (found !== undefined) return record(ledger, round, found.attempt, found.job.id);
      break;
    }
    case "attempt":
  }
  // the trainer may have written its result and ended between the two looks
  if ((await store.head(resultKey(round))) !== undefined) return "again";
  const retryOf = why.kind === "retry" && why.round === round && isMeantFor(why, head) ? why.attempt : undefined;
  const limit = await inspectLimit(ledger, round, facts, retryOf);
  if (limit.do === "blocked") {
    const reason =
      limit.failure === undefined ? noProgressText(facts.attempts) : `${limit.failure.code}: ${limit.failure.message}`;
    return blocked(ledger, round, nextAttempt(facts.attempts) - 1, `round ${round} is blocked: ${reason}`);
  }
  const budget = decideBudget(ledger.config.budget, spentAfter(head.spent, jobsOf(facts), facts.nowMs));
  if (budget.do === "stop" && limit.retry)
    // nothing remembers an operator's wish: it does not go on by itself when there is money again
    return {
      stopped: `round ${round} stays blocked, as ${budgetText(budget)}: retry it from ${dayOf(budget.untilMs)} 00:00 UTC on, or raise budget first`,
    };
  if (budget.do === "stop") return waitForBudget(ledger, round, budget, { nowMs: facts.nowMs, passing });
  const timeLimitMs = Math.min(ledger.config.jobs.timeLimit, budget.leftMs);
  return submit(ledger, plan.document, {
    attempt: nextAttempt(facts.attempts),
    retry: limit.retry,
    timeLimitMs,
    mayRestart: budget.leftMs >= 2 * timeLimitMs,
    onDemand: needsOnDemand(facts),
  });
}

/** Nothing is submitted until the day or the month is over. */
async function waitForBudget(
  ledger: Ledger,
  round: number,
  budget: Extract<BudgetDecision, { do: "stop" }>,
  { nowMs, passing }: { nowMs: number; passing: Passing },
): Promise<Pass> {
  const { untilMs } = budget;
  const { why, plannedByMe } = passing;
  const message = `round ${round} waits: ${budgetText(budget)}; it goes on at ${dayOf(untilMs)} 00:00 UTC`;
  await ledger.notify.notify({ kind: "budget", pipeline: ledger.config.name, round, untilMs, message });
  const laterMs = untilMs - nowMs + LATE_MS;
  // Who made the round wait asks, and who was asked: if each tick that meets it did, they would be more each day. Segments meet
  // it by the thousand, the net comes by itself, and a schedule's asks for itself.
  const isOneOfMany = why.kind === "net" || why.kind === "segment" || why.kind === "schedule";
  if (plannedByMe || !isOneOfMany) await ledger.ticks.ask({ kind: "plain" }, laterMs);
  return { stopped: message, laterMs };
}

async function blocked(ledger: Ledger, round: number, attempt: number, message: string): Promise<Pass> {
  await ledger.notify.notify({ kind: "blocked", pipeline: ledger.config.name, round, attempt, message });
  return { stopped: message, laterMs: ASK_BLOCKED_MS };
}

/** THE commit: the head's checkpoint and what is consumed change by this one write. */
async function commit(ledger: Ledger, head: Head, plan: Read<Plan>, result: Read<Result>): Promise<Pass> {
  const { round } = plan.document;
  const wrong = await notWhole(ledger.store, result.document, plan);
  if (wrong !== undefined)
    return blocked(ledger, round, 0, `round ${round} is blocked: its checkpoint is not whole: ${wrong}`);
  const facts = await inspectAttempts(ledger, round);
  const entry = roundEntry(
    head,
    {
      plan: plan.document,
      planKey: planKey(round),
      planSha256: plan.sha256,
      result: result.document,
      resultKey: resultKey(round),
      resultSha256: result.sha256,
      gate: decideGate(ledger.config.gate, plan.document, result.document, head),
    },
    {
      keepRounds: ledger.config.keep.rounds,
      keepBest: bestMetric(ledger.config),
      at: ledger.clock.nowMs(),
      cost: costOf(head, jobsOf(facts), facts.nowMs),
    },
  );
  return createEntry(ledger, head, entry);
}

/** Only who created the intent submits, once. */
async function submit(
  ledger: Ledger,
  { round, jobDefinition }: Pick<Plan, "round" | "jobDefinition">,
  work: Pick<JobRequest, "attempt" | "timeLimitMs" | "mayRestart" | "onDemand"> & { retry: boolean },
): Promise<Pass> {
  const { store, jobs, clock, config } = ledger;
  const { attempt, retry, timeLimitMs, mayRestart, onDemand } = work;
  const nonce = clock.nonce();
  const key = intentKey(round, attempt);
  const intent: Intent = {
    format: 1,
    round,
    attempt,
    nonce,
    jobName: `${config.name}-${round}-${attempt}-${nonce}`,
    retry,
  };
  if ((await store.create(key, documentBytes("intent", key, intent))) !== "won") return "again";
  const submitted = await jobs.submit({
    name: intent.jobName,
    planKey: planKey(round),
    attempt,
    timeLimitMs,
    mayRestart,
    jobDefinition,
    onDemand,
  });
  if (submitted.outcome === "unknown") return "again";
  await ledger.notify.notify({
    kind: "submitted",
    pipeline: config.name,
    round,
    message: `round ${round}: attempt ${attempt} started as job ${submitted.id}`,
  });
  return record(ledger, round, attempt, submitted.id);
}

async function record(ledger: Ledger, round: number, attempt: number, jobId: string): Promise<Pass> {
  const key = jobRecordKey(round, attempt);
  await ledger.store.create(key, documentBytes("jobRecord", key, { format: 1, jobId }));
  return "again";
}

// ------------------------------------------------------------------------------------------------ rounds that no data asks for

/** The gate refused the head and config says that it is taken back: as if an operator had gone back by one entry. */
async function takeBack(ledger: Ledger, head: Head): Promise<Pass> {
  const seq = head.seq - 1;
  const before = seq === 0 ? START : (await readEntry(ledger.store, seq)).document;
  const entry = rollbackEntry(
    head,
    {
      target: { seq, checkpoint: before.checkpoint },
      redo: null,
      replay: false,
      without: [],
      with: [],
      cause: "auto",
      scheduled: 0,
      cost: noCost(head),
    },
    {
      by: "accrete",
      reason: `the gate refused round ${head.round}`,
      nonce: ledger.clock.nonce(),
      at: ledger.clock.nowMs(),
    },
  );
  return createEntry(ledger, head, entry);
}

/** A schedule's full retraining: back to nothing, with replay of all that the head's line has trained. */
async function retrainFull(ledger: Ledger, head: Head, timeMs: number): Promise<Pass> {
  const { items, plans } = await readReplay(ledger.store, head);
  if (items.size === 0) return { stopped: "nothing has been trained that could be trained again" };
  if (items.size > PLAN_ITEMS_MAX)
    return blocked(
      ledger,
      head.round,
      0,
      `full retraining is left out: ${items.size} items don't fit one round, which has at most ${PLAN_ITEMS_MAX}; all else goes on`,
    );
  const entry = rollbackEntry(
    head,
    {
      target: { seq: 0, checkpoint: null },
      redo: encodeRedo(items, plans),
      replay: true,
      without: [],
      with: [],
      cause: "schedule",
      scheduled: timeMs,
      cost: noCost(head),
    },
    { by: "schedule", reason: "full retraining", nonce: ledger.clock.nonce(), at: ledger.clock.nowMs() },
  );
  return createEntry(ledger, head, entry);
}

async function startRedo(ledger: Ledger, head: Head, scheduled: number): Promise<Pass> {
  const { items } = await readRedo(ledger.store, head.redo);
  return createPlan(ledger, head, { kind: "redo", items: [...items.values()], segments: [], scheduled });
}

async function createEntry(ledger: Ledger, head: Head, entry: LogEntry): Promise<Pass> {
  const key = logKey(head.seq + 1);
  await ledger.store.create(key, documentBytes("logEntry", key, entry));
  return "again"; // won, lost or unknown: the next pass reads which entry is there
}
