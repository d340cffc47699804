/** `trainer` of a pipeline: how a round trains. A plan carries it, so it is a stored format: what is added has a default that means what was before. */
import * as z from "zod/mini";
import { AtLeast1, Fraction, Name, Positive } from "./config-values.ts";
import { Duration } from "./units.ts";

const OptimizerConfig = z.discriminatedUnion("name", [
  z.strictObject({
    name: z.literal("sgd"),
    learningRate: z._default(Positive, 0.01),
    momentum: z._default(Fraction.check(z.lt(1)), 0),
  }),
  z.strictObject({
    name: z.literal("adam"),
    learningRate: z._default(Positive, 0.001),
    beta1: z._default(Fraction.check(z.lt(1)), 0.9),
    beta2: z._default(Fraction.check(z.lt(1)), 0.999),
    epsilon: z._default(Positive, 1e-7),
  }),
]);
export type OptimizerConfig = z.infer<typeof OptimizerConfig>;

const LearningRateSchedule = z.discriminatedUnion("name", [
  z.strictObject({ name: z.literal("constant") }),
  z.strictObject({
    name: z.literal("warmup-cosine"),
    /** part of the round's steps over which the rate rises from 0 */
    warmup: z._default(Fraction, 0.1),
    /** part of the learning rate that is left at the round's end */
    floor: z._default(Fraction, 0),
  }),
]);
export type LearningRateSchedule = z.infer<typeof LearningRateSchedule>;

export const TrainerConfig = z.strictObject({
  /** the module that calls defineModel, relative to accrete.config.ts */
  model: Name,
  /**
   * a warm start: the weights that a round begins with as long as nothing was trained. A TensorFlow.js layers model (its model.json),
   * or safetensors with the model's names; relative to accrete.config.ts. sha256: of that file, of a model.json and then its shards in
   * the order of its list; checked if given
   */
  start: z._default(
    z.nullable(
      z.strictObject({
        from: Name,
        sha256: z._default(z.nullable(z.string().check(z.regex(/^[0-9a-f]{64}$/, "a sha256 is 64 hex digits"))), null),
      }),
    ),
    null,
  ),
  /**
   * layers (or weights) to train, such as "dense_*" or "!embedding", in any order: all that one without "!" fits (without such a one:
   * all), less those that one with "!" fits. The others stay as they are; null: all
   */
  trainable: z._default(z.nullable(z.array(Name).check(z.minLength(1), z.maxLength(1_000))), null),
  /** what is different in a round that goes on from another one */
  onRound: z.prefault(
    z.strictObject({
      optimizer: z._default(z.enum(["keep", "reset"]), "keep"),
      /** the learning rate in each such round is the configured one times this: it does not add up */
      learningRateScale: z._default(Positive, 1),
    }),
    {},
  ),
  /**
   * when the model's weights no longer fit the checkpoint. fail: the round is blocked; matching: weights of the same name and
   * shape are taken over, the others begin anew; fresh: all begin anew
   */
  onModelChange: z._default(z.enum(["fail", "matching", "fresh"]), "fail"),
  /** added by each round */
  epochs: z._default(AtLeast1.check(z.lte(100_000)), 3),
  batchSize: z._default(AtLeast1.check(z.lte(1_000_000)), 32),
  optimizer: z._default(OptimizerConfig, {
    name: "adam",
    learningRate: 0.001,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-7,
  }),
  schedule: z._default(LearningRateSchedule, { name: "warmup-cosine", warmup: 0.1, floor: 0 }),
  /** initial weights and the order of the records follow from it */
  seed: z._default(z.int().check(z.gte(0), z.lte(0xffff_ffff)), 1),
  /** saved at each epoch, and besides after so many steps (0: not) and so much time */
  saveEverySteps: z._default(z.int().check(z.gte(0)), 0),
  saveEvery: z._default(Duration, 300_000),
});
export type TrainerConfig = z.infer<typeof TrainerConfig>;
