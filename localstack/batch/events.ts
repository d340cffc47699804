/** Tells EventBridge of every change of a job's state, one after the other, in the order in which they were made. */
import { EventBridgeClient, PutEventsCommand } from "@aws-sdk/client-eventbridge";

export interface Change {
  readonly jobArn: string;
  readonly timeMs: number;
  readonly detail: object;
}

export interface Events {
  tell(change: Change): void;
  /** Settles once all has been told, or can't be. */
  close(): Promise<void>;
}

interface EventsOptions {
  readonly endpoint: string;
  readonly region: string;
  readonly onLost: (message: string) => void;
}

/** The most that one call takes. */
const ENTRIES_MAX = 10;

/** What the SDK's own tries can't deliver is lost, as it may be on AWS: a sweep finds out. */
export function openEvents({ endpoint, region, onLost }: EventsOptions): Events {
  const client = new EventBridgeClient({ endpoint, region, ...CREDENTIALS });
  const waiting: Change[] = [];
  let sending: Promise<void> | undefined;

  async function send(): Promise<void> {
    while (waiting.length > 0) {
      const changes = waiting.splice(0, ENTRIES_MAX);
      const Entries = changes.map(({ jobArn, timeMs, detail }) => ({
        Source: "aws.batch",
        DetailType: "Batch Job State Change",
        Resources: [jobArn],
        Time: new Date(timeMs),
        Detail: JSON.stringify(detail),
      }));
      try {
        const { FailedEntryCount = 0 } = await client.send(new PutEventsCommand({ Entries }));
        if (FailedEntryCount > 0) onLost(`${FailedEntryCount} events were refused`);
      } catch (error) {
        onLost(`${Entries.length} events are lost: ${String(error)}`);
      }
    }
    sending = undefined;
  }

  return {
    tell(change) {
      waiting.push(change);
      sending ??= send();
    },
    async close() {
      await sending;
      client.destroy();
    },
  };
}

/** An emulator asks for some, and for no particular ones. */
export const CREDENTIALS = { credentials: { accessKeyId: "test", secretAccessKey: "test" } } as const;
