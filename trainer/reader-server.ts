/** The reader's own side: answers one request after the other, and ends when the trainer does. */
import { Socket } from "node:net";
import type { DataConfig } from "../protocol/data-config.ts";
import { messageOf } from "../protocol/errors.ts";
import { BadItem, type FileToRead, type Layout } from "./item-records.ts";
import type { ItemReader } from "./read-item.ts";
import { writeArrays } from "./reader-file.ts";
import {
  aligned,
  columnMessage,
  lineOf,
  Messages,
  parseRequest,
  type Answer,
  type ReadOutcome,
  type Request,
} from "./reader-protocol.ts";
import type { Column } from "./schema.ts";
import { addCount } from "./text-tokens.ts";

/** The socket's number in this process; 0 to 2 are a program's usual ones. */
export const READER_SOCKET = 3;

/** Pictures decoded at once: sharp has a thread for each. */
const IMAGES_TOGETHER = 4;

export function serveReader(reader: ItemReader): void {
  const socket = new Socket({ fd: READER_SOCKET, readable: true, writable: true });
  const end = (): never => process.exit();
  socket.on("error", end).on("end", end).on("close", end); // the trainer is gone
  const messages = new Messages(
    (line) => void answerTo(reader, parseRequest(line)).then((answer) => socket.write(lineOf(answer))),
  );
  socket.on("data", (chunk) => messages.push(Buffer.from(chunk)));
}

async function answerTo(reader: ItemReader, request: Request): Promise<Answer> {
  try {
    return await perform(reader, request);
  } catch (error) {
    return { op: "failed", message: messageOf(error), why: whyFailed(error) };
  }
}

async function perform(reader: ItemReader, request: Request): Promise<Answer> {
  const { data } = request;
  if (request.op === "open") {
    await reader.open(data);
    return { op: "opened" };
  }
  if (request.op === "read") return readFiles(reader, request);
  if (request.op === "where") return { op: "where", where: await reader.where(request.file, data, request.record) };
  if (request.op === "count") return count(reader, request);
  let columns: readonly Column[] = request.columns;
  for (const file of request.files) columns = await reader.survey(file, data, columns);
  return { op: "surveyed", columns: columns.map(columnMessage) };
}

async function readFiles(reader: ItemReader, request: Request & { op: "read" }): Promise<Answer> {
  const { data, files } = request;
  const layout: Layout | null = request.layout && {
    ...request.layout,
    vocabulary: request.layout.vocabulary ?? undefined,
  };
  const together = data.format === "images" ? IMAGES_TOGETHER : 1;
  const outcomes: ReadOutcome[] = [];
  let end = 0;
  for (let at = 0; at < files.length; at += together) {
    const some = files.slice(at, at + together);
    for (const reply of await Promise.all(some.map((file) => readOne(reader, file, data, layout)))) {
      outcomes.push(reply.outcome);
      end = writeArrays(reply.arrays, aligned(end));
    }
  }
  return { op: "read", outcomes };
}

async function count(reader: ItemReader, { data, files }: Request & { op: "count" }): Promise<Answer> {
  const counts = new Map<string, number>();
  for (const file of files) {
    try {
      const own = new Map<string, number>();
      await reader.count(file, data, own);
      for (const [token, times] of own) addCount(counts, token, times);
    } catch (error) {
      if (!(error instanceof BadItem)) throw error; // it is rejected when it is read
    }
  }
  return { op: "counted", tokens: [...counts.keys()], counts: [...counts.values()] };
}

async function readOne(
  reader: ItemReader,
  file: FileToRead,
  data: DataConfig,
  layout: Layout | null,
): Promise<{ outcome: ReadOutcome; arrays: readonly Uint8Array[] }> {
  try {
    const read = await reader.read(file, data, layout);
    const { count, shape, names, labels, offsets, weights, marks, features, columns } = read;
    return {
      outcome: {
        outcome: "read",
        count,
        shape: [...shape],
        names: [...names],
        features: features instanceof Uint8Array ? "U8" : features instanceof Int32Array ? "I32" : "F32",
        labels: labels instanceof Float32Array ? "value" : offsets === undefined ? "class" : "classes",
        labelCount: labels.length,
        weights: weights !== undefined,
        marks: marks !== undefined,
        columns: layout === null && columns !== null ? columns.map(columnMessage) : null,
      },
      arrays: [marks, weights, labels, offsets, features].flatMap((array) =>
        array === undefined ? [] : [Buffer.from(array.buffer, array.byteOffset, array.byteLength)],
      ),
    };
  } catch (error) {
    if (!(error instanceof BadItem)) throw error;
    return { outcome: { outcome: "bad", message: error.message }, arrays: [] };
  }
}

/** Whether the machine is at fault, as far as an error tells. */
function whyFailed(error: unknown): (Answer & { op: "failed" })["why"] {
  const text = messageOf(error);
  if (/ENOSPC|EDQUOT|no space left/i.test(text)) return "disk";
  if (/out of memory|allocat/i.test(text)) return "memory";
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return /^E[A-Z]+$/.test(String(code)) || text.startsWith("IO Error") ? "system" : "unknown";
}
