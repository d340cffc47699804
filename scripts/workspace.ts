/** A workspace that the scripts drive from outside, as a user would: files put into a folder, processes killed. */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openDirectoryStore } from "../adapters/directory-store.ts";
import { isAlive } from "../adapters/process-alive.ts";
import { jobIds } from "../adapters/process-jobs.ts";
import { readJobFile } from "../adapters/job-folder.ts";
import { CONFIG_TEXT, MODEL_TEXT } from "../cli/sample.ts";
import { needDocument, readEntry, readHead } from "../ledger/read.ts";
import { sha256 } from "../protocol/digest.ts";
import type { Head } from "../protocol/head.ts";
import { MANIFEST } from "../protocol/keys.ts";
import type { Store } from "../protocol/ports.ts";
import type { LogEntry, Manifest } from "../protocol/types.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));

/** Once so often it is looked whether something has happened. */
const LOOK_MS = 20;

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Looks until there is an answer. @throws after the limit, saying what was waited for */
export async function until<T>(
  what: string,
  limitMs: number,
  look: () => Promise<T | undefined>,
  lookMs = LOOK_MS,
): Promise<T> {
  const end = performance.now() + limitMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > end) throw new Error(`waited ${Math.round(limitMs / 1_000)} s for ${what}`);
    await sleep(lookMs);
  }
}

export interface WorkspaceFiles {
  /** of its one pipeline: the data lies in the folder of that name */
  readonly pipeline: string;
  readonly config: string;
  readonly model: string;
}

export class Workspace {
  readonly folder: string;
  readonly store: Store;
  readonly jobs: string;
  readonly data: string;

  /** A folder with these files in it, emptied first. */
  constructor(folder: string, files: WorkspaceFiles) {
    const { pipeline } = files;
    this.folder = folder;
    this.store = openDirectoryStore(join(folder, ".accrete/state", pipeline));
    this.jobs = join(folder, ".accrete/jobs", pipeline);
    this.data = join(folder, ".accrete/data", pipeline);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(this.data, { recursive: true });
    writeFileSync(join(folder, "model.ts"), files.model);
    writeFileSync(join(folder, "accrete.config.ts"), files.config);
  }

  /** `accrete ...` on this workspace, its output handed on line by line. */
  accrete(
    args: readonly string[],
    onLine: (line: string) => void = () => {},
    env: Readonly<Record<string, string>> = {},
  ): ChildProcess & { readonly ended: Promise<number | null> } {
    const child = spawn(process.execPath, [join(ROOT, "cli/main.ts"), "--dir", this.folder, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...env },
    });
    for (const stream of [child.stdout, child.stderr]) {
      let rest = "";
      stream.setEncoding("utf8").on("data", (text: string) => {
        const lines = (rest + text).split("\n");
        rest = lines.pop() ?? "";
        lines.forEach(onLine);
      });
    }
    const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
    return Object.assign(child, { ended });
  }

  /** Drops a file as a careful user does: written beside, then renamed, so that it is never seen half. */
  drop(name: string, body: Uint8Array): void {
    const beside = join(this.folder, `.accrete/${name}.part`);
    writeFileSync(beside, body);
    renameSync(beside, join(this.data, name));
  }

  async head(): Promise<Head> {
    return (await readHead(this.store)).head;
  }

  async entries(): Promise<LogEntry[]> {
    const { seq } = await this.head();
    const reads = await Promise.all(Array.from({ length: seq }, (_, i) => readEntry(this.store, i + 1)));
    return reads.map(({ document }) => document);
  }

  /** Digests of what training has made, by file name: of one checkpoint, whatever run made it. */
  async digests(entry: LogEntry): Promise<Record<string, string>> {
    const key = entry.checkpoint?.manifest ?? MANIFEST;
    const { document }: { document: Manifest } = await needDocument(this.store, "manifest", key, `entry ${entry.seq}`);
    return Object.fromEntries(document.files.map((file) => [file.name, file.sha256]));
  }

  /** Process ids of the trainers that run now. */
  async trainers(): Promise<{ job: string; pid: number }[]> {
    const running: { job: string; pid: number }[] = [];
    for (const id of await jobIds(this.jobs)) {
      const job = join(this.jobs, id);
      const trainer = await readJobFile(job, "trainer.json");
      if (trainer !== undefined && (await isAlive(trainer.process))) running.push({ job, pid: trainer.process.pid });
    }
    return running;
  }

  logOf(job: string): string {
    return readFileSync(join(job, "log.txt"), "utf8");
  }

  /** What `accrete verify` says; undefined: all is whole. */
  async problems(): Promise<string | undefined> {
    const lines: string[] = [];
    const code = await this.accrete(["verify"], (line) => lines.push(line)).ended;
    return code === 0 ? undefined : lines.join("\n");
  }
}

/** One with examples/digits in it. */
export class DigitsWorkspace extends Workspace {
  constructor(folder: string, change: (config: string) => string = (config) => config) {
    const read = (name: string): string => readFileSync(join(ROOT, "examples/digits", name), "utf8");
    super(folder, { pipeline: "digits", config: change(read("accrete.config.ts")), model: read("model.ts") });
  }
}

/** One as `accrete init` makes it, for CSV files of flowers. */
export class FlowersWorkspace extends Workspace {
  constructor(folder: string, change: (config: string) => string = (config) => config) {
    super(folder, { pipeline: "flowers", config: change(CONFIG_TEXT), model: MODEL_TEXT });
  }
}

/** One digest for a checkpoint's training state: weights, optimizer, position. */
export function checkpointDigest(digests: Record<string, string>): string {
  return sha256(["weights.safetensors", "optimizer.safetensors", "state.json"].map((name) => digests[name]).join("\n"));
}
