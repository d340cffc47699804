/** What jobs on AWS have said: a stream of CloudWatch Logs for each. */
import { GetLogEventsCommand, type CloudWatchLogsClient } from "@aws-sdk/client-cloudwatch-logs";
import { setTimeout as sleep } from "node:timers/promises";
import { fromAws } from "./aws-errors.ts";

export interface LogStream {
  readonly group: string;
  readonly stream: string;
}

/** Between two looks at a stream that somebody reads along: an account may make 25 such requests a second. */
const LOOK_MS = 2_000;
/** CloudWatch shows what it got some seconds later. */
const LATE_MS = 4_000;

/**
 * The stream's lines, oldest first.
 * @param options.ended with it those too that come, until it says that no more will be said; what is late is waited for
 * @throws {AccreteError} what aws-errors.ts makes of AWS' errors
 */
export async function* readLines(
  client: CloudWatchLogsClient,
  at: LogStream,
  options: { ended?: (() => Promise<boolean>) | undefined; lookMs?: number; lateMs?: number },
): AsyncGenerator<string> {
  const { ended, lookMs = LOOK_MS, lateMs = LATE_MS } = options;
  let token: string | undefined;
  let waitedForLate = false;
  for (;;) {
    const over = ended === undefined || (await ended());
    // a page may be empty though there are more; at the end the same token comes back
    for (;;) {
      const page = await pageOf(client, at, token);
      yield* page.lines;
      const same = page.token === undefined || page.token === token;
      token = page.token ?? token;
      if (same) break;
    }
    if (over && (waitedForLate || ended === undefined)) return;
    waitedForLate = over;
    await sleep(over ? lateMs : lookMs);
  }
}

/** undefined: it has said nothing yet */
export async function readLastLine(client: CloudWatchLogsClient, at: LogStream): Promise<string | undefined> {
  try {
    const { events } = await client.send(
      new GetLogEventsCommand({ logGroupName: at.group, logStreamName: at.stream, limit: 1, startFromHead: false }),
    );
    return events?.at(-1)?.message?.trimEnd();
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw fromAws(error, `the log ${at.group} ${at.stream}`);
  }
}

async function pageOf(
  client: CloudWatchLogsClient,
  at: LogStream,
  token: string | undefined,
): Promise<{ lines: string[]; token: string | undefined }> {
  try {
    const { events, nextForwardToken } = await client.send(
      new GetLogEventsCommand({
        logGroupName: at.group,
        logStreamName: at.stream,
        startFromHead: true,
        ...(token === undefined ? {} : { nextToken: token }),
      }),
    );
    return { lines: (events ?? []).map(({ message }) => (message ?? "").trimEnd()), token: nextForwardToken };
  } catch (error) {
    // a job that has begun just now
    if (isMissing(error)) return { lines: [], token: undefined };
    throw fromAws(error, `the log ${at.group} ${at.stream}`);
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && error.name === "ResourceNotFoundException";
}
