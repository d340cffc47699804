import { appendFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { followLog, lastLine } from "./job-tail.ts";

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "accrete-tail-"));
  path = join(folder, "log.txt");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe("the tail of a job's log", () => {
  it("tells each line once, as soon as it is whole, and the rest at the end", async () => {
    const lines: string[] = [];
    const tail = followLog(path, { everyMs: 60_000, onLine: (line) => lines.push(line) });
    await tail.read();
    expect(lines).toEqual([]);
    await writeFile(path, "epoch 1\nepo");
    await tail.read();
    expect(lines).toEqual(["epoch 1"]);
    const two = Buffer.from("ch 2 \u{1f600}\r\n\nbar 1\rbar 2\rend");
    // in the middle of a character of four bytes
    await appendFile(path, two.subarray(0, 7));
    await tail.read();
    await appendFile(path, two.subarray(7));
    await tail.close();
    expect(lines).toEqual(["epoch 1", "epoch 2 \u{1f600}", "bar 1", "bar 2", "end"]);
  });

  it("tells only the end of a log that is long already", async () => {
    const line = `<${"x".repeat(77)}>`;
    await writeFile(path, `${line}\n`.repeat(10_000));
    const lines: string[] = [];
    const tail = followLog(path, { everyMs: 60_000, onLine: (line) => lines.push(line) });
    await tail.close();
    // none that begins in its middle
    expect(new Set(lines)).toEqual(new Set([line]));
    expect(lines.length).toBeGreaterThan(30);
    expect(lines.length).toBeLessThan(60);
  });

  it("has a last line, once one is whole", async () => {
    expect(await lastLine(path)).toBeUndefined();
    await writeFile(path, "epoch 1\nepoch 2\nepo");
    expect(await lastLine(path)).toBe("epoch 2");
  });

  it("looks by itself", async () => {
    await writeFile(path, "epoch 1\n");
    const told = Promise.withResolvers<string>();
    const tail = followLog(path, { everyMs: 10, onLine: told.resolve });
    expect(await told.promise).toBe("epoch 1");
    await tail.close();
  });
});
