/** Several real processes on one directory, and what a SIGKILL at any moment leaves. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Written } from "../protocol/ports.ts";
import { counted, countOf, startOf, wholeBody } from "../test/contract/store-bodies.ts";
import { openDirectoryStore } from "./directory-store.ts";

const HAMMER = fileURLToPath(new URL("../test/contract/store-hammer.ts", import.meta.url));

let base: string;
const running = new Set<ChildProcess>();
beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), "accrete-store-processes-"));
});
afterAll(async () => {
  for (const child of running) child.kill("SIGKILL");
  await rm(base, { recursive: true, force: true });
});

interface Hammer {
  readonly child: ChildProcess;
  readonly name: string;
  /** what it was told, in order */
  readonly told: { readonly index: number; readonly outcome: Written }[];
  readonly ended: Promise<unknown>;
}

/** Starts a process that waits for the word to begin. */
async function startHammer(
  root: string,
  mode: "create" | "count" | "files",
  name: string,
  times: number,
): Promise<Hammer> {
  const child = spawn(process.execPath, [HAMMER, root, mode, name, String(times)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  running.add(child);
  const ended = once(child, "close").then(() => running.delete(child));
  const told: Hammer["told"] = [];
  const lines = createInterface({ input: child.stdout });
  const ready = once(lines, "line");
  lines.on("line", (line) => {
    const [, index, outcome] = /^(\d+) (won|lost|unknown)$/.exec(line) ?? [];
    if (outcome === "won" || outcome === "lost" || outcome === "unknown") told.push({ index: Number(index), outcome });
  });
  await ready;
  return { child, name, told, ended };
}

/** Until the processes have met in one. */
const RACES_MAX = 20;

async function startAll(hammers: readonly Promise<Hammer>[]): Promise<Hammer[]> {
  const started = await Promise.all(hammers);
  for (const { child } of started) child.stdin?.write("go\n");
  return started;
}

it("tells exactly one of four processes that it has won a key", async () => {
  const names = ["p0", "p1", "p2", "p3"];
  const winners = new Set<string>();
  // on a busy machine one may be done before the others begin: a race in which they never met shows nothing
  for (let race = 0; race < RACES_MAX && winners.size < 2; race++) {
    winners.clear();
    const root = join(base, `race-${race}`);
    const hammers = await startAll(names.map((name) => startHammer(root, "create", name, 100)));
    await Promise.all(hammers.map((hammer) => hammer.ended));
    const store = openDirectoryStore(root);
    for (let i = 0; i < 100; i++) {
      const won = hammers.filter(({ told }) => told[i]!.outcome === "won");
      expect(won.length, `winners of key ${i}`).toBe(1);
      expect(startOf((await store.get(`race/${i}`))!.body)).toBe(`${won[0]!.name} ${i}`);
      winners.add(won[0]!.name);
    }
  }
  expect(winners.size).toBeGreaterThan(1);
});

it("loses no increment of four processes", async () => {
  const root = join(base, "count");
  const hammers = await startAll(["p0", "p1", "p2", "p3"].map((name) => startHammer(root, "count", name, 40)));
  await Promise.all(hammers.map((hammer) => hammer.ended));
  expect(hammers.flatMap(({ told }) => told.filter(({ outcome }) => outcome === "won")).length).toBe(160);
  expect(countOf((await openDirectoryStore(root).get("counter"))!.body)).toBe(160);
});

it("shows no half object, frees its lock and keeps each win when its writers are killed", async () => {
  const root = join(base, "killed");
  const store = openDirectoryStore(root);
  await store.create("counter", counted(0));
  let told = 0;
  let kills = 0;
  for (let round = 0; round < 3; round++) {
    const hammers = await startAll([
      ...["c0", "c1", "c2"].map((name) => startHammer(root, "count", name, 1e9)),
      startHammer(root, "files", `f${round}`, 1e9),
    ]);
    const untilMs = performance.now() + 100 + Math.random() * 300;
    while (performance.now() < untilMs || hammers.some((hammer) => hammer.told.length === 0)) {
      countOf((await store.get("counter"))!.body);
      for (const { key } of (await store.list("files/")).objects.slice(-3)) startOf((await store.get(key))!.body);
      await sleep(1);
    }
    for (const { child } of hammers) child.kill("SIGKILL");
    await Promise.all(hammers.map((hammer) => hammer.ended));

    const counters = hammers.slice(0, 3);
    told += counters.flatMap((hammer) => hammer.told).length;
    kills += counters.length;
    const { body, etag } = (await store.get("counter"))!;
    expect(countOf(body)).toBeGreaterThanOrEqual(told);
    expect(countOf(body)).toBeLessThanOrEqual(told + kills);
    const freedMs = performance.now();
    expect(await store.replace("counter", body, etag)).toBe("won");
    expect(performance.now() - freedMs).toBeLessThan(2_000);
    for (const { index } of hammers[3]!.told)
      expect((await store.head(`files/f${round}/${index}`))?.size).toBe(wholeBody(`f${round}`, index).byteLength);
    for (const { key } of (await store.list("files/")).objects)
      expect(startOf((await store.get(key))!.body)).toBe(key.slice(6).replace("/", " "));
  }
  expect((await readdir(root)).sort()).toEqual([".lock.sqlite", ".tmp", "counter", "files"]);
});
