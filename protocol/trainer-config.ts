/** `trainer` of a pipeline: how a round trains. A plan carries it, so it is a stored format: what is added has a default that means what was before. */
import * as z from "zod/mini";
import { AtLeast1, Fraction, Name, Positive } from "./config-values.ts";
import { Duration } from "./units.ts";

const BelowOne = z.number().check(z.gte(0), z.lt(1));
const AtLeast0 = z.number().check(z.gte(0));

const ADAM = {
  learningRate: z._default(Positive, 0.001),
  beta1: z._default(BelowOne, 0.9),
  beta2: z._default(BelowOne, 0.999),
  epsilon: z._default(Positive, 1e-7),
};

/** The formulas are in trainer/optimizer.ts. */
const OptimizerConfig = z.discriminatedUnion("name", [
  z.strictObject({
    name: z.literal("sgd"),
    learningRate: z._default(Positive, 0.01),
    momentum: z._default(BelowOne, 0),
    nesterov: z._default(z.boolean(), false),
  }),
  z.strictObject({ name: z.literal("adam"), ...ADAM }),
  z.strictObject({
    name: z.literal("adamw"),
    ...ADAM,
    /** decoupled from the gradient: in each step a weight loses rate x weightDecay of itself */
    weightDecay: z._default(AtLeast0, 0.01),
  }),
  z.strictObject({
    name: z.literal("rmsprop"),
    learningRate: z._default(Positive, 0.001),
    rho: z._default(BelowOne, 0.9),
    momentum: z._default(BelowOne, 0),
    epsilon: z._default(Positive, 1e-7),
    /** by the gradients' variance, not their mean square */
    centered: z._default(z.boolean(), false),
  }),
  z.strictObject({
    name: z.literal("adagrad"),
    learningRate: z._default(Positive, 0.01),
    initialAccumulator: z._default(AtLeast0, 0.1),
    epsilon: z._default(Positive, 1e-7),
  }),
]);
export type OptimizerConfig = z.infer<typeof OptimizerConfig>;

/** All are functions of how much of the round is done; the formulas are in trainer/schedule.ts. */
const LearningRateSchedule = z.discriminatedUnion("name", [
  z.strictObject({ name: z.literal("constant") }),
  z.strictObject({
    name: z.literal("warmup-cosine"),
    /** part of the round's steps over which the rate rises from 0 */
    warmup: z._default(Fraction, 0.1),
    /** part of the learning rate that is left at the round's end */
    floor: z._default(Fraction, 0),
  }),
  z.strictObject({
    name: z.literal("step"),
    /** each time that this part of the round's steps is done ... */
    every: z._default(Fraction.check(z.gt(0)), 0.3),
    /** ... the rate is multiplied by this */
    factor: z._default(Fraction.check(z.gt(0)), 0.1),
  }),
  z.strictObject({
    name: z.literal("exponential"),
    /** part of the learning rate that is left at the round's end: the rate falls in equal ratios */
    factor: z._default(Fraction.check(z.gt(0)), 0.1),
  }),
  z.strictObject({
    name: z.literal("one-cycle"),
    /** part of the round's steps over which the rate rises */
    warmup: z._default(Fraction, 0.3),
    /** part of the learning rate that it begins with */
    start: z._default(Fraction, 0.04),
    /** part of the learning rate that is left in the last step */
    floor: z._default(Fraction, 4e-6),
  }),
]);
export type LearningRateSchedule = z.infer<typeof LearningRateSchedule>;

const Loss = z.enum(["cross-entropy", "binary-cross-entropy", "mse", "mae", "huber"]);
export type LossName = z.infer<typeof Loss>;

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
  /** what is made smaller; null: what fits the task (cross-entropy, binary-cross-entropy, mse) */
  loss: z._default(z.nullable(Loss), null),
  /** so much of each label is spread evenly over the classes (multi-label: over yes and no) */
  labelSmoothing: z._default(BelowOne, 0),
  /** how much a class's records count: by name, others 1; balanced: as if each class had as many records of the round; null: all 1 */
  classWeights: z._default(z.nullable(z.union([z.literal("balanced"), z.record(Name, Positive)])), null),
  /** coupled (L2): added to the gradient. Of weights with two dimensions or more: not of biases and norms. AdamW has its own */
  weightDecay: z._default(AtLeast0, 0),
  /** of the gradients: first each number to -value..value, then all together to a length of norm; null: not */
  clip: z._default(
    z.nullable(
      z.strictObject({
        norm: z._default(z.nullable(Positive), null),
        value: z._default(z.nullable(Positive), null),
      }),
    ),
    null,
  ),
  /** batches whose gradients are added up for one update: a step learns from batchSize x accumulate records */
  accumulate: z._default(AtLeast1.check(z.lte(100_000)), 1),
  /**
   * the round ends when the holdout's loss has not fallen by more than minDelta below its lowest in patience epochs; its result is the
   * checkpoint of the epoch with the lowest
   */
  earlyStopping: z._default(
    z.nullable(
      z.strictObject({
        patience: z._default(AtLeast1.check(z.lte(100_000)), 5),
        minDelta: z._default(AtLeast0, 0),
      }),
    ),
    null,
  ),
  /** mixed: products of matrices and convolutions in bfloat16, on a GPU that has it; float32 elsewhere */
  precision: z._default(z.enum(["float32", "mixed"]), "float32"),
  /** initial weights and the order of the records follow from it */
  seed: z._default(z.int().check(z.gte(0), z.lte(0xffff_ffff)), 1),
  /** saved at each epoch, and besides after so many steps (0: not) and so much time */
  saveEverySteps: z._default(z.int().check(z.gte(0)), 0),
  saveEvery: z._default(Duration, 300_000),
});
export type TrainerConfig = z.infer<typeof TrainerConfig>;
