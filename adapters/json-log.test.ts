import { expect, it } from "vitest";
import { AccreteError } from "../protocol/errors.ts";
import { openJsonLog, type JsonLog } from "./json-log.ts";

function open(): { log: JsonLog; lines: string[] } {
  const lines: string[] = [];
  const write = (line: string): void => void lines.push(line);
  return {
    lines,
    log: openJsonLog({ pipeline: "digits", metrics: "prod-digits", nowMs: () => 1_700_000_000_000, write }),
  };
}

it("writes one line an event, whatever is in it", () => {
  const { log, lines } = open();
  log.info("tick", { why: "plain\n\u202e", round: 3, attempt: undefined });
  log.error("tick-failed", new AccreteError("JOB_REFUSED", "no queue", { cause: new Error("404") }));
  log.error("tick-failed", new TypeError("a mistake"));
  log.warn("long", { message: "x".repeat(100_000) });
  const time = "2023-11-14T22:13:20.000Z";
  expect(lines[0]).toBe(
    `{"time":"${time}","level":"info","pipeline":"digits","event":"tick","why":"plain\\n\\u202e","round":3}`,
  );
  expect(JSON.parse(lines[1]!)).toEqual({
    time,
    level: "error",
    pipeline: "digits",
    event: "tick-failed",
    code: "JOB_REFUSED",
    message: "no queue",
    cause: "404",
  });
  expect(JSON.parse(lines[2]!)).toMatchObject({ message: "a mistake", stack: expect.stringContaining("TypeError") });
  expect(lines[3]!.length).toBeLessThan(5_000);
});

it("writes metrics as CloudWatch reads them from a log, by stage and pipeline in one dimension", () => {
  const { log, lines } = open();
  log.metrics({ rounds: 1, seconds: 2.5, examplesPerSecond: 512, cost: undefined });
  expect(JSON.parse(lines[0]!)).toEqual({
    _aws: {
      Timestamp: 1_700_000_000_000,
      CloudWatchMetrics: [
        {
          Namespace: "Accrete",
          Dimensions: [["pipeline"]],
          Metrics: [
            { Name: "rounds", Unit: "Count" },
            { Name: "seconds", Unit: "Seconds" },
            { Name: "examplesPerSecond", Unit: "Count/Second" },
          ],
        },
      ],
    },
    pipeline: "prod-digits",
    rounds: 1,
    seconds: 2.5,
    examplesPerSecond: 512,
  });
});
