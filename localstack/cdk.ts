/** CDK's own program, on an AWS of this machine or on none: it reads and writes nothing of the user's. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { ROOT } from "./root.ts";
import { withoutAws } from "./environment.ts";

const CDK = createRequire(import.meta.url).resolve("aws-cdk/bin/cdk");
const LAST_LINES = 20;

export interface CdkOptions {
  /** of the cloud; none: an account's own, as far as a synth without credentials knows it */
  readonly env: Readonly<Record<string, string>>;
  /** its home and caches, and its log */
  readonly folder: string;
  /** @default the clone's, whose cdk.json names its app */
  readonly cwd?: string;
  readonly signal?: AbortSignal | undefined;
}

/**
 * In a process group of its own, with the app that it runs: an abort ends them all, and nothing of them writes into the folder afterwards.
 * @throws {Error} with the last lines of what it said @throws what `signal` aborts with
 */
export async function runCdk(args: readonly string[], { env, folder, cwd = ROOT, signal }: CdkOptions): Promise<void> {
  const logFile = join(folder, "logs", `cdk-${args[0]}.log`);
  const log = openSync(logFile, "a");
  const home = join(folder, "home");
  const child = spawn(process.execPath, [CDK, ...args, "--no-color", "--no-notices", "--no-version-reporting"], {
    cwd,
    env: {
      ...withoutAws(process.env),
      ...env,
      HOME: home,
      CDK_HOME: join(home, ".cdk"),
      CDK_DISABLE_CLI_TELEMETRY: "1",
      CDK_DISABLE_VERSION_CHECK: "1",
      CI: "1", // its progress goes to the log
    },
    detached: true,
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  const end = (): void => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, "SIGKILL");
  };
  signal?.addEventListener("abort", end);
  process.once("exit", end);
  try {
    if (signal?.aborted) end();
    await once(child, "exit");
  } finally {
    signal?.removeEventListener("abort", end);
    process.off("exit", end);
  }
  signal?.throwIfAborted();
  if (child.exitCode === 0) return;
  const said = readFileSync(logFile, "utf8").trimEnd().split("\n").slice(-LAST_LINES).join("\n");
  throw new Error(`cdk ${args[0]} failed:\n${said}`);
}
