import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OTHERWISE, readNumber } from "./read-number.ts";

function read(text: string): { value: number; end: number } {
  const into = new Float64Array(2);
  const end = readNumber(Buffer.from(`x${text},`), 1, into, 1);
  return { value: into[1]!, end };
}

/** Either what Number gives, to the last bit, or left to somebody else: never another value. */
function expectExact(text: string): void {
  const { value, end } = read(text);
  if (end === OTHERWISE) return;
  expect(end, text).toBe(text.length + 1);
  expect(Object.is(value, Number(text)), `${text}: ${value}`).toBe(true);
}

describe("a number in bytes", () => {
  it.each([
    "0",
    "-0",
    "7",
    "-7.25",
    "123456789",
    "1234567890",
    "0.1",
    "999999999999999",
    "1e5",
    "1.5E-7",
    "2e+3",
    "0.0",
  ])("%s is read as Number does", (text) => {
    expect(read(text)).toEqual({ value: Number(text), end: text.length + 1 });
    expectExact(text);
  });

  it.each([
    "",
    "-",
    "x",
    ".5",
    "/5",
    ",5",
    "5.",
    "+1",
    "01",
    "1e",
    "1e+",
    "1e999",
    "1e-30",
    "1234567890123456",
    "nan",
    "0x10".slice(0, 0),
  ])("%j is left to others", (text) => {
    expect(read(text).end).toBe(OTHERWISE);
  });

  it("is exact, or left to others, whatever it is", () => {
    fc.assert(fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => expectExact(String(value))));
    fc.assert(
      fc.property(fc.integer(), fc.nat(), fc.integer({ min: -30, max: 30 }), (whole, part, power) => {
        expectExact(`${whole}.${part}`);
        expectExact(`${whole}e${power}`);
        expectExact(`${whole}.${part}e${power}`);
      }),
    );
    fc.assert(
      fc.property(fc.float({ noNaN: true, noDefaultInfinity: true }), (value) => expectExact(value.toPrecision(9))),
    );
  });
});
