import type { Notice, Notify } from "../protocol/ports.ts";
import { printable } from "../protocol/printable.ts";

/**
 * One line for each notice.
 * @param write gets a whole line with its end, such as process.stdout.write
 */
export function terminalNotify(write: (line: string) => void): Notify {
  return {
    async notify(notice: Notice): Promise<void> {
      write(`${printable(lineOf(notice))}\n`);
    },
  };
}

function lineOf(notice: Notice): string {
  return `${notice.pipeline}: ${notice.kind} (${placeOf(notice)}) ${notice.message}`;
}

function placeOf(notice: Notice): string {
  if ("seq" in notice) return `entry ${notice.seq}`;
  return "key" in notice ? notice.key : `round ${notice.round}`;
}
