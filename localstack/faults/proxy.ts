/**
 * Stands between everybody and the servers, and makes faults. A request is read whole before it is sent on, so that it can be held back or
 * sent twice; what it says is not changed: LocalStack sees the host that was asked, as if there were nothing between.
 */
import { once } from "node:events";
import { createServer, request as send, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Between, Endpoints } from "../environment.ts";
import { callOf, type Call, type Side } from "./call.ts";
import { errorAnswer, eventsTaken, fits, type Aim, type Answer, type Armed, type Fault } from "./fault.ts";

export interface FaultProxy extends Between {
  /**
   * The next call that fits is met by it, and no other one. Of several that fit the one that was armed first hits; each call meets one.
   * @param onHit before the call is brought to its end
   */
  arm(aim: Aim, fault: Fault, onHit?: (call: string) => void): Armed;
  /** How far S3's clock is ahead of this machine's, by the Date of its answers: so hours go by. */
  storeAheadMs: number;
}

interface Rule {
  readonly aim: Aim;
  readonly fault: Fault;
  readonly onHit: (call: string) => void;
  skip: number;
  hit: string | undefined;
}

/** Of a connection, not of a request; and what Node writes itself. */
const HOP_BY_HOP = new Set(["connection", "keep-alive", "transfer-encoding", "proxy-connection", "te", "upgrade"]);

export async function openFaultProxy(servers: Endpoints): Promise<FaultProxy> {
  const rules: Rule[] = [];
  const received = new Map<string, Answer>();
  const listening: Server[] = [];
  const proxy = { storeAheadMs: 0 };

  function take(call: Call): Fault | undefined {
    for (const [at, rule] of rules.entries()) {
      if (!fits(rule.aim, call) || (rule.fault.is === "again" && !received.has(queueOf(call)))) continue;
      if (rule.skip-- > 0) continue;
      rules.splice(at, 1);
      rule.hit = `${call.service} ${call.operation} ${call.path}`;
      rule.onHit(rule.hit);
      return rule.fault;
    }
    return undefined;
  }

  async function handle(to: string, side: Side, asked: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await bodyOf(asked);
    const { method = "GET", url: path = "/", headers } = asked;
    const call = callOf(side, { method, path, headers, body });
    const forward = async (): Promise<Answer> => {
      const answer = await sendOn(new URL(path, to), { method, headers: headersOf(asked), body });
      if (call.operation === "ReceiveMessage" && answer.body.includes("ReceiptHandle"))
        received.set(queueOf(call), answer);
      return call.service === "s3" ? inStoresTime(answer, proxy.storeAheadMs) : answer;
    };
    const answer = await meet(call, take(call), forward, () => received.get(queueOf(call)));
    if (answer === undefined) asked.socket.resetAndDestroy();
    else write(response, answer, method);
  }

  async function open(to: string, side: Side): Promise<string> {
    const { server, url } = await listen((asked, response) => handle(to, side, asked, response));
    listening.push(server);
    return url;
  }

  const told = {
    endpoint: await open(servers.endpoint, "outside"),
    batch: await open(servers.batch, "outside"),
    inside: await open(servers.endpoint, "inside"),
  };
  return Object.assign(proxy, told, {
    arm(aim: Aim, fault: Fault, onHit: (call: string) => void = () => {}): Armed {
      const rule: Rule = { aim, fault, onHit, skip: aim.skip ?? 0, hit: undefined };
      rules.push(rule);
      const disarm = (): void => void (rules.includes(rule) && rules.splice(rules.indexOf(rule), 1));
      return {
        get hit() {
          return rule.hit;
        },
        disarm,
      };
    },
    async close() {
      for (const server of listening) {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      }
    },
  });
}

async function listen(
  handle: (asked: IncomingMessage, response: ServerResponse) => Promise<void>,
): Promise<{ server: Server; url: string }> {
  const server = createServer((asked, response) => {
    // there is nobody behind: as if it were so here
    handle(asked, response).catch(() => asked.socket.destroy());
  });
  // a client that goes on with a connection just when it is ended would see a fault that nobody made
  server.keepAliveTimeout = 0;
  server.requestTimeout = 0;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("no port");
  return { server, url: `http://127.0.0.1:${address.port}` };
}

/** @returns undefined: no answer, the connection breaks */
async function meet(
  call: Call,
  fault: Fault | undefined,
  forward: () => Promise<Answer>,
  before: () => Answer | undefined,
): Promise<Answer | undefined> {
  switch (fault?.is) {
    case undefined:
      return forward();
    case "status":
      if (fault.done === true) await forward();
      return errorAnswer(call, fault);
    case "reset":
      if (fault.done === true) await forward();
      return undefined;
    case "delay":
      await fault.until();
      return forward();
    case "twice": {
      const answer = await forward();
      await forward();
      return answer;
    }
    case "again":
      return before() ?? forward();
    case "late":
      void fault
        .until()
        .then(forward)
        .catch(() => {}); // the servers have ended: nobody waits for it
      return eventsTaken(call);
    case "moment": {
      if (fault.done !== true) await fault.act();
      const answer = await forward();
      if (fault.done === true) await fault.act();
      return answer;
    }
  }
}

/** Of a ReceiveMessage. */
function queueOf({ body }: Call): string {
  return /"QueueUrl": ?"([^"]+)"/.exec(body.toString("utf8"))?.[1] ?? "";
}

/** A Date has no milliseconds. */
function inStoresTime(answer: Answer, aheadMs: number): Answer {
  const date = Date.parse(String(answer.headers["date"]));
  if (aheadMs === 0 || Number.isNaN(date)) return answer;
  return { ...answer, headers: { ...answer.headers, date: new Date(date + aheadMs).toUTCString() } };
}

function headersOf(asked: IncomingMessage): Record<string, string | string[] | undefined> {
  return Object.fromEntries(
    Object.entries(asked.headers).filter(([name]) => !HOP_BY_HOP.has(name) && name !== "expect"),
  );
}

interface Sent {
  readonly method: string;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: Buffer;
}

/** On a connection of its own: one that is kept may be ended by the server just then. */
async function sendOn(url: URL, { method, headers, body }: Sent): Promise<Answer> {
  const length = body.length > 0 || method === "PUT" || method === "POST" ? { "content-length": body.length } : {};
  const sent = send(url, { method, agent: false, headers: { ...headers, ...length } });
  sent.end(body);
  const answered = once(sent, "response");
  const [answer]: IncomingMessage[] = await answered;
  if (answer === undefined) throw new Error("no answer");
  return { status: answer.statusCode ?? 502, headers: answer.headers, body: await bodyOf(answer) };
}

function write(response: ServerResponse, { status, headers, body }: Answer, method: string): void {
  const kept = Object.entries(headers).filter(([name, value]) => !HOP_BY_HOP.has(name) && value !== undefined);
  const hasBody = method !== "HEAD" && status !== 204 && status !== 304;
  for (const [name, value] of kept) response.setHeader(name, typeof value === "string" ? value : [...(value ?? [])]);
  if (hasBody) response.setHeader("content-length", body.length);
  response.writeHead(status);
  response.end(hasBody ? body : undefined);
}

async function bodyOf(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk);
  return Buffer.concat(chunks);
}
