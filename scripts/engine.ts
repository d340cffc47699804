/**
 * A Docker engine for the tests of the trainer's image: the one that runs here, else Debian's docker.io started by hand, with all that it
 * keeps in the user's cache folder. It has no bridge and changes no firewall: its containers get `--network none` or `host`.
 *   npm run engine -- start|stop|status     start prints how to reach it: eval "$(npm run -s engine -- start)"
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { cacheRoot } from "../adapters/native-library.ts";
import { lastLine, runProgram } from "../adapters/native-tools.ts";
import { kill } from "../adapters/process-alive.ts";

/** On a machine that is busy with other things; else it is there within 3 s. */
const START_MS_MAX = 30_000;
const STOP_MS_MAX = 30_000;
const LOOK_MS = 100;
/** Of a socket's address: `sun_path` has 108 bytes, of which the last is a zero. */
const SOCKET_BYTES_MAX = 107;
/** Bit of CapEff: an engine mounts. */
const CAP_SYS_ADMIN = 21n;
const APT = ["-q", "-o", "DPkg::Lock::Timeout=300"];
const PACKAGES = ["docker.io", "debootstrap"];

/** What is kept between starts: images, and the stand-in base's files. */
export const ENGINE_FOLDER = join(cacheRoot(), "engine");
const PID_FILE = join(ENGINE_FOLDER, "engine.pid");
const DATA_ROOT = join(ENGINE_FOLDER, "data");
const EXEC_ROOT = join(ENGINE_FOLDER, "exec");
const LOG = join(ENGINE_FOLDER, "engine.log");

export interface Engine {
  /** value of DOCKER_HOST; undefined: what the docker program finds by itself */
  readonly host: string | undefined;
  /** this call has started it, and who has called ends it */
  readonly started: boolean;
}

/** In the folder, or in a short one beside all others of this user's machine if that would be too long for a socket. */
export function socketPath(folder = ENGINE_FOLDER): string {
  const beside = join(folder, "docker.sock");
  if (Buffer.byteLength(beside) <= SOCKET_BYTES_MAX) return beside;
  const digest = createHash("sha256").update(folder).digest("hex").slice(0, 12);
  return join(tmpdir(), `accrete-engine-${digest}`, "docker.sock");
}

/** The engine that runs: the one the environment names, or ours; undefined: none does. */
export async function findEngine(): Promise<Engine | undefined> {
  if (await answers(undefined)) return { host: process.env["DOCKER_HOST"], started: false };
  const host = `unix://${socketPath()}`;
  return (await answers(host)) ? { host, started: false } : undefined;
}

/**
 * Finds one, or starts one. Installs Debian's packages if they are missing.
 * @param say told what takes time
 * @throws Error one sentence that says why there can be none here
 */
export async function startEngine(say: (line: string) => void): Promise<Engine> {
  const found = await findEngine();
  if (found !== undefined) return found;
  const fault = engineFault();
  if (fault !== undefined) throw new Error(fault);
  await installPackages(say);
  return startDaemon();
}

/** Why none can be started here; undefined: nothing speaks against a try. */
export function engineFault(): string | undefined {
  if (process.platform !== "linux" || !existsSync("/etc/debian_version"))
    return "no Docker engine runs, and one is started by hand on Debian alone";
  if (process.getuid?.() !== 0) return "no Docker engine runs, and only root can start one";
  const [, effective] = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
  if (effective === undefined || ((BigInt(`0x${effective}`) >> CAP_SYS_ADMIN) & 1n) === 0n)
    return "no Docker engine runs, and none can be started without CAP_SYS_ADMIN: this is a container that may not mount";
  return undefined;
}

async function installPackages(say: (line: string) => void): Promise<void> {
  const here = await Promise.all(
    ["dockerd", "docker", "debootstrap"].map((program) => runProgram(program, ["--version"])),
  );
  if (here.every(({ missing }) => !missing)) return;
  say(`installs ${PACKAGES.join(" and ")} by apt-get`);
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  const updated = await runProgram("apt-get", [...APT, "update"], { env });
  const put = ["install", "-y", "--no-install-recommends", ...PACKAGES];
  const installed = updated.ok ? await runProgram("apt-get", [...APT, ...put], { env }) : updated;
  if (!installed.ok)
    throw new Error(`no Docker engine runs, and Debian's can't be installed: ${lastLine(installed.said)}`);
}

async function startDaemon(): Promise<Engine> {
  const socket = socketPath();
  const host = `unix://${socket}`;
  for (const folder of [ENGINE_FOLDER, dirname(socket)]) mkdirSync(folder, { recursive: true, mode: 0o700 });
  // left by one that was killed; it would be refused for a process that has got its number since
  if (daemonPid() === undefined) rmSync(PID_FILE, { force: true });
  const log = openSync(LOG, "w");
  const kept = ["--data-root", DATA_ROOT, "--exec-root", EXEC_ROOT, "--pidfile", PID_FILE];
  const alone = ["--bridge", "none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"];
  // overlay2 by name: where it does not work, the one it would fall back to copies 600 MB for each container
  const daemon = spawn("dockerd", ["--host", host, ...kept, ...alone, "--storage-driver", "overlay2"], {
    detached: true, // outlives this process, and Ctrl-C in its terminal
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  let ended = false;
  daemon.once("error", () => (ended = true)).once("exit", () => (ended = true));
  const endMs = performance.now() + START_MS_MAX;
  while (!ended && performance.now() < endMs) {
    if (await answers(host)) {
      daemon.unref();
      return { host, started: true };
    }
    await sleep(LOOK_MS);
  }
  // another process has started one at the same moment: its pid file is in the way of this one's
  if (await answers(host)) return { host, started: false };
  if (!ended) daemon.kill("SIGTERM");
  throw new Error(`no Docker engine runs, and dockerd does not start: ${lastLine(readFileSync(LOG, "utf8"))}`);
}

/** Ends the engine of this folder and unmounts what it leaves. @returns false: none ran */
export async function stopEngine(): Promise<boolean> {
  const pid = daemonPid();
  if (pid !== undefined) {
    kill(pid, "SIGTERM");
    const endMs = performance.now() + STOP_MS_MAX;
    while (daemonPid() !== undefined) {
      if (performance.now() > endMs) throw new Error(`dockerd ${pid} goes on after SIGTERM: see ${LOG}`);
      await sleep(LOOK_MS);
    }
  }
  rmSync(PID_FILE, { force: true });
  // dockerd leaves these: the folder could not be deleted
  for (const mounted of mountsBelow(ENGINE_FOLDER)) await runProgram("umount", [mounted]);
  return pid !== undefined;
}

/** By its pid file, but only if that process is our engine: numbers are given again. */
function daemonPid(): number | undefined {
  try {
    const pid = Number(readFileSync(PID_FILE, "utf8"));
    const args = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    return args.includes(PID_FILE) ? pid : undefined;
  } catch {
    return undefined;
  }
}

/** The innermost first. */
function mountsBelow(folder: string): string[] {
  return readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .flatMap((line) => line.split(" ")[1] ?? [])
    .map((path) => path.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))))
    .filter((path) => path.startsWith(`${folder}/`))
    .reverse();
}

async function answers(host: string | undefined): Promise<boolean> {
  return (await runProgram("docker", ["version", "--format", "{{.Server.Version}}"], { env: dockerEnv({ host }) })).ok;
}

/** For programs that are to use this engine. */
export function dockerEnv({ host }: Pick<Engine, "host">): Record<string, string> {
  return host === undefined ? {} : { DOCKER_HOST: host };
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Exit codes of `status`; 0: one runs. */
const NONE_RUNS = 1;
const NONE_POSSIBLE = 69;
const USAGE = `npm run engine -- start|stop|status

A Docker engine for the tests of the trainer's image: the one that runs here, else Debian's docker.io, started by hand (as root).
Its images are kept in ${ENGINE_FOLDER}.
  eval "$(npm run -s engine -- start)"`;

async function main(verb: string | undefined): Promise<number> {
  switch (verb) {
    case "start": {
      const { host, started } = await startEngine((line) => console.error(line));
      if (host !== undefined) console.log(`export DOCKER_HOST='${host}'`);
      console.error(started ? "an engine was started: `npm run engine -- stop` ends it" : "an engine was there");
      return 0;
    }
    case "stop":
      console.error((await stopEngine()) ? "the engine was stopped" : "no engine of ours runs");
      return 0;
    case "status": {
      const found = await findEngine();
      const fault = found === undefined ? engineFault() : undefined;
      const none = fault ?? "no engine runs: `npm run engine -- start` starts one";
      console.log(found === undefined ? none : `an engine runs: ${found.host ?? "the default one"}`);
      return found !== undefined ? 0 : fault === undefined ? NONE_RUNS : NONE_POSSIBLE;
    }
    default:
      console.error(USAGE);
      return verb === "--help" ? 0 : 64;
  }
}

if (import.meta.main) {
  try {
    process.exitCode = await main(process.argv[2]);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
