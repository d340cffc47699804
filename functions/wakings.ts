/** What wakes the ledger: ticks that were asked for, ends of jobs, schedules, the sweep. */
import * as z from "zod/mini";
import type { Tick } from "../protocol/ports.ts";
import { RETRAIN, TickMessage } from "../protocol/tick-message.ts";

export interface EndedJob {
  readonly id: string;
  readonly name: string;
  readonly hasFailed: boolean;
  readonly reason: string;
}

export type Waking =
  /** dueMs: by the sender's clock; 0: now */
  | { readonly is: "tick"; readonly tick: Tick; readonly dueMs: number }
  | { readonly is: "job-ended"; readonly job: EndedJob }
  | { readonly is: "sweep"; readonly whole: boolean }
  /** understood, and nothing to do for it */
  | { readonly is: "nothing"; readonly because: string }
  | { readonly is: "unreadable"; readonly because: string };

const Sweep = z.strictObject({
  format: z.literal(1),
  sweep: z.literal(true),
  /** all of the data, however much that is */
  whole: z.optional(z.boolean()),
});
const Schedule = z.strictObject({
  format: z.literal(1),
  /** when it was due */
  schedule: z.iso.datetime({ offset: true }),
  retrain: z.enum(RETRAIN),
});
const Bridged = z.looseObject({ source: z.string(), "detail-type": z.string() });
const JobChange = z.looseObject({
  detail: z.looseObject({
    jobId: z.string(),
    jobName: z.string(),
    status: z.string(),
    statusReason: z.optional(z.string()),
  }),
});

/** @param body of one message */
export function parseWaking(body: string): Waking {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return { is: "unreadable", because: "not JSON" };
  }
  const tick = TickMessage.safeParse(value);
  if (tick.success) return { is: "tick", tick: tick.data.tick, dueMs: tick.data.dueMs };
  const sweep = Sweep.safeParse(value);
  if (sweep.success) return { is: "sweep", whole: sweep.data.whole === true };
  const schedule = Schedule.safeParse(value);
  if (schedule.success) {
    const { schedule: time, retrain } = schedule.data;
    return { is: "tick", tick: { kind: "schedule", timeMs: Date.parse(time), retrain }, dueMs: 0 };
  }
  const bridged = Bridged.safeParse(value);
  if (bridged.success) return parseBridged(bridged.data);
  return { is: "unreadable", because: "no tick, schedule, sweep or event" };
}

function parseBridged(event: z.infer<typeof Bridged>): Waking {
  const type = event["detail-type"];
  if (event.source !== "aws.batch" || type !== "Batch Job State Change")
    return { is: "nothing", because: `${event.source} ${type}`.slice(0, 100) };
  const parsed = JobChange.safeParse(event);
  if (!parsed.success) return { is: "unreadable", because: "a job's event without its job" };
  const { jobId: id, jobName: name, status, statusReason: reason = "" } = parsed.data.detail;
  // while a job is alive there is nothing to decide: how long it waits, the net's ticks see
  if (status !== "SUCCEEDED" && status !== "FAILED") return { is: "nothing", because: `a job is ${status}` };
  return { is: "job-ended", job: { id, name, hasFailed: status === "FAILED", reason } };
}

const JOB_NAME = /^[a-z][a-z0-9-]{0,39}-(\d+)-(\d+)-[0-9a-f]{32}$/;

/** Which attempt a job was, by its name; undefined of a job that is not the ledger's. */
export function attemptOfJob(name: string): { readonly round: number; readonly attempt: number } | undefined {
  const [, round, attempt] = JOB_NAME.exec(name) ?? [];
  return attempt === undefined ? undefined : { round: Number(round), attempt: Number(attempt) };
}
