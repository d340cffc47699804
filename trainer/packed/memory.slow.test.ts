/** As memory.test.ts, with a gigabyte: with ACCRETE_SLOW=1. */
import { expect, it } from "vitest";
import { dataOf, roundOf } from "../testing/memory-rounds.ts";

it("1 GiB is trained on in 256 MiB, and needs no more beside them than 64 MiB of data", async () => {
  const few = await roundOf(dataOf(64), 256);
  const folder = dataOf(1_024);
  const bounded = await roundOf(folder, 256);
  const held = await roundOf(folder, 4_096);
  expect(bounded.bits).toEqual(held.bits);
  console.log(
    `peak: ${few.peakMib} MiB for 64 MiB, ${bounded.peakMib} for 1 GiB in 256 MiB, ${held.peakMib} with all of it in memory`,
  );
  expect(bounded.peakMib - few.peakMib).toBeLessThan(256);
  expect(held.peakMib - bounded.peakMib).toBeGreaterThan(512);
}, 600_000);
