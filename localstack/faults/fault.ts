/** What may go wrong between two programs, and with which call. */
import type { Call, Side } from "./call.ts";

export type Fault =
  /** such an answer: before anything was done, or though it was */
  | { readonly is: "status"; readonly status: 500 | 503; readonly code: string; readonly done?: boolean }
  /** the connection breaks: before anything was done, or after, so that the answer is lost */
  | { readonly is: "reset"; readonly done?: boolean }
  /** what is asked for waits */
  | { readonly is: "delay"; readonly until: () => Promise<unknown> }
  /** carried out twice, answered once */
  | { readonly is: "twice" }
  /** of ReceiveMessage: gets once more the messages that the one before got */
  | { readonly is: "again" }
  /** of PutEvents: answered at once, and carried out later, after others */
  | { readonly is: "late"; readonly until: () => Promise<unknown> }
  /** something else happens at this moment, such as the end of the process that asks */
  | { readonly is: "moment"; readonly act: () => Promise<unknown>; readonly done?: boolean };

export interface Aim {
  readonly side?: Side;
  readonly service: string;
  readonly operation: string;
  /** of the path with the query, and the body */
  readonly about?: RegExp;
  /** so many calls that fit go by before @default 0 */
  readonly skip?: number;
}

export interface Armed {
  /** the call that it has hit, as "s3 PutObject /bucket/key" */
  readonly hit: string | undefined;
  /** It hits nothing any more. */
  disarm(): void;
}

export function fits(aim: Aim, call: Call): boolean {
  const { side, service, operation, about } = aim;
  return (
    service === call.service &&
    operation === call.operation &&
    (side === undefined || side === call.side) &&
    (about === undefined || about.test(`${call.path}\n${call.body.toString("utf8")}`))
  );
}

/** How a service says that it has failed. */
export function errorAnswer(call: Call, { status, code }: { readonly status: number; readonly code: string }): Answer {
  const message = "a fault, as told";
  if (call.service === "s3") {
    const text = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`;
    return { status, headers: { "content-type": "application/xml" }, body: Buffer.from(text) };
  }
  return {
    status,
    headers: { "content-type": "application/x-amz-json-1.0", "x-amzn-errortype": code },
    body: Buffer.from(JSON.stringify({ __type: code, message })),
  };
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: Buffer;
}

/** What EventBridge answers where it has taken all of them. */
export function eventsTaken(call: Call): Answer {
  const asked: unknown = JSON.parse(call.body.toString("utf8"));
  const entries = typeof asked === "object" && asked !== null && "Entries" in asked ? asked.Entries : [];
  const Entries = (Array.isArray(entries) ? entries : []).map(() => ({ EventId: crypto.randomUUID() }));
  return {
    status: 200,
    headers: { "content-type": "application/x-amz-json-1.1" },
    body: Buffer.from(JSON.stringify({ FailedEntryCount: 0, Entries })),
  };
}
