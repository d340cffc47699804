/** A server on this machine that stands for a webhook: answers as it is told, and keeps what it gets. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";

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
  const server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (text: string) => (body += text));
    request.on("end", () => {
      got.push({ method: request.method, path: request.url, headers: request.headers, body });
      respond(response, answers.length > 1 ? answers.shift()! : answers[0]!);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("no port");
  return {
    url: `http://127.0.0.1:${address.port}/hook`,
    got,
    answer: (...next) => void (answers = next),
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** An address where nobody listens. */
export async function deadUrl(): Promise<string> {
  const place = await openLoopback();
  await place.close();
  return place.url;
}
