/** Notices as runs of a program: a run with the JSON on its standard input each. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../protocol/errors.ts";
import { errorCode } from "./file-errors.ts";
import type { NoticeChannel, NoticeToSend, Sent } from "./notice-channel.ts";
import { kill } from "./process-alive.ts";

const LIMIT_MS = 30_000;
/** Of its output so much is kept, to show the last line of it. */
const OUTPUT_MAX = 4_096;
const LINE_MAX = 200;
/** What it has started may keep its output open: not waited for longer. */
const OUTPUT_WAIT_MS = 300;

/**
 * Exit code 0 is delivered; a program that can't be started is refused; the rest is tried again.
 * @param command program and arguments: no shell is between
 */
export function commandChannel(command: readonly string[], options: { readonly folder: string }): NoticeChannel {
  const [program = "", ...args] = command;
  return {
    name: "command",
    where: program,
    async send(notice, { signal, limitMs = LIMIT_MS } = {}) {
      try {
        return await run(program, args, {
          notice,
          folder: options.folder,
          signal,
          limitMs: Math.min(limitMs, LIMIT_MS),
        });
      } catch (error) {
        const wrong = ["ENOENT", "EACCES", "ENOEXEC"].includes(errorCode(error) ?? "");
        return { outcome: wrong ? "refused" : "failed", error: `can't be started: ${messageOf(error)}` };
      }
    },
  };
}

/** @throws what spawn throws */
async function run(
  program: string,
  args: readonly string[],
  how: { notice: NoticeToSend; folder: string; signal: AbortSignal | undefined; limitMs: number },
): Promise<Sent> {
  const { notice, signal, limitMs } = how;
  const child = spawn(program, args, {
    cwd: how.folder,
    // a group of its own, so that at its time limit what it has started ends with it; and Ctrl-C does not end it
    detached: true,
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, ACCRETE_NOTICE_KIND: notice.kind, ACCRETE_NOTICE_PIPELINE: notice.pipeline },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (output = (output + text).slice(-OUTPUT_MAX)));
  const [exited, closed] = [once(child, "exit"), once(child, "close")];
  closed.catch(() => undefined); // `exited` throws it
  // whoever does not read it has not to
  child.stdin.on("error", () => undefined);
  child.stdin.end(`${notice.body}\n`);

  let late = false;
  const end = (): void => void (child.pid !== undefined && kill(-child.pid, "SIGKILL"));
  const timer = setTimeout(() => {
    late = true;
    end();
  }, limitMs);
  signal?.addEventListener("abort", end);
  if (signal?.aborted === true) end();
  try {
    await exited;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", end);
  }
  await Promise.race([closed, sleep(OUTPUT_WAIT_MS)]);
  for (const stream of [child.stdout, child.stderr]) stream.destroy();
  if (child.exitCode === 0) return { outcome: "delivered" };
  const ended = late ? `ended after ${limitMs / 1_000} s` : (child.signalCode ?? `exit code ${child.exitCode}`);
  const last = output.trim().split("\n").at(-1)?.trim().slice(0, LINE_MAX) ?? "";
  return { outcome: "failed", error: `${ended}${last === "" ? "" : `: ${last}`}` };
}
