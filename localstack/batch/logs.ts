/** Brings what jobs write to CloudWatch Logs, as the awslogs driver does: line by line, into a stream of each attempt. */
import {
  CloudWatchLogsClient,
  CreateLogGroupCommand,
  CreateLogStreamCommand,
  PutLogEventsCommand,
} from "@aws-sdk/client-cloudwatch-logs";
import { watch } from "node:fs";
import { open, readFile, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { CREDENTIALS } from "./events.ts";

/** Lines that are written within this go together. */
const TOGETHER_MS = 100;
const EVENTS_MAX = 10_000;
/** of one call: 1 MiB less what each line costs besides */
const BYTES_MAX = 1_000_000;
const LINE_COST = 26;
/** A longer one is cut, as the driver does. */
const LINE_BYTES_MAX = 250_000;

export interface LogStream {
  readonly group: string;
  readonly stream: string;
  /** the group is made if it isn't there */
  readonly createGroup: boolean;
}

export interface Logs {
  /** Sends what a file holds and what is written to it, from where another server has stopped. */
  follow(path: string, to: LogStream): { finish(): Promise<void> };
  close(): void;
}

interface LogsOptions {
  readonly endpoint: string;
  readonly region: string;
  readonly onLost: (message: string) => void;
}

export function openLogs({ endpoint, region, onLost }: LogsOptions): Logs {
  const client = new CloudWatchLogsClient({ endpoint, region, ...CREDENTIALS });

  async function make({ group, stream, createGroup }: LogStream): Promise<void> {
    const names = { logGroupName: group, logStreamName: stream };
    const unlessThere = (error: unknown): void => {
      if (nameOf(error) !== "ResourceAlreadyExistsException") throw error;
    };
    try {
      await client.send(new CreateLogStreamCommand(names)).catch(unlessThere);
    } catch (error) {
      if (!createGroup || nameOf(error) !== "ResourceNotFoundException") throw error;
      await client.send(new CreateLogGroupCommand({ logGroupName: group })).catch(unlessThere);
      await client.send(new CreateLogStreamCommand(names)).catch(unlessThere);
    }
  }

  return {
    follow(path, to) {
      let isMade = false;
      const lost = (error: unknown): void => onLost(`${to.group} ${to.stream}: ${String(error)}`);
      return followFile(path, lost, async (lines) => {
        try {
          if (!isMade) await make(to);
          isMade = true;
          const logEvents = lines.map(({ message }) => ({ timestamp: Date.now(), message }));
          await client.send(new PutLogEventsCommand({ logGroupName: to.group, logStreamName: to.stream, logEvents }));
          return true;
        } catch (error) {
          lost(error);
          return false;
        }
      });
    },
    close: () => client.destroy(),
  };
}

/** @param send settles with whether they are there; else the same lines come again with the next ones */
function followFile(
  path: string,
  onFault: (error: unknown) => void,
  send: (lines: readonly Line[]) => Promise<boolean>,
): { finish(): Promise<void> } {
  let isAsked = true;
  let isLast = false;
  let sent: number | undefined;

  async function sendNew(): Promise<void> {
    sent ??= await sentBefore(path);
    for (;;) {
      const lines = linesOf(await readFrom(path, sent), isLast);
      if (lines.length === 0 || !(await send(lines))) return;
      sent += lines.reduce((sum, { bytes }) => sum + bytes, 0);
      await writeFile(sentPath(path), String(sent));
    }
  }
  async function whileAsked(): Promise<void> {
    while (isAsked) {
      isAsked = false;
      await sendNew().catch(onFault);
      if (!isLast) await sleep(TOGETHER_MS);
    }
    working = undefined;
  }
  let working: Promise<void> | undefined = whileAsked();
  const ask = (): void => {
    isAsked = true;
    working ??= whileAsked();
  };
  const watcher = watch(path, ask);
  watcher.on("error", () => {});
  return {
    async finish() {
      watcher.close();
      isLast = true;
      ask();
      await working;
    },
  };
}

interface Line {
  readonly message: string;
  /** with its end */
  readonly bytes: number;
}

/** As many as one call takes. The last one, without its end, waits for more, unless there will be none. Exported for its test. */
export function linesOf(bytes: Buffer, isLast: boolean): Line[] {
  const lines: Line[] = [];
  let cost = 0;
  for (let from = 0; from < bytes.length && lines.length < EVENTS_MAX;) {
    const found = bytes.indexOf("\n", from);
    const isCut = found < 0 ? bytes.length - from > LINE_BYTES_MAX : found - from > LINE_BYTES_MAX;
    if (found < 0 && !isCut && !isLast) break;
    const to = isCut ? from + LINE_BYTES_MAX : found < 0 ? bytes.length : found;
    const next = isCut || found < 0 ? to : to + 1;
    cost += to - from + LINE_COST;
    if (cost > BYTES_MAX && lines.length > 0) break;
    // the service takes no empty message
    lines.push({ message: bytes.toString("utf8", from, to) || " ", bytes: next - from });
    from = next;
  }
  return lines;
}

const sentPath = (path: string): string => `${path}.sent`;

async function sentBefore(path: string): Promise<number> {
  const text = await readFile(sentPath(path), "utf8").catch(() => "0");
  return Number(text) || 0;
}

async function readFrom(path: string, position: number): Promise<Buffer> {
  const file = await open(path, "r");
  try {
    const buffer = Buffer.alloc(BYTES_MAX + LINE_BYTES_MAX);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : "";
}
