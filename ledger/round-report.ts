/** All that is stored of one round, whether it is open, committed or was closed without a commit. */
import { AccreteError } from "../protocol/errors.ts";
import type { Head } from "../protocol/head.ts";
import { failureKey, planKey, resultKey } from "../protocol/keys.ts";
import { listCheckpoints, type CheckpointFolder } from "./checkpoints.ts";
import { inspectAttempts, type InspectPorts } from "./inspect.ts";
import { inParallel } from "./ledger.ts";
import { readDocument, readEntry, readHead } from "./read.ts";
import type { AttemptFacts } from "../protocol/round.ts";
import type { FailureRecord, LogEntry, Plan, Result } from "../protocol/types.ts";

export interface RoundReport {
  readonly round: number;
  readonly state: "open" | "committed" | "closed";
  readonly plan: Plan;
  readonly attempts: readonly (AttemptFacts & { readonly failure?: FailureRecord })[];
  readonly checkpoints: readonly CheckpointFolder[];
  readonly result: Result | null;
  readonly entry: Extract<LogEntry, { kind: "round" }> | null;
}

/** @throws {AccreteError} NOT_FOUND if there is no plan of that number */
export async function readRound(ports: InspectPorts, round: number): Promise<RoundReport> {
  const { store } = ports;
  const { head } = await readHead(store);
  const plan = await readDocument(store, "plan", planKey(round));
  if (plan === undefined) {
    const closed =
      round <= head.round
        ? "a rollback closed it before anything was planned"
        : `the newest closed round is ${head.round}`;
    throw new AccreteError("NOT_FOUND", `there is no round ${round}: ${closed}`);
  }
  const { attempts } = await inspectAttempts(ports, round);
  const failures = await inParallel(attempts, ({ attempt }) =>
    readDocument(store, "failure", failureKey(round, attempt)),
  );
  const entry = await entryOf(ports, head, round);
  return {
    round,
    state: round > head.round ? "open" : entry === null ? "closed" : "committed",
    plan: plan.document,
    attempts: attempts.map((facts, i) => ({
      ...facts,
      ...(failures[i] === undefined ? {} : { failure: failures[i].document }),
    })),
    checkpoints: await listCheckpoints(store, round),
    result: (await readDocument(store, "result", resultKey(round)))?.document ?? null,
    entry,
  };
}

/** The entry that committed a round. From the head down: each entry but a promote moves the round on by one. */
async function entryOf({ store }: InspectPorts, head: Head, round: number): Promise<RoundReport["entry"]> {
  for (let seq = head.seq; seq >= round && seq > 0; seq--) {
    const { document } = await readEntry(store, seq);
    if (document.round < round) return null;
    if (document.round === round && document.kind !== "promote") return document.kind === "round" ? document : null;
  }
  return null;
}
