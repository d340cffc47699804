/** EventBridge and CloudWatch Logs of a test: what they were told. */
import * as z from "zod/mini";
import { openServer, type TestServer } from "../../../test/http-server.ts";

const PutEvents = z.object({
  Entries: z.array(
    z.object({
      Source: z.string(),
      DetailType: z.string(),
      Resources: z.array(z.string()),
      Time: z.number(),
      Detail: z.string(),
    }),
  ),
});
const Detail = z.looseObject({
  jobId: z.string(),
  status: z.string(),
  attempts: z.array(z.looseObject({ startedAt: z.optional(z.int()) })),
});
const Names = z.object({ logGroupName: z.string(), logStreamName: z.optional(z.string()) });
const PutLogEvents = z.extend(Names, {
  logStreamName: z.string(),
  logEvents: z.array(z.object({ timestamp: z.number(), message: z.string() })),
});

interface ToldEvent {
  readonly source: string;
  readonly detailType: string;
  readonly resources: readonly string[];
  readonly detail: z.infer<typeof Detail>;
}

export interface AwsEndpoint extends TestServer {
  readonly events: ToldEvent[];
  /** lines by "group stream" */
  readonly lines: Map<string, string[]>;
  /** groups that are there */
  readonly groups: Set<string>;
  readonly calls: string[];
  /** the next calls fail so */
  readonly failures: number[];
}

export async function openAwsEndpoint(): Promise<AwsEndpoint> {
  const told: Omit<AwsEndpoint, keyof TestServer> = {
    events: [],
    lines: new Map(),
    groups: new Set(),
    calls: [],
    failures: [],
  };
  const server = await openServer((request, body, response) => {
    const call = String(request.headers["x-amz-target"]).split(".").at(-1) ?? "";
    told.calls.push(call);
    const status = told.failures.shift();
    const [error, answer] = status === undefined ? answerTo(told, call, JSON.parse(body.toString())) : ["Failure", {}];
    response.writeHead(status ?? (error === undefined ? 200 : 400), {
      "content-type": "application/x-amz-json-1.1",
      ...(error === undefined ? {} : { "x-amzn-errortype": error }),
    });
    response.end(JSON.stringify(error === undefined ? answer : { __type: error, message: error }));
  });
  return { ...told, ...server };
}

function answerTo(
  { events, lines, groups }: Omit<AwsEndpoint, keyof TestServer>,
  call: string,
  input: unknown,
): readonly [string | undefined, object] {
  if (call === "PutEvents") {
    for (const { Source, DetailType, Resources, Detail: detail } of PutEvents.parse(input).Entries)
      events.push({
        source: Source,
        detailType: DetailType,
        resources: Resources,
        detail: Detail.parse(JSON.parse(detail)),
      });
    return [undefined, { FailedEntryCount: 0, Entries: [] }];
  }
  const { logGroupName, logStreamName } = Names.parse(input);
  const key = `${logGroupName} ${logStreamName}`;
  if (call === "CreateLogGroup") {
    groups.add(logGroupName);
    return [undefined, {}];
  }
  if (!groups.has(logGroupName)) return ["ResourceNotFoundException", {}];
  if (call === "CreateLogStream") {
    if (lines.has(key)) return ["ResourceAlreadyExistsException", {}];
    lines.set(key, []);
    return [undefined, {}];
  }
  const found = lines.get(key);
  if (call !== "PutLogEvents" || found === undefined) return ["ResourceNotFoundException", {}];
  found.push(...PutLogEvents.parse(input).logEvents.map(({ message }) => message));
  return [undefined, {}];
}
