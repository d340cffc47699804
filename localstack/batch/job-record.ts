/** A job as it is kept: what was asked for, how far it is, and how to find its process again. */
import * as z from "zod/mini";
import { ProcessIdentity } from "../../adapters/process-alive.ts";
import { ContainerProperties, RetryStrategy, SubmitJob, Tags } from "./schemas.ts";

/** How a runner finds again what runs, after the server was killed. */
export const Handle = z.union([
  z.strictObject({ kind: z.literal("process"), process: ProcessIdentity }),
  z.strictObject({ kind: z.literal("container"), id: z.string() }),
]);
export type Handle = z.infer<typeof Handle>;

/** Somebody else than the job itself ends it: its caller, its time, or a host that is taken away. */
const Ending = z.strictObject({
  by: z.enum(["terminate", "timeout", "host"]),
  reason: z.string(),
  atMs: z.int(),
});
export type Ending = z.infer<typeof Ending>;

/** A run of the job's container. A multi-node job will have one for each node. */
const Task = z.strictObject({
  id: z.string(),
  /** ARN of the compute environment */
  environment: z.string(),
  taskArn: z.string(),
  /** none on Fargate */
  containerInstanceArn: z.optional(z.string()),
  /** what is said if its machine is taken away */
  hostLost: z.string(),
  logStreamName: z.string(),
  handle: z.optional(Handle),
  ending: z.optional(Ending),
});
export type Task = z.infer<typeof Task>;

const Attempt = z.strictObject({
  task: Task,
  startedAt: z.optional(z.int()),
  stoppedAt: z.int(),
  exitCode: z.optional(z.int()),
  reason: z.optional(z.string()),
  statusReason: z.string(),
});
export type Attempt = z.infer<typeof Attempt>;

export const JobRecord = z.strictObject({
  /** in the order of submission */
  seq: z.int(),
  jobId: z.string(),
  jobName: z.string(),
  jobArn: z.string(),
  /** ARN */
  jobQueue: z.string(),
  /** ARN with revision */
  jobDefinition: z.string(),
  status: z.enum(["SUBMITTED", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED"]),
  statusReason: z.optional(z.string()),
  createdAt: z.int(),
  startedAt: z.optional(z.int()),
  stoppedAt: z.optional(z.int()),
  isCancelled: z.boolean(),
  isTerminated: z.boolean(),
  parameters: z.record(z.string(), z.string()),
  retryStrategy: RetryStrategy,
  timeout: SubmitJob.shape.timeout,
  propagateTags: z.boolean(),
  platformCapabilities: z.array(z.string()),
  tags: Tags,
  /** the definition's, with what the call has overridden */
  container: ContainerProperties,
  /** of the attempt that is under way */
  task: z.optional(Task),
  attempts: z.array(Attempt),
  /** at the head of its queue, and can't start for this reason */
  blocked: z.optional(z.strictObject({ reason: z.string(), sinceMs: z.int() })),
});
export type JobRecord = z.infer<typeof JobRecord>;

export const hasEnded = ({ status }: JobRecord): boolean => status === "SUCCEEDED" || status === "FAILED";
