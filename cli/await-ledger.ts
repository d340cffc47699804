/** A tick that the stack's ledger makes: asked for, and looked for in the state until something has come of it. */
import { setTimeout as sleep } from "node:timers/promises";
import { readStatus, type Status } from "../ledger/status.ts";
import type { Tick, Ticks } from "../protocol/ports.ts";
import type { InspectPorts } from "../ledger/inspect.ts";
import { LiveLine } from "./terminal.ts";

/** Between two looks, each of some requests. */
const LOOK_MS = 1_000;
/** A function that starts cold, and SubmitJob, take some seconds. */
const LOOKS_MAX = 60;

/**
 * Asks, and settles when the ledger has acted and nothing is due any more, or after a minute: the tick is made all the same then.
 * @param options.everyMs between two looks @default 1000
 */
export async function askAndLook(
  ports: InspectPorts & { readonly ticks: Ticks },
  why: Tick,
  { everyMs = LOOK_MS }: { everyMs?: number } = {},
): Promise<void> {
  const before = await readStatus(ports);
  await ports.ticks.ask(why, 0);
  // an entry's own tick was asked for with it, and may have done all by now
  if (why.kind === "plain" && before.next.is !== "due") return;
  const live = new LiveLine();
  try {
    for (let looks = 1; looks <= LOOKS_MAX; looks++) {
      live.set(`the stack's ledger was asked, ${looks} s`);
      await sleep(everyMs);
      const now = await readStatus(ports);
      if (now.next.is !== "due" && (why.kind === "plain" || traceOf(now) !== traceOf(before))) return;
    }
  } finally {
    live.clear();
  }
}

/** What a tick changes. */
function traceOf({ seq, finished, open, waiting }: Status): string {
  const attempts = open?.attempts.map(({ attempt, jobId }) => [attempt, jobId]);
  return JSON.stringify([seq, finished, open?.round, attempts, waiting?.segments]);
}
