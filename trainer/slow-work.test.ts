import { expect, it } from "vitest";
import { SlowWork } from "./slow-work.ts";

it("is said once, and again only when it takes twice as long", () => {
  const said: string[] = [];
  const slow = new SlowWork((line) => said.push(line));
  for (const ms of [100, 4_999, 5_200, 9_000, 10_400, 5_300, 30_000]) slow.took("a step", ms);
  slow.took("measuring the holdout after an epoch", 6_000);
  expect(said).toEqual([
    "a step takes 5.2 s: SIGTERM waits for it, and Batch kills after 30 s",
    "a step takes 10.4 s: SIGTERM waits for it, and Batch kills after 30 s",
    "a step takes 30.0 s: SIGTERM waits for it, and Batch kills after 30 s",
    "measuring the holdout after an epoch takes 6.0 s: SIGTERM waits for it, and Batch kills after 30 s",
  ]);
});
