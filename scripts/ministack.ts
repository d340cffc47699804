/**
 * An S3 on this machine for tests: ministack, a Python program. It is put into the user's cache folder by pip once, in the versions of
 * ministack-requirements.txt, and listens on a free port of 127.0.0.1 alone. `npm run ministack` starts one and says how to reach it.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { installPackages, packagesFolder, PYTHON } from "./pip-packages.ts";

const REQUIREMENTS = fileURLToPath(new URL("ministack-requirements.txt", import.meta.url));
/** It is there within a second; on a machine that is busy with other tests later. */
const START_MS_MAX = 60_000;
const LOOK_MS = 50;

/** It ends with whoever started it, however that ended: its standard input is at its end then. */
const PROGRAM = `
import os, runpy, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
sys.argv = ["ministack"]
runpy.run_module("ministack", run_name="__main__")
`;

/** The account that everything in it belongs to. */
export const MINISTACK_ACCOUNT = "000000000000";

export interface Ministack {
  /** http://127.0.0.1:PORT */
  readonly url: string;
  /** for processes that are to use it, and nothing of the user's own: no profile, no credentials */
  readonly env: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

/** Why there can be none here; undefined if there can. Installs it. With ACCRETE_MINISTACK_REQUIRED nothing is a reason. */
export async function ministackFault(): Promise<string | undefined> {
  const fault = await installPackages(REQUIREMENTS);
  if (fault !== undefined && process.env["ACCRETE_MINISTACK_REQUIRED"] !== undefined) throw new Error(fault);
  return fault;
}

/** Whoever starts one closes it. @param services of AWS that it has, as it names them, with commas between */
export async function startMinistack(services = "s3"): Promise<Ministack> {
  const fault = await installPackages(REQUIREMENTS);
  if (fault !== undefined) throw new Error(fault);
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), "accrete-ministack-"));
  const child = spawn(PYTHON, ["-S", "-c", PROGRAM], {
    cwd: folder,
    // without BIND_HOST it listens on every interface; -S, as with what else this Python has it would open more ports there
    env: {
      ...pythonEnv(),
      BIND_HOST: "127.0.0.1",
      GATEWAY_PORT: String(port),
      SERVICES: services,
      IOT_MTLS_ENABLED: "0",
      SFTP_ENABLED: "0",
      LOG_LEVEL: "ERROR",
      HOME: folder,
      TMPDIR: folder,
    },
    stdio: ["pipe", "ignore", "pipe"],
  });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said = (said + text).slice(-4_000)));
  const url = `http://127.0.0.1:${port}`;
  const close = async (): Promise<void> => {
    await end(child);
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  };
  try {
    await answers(url, child);
  } catch (error) {
    await close();
    throw new Error(`ministack does not start: ${said}`, { cause: error });
  }
  return {
    url,
    env: {
      AWS_ENDPOINT_URL: url,
      AWS_REGION: "us-east-1",
      AWS_ACCESS_KEY_ID: MINISTACK_ACCOUNT,
      AWS_SECRET_ACCESS_KEY: "test",
      AWS_SESSION_TOKEN: "",
      AWS_CONFIG_FILE: "/dev/null",
      AWS_SHARED_CREDENTIALS_FILE: "/dev/null",
      AWS_EC2_METADATA_DISABLED: "true",
    },
    close,
  };
}

function pythonEnv(): Record<string, string> {
  return { PATH: process.env["PATH"] ?? "", PYTHONPATH: packagesFolder(REQUIREMENTS), PYTHONNOUSERSITE: "1" };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (typeof address !== "object" || address === null) throw new Error("no port");
  return address.port;
}

async function answers(url: string, child: ChildProcess): Promise<void> {
  const untilMs = performance.now() + START_MS_MAX;
  while (performance.now() < untilMs && child.exitCode === null) {
    const answer = await fetch(`${url}/_ministack/health`).catch(() => undefined);
    if (answer?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  throw new Error(child.exitCode === null ? "no answer in time" : `it has ended with ${child.exitCode}`);
}

/** By its handle, so no other process can be meant. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL"); // nothing of it is to be kept
  await exited;
}

if (import.meta.main) {
  const ministack = await startMinistack();
  for (const [name, value] of Object.entries(ministack.env)) console.log(`export ${name}=${value}`);
  console.log("# until Ctrl-C");
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => void ministack.close().then(() => process.exit(0)));
}
