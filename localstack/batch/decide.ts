/** What AWS Batch decides, apart from doing it: facts in, a decision out. From its documents. */
import type { RetryStrategy } from "./schemas.ts";

/** How an attempt ended. */
export interface AttemptEnd {
  readonly exitCode?: number | undefined;
  /** of the container */
  readonly reason?: string | undefined;
  readonly statusReason: string;
}

/**
 * The first entry of evaluateOnExit of which all conditions hold says it; where none does, the job is tried again. A job that was
 * terminated or whose time is over is never asked about.
 * @param attemptsMade with the one that has ended
 */
export function isRetried(strategy: RetryStrategy, attemptsMade: number, end: AttemptEnd): boolean {
  if (attemptsMade >= (strategy.attempts ?? 1)) return false;
  const rule = (strategy.evaluateOnExit ?? []).find(
    ({ onExitCode, onReason, onStatusReason }) =>
      matches(onExitCode, end.exitCode === undefined ? "" : String(end.exitCode)) &&
      matches(onReason, end.reason ?? "") &&
      matches(onStatusReason, end.statusReason),
  );
  return rule?.action.toUpperCase() !== "EXIT";
}

/** A pattern may end with `*`, and has no other wildcard. No pattern, no condition. */
export function matches(pattern: string | undefined, text: string): boolean {
  if (pattern === undefined) return true;
  return pattern.endsWith("*") ? text.startsWith(pattern.slice(0, -1)) : text === pattern;
}

export interface Resources {
  readonly vcpus: number;
  readonly memoryMiB: number;
  readonly gpus: number;
}

export const NOTHING: Resources = { vcpus: 0, memoryMiB: 0, gpus: 0 };

/** A compute environment that takes jobs. */
export interface Place {
  /** ARN */
  readonly arn: string;
  readonly maxVcpus: number;
  readonly usedVcpus: number;
  /** no machine is to be had */
  readonly exhausted: boolean;
}

/** Of the machine that all of them are on in truth. */
export interface Host {
  readonly has: Resources;
  readonly used: Resources;
}

/** `reason`: why it may stand at the head of its queue for ever; undefined where it only waits for others to end. */
export type Placement = { readonly at: string } | { readonly at: undefined; readonly reason: string | undefined };

/** @param places of the job's queue, in its order */
export function placeFor(need: Resources, places: readonly Place[], host: Host): Placement {
  const wait = (reason?: string): Placement => ({ at: undefined, reason });
  if (places.length === 0) return wait();
  const large = places.filter(({ maxVcpus }) => maxVcpus >= need.vcpus);
  if (large.length === 0)
    return wait(
      "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - CE(s) associated with the job queue cannot meet the CPU requirement of the job.",
    );
  if (!fits(need, NOTHING, host.has))
    return wait(
      "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement (vCPU/memory/GPU) is higher than that can be met by the CE(s) attached to the job queue.",
    );
  const there = large.filter(({ exhausted }) => !exhausted);
  if (there.length === 0)
    return wait(
      "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - Service cannot fulfill the capacity requested for the instance types of the compute environments.",
    );
  const free = there.find(({ maxVcpus, usedVcpus }) => usedVcpus + need.vcpus <= maxVcpus);
  return free === undefined || !fits(need, host.used, host.has) ? wait() : { at: free.arn };
}

const fits = (need: Resources, used: Resources, has: Resources): boolean =>
  used.vcpus + need.vcpus <= has.vcpus &&
  used.memoryMiB + need.memoryMiB <= has.memoryMiB &&
  used.gpus + need.gpus <= has.gpus;

export const sum = (all: readonly Resources[]): Resources => ({
  vcpus: all.reduce((total, { vcpus }) => total + vcpus, 0),
  memoryMiB: all.reduce((total, { memoryMiB }) => total + memoryMiB, 0),
  gpus: all.reduce((total, { gpus }) => total + gpus, 0),
});
