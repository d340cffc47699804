import fc from "fast-check";
import { expect, it } from "vitest";
import { printable } from "./printable.ts";

const range = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, i) => String.fromCodePoint(from + i));
const DANGEROUS = [
  ...range(0x00, 0x1f),
  ...range(0x7f, 0x9f),
  ...range(0x202a, 0x202e),
  ...range(0x2066, 0x2069),
  "\u200e",
  "\u200f",
  "\u061c",
  "\u2028",
  "\u2029",
  ...range(0xd800, 0xdfff),
];

it("lets no character through that could move the cursor, end the line or turn the text", () => {
  for (const character of DANGEROUS) {
    const shown = printable(`a${character}b`);
    expect(shown, character.codePointAt(0)?.toString(16)).toMatch(/^a\\(n|r|t|x[0-9a-f]{2}|u\{[0-9a-f]{4,6}\})b$/);
  }
});

it("shows an escape sequence and a turned file name as what they are", () => {
  expect(printable("\x1b[2Jgone\n")).toBe("\\x1b[2Jgone\\n");
  expect(printable("cat\u202egpj.exe")).toBe("cat\\u{202e}gpj.exe");
  expect(printable("\u009b31m\x7f")).toBe("\\x9b31m\\x7f");
  expect(printable("half \ud83d of one")).toBe("half \\u{d83d} of one");
});

it("leaves text in any script and pictures as they are", () => {
  for (const text of ["digits/3/a.png", "Größe 数字 שלום नमस्ते", "👩‍👩‍👧 ok", "C:\\data"])
    expect(printable(text)).toBe(text);
});

it("is one line of well-formed text for any input, and nothing is left to escape", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const shown = printable(text);
      expect(shown.isWellFormed()).toBe(true);
      expect(shown.split(/[\n\r\u2028\u2029\u0085]/)).toHaveLength(1);
      expect(printable(shown)).toBe(shown);
    }),
  );
});
