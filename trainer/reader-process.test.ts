/** An item that ends what reads it is rejected, and nothing else is: with real processes, real signals and real memory. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { CRASHING_READER, file, newReader, read, rows, type DataInput } from "./testing/reading.ts";

const csv = { format: "csv" } as const;
const jsonl = { format: "jsonl" } as const;
const limits = { memory: 2 ** 28, time: 600_000, bytes: 2 ** 32 };
const good = (from: number): string => `{"x":${from},"label":"a"}\n{"x":${from + 1},"label":"b"}\n`;

/** Four files, and among them one whose key asks the reader for something. */
async function among(key: string, input: DataInput = jsonl): Promise<{ rows: number[][]; rejected: string[] }> {
  const files = [0, 2, 4, 6].map((from) => file(`good-${from}`, good(from)));
  files.splice(2, 0, file(key, good(100)));
  await using reader = newReader({ memory: limits.memory, program: CRASHING_READER });
  const { records, rejected } = await read(files, input, null, reader);
  return { rows: rows(records), rejected: rejected.map(({ code, message }) => `${code} ${message}`) };
}
const others = [[0], [1], [2], [3], [4], [5], [6], [7]];

describe("a reader that an item ends", () => {
  it("costs the round that item alone, whatever the end is", async () => {
    const crashes: [string, RegExp][] = [
      ["abort", /^ended the reader: SIGABRT/],
      ["segv", /^ended the reader: SIGSEGV$/],
      ["exit", /^ended the reader: exit code 3$/],
      ["said", /^ended the reader: exit code 4: \\x1b\[2Jlibrary: assertion failed$/],
      ["garbage", /^made the reader answer what is no answer: /],
      ["huge", /^made the reader answer what is no answer: records of \d+ bytes$/],
      ["short", /^made the reader answer what is no answer: records of \d+ bytes, of which \d+ are there$/],
      ["other", /^made the reader answer something else than it was asked$/],
      ["endless", /^made the reader answer what is no answer: a message of more than /],
      ["allocate", /^needed more than 256 MiB of memory \(data.limits.memory\)$/],
      ["burst", /^needed more than 256 MiB of memory \(data.limits.memory\)$/],
      ["heap", /^needed more than 256 MiB of memory \(data.limits.memory\)$/],
      ["bug", /^failed: x is not a function$/],
    ];
    const files = crashes.flatMap(([what], i) => [file(`good-${i}`, good(2 * i)), file(`crash-${what}`, good(1_000))]);
    const reader = newReader({ memory: limits.memory, program: CRASHING_READER });
    const { records, rejected } = await read(files, jsonl, null, reader);
    expect(rejected.map(({ item, code }) => `${code} ${item.key}`)).toEqual(
      crashes.map(([what]) => `bad crash-${what}`),
    );
    for (const [i, [what, why]] of crashes.entries()) {
      const [key, message] = rejected[i]!.message.split(": reading it ");
      expect([key, message]).toEqual([`crash-${what}`, expect.stringMatching(why)]);
    }
    expect(rows(records)).toEqual(crashes.flatMap((_, i) => [[2 * i], [2 * i + 1]]));
  });

  it("is not believed what can't be: no record is learned as what it is not", async () => {
    const lies = ["label", "negative", "kind", "nan", "name"];
    const files = lies.flatMap((what, i) => [file(`good-${i}`, good(2 * i)), file(`lie-${what}`, good(1_000))]);
    const { records, rejected } = await read(files, jsonl, null, newReader({ program: CRASHING_READER }));
    expect(rejected.map(({ message }) => message)).toEqual(
      lies.map((what) => `lie-${what}: reading it made the reader answer something else than it was asked`),
    );
    expect(rows(records)).toEqual(lies.flatMap((_, i) => [[2 * i], [2 * i + 1]]));
  });

  it.each(["hang", "spin"])(
    "by taking too long (%s) is ended after the item's time, and the item is not tried again",
    async (what) => {
      const started = performance.now();
      const found = await among(`crash-${what}`, { ...jsonl, limits: { ...limits, time: 1_000 } });
      expect(found.rejected).toEqual([`bad crash-${what}: reading it took longer than 1 s (data.limits.time)`]);
      expect(found.rows).toEqual(others);
      expect(performance.now() - started).toBeGreaterThan(2_000); // once among the others, once alone
    },
  );

  it("is started anew for a second try: a crash may be the machine's fault", async () => {
    const reader = newReader({ program: CRASHING_READER });
    const items = [file("good", good(0)), file("crash-once", good(2))];
    const reading = read(items, jsonl, null, reader);
    while (!existsSync(join(reader.scratch, "waiting"))) await delay(5);
    writeFileSync(join(reader.scratch, "../go"), "");
    const { records, rejected } = await reading;
    expect(rejected).toEqual([]);
    expect(rows(records)).toEqual([[0], [1], [2], [3]]);
  });

  it("while it looks for categories, or for the line of a fault, rejects that item", async () => {
    const text = (colour: string): string => `colour,label\nred,a\n${colour},b\n`;
    const reader = newReader({ program: CRASHING_READER });
    const items = [file("1", text("blue")), file("crash-survey-abort", text("pink")), file("3", text("green"))];
    const { schema, records, rejected } = await read(items, csv, null, reader);
    expect(rejected.map(({ message }) => message)).toEqual([
      expect.stringContaining("crash-survey-abort: reading it ended the reader: SIGABRT"),
    ]);
    expect(schema?.columns?.[0]?.categories).toEqual(["blue", "green", "red"]);
    expect(records.count).toBe(4);
    const labelled = [file("crash-where-abort", good(0).replace(`"b"`, `"c"`)), file("good", good(0))];
    const { rejected: unknown } = await read(labelled, { ...jsonl, labels: ["a", "b"] }, null, reader);
    expect(unknown.map(({ message }) => message)).toEqual([
      expect.stringContaining("crash-where-abort: reading it ended the reader: SIGABRT"),
    ]);
  });

  it("fails the attempt if it can't be started at all", async () => {
    const reader = newReader({ program: "/nowhere/reader.ts" });
    await expect(read([file("good", good(0))], jsonl, null, reader)).rejects.toThrow(
      /the reader can't be started: it ended the reader: exit code 1: .*Cannot find module/s,
    );
  });

  it("fails the attempt if the machine is at fault, not the item", async () => {
    await expect(among("crash-full")).rejects.toMatchObject({ code: "OUT_OF_DISK" });
    await expect(among("crash-broken")).rejects.toThrow("EIO: i/o error, read");
  });

  it("has nothing of the trainer's environment, and is in its scratch folder", async () => {
    process.env["AWS_SECRET_ACCESS_KEY"] = "secret";
    process.env["NODE_OPTIONS"] = "--no-deprecation";
    try {
      const { rejected } = await among("crash-environment");
      // PWD and what begins with an underscore are the shell's own
      expect(rejected[0]!.replaceAll(/ (PWD|OLDPWD|SHLVL|_)\b/g, "")).toBe(
        "bad crash-environment: reading it failed: LANG PATH TMPDIR in scratch",
      );
    } finally {
      delete process.env["AWS_SECRET_ACCESS_KEY"];
      delete process.env["NODE_OPTIONS"];
    }
  });
});

describe("the reader's process", () => {
  it("is one for all items and all calls, and is gone once it is closed", async () => {
    const reader = newReader();
    await read([file("a", good(0)), file("b", good(2))], jsonl, null, reader);
    const { pid } = reader;
    await read([file("c", "x,label\n1,a\n2,b\n")], csv, null, reader);
    expect(reader.pid).toBe(pid);
    expect(isAlive(pid)).toBe(true);
    await reader.close();
    expect(isAlive(pid)).toBe(false);
  });

  it("answers calls that are made at the same time, each its own", async () => {
    const reader = newReader();
    const each = Array.from({ length: 8 }, (_, i) => read([file(`${i}`, good(2 * i))], jsonl, null, reader));
    const found = await Promise.all(each);
    expect(found.map(({ records }) => rows(records))).toEqual(found.map((_, i) => [[2 * i], [2 * i + 1]]));
  });

  it.runIf(process.platform === "linux")(
    "has a limit of the kernel on its memory, and is what it ends first",
    async () => {
      const reader = newReader({ memory: limits.memory });
      await read([file("a", good(0))], jsonl, null, reader);
      const of = (name: string): string => readFileSync(`/proc/${reader.pid}/${name}`, "utf8");
      expect(of("limits")).toMatch(new RegExp(`^Max data size +${limits.memory + 2 ** 30} `, "m"));
      expect(of("limits")).toMatch(/^Max core file size +0 /m);
      expect(of("oom_score_adj")).toBe("1000\n");
    },
  );

  it("blames no item if somebody else kills it: the machine has less memory than the limit", async () => {
    const reader = newReader({ program: CRASHING_READER });
    for (const files of [[file("crash-killed", good(0))], [file("a", good(0)), file("crash-killed", good(0))]])
      await expect(read(files, jsonl, null, reader)).rejects.toThrow(
        /^reading an item ended with the reader being killed, as happens when the machine or the job runs out of memory: .*compute\.memory/,
      );
  });

  it("is started anew if it was ended between two items, and blames none", async () => {
    const reader = newReader();
    await read([file("a", good(0))], jsonl, null, reader);
    process.kill(reader.pid!, "SIGKILL");
    const { records, rejected } = await read([file("b", good(2))], jsonl, null, reader);
    expect([records.count, rejected]).toEqual([2, []]);
  });

  it.each(["hang", "spin"])("ends with its trainer, however that ends, even if it is deaf (%s)", async (what) => {
    const folder = mkdtempSync(join(tmpdir(), "accrete-orphan-"));
    try {
      // exit: a handler ends the reader; SIGKILL: the reader sees the closed socket, unless it is in a loop (the supervisor's task)
      for (const how of what === "spin" ? ["exit"] : ["exit", "SIGKILL"]) {
        writeFileSync(join(folder, "item"), good(0));
        const trainer = spawn(
          process.execPath,
          [join(import.meta.dirname, "testing/reading-trainer.ts"), folder, `crash-${what}`],
          {
            stdio: ["ignore", "pipe", "inherit"],
          },
        );
        const [said]: unknown[] = await once(trainer.stdout, "data");
        const pid = Number(String(said));
        expect(isAlive(pid)).toBe(true);
        if (how === "SIGKILL") trainer.kill("SIGKILL");
        else trainer.kill("SIGTERM");
        await once(trainer, "exit");
        while (isAlive(pid)) await delay(20);
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

function isAlive(pid: number | undefined): boolean {
  if (pid === undefined) return false;
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  // one that nobody waits for is dead all the same
  return process.platform !== "linux" || !/^State:\s+Z/m.test(statusOf(pid));
}

function statusOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/status`, "utf8");
  } catch {
    return "State: Z";
  }
}
