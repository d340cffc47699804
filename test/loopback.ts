/** A server on this machine that stands for a webhook: answers as it is told, and keeps what it gets. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { openServer } from "./http-server.ts";

export interface Got {
  readonly method: string | undefined;
  readonly path: string | undefined;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}
/** A status; with headers and a text; or no answer at all. */
export type Answer = number | "hang" | { status: number; headers?: Record<string, string>; text?: string };

export interface Loopback {
  readonly url: string;
  readonly got: readonly Got[];
  /** what comes next; the last one stays */
  answer(...answers: Answer[]): void;
  close(): Promise<void>;
}

export async function openLoopback(): Promise<Loopback> {
  const got: Got[] = [];
  let answers: Answer[] = [200];
  const respond = (response: ServerResponse, answer: Answer): void => {
    if (answer === "hang") return;
    const { status, headers = {}, text = "" } = typeof answer === "number" ? { status: answer } : answer;
    response.writeHead(status, headers).end(text);
  };
  const { url, close } = await openServer(({ method, url: path, headers }, body, response) => {
    got.push({ method, path, headers, body: body.toString() });
    respond(response, answers.length > 1 ? answers.shift()! : answers[0]!);
  });
  return {
    url: `${url}/hook`,
    got,
    answer: (...next) => void (answers = next),
    close,
  };
}

/** An address where nobody listens. */
export async function deadUrl(): Promise<string> {
  const place = await openLoopback();
  await place.close();
  return place.url;
}
