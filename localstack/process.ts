/** A server that is a child process: it writes a log file, and is ended by its id, whatever happens to us. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";

const LOOK_MS = 50;
/** It is there within seconds; on a machine that is busy with other things later. */
const START_MS_MAX = 120_000;
const LAST_LINES = 8;

export interface ServerOptions {
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly logFile: string;
  /** asked by GET until it answers, with whatever status below 500 */
  readonly health: string;
  /** how it is ended: SIGKILL takes all of its process group at once */
  readonly endBy: "SIGTERM" | "SIGKILL";
  readonly signal?: AbortSignal | undefined;
}

export interface Server {
  readonly pid: number;
  stop(): Promise<void>;
  /** by SIGKILL, and it alone */
  kill(): Promise<void>;
}

/**
 * In a process group of its own, so that Ctrl-C in the terminal is our affair alone. Its standard input is a pipe, at whose end it has to end
 * itself: so it does if we are killed.
 * @throws {Error} it has ended, or doesn't answer: with the last lines of its log
 */
export async function startServer(options: ServerOptions): Promise<Server> {
  const { name, program, args, env, cwd, logFile, endBy } = options;
  const log = openSync(logFile, "a");
  const child = spawn(program, [...args], { env: { ...env }, cwd, detached: true, stdio: ["pipe", log, log] });
  closeSync(log);
  child.once("error", () => {}); // it has no pid then
  child.stdin?.on("error", () => {}); // it has ended
  const { pid } = child;
  if (pid === undefined) throw new Error(`${name}: ${program} can't be started`);
  const end = (): void => void signalTo(endBy === "SIGKILL" ? -pid : pid, endBy);
  process.once("exit", end);
  const stop = async (): Promise<void> => {
    process.off("exit", end);
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    end();
    await exited;
  };
  const kill = async (): Promise<void> => {
    process.off("exit", end);
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    signalTo(pid, "SIGKILL");
    await exited;
  };
  try {
    await answers(options, child);
  } catch (error) {
    await stop();
    const said = readFileSync(logFile, "utf8").trimEnd().split("\n").slice(-LAST_LINES).join("\n");
    throw new Error(`${name} does not start: its log ends with\n${said}`, { cause: error });
  }
  return { pid, stop, kill };
}

async function answers({ health, signal }: ServerOptions, child: ChildProcess): Promise<void> {
  const untilMs = performance.now() + START_MS_MAX;
  while (child.exitCode === null && child.signalCode === null) {
    signal?.throwIfAborted();
    const answer = await fetch(health).catch(() => undefined);
    if (answer !== undefined && answer.status < 500) return;
    if (performance.now() > untilMs) throw new Error("no answer in time");
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  throw new Error(`it has ended with ${child.exitCode ?? child.signalCode}`);
}

/** @param pid negative: of a process group */
function signalTo(pid: number, signal: "SIGTERM" | "SIGKILL"): void {
  try {
    process.kill(pid, signal);
  } catch {
    // it has ended
  }
}
