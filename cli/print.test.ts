import { describe, expect, it } from "vitest";
import { AccreteError } from "../protocol/errors.ts";
import { exitCodeOf, failureText, Obstructed } from "./failure.ts";
import { bytes, cost, count, dateTime, dollars, duration, item, metric, metrics, speed, table } from "./print.ts";
import { jsonText } from "./terminal.ts";

describe("what the CLI prints", () => {
  it.each([
    [0, "0 B"],
    [999, "999 B"],
    [1_000, "1.0 kB"],
    [4_737, "4.7 kB"],
    [999_949, "999.9 kB"],
    [999_950, "1.0 MB"],
    [1.5e9, "1.5 GB"],
    [2e18, "2000.0 PB"],
  ])("%d bytes as %s", (n, text) => expect(bytes(n)).toBe(text));

  it.each([
    [-5, "0 s"],
    [0, "0 s"],
    [40, "0.0 s"],
    [3_000, "3 s"],
    [3_250, "3.3 s"],
    [9_960, "10 s"],
    [60_000, "1 min"],
    [185_000, "3 min 5 s"],
    [3_600_000, "1 h"],
    [3_605_000, "1 h"],
    [7_800_000, "2 h 10 min"],
    [97_200_000, "1 d 3 h"],
  ])("%d ms as %s", (ms, text) => expect(duration(ms)).toBe(text));

  it("times of here, sortable", () => {
    const date = new Date(2026, 7, 1, 4, 3, 9);
    expect(dateTime(date.getTime())).toBe("2026-08-01 04:03:09");
  });

  it("metrics with those first that people look at", () => {
    expect(metrics({ zeta: 1e-7, loss: 0.221, accuracy: 1 })).toBe("accuracy 1, loss 0.2210, zeta 1.00e-7");
    expect(metrics({ loss: 0.5, seconds: 3 }, ["loss"])).toBe("loss 0.5000");
    expect(metric(-0.25)).toBe("-0.2500");
  });

  it("counts with their noun", () =>
    expect([count(1, "entry", "entries"), count(12_345, "item")]).toEqual(["1 entry", "12,345 items"]));

  it("tables with numbers to the right, colours not counted", () => {
    expect(
      table(
        [
          ["a", "1"],
          ["\u001b[31mlong\u001b[39m", "12"],
        ],
        ["name", "n"],
      ),
    ).toBe("name   n\na      1\n\u001b[31mlong\u001b[39m  12");
  });

  it("no control or bidi character of a key, also in JSON, which reads back as it was", () => {
    const key = "a\u001b[2J\u202egnp.\u0085\ud800b";
    const raw = /[\u0000-\u001f\u007f-\u009f\u202a-\u202e]/;
    expect(item({ key, size: 1 })).not.toMatch(raw);
    expect(jsonText({ key }, 0)).not.toMatch(raw);
    expect(JSON.parse(jsonText({ key }))).toEqual({ key });
  });
});

describe("how a command fails", () => {
  it("an error of ours with its code and what to do, and the exit code of its kind", () => {
    const error = new AccreteError("CONFIG_INVALID", "pipelines: \u001b[31mwrong");
    expect(failureText(error, false)).toMatch(
      /^error CONFIG_INVALID: pipelines: \\x1b\[31mwrong\nwhat to do: Correct accrete\.config\.ts/,
    );
    expect([
      exitCodeOf(error),
      exitCodeOf(new AccreteError("USAGE", "")),
      exitCodeOf(new AccreteError("NOT_VERIFIED", "")),
    ]).toEqual([78, 64, 1]);
  });

  it("an obstacle with a trainer's own code", () => {
    const error = new Obstructed("round 3 is blocked", { code: "MY_CODE", advice: "mend it" });
    expect([failureText(error, false), exitCodeOf(error)]).toEqual([
      "error MY_CODE: round 3 is blocked\nwhat to do: mend it",
      1,
    ]);
  });

  it("what was not expected without a stack, but with one for debugging", () => {
    const error = new TypeError("x is undefined");
    expect(failureText(error, false)).toBe(
      "error: x is undefined\nThis was not expected. With ACCRETE_DEBUG=1 it says where it happened.",
    );
    expect(failureText(error, true)).toContain("print.test.ts");
    expect(exitCodeOf(error)).toBe(70);
    expect(exitCodeOf(Object.assign(new Error("EACCES"), { syscall: "open", code: "EACCES" }))).toBe(1);
  });
});

describe("cost and speed", () => {
  it.each([
    [0, "$0.00"],
    [12.504, "$12.50"],
    [0.1, "$0.10"],
    [0.0123, "$0.012"],
    [0.000_000_412, "$4.1e-7"],
  ])("%d dollars: %s", (amount, text) => {
    expect(dollars(amount)).toBe(text);
  });

  it("are said of what is known", () => {
    expect(cost(90_000, undefined)).toBe("1 min 30 s");
    expect(cost(90_000, 4)).toBe("1 min 30 s, $0.10");
    expect(speed({ "run.examplesPerSecond": 8_694.4 })).toBe("8,694 examples/s");
    expect(speed({ seconds: 3 })).toBeUndefined();
  });
});
