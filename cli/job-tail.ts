/** Follows the log of a running job, line by line. */
import { open } from "node:fs/promises";
import { StringDecoder } from "node:string_decoder";
import { setTimeout as sleep } from "node:timers/promises";
import type { JobLog } from "./pipeline.ts";

/** Of a log that is longer when it is first seen, only the end is told. */
const FIRST_BYTES_MAX = 4_096;
const CHUNK_BYTES = 65_536;
/** A line without an end that is longer is told in parts. */
const LINE_MAX = 4_096;

export interface JobTail {
  /** Tells what has come since; settles when it has. */
  read(): Promise<void>;
  /** Reads for the last time and stops. */
  close(): Promise<void>;
}

/** @param options.everyMs between two looks @param options.firstBytes so many of its end are told when it is first seen */
export function followLog(
  path: string,
  options: { everyMs: number; firstBytes?: number; onLine: (line: string) => void },
): JobTail {
  const { firstBytes = FIRST_BYTES_MAX } = options;
  let offset: number | undefined;
  let rest = "";
  let cutIn = false;
  const decoder = new StringDecoder("utf8");
  let reading: Promise<void> | undefined;

  async function more(): Promise<void> {
    const file = await open(path, "r").catch(() => undefined); // not there yet, or pruned
    if (file === undefined) return;
    try {
      const { size } = await file.stat();
      if (offset === undefined) {
        offset = Math.max(0, size - firstBytes);
        cutIn = offset > 0;
      }
      const buffer = Buffer.alloc(CHUNK_BYTES);
      while (offset < size) {
        const { bytesRead } = await file.read(buffer, 0, buffer.length, offset);
        if (bytesRead === 0) break;
        offset += bytesRead;
        take(decoder.write(buffer.subarray(0, bytesRead)));
      }
    } finally {
      await file.close();
    }
  }

  function take(text: string): void {
    // a progress bar writes \r: each state of it is a line
    const lines = (rest + text).split(/\r\n|\n|\r/);
    rest = lines.pop() ?? "";
    // it began before what is told
    if (cutIn && lines.length > 0) {
      lines.shift();
      cutIn = false;
    }
    for (const one of lines) if (one.trim() !== "") options.onLine(one);
    if (rest.length > LINE_MAX) {
      options.onLine(rest);
      rest = "";
    }
  }

  const read = (): Promise<void> => {
    reading ??= more().finally(() => (reading = undefined));
    return reading;
  };
  const timer = setInterval(() => void read(), options.everyMs);
  return {
    read,
    async close() {
      clearInterval(timer);
      await read();
      if (rest.trim() !== "") options.onLine(rest);
      rest = "";
    },
  };
}

/** Between two looks at a log that somebody reads along. */
const LINES_MS = 200;

/** A job's log on this machine. */
export function fileLog(path: string): JobLog {
  return {
    async *lines(ended) {
      const said: string[] = [];
      const tail = followLog(path, { everyMs: LINES_MS, firstBytes: Infinity, onLine: (line) => said.push(line) });
      try {
        // looked for before the log is read: what was said until then is all
        for (let over = false; !over;) {
          over = ended === undefined || (await ended());
          await tail.read();
          yield* said.splice(0);
          if (!over) await sleep(LINES_MS);
        }
      } finally {
        await tail.close();
      }
      yield* said;
    },
    last: () => lastLine(path),
  };
}

/** The newest whole line of a log; undefined: there is none yet. */
export async function lastLine(path: string): Promise<string | undefined> {
  const lines: string[] = [];
  const tail = followLog(path, { everyMs: 60_000, onLine: (line) => lines.push(line) });
  await tail.read();
  const last = lines.at(-1);
  await tail.close();
  return last;
}
