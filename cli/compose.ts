/** Chooses where a command's pipelines are: on this machine, or on AWS as a stack. */
import { isTemporaryName } from "../adapters/directory-watcher.ts";
import { nextDue } from "../adapters/schedule-times.ts";
import type { PipelineConfig } from "../protocol/config.ts";
import { AccreteError } from "../protocol/errors.ts";
import { printable } from "../protocol/printable.ts";
import { openLocalPipeline, openLocalPipelines } from "./compose-local.ts";
import type { StackDoctor } from "./compose-aws.ts";
import type { GlobalOptions, Pipeline } from "./pipeline.ts";

/** The pipeline that a command's options mean. @throws {AccreteError} as openPipelinesOf; PIPELINE_UNKNOWN if several are meant */
export async function openPipelineOf(options: GlobalOptions, warn = toStderr): Promise<Pipeline> {
  return options.stack === undefined ? openLocalPipeline(options) : openStack(options, options.stack, warn);
}

/**
 * All pipelines that a command's options mean: of a config those that are not left out, of a stack its one.
 * @throws {AccreteError} CONFIG_NOT_FOUND, CONFIG_NOT_LOADABLE, CONFIG_INVALID, PIPELINE_UNKNOWN; of a stack STACK_NOT_FOUND,
 * STACK_NOT_OURS, and what adapters/aws-errors.ts makes of AWS' errors
 */
export async function openPipelinesOf(options: GlobalOptions, warn = toStderr): Promise<Pipeline[]> {
  return options.stack === undefined ? openLocalPipelines(options) : [await openStack(options, options.stack, warn)];
}

/** AWS' SDK takes longer to load than all the rest: only who names a stack waits for it. */
async function openStack(options: GlobalOptions, stack: string, warn: (text: string) => void): Promise<Pipeline> {
  const { openStackPipeline } = await import("./compose-aws.ts");
  return openStackPipeline(options, stack, warn);
}

function toStderr(text: string): void {
  process.stderr.write(`warning: ${printable(text)}\n`);
}

/** @throws {AccreteError} of the config alone: what AWS says is what the checks tell */
export async function openDoctorOf(options: GlobalOptions, stack: string): Promise<StackDoctor> {
  const { openStackDoctor } = await import("./compose-aws.ts");
  return openStackDoctor(options, stack);
}

/** For a command that is about this machine. @throws {AccreteError} USAGE */
export function refuseStack({ stack }: GlobalOptions, command: string, instead: string): void {
  if (stack !== undefined)
    throw new AccreteError(
      "USAGE",
      `accrete ${command} works on this machine alone, not with --stack or ACCRETE_STACK: ${instead}`,
    );
}

/** When the pipeline's schedule is due next; undefined if it has none. */
export function nextScheduledMs({ schedule }: PipelineConfig, nowMs: number): number | undefined {
  return schedule === null ? undefined : nextDue(schedule, nowMs);
}

/** Names that are passed over in a data folder, and that nobody means to put into a bucket. */
export function isPassedOver(name: string): boolean {
  return isTemporaryName(name);
}
