/** A reader for the tests: reads as the real one does, and does what an item's key asks for, as a broken library might. */
import { existsSync, writeFileSync, writeSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { join } from "node:path";
import type { FileToRead, RecordsOfItem } from "../item-records.ts";
import { openItemReader } from "../read-item.ts";
import { READER_SOCKET, serveReader } from "../reader-server.ts";

const [scratch = "", memory = ""] = process.argv.slice(2);
const real = openItemReader({ scratch, memory: Number(memory) });

const CRASHES: Readonly<Record<string, () => void | Promise<void>>> = {
  abort: () => process.abort(),
  segv: () => void process.kill(process.pid, "SIGSEGV"),
  // as the kernel does it where the machine has no memory left
  killed: () => void process.kill(process.pid, "SIGKILL"),
  exit: () => process.exit(3),
  said: () => {
    console.error("\u001b[2Jlibrary: assertion failed");
    process.exit(4);
  },
  hang: () => delay(3_600_000),
  spin: () => {
    for (;;);
  },
  garbage: () => {
    writeSync(READER_SOCKET, "hello\n");
    return delay(3_600_000);
  },
  huge: () => {
    writeSync(
      READER_SOCKET,
      '{"op":"read","outcomes":[{"outcome":"read","count":999999999,"shape":[9999999],"features":"F32","labels":"class","labelCount":999999999,"weights":false,"marks":false,"names":[],"columns":null}]}\n',
    );
    return delay(3_600_000);
  },
  // without the records that it tells of
  short: () => {
    writeSync(
      READER_SOCKET,
      '{"op":"read","outcomes":[{"outcome":"read","count":1000000,"shape":[2],"features":"F32","labels":"class","labelCount":1000000,"weights":false,"marks":false,"names":[{"name":"a","record":0}],"columns":null}]}\n',
    );
    return delay(3_600_000);
  },
  other: () => {
    writeSync(READER_SOCKET, '{"op":"opened"}\n');
    return delay(3_600_000);
  },
  endless: () => {
    for (const line = "x".repeat(100_000); ;) {
      try {
        writeSync(READER_SOCKET, line);
      } catch {
        // EAGAIN: the trainer has not read as much yet
      }
    }
  },
  allocate: async () => {
    for (const kept: Buffer[] = []; ; await delay(1)) kept.push(Buffer.alloc(8_000_000, 1));
  },
  // faster than the watch
  burst: () => {
    for (const kept: Buffer[] = []; ;) kept.push(Buffer.alloc(64_000_000, 1));
  },
  heap: () => {
    for (const kept: object[] = []; ;) kept.push({ of: kept.length });
  },
  bug: () => {
    throw new TypeError("x is not a function");
  },
  full: () => {
    throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
  },
  broken: () => {
    throw Object.assign(new Error("EIO: i/o error, read"), { code: "EIO" });
  },
  // of this process alone: the next one finds the file that the test makes when it sees the first waiting
  once: async () => {
    const go = join(scratch, "../go");
    if (existsSync(go)) return;
    writeFileSync(join(scratch, "waiting"), "");
    while (!existsSync(go)) await delay(5);
    process.abort();
  },
  environment: () => {
    const names = Object.keys(process.env).sort();
    throw new Error(`${names.join(" ")} in ${process.cwd() === scratch ? "scratch" : process.cwd()}`);
  },
};

async function obey({ key }: FileToRead, when: "" | "survey-" | "where-"): Promise<void> {
  const name = new RegExp(`crash-${when}([a-z]+)$`).exec(key)?.[1];
  if (name !== undefined) await CRASHES[name]?.();
}

/** What the memory of a broken library may hold. */
const LIES: Readonly<Record<string, (records: RecordsOfItem) => Partial<RecordsOfItem>>> = {
  label: ({ labels }) => ({ labels: labels.with(0, 2) }),
  negative: ({ labels }) => ({ labels: labels.with(0, -1) }),
  kind: ({ labels }) => ({ labels: Float32Array.from(labels) }),
  nan: ({ features }) => ({ features: features.with(0, NaN) }),
  name: ({ names, count }) => ({ names: names.map(({ name }) => ({ name, record: count })) }),
};

serveReader({
  ...real,
  async read(file, data, layout) {
    await obey(file, "");
    const records = await real.read(file, data, layout);
    const lie = /lie-([a-z]+)$/.exec(file.key)?.[1] ?? "";
    return { ...records, ...LIES[lie]?.(records) };
  },
  async survey(file, data, columns) {
    await obey(file, "survey-");
    return real.survey(file, data, columns);
  },
  async where(file, data, record) {
    await obey(file, "where-");
    return real.where(file, data, record);
  },
});
