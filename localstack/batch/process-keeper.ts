/**
 * A program of its own: `node process-keeper.ts EXIT_FILE PROGRAM ARGUMENT...`. It leads the job's process group and writes down how the
 * job ended, so that this is known even if the server was killed meanwhile. Without a word on its standard input it starts nothing: the
 * server has died before it could note which process this is.
 */
import { spawn } from "node:child_process";
import { readSync, renameSync, writeFileSync } from "node:fs";
import { constants } from "node:os";

const [exitFile = "", program = "", ...words] = process.argv.slice(2);

// they are for the job, which is in the same group
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, () => {});

const word = Buffer.alloc(1);
if (readSync(0, word) === 1) {
  const child = spawn(program, words, { stdio: ["ignore", "inherit", "inherit"] });
  child.once("error", (error) => end({ error: error.message }));
  child.once("exit", (code, signal) => end({ exitCode: signal === null ? code : 128 + constants.signals[signal] }));
}

function end(how: { exitCode: number | null } | { error: string }): void {
  writeFileSync(`${exitFile}.new`, JSON.stringify(how));
  renameSync(`${exitFile}.new`, exitFile);
  // a container's end is the end of all in it
  process.kill(-process.pid, "SIGKILL");
}
