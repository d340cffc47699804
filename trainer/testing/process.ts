/** The trainer's process, started as a job starts it. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { planKey } from "../../protocol/keys.ts";

export interface TrainerProcess {
  readonly child: ChildProcess;
  /** all of it so far */
  output(): string;
  /** settles when it trains, or has ended */
  readonly training: Promise<void>;
}

/** @param at.scratch a folder that is there; @param at.env added to this process's */
export function startTrainer(at: {
  readonly stateFolder: string;
  readonly dataFolder: string;
  readonly scratch: string;
  readonly round: number;
  readonly attempt: number;
  readonly env?: Readonly<Record<string, string>>;
}): TrainerProcess {
  const child = spawn(process.execPath, [join(import.meta.dirname, "../main.ts")], {
    env: {
      ...process.env,
      ACCRETE_PLAN: planKey(at.round),
      ACCRETE_ATTEMPT: String(at.attempt),
      ACCRETE_STATE: pathToFileURL(at.stateFolder).href,
      ACCRETE_DATA: pathToFileURL(at.dataFolder).href,
      ACCRETE_SCRATCH: at.scratch,
      ...at.env,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  const training = new Promise<void>((resolve) => {
    const hear = (chunk: Buffer): void => {
      output += chunk.toString();
      if (/records to train on|resumes at/.test(output)) resolve();
    };
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
    child.once("close", () => resolve());
  });
  return { child, output: () => output, training };
}

/** @returns the exit code, null if it was killed */
export async function endOf(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "close");
  return child.exitCode;
}
