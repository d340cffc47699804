/** PyTorch's and Keras' numbers, made by `npm run fixtures`. */
import { readFileSync } from "node:fs";
import * as z from "zod/mini";

const Numbers = z.array(z.number());
const Path = z.optional(z.object({ alike: z.boolean(), path: z.array(Numbers) }));
const Lossy = z.optional(z.object({ loss: z.number(), gradient: z.optional(Numbers) }));

const Fixtures = z.object({
  rate: z.number(),
  /** after which steps there are numbers */
  kept: Numbers,
  /** a kernel of 3 x 2, and a bias of 2 */
  start: Numbers,
  gradients: z.array(Numbers),
  optimizers: z.array(
    z.object({
      name: z.string(),
      trainer: z.record(z.string(), z.unknown()),
      /** learning rate of each step; left out: the same throughout */
      rates: z.optional(Numbers),
      torch: Path,
      keras: Path,
    }),
  ),
  schedules: z.array(z.object({ schedule: z.looseObject({ name: z.string() }), rates: Numbers })),
  losses: z.array(
    z.object({
      name: z.string(),
      shape: z.object({
        task: z.enum(["classification", "multi-label", "regression"]),
        loss: z.enum(["cross-entropy", "binary-cross-entropy", "mse", "mae", "huber"]),
        labelSmoothing: z.number(),
      }),
      scores: z.array(Numbers),
      y: Numbers,
      weights: z.nullable(Numbers),
      torch: Lossy,
      keras: Lossy,
    }),
  ),
});

export const FIXTURES = Fixtures.parse(
  JSON.parse(readFileSync(new URL("../../test/fixtures/optimizers.json", import.meta.url), "utf8")),
);
