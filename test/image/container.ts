/** The trainer's image, run as AWS Batch runs it and locked down further than Batch can: what the tests of this folder share. */
import { execFile, execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync } from "node:fs";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { afterAll } from "vitest";
import { openDirectoryStore } from "../../adapters/directory-store.ts";
import { planKey } from "../../protocol/keys.ts";
import { docker } from "./engine.ts";
import { csv, newFolder, Place, type PlanInput } from "../../trainer/testing/rounds.ts";

const run = promisify(execFile);

/** Name of the image; scripts/test-image.ts has built it. */
export const IMAGE = process.env["ACCRETE_IMAGE"] ?? "";
const FAULT =
  process.env["ACCRETE_IMAGE_FAULT"] ??
  (IMAGE === "" ? "`npm run test:image` builds the image and runs this" : undefined);

/** There is no image: tests are skipped, and say why behind their names. */
export const SKIPPED = FAULT !== undefined;
export const WHY = FAULT === undefined ? "" : ` (skipped: ${FAULT})`;

/** The image's own user; an engine of somebody who isn't root can't give the state's files to it. */
const SELF = process.getuid?.() ?? 0;
const SELF_GROUP = process.getgid?.() ?? 0;
export const UID = SELF === 0 ? 10_001 : SELF;
export const AS_USER: readonly string[] = SELF === 0 ? [] : ["--user", `${SELF}:${SELF_GROUP}`];

/** As strict as it can be: Batch has no word for some of it. */
export const LOCKED_DOWN = [
  "--read-only",
  "--cap-drop=ALL",
  "--security-opt=no-new-privileges",
  "--memory=1g",
  "--memory-swap=1g",
  "--pids-limit=256",
  "--network=none",
  "--tmpfs=/tmp:rw,noexec,nosuid,nodev,size=256m",
] as const;

/** Of the trainer outside, too: the bits depend on it. */
export const THREADS = "2";

const LABEL = `accrete-test=${randomBytes(6).toString("hex")}`;
afterAll(async () => {
  if (FAULT !== undefined) return;
  // what a test that failed has left, volumes without a name included
  const ids = (await docker("ps", "-aq", "--filter", `label=${LABEL}`)).split("\n").filter((id) => id !== "");
  if (ids.length > 0) await docker("rm", "-fv", ...ids);
});

/** What the container's user can read, write and make files in. */
export function openToAll(folder: string): void {
  execFileSync("chmod", ["-R", "a+rwX", folder]);
}

export interface Stored {
  readonly place: Place;
  readonly state: string;
}

/** A state in a folder with the plan of round 1, for 40 rows of a table unless `fill` puts other data there. */
export async function stored(plan: PlanInput = {}, fill?: (place: Place) => Promise<void>): Promise<Stored> {
  const state = newFolder();
  const place = new Place(openDirectoryStore(state));
  chmodSync(dirname(state), 0o755);
  if (fill === undefined) place.put("a.csv", csv(0, 40));
  else await fill(place);
  await place.plan({ data: { format: "csv" }, ...plan });
  return { place, state };
}

export interface Ended {
  readonly exit: number;
  readonly outOfMemory: boolean;
  readonly log: string;
}

export class Container {
  readonly id: string;
  constructor(id: string) {
    this.id = id;
  }

  signal(signal: "TERM" | "KILL"): Promise<string> {
    return docker("kill", "--signal", signal, this.id);
  }

  /** stdout and stderr so far */
  async log(): Promise<string> {
    const { stdout, stderr } = await run("docker", ["logs", this.id], { maxBuffer: 2 ** 26 });
    return stdout + stderr;
  }

  /** When the first line of its output came; undefined: it has said nothing. */
  async saidFirstMs(): Promise<number | undefined> {
    const { stdout } = await run("docker", ["logs", "--timestamps", this.id], { maxBuffer: 2 ** 26 });
    const [time] = stdout.split(" ", 1);
    return time === undefined || time === "" ? undefined : Date.parse(time);
  }

  /** Waits until the log matches. @throws if it ends before */
  async says(pattern: RegExp): Promise<string> {
    for (;;) {
      const running = (await this.#inspect("{{.State.Running}}")) === "true";
      const log = await this.log();
      if (pattern.test(log)) return log;
      if (!running) throw new Error(`the container ended without saying ${pattern}:\n${log}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Paths of its root file system that are not as in the image: "A /data" */
  async changes(): Promise<string[]> {
    return (await docker("diff", this.id)).split("\n").filter((line) => line !== "");
  }

  /** What a script says that runs in it, beside the trainer. */
  node(script: string): Promise<string> {
    return docker("exec", this.id, "/opt/accrete/bin/node", "-e", script);
  }

  async ended(): Promise<Ended> {
    const exit = Number(await docker("wait", this.id));
    return { exit, outOfMemory: (await this.#inspect("{{.State.OOMKilled}}")) === "true", log: await this.log() };
  }

  #inspect(format: string): Promise<string> {
    return docker("inspect", "--format", format, this.id);
  }
}

export interface StartOptions {
  /** of `docker run`, behind LOCKED_DOWN */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** Starts the trainer on the stored plan. */
export async function start({ place, state }: Stored, { args = [], env = {} }: StartOptions = {}): Promise<Container> {
  openToAll(state);
  openToAll(place.dataFolder);
  const set = {
    ACCRETE_STATE: "file:///state",
    ACCRETE_DATA: "file:///data",
    ACCRETE_PLAN: planKey(1),
    ACCRETE_ATTEMPT: "1",
    ACCRETE_THREADS: THREADS,
    ...env,
  };
  const mounts = ["-v", `${state}:/state`, "-v", `${place.dataFolder}:/data:ro`];
  const names = Object.entries(set).flatMap(([name, value]) => ["-e", `${name}=${value}`]);
  const options = ["-d", "--label", LABEL, ...LOCKED_DOWN, ...AS_USER, ...mounts, ...names, ...args];
  return new Container(await docker("run", ...options, IMAGE));
}

/** A `docker run` for what starts a job by its command; its environment's variables are handed on, and folders are at the same paths. */
export function runCommand(
  folders: { readonly state: string; readonly data: string },
  args: readonly string[],
): string[] {
  const names = ["ACCRETE_STATE", "ACCRETE_DATA", "ACCRETE_PLAN", "ACCRETE_ATTEMPT", "AWS_BATCH_JOB_ATTEMPT"];
  const mounts = ["-v", `${folders.state}:${folders.state}`, "-v", `${folders.data}:${folders.data}:ro`];
  const options = [
    "--rm",
    "--label",
    LABEL,
    ...LOCKED_DOWN,
    ...AS_USER,
    ...mounts,
    ...names.flatMap((name) => ["-e", name]),
  ];
  const docker_ = ["docker", "run", ...options, "-e", `ACCRETE_THREADS=${THREADS}`, ...args, IMAGE];
  // the ledger's files are root's where root runs it
  return ["/bin/sh", "-c", 'chmod -R a+rwX "$0" && exec "$@"', folders.state, ...docker_];
}
