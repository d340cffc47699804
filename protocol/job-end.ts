import type { Job } from "./ports.ts";

/** 128 + SIGKILL: what a process ends with that got no chance to say why. */
const KILLED = 137;
/** ... of whose end nothing else is said. Elsewhere it is: a time limit, a hang, a machine that was lost. */
const SAYS_NO_MORE = /^(exit code 137|killed by SIGKILL|Essential container in task exited)$/;
/** AWS Batch's word for it. */
const OUT_OF_MEMORY = /\bOutOfMemoryError\b/;
const WHAT_TO_DO = "give it more memory (on AWS `compute.memory`), or a smaller trainer.batchSize or data.memory";

/** Why a job has stopped, for people; what the kernel kills for want of memory says nothing itself. undefined: it is not known */
export function endText({ reason, exitCode }: Pick<Job, "reason" | "exitCode">): string | undefined {
  if (reason !== undefined && OUT_OF_MEMORY.test(reason)) return `${reason}: ${WHAT_TO_DO}`;
  if (exitCode !== KILLED || (reason !== undefined && !SAYS_NO_MORE.test(reason))) return reason;
  const said = reason === undefined || reason === "exit code 137" ? "exit code 137" : `${reason}, exit code 137`;
  return `${said}: killed, as happens when it runs out of memory: ${WHAT_TO_DO}`;
}

/** Why a round without a failure record is blocked, for people. */
export function noProgressText(attempts: readonly { readonly job?: Job }[]): string {
  const ended = attempts.at(-1)?.job;
  const last = ended === undefined ? undefined : endText(ended);
  return `${attempts.length} attempts without progress${last === undefined ? "" : `; the last one: ${last}`}`;
}
