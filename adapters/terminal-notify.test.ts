import { expect, it } from "vitest";
import { terminalNotify } from "./terminal-notify.ts";

it("writes one line for each notice, with pipeline, kind and number", async () => {
  const lines: string[] = [];
  const notify = terminalNotify((line) => lines.push(line));
  await notify.notify({ kind: "committed", pipeline: "digits", seq: 3, message: "accuracy 0.97" });
  await notify.notify({ kind: "submitted", pipeline: "digits", round: 4, message: "attempt 0" });
  await notify.notify({ kind: "damaged", pipeline: "digits", key: "digits/inbox/1\x1b.json", message: "not JSON" });
  expect(lines).toEqual([
    "digits: committed (entry 3) accuracy 0.97\n",
    "digits: submitted (round 4) attempt 0\n",
    "digits: damaged (digits/inbox/1\\x1b.json) not JSON\n",
  ]);
});

it("lets no control or bidi character of a message reach the terminal", async () => {
  const lines: string[] = [];
  await terminalNotify((line) => lines.push(line)).notify({
    kind: "blocked",
    pipeline: "digits",
    round: 2,
    attempt: 1,
    message: "item a\x1b]0;owned\x07\nb\u202e.csv",
  });
  expect(lines).toEqual(["digits: blocked (round 2) item a\\x1b]0;owned\\x07\\nb\\u{202e}.csv\n"]);
});
