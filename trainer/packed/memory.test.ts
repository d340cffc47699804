/** Records of four times data.memory: the same bits, and the trainer's process needs no more memory for them. */
import { expect, it } from "vitest";
import { dataOf, roundOf } from "../testing/memory-rounds.ts";

it.skipIf(process.platform !== "linux")(
  "64 MiB are trained on in 16 MiB to the bits that they give in memory",
  async () => {
    const folder = dataOf(64);
    const bounded = await roundOf(folder, 16);
    const held = await roundOf(folder, 1_024);
    expect(bounded.bits).toEqual(held.bits);
    // beside the records both hold the same; what Node frees late is less than what 64 MiB less 16 MiB would be
    expect(held.peakMib - bounded.peakMib, `${held.peakMib} and ${bounded.peakMib} MiB`).toBeGreaterThan(16);
  },
);
