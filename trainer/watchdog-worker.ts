/**
 * The watchdog's thread. What has hung is said on stderr with the stack of the thread that trains, and the process ends with 75, so that
 * another attempt goes on from the newest checkpoint; by SIGKILL where that thread is inside native code, and can run nothing any more.
 */
import { writeSync } from "node:fs";
import { Session, type Debugger, type InspectorNotification } from "node:inspector";
import { setTimeout as delay } from "node:timers/promises";
import { workerData } from "node:worker_threads";
import { EXIT } from "../protocol/errors.ts";
import { printable } from "../protocol/printable.ts";
import { COUNT, DOING, STEP, WHAT, type Shared } from "./watchdog.ts";

const LOOK_MS = 1_000;
const STDERR = 2;
/** The thread that trains has so long to stop where it is, and to end. */
const ANSWER_MS = 2_000;
const FRAMES_MAX = 20;

const { cells, limitMs } = workerData as Shared;

/** Writes at once: this thread's own stderr goes through the thread that hangs. */
function say(text: string): void {
  writeSync(STDERR, `${text}\n`);
}

/** Looks until something has gone on for longer than its limit. Time in which this thread stood still too counts little: a laptop that slept. */
async function untilHung(): Promise<{ ms: number }> {
  let [seen, ms, beforeMs] = [0, 0, performance.now()];
  for (;;) {
    const count = Atomics.load(cells, COUNT);
    const lookMs = Math.min(LOOK_MS, Math.max(10, limitMs[0]! / 4));
    const nowMs = performance.now();
    ms = count === seen ? ms + Math.min(nowMs - beforeMs, 2 * lookMs) : 0;
    [seen, beforeMs] = [count, nowMs];
    if (count % 2 !== 0 && ms > limitMs[0]!) return { ms };
    await delay(lookMs);
  }
}

/** Stops the thread that trains where it is. @returns undefined: it is inside native code, or waits for something */
async function pause(session: Session): Promise<readonly Debugger.CallFrame[] | undefined> {
  const paused = new Promise<readonly Debugger.CallFrame[]>((resolve) => {
    session.once("Debugger.paused", ({ params }: InspectorNotification<Debugger.PausedEventDataType>) =>
      resolve(params.callFrames),
    );
  });
  session.on("Debugger.scriptParsed", ({ params }: InspectorNotification<Debugger.ScriptParsedEventDataType>) =>
    urls.set(params.scriptId, params.url),
  );
  session.post("Debugger.enable");
  session.post("Debugger.pause");
  return Promise.race([paused, delay(ANSWER_MS, undefined)]);
}

const urls = new Map<string, string>();

function frameText({ functionName, location }: Debugger.CallFrame): string {
  const url = urls.get(location.scriptId) || "unknown";
  return `    at ${printable(`${functionName || "(anonymous)"} (${url}:${location.lineNumber + 1}:${(location.columnNumber ?? 0) + 1})`)}`;
}

const { ms } = await untilHung();
const step = cells[STEP];
const what = DOING[cells[WHAT]!];
say(
  `hung: ${what === "step" ? `step ${step}` : `the ${what} after step ${step}`} has gone on for ${Math.round(ms / 1_000)} s, and ${Math.round(limitMs[0]! / 1_000)} s is its limit: this attempt ends`,
);
const session = new Session();
session.connectToMainThread();
const frames = await pause(session);
const exit = `process.exit(${EXIT.interrupted})`;
if (frames === undefined) {
  say("no stack: it is inside native code, or waits for an answer from outside");
  session.post("Runtime.evaluate", { expression: exit });
} else {
  for (const frame of frames.slice(0, FRAMES_MAX)) say(frameText(frame));
  session.post("Debugger.evaluateOnCallFrame", { callFrameId: frames[0]!.callFrameId, expression: exit });
}
await delay(ANSWER_MS);
say("it does not end by itself: SIGKILL");
process.kill(process.pid, "SIGKILL");
