/**
 * Optimizers whose whole state is (slots by name, number of updates). Not tf.train.*: those keep slots by position, leave
 * out Adam's beta powers when saved, and so cannot be resumed bit for bit.
 */
import type { OptimizerConfig } from "../protocol/trainer-config.ts";
import type { StepAt } from "./step.ts";
import type { Scalar, Tensor, Tf, Variable } from "./tf.ts";

export interface Update {
  readonly variable: Variable;
  readonly gradient: Tensor;
  /** by kind, as in `slotKinds` */
  readonly slots: ReadonlyMap<string, Variable>;
}

/** An input of a kernel. A scalar is one of `scalars`, by its name. */
export type KernelInput =
  | "variable"
  | "gradient"
  | { readonly slot: string }
  | { readonly scalar: string }
  | { readonly constant: number };

/** One of TensorFlow's own update operations: it changes the variable and its slots in place. */
export interface UpdateKernel {
  /** such as ResourceApplyAdam */
  readonly op: string;
  readonly inputs: readonly KernelInput[];
  readonly flags?: Readonly<Record<string, boolean>>;
}

export interface Optimizer {
  /** a slot of each kind, of the variable's shape, belongs to each trainable variable */
  readonly slotKinds: readonly string[];
  /** what each slot of a kind begins as; @default 0 */
  readonly slotStart?: number;
  /** The numbers that differ from update to update, by name. Pure: nothing but where the run is has to be saved. */
  scalars(at: Pick<StepAt, "update" | "learningRate">): Readonly<Record<string, number>>;
  /**
   * The name of a scalar that weights are multiplied by before `apply` or the kernel, those that decay (see gradients.ts); null: they
   * are not. Apart from the update, as no kernel of TensorFlow has it.
   */
  readonly decay: string | null;
  /** Changes the variable and its slots, operation by operation. Leaves no tensor behind inside a tidy. */
  apply(tf: Tf, update: Update, scalars: Readonly<Record<string, Scalar>>): void;
  /** The same update by a kernel, where there is one: the same formula, maybe rounded otherwise. */
  readonly kernel: UpdateKernel | null;
}

/** The name of a slot in optimizer.safetensors. */
export const slotName = (optimizer: string, kind: string, variable: string): string =>
  `${optimizer}/${kind}/${variable}`;

export function createOptimizer(config: OptimizerConfig): Optimizer {
  switch (config.name) {
    case "sgd":
      return config.momentum === 0 ? plainSgd() : momentumSgd(config);
    case "adam":
      return adam(config);
    case "adamw":
      return adamw(config);
    case "rmsprop":
      return rmsprop(config);
    case "adagrad":
      return adagrad(config);
  }
}

/** w <- w - rate g */
function plainSgd(): Optimizer {
  return {
    slotKinds: [],
    decay: null,
    scalars: ({ learningRate }) => ({ rate: learningRate }),
    apply(tf, { variable, gradient }, { rate }) {
      variable.assign(tf.sub(variable, tf.mul(gradient, rate!)));
    },
    kernel: { op: "ResourceApplyGradientDescent", inputs: ["variable", { scalar: "rate" }, "gradient"] },
  };
}

/**
 * v <- momentum v + g; w <- w - rate v; with Nesterov w <- w - rate (g + momentum v)
 * @see Sutskever et al. 2013, On the importance of initialization and momentum; PyTorch torch.optim.SGD (dampening 0), TensorFlow
 *   ResourceApplyMomentum. Keras puts the rate inside v instead: the same as long as the rate is
 */
function momentumSgd({ momentum, nesterov }: { momentum: number; nesterov: boolean }): Optimizer {
  return {
    slotKinds: ["momentum"],
    decay: null,
    scalars: ({ learningRate }) => ({ rate: learningRate }),
    apply(tf, { variable, gradient, slots }, { rate }) {
      const velocity = tf.add(tf.mul(slots.get("momentum")!, momentum), gradient);
      const step = nesterov ? tf.add(gradient, tf.mul(velocity, momentum)) : velocity;
      variable.assign(tf.sub(variable, tf.mul(step, rate!)));
      slots.get("momentum")!.assign(velocity);
    },
    kernel: {
      op: "ResourceApplyMomentum",
      inputs: ["variable", { slot: "momentum" }, { scalar: "rate" }, "gradient", { constant: momentum }],
      flags: { use_nesterov: nesterov },
    },
  };
}

/**
 * m <- b1 m + (1-b1) g; v <- b2 v + (1-b2) g^2; w <- w - rate sqrt(1-b2^t)/(1-b1^t) m / (sqrt(v) + epsilon)
 * The powers follow from the number of updates, so they are no state of their own.
 * @see Kingma and Ba 2015, Adam, the reordered form at the end of section 2; as Keras and TensorFlow ResourceApplyAdam
 *   (PyTorch adds epsilon to the corrected sqrt(v) instead)
 */
function adam({ beta1, beta2, epsilon }: { beta1: number; beta2: number; epsilon: number }): Optimizer {
  return {
    slotKinds: ["m", "v"],
    decay: null,
    scalars: ({ learningRate, update }) => {
      const [beta1Power, beta2Power] = [beta1 ** update, beta2 ** update];
      return {
        rate: learningRate,
        beta1Power,
        beta2Power,
        corrected: (learningRate * Math.sqrt(1 - beta2Power)) / (1 - beta1Power),
      };
    },
    apply(tf, { variable, gradient, slots }, { corrected }) {
      const m = tf.add(tf.mul(slots.get("m")!, beta1), tf.mul(gradient, 1 - beta1));
      const v = tf.add(tf.mul(slots.get("v")!, beta2), tf.mul(tf.square(gradient), 1 - beta2));
      variable.assign(tf.sub(variable, tf.div(tf.mul(m, corrected!), tf.add(tf.sqrt(v), epsilon))));
      slots.get("m")!.assign(m);
      slots.get("v")!.assign(v);
    },
    kernel: {
      op: "ResourceApplyAdam",
      inputs: [
        "variable",
        { slot: "m" },
        { slot: "v" },
        { scalar: "beta1Power" },
        { scalar: "beta2Power" },
        { scalar: "rate" },
        { constant: beta1 },
        { constant: beta2 },
        { constant: epsilon },
        "gradient",
      ],
      flags: { use_nesterov: false },
    },
  };
}

/**
 * w <- w (1 - rate weightDecay), then as adam: the decay is not part of the gradient, so it is not scaled by 1 / sqrt(v).
 * @see Loshchilov and Hutter 2019, Decoupled Weight Decay Regularization, algorithm 2; as torch.optim.AdamW and Keras, whose weightDecay
 *   is multiplied by the rate of the schedule (the paper's lambda times the schedule's multiplier alone)
 */
function adamw({ weightDecay, ...config }: Parameters<typeof adam>[0] & { weightDecay: number }): Optimizer {
  const update = adam(config);
  if (weightDecay === 0) return update;
  return {
    ...update,
    decay: "kept",
    scalars: (at) => ({ ...update.scalars(at), kept: 1 - at.learningRate * weightDecay }),
  };
}

/**
 * s <- rho s + (1-rho) g^2; u <- momentum u + rate g / sqrt(s + epsilon); w <- w - u
 * centered: a <- rho a + (1-rho) g, and s - a^2 in the place of s. That may come out below -epsilon where gradients are large and all alike
 * (rounding): the loss is not finite then, and the round stops.
 * @see Hinton 2012, Neural Networks for Machine Learning, lecture 6e; Graves 2013, Generating Sequences with Recurrent Neural Networks,
 *   equations 38 to 41 (centered). As Keras and TensorFlow ResourceApplyRMSProp; PyTorch adds epsilon to sqrt(s), and puts the rate outside u
 */
function rmsprop(config: { rho: number; momentum: number; epsilon: number; centered: boolean }): Optimizer {
  const { rho, momentum, epsilon, centered } = config;
  return {
    slotKinds: centered ? ["average", "square", "momentum"] : ["square", "momentum"],
    decay: null,
    scalars: ({ learningRate }) => ({ rate: learningRate }),
    apply(tf, { variable, gradient, slots }, { rate }) {
      const square = tf.add(tf.mul(slots.get("square")!, rho), tf.mul(tf.square(gradient), 1 - rho));
      let spread = square;
      if (centered) {
        const average = tf.add(tf.mul(slots.get("average")!, rho), tf.mul(gradient, 1 - rho));
        spread = tf.sub(square, tf.square(average));
        slots.get("average")!.assign(average);
      }
      // TensorFlow makes rsqrt of a division by a root as it takes a graph, and of what is spelt so from the start nothing else
      const step = tf.mul(tf.mul(gradient, rate!), tf.rsqrt(tf.add(spread, epsilon)));
      const moved = tf.add(tf.mul(slots.get("momentum")!, momentum), step);
      variable.assign(tf.sub(variable, moved));
      slots.get("square")!.assign(square);
      slots.get("momentum")!.assign(moved);
    },
    kernel: {
      op: centered ? "ResourceApplyCenteredRMSProp" : "ResourceApplyRMSProp",
      inputs: [
        "variable",
        ...(centered ? [{ slot: "average" }] : []),
        { slot: "square" },
        { slot: "momentum" },
        { scalar: "rate" },
        { constant: rho },
        { constant: momentum },
        { constant: epsilon },
        "gradient",
      ],
    },
  };
}

/**
 * s <- s + g^2; w <- w - rate g / (sqrt(s) + epsilon); s begins at initialAccumulator
 * @see Duchi, Hazan and Singer 2011, Adaptive Subgradient Methods; as torch.optim.Adagrad and TensorFlow ResourceApplyAdagradV2 (Keras has
 *   epsilon inside the root)
 */
function adagrad({ initialAccumulator, epsilon }: { initialAccumulator: number; epsilon: number }): Optimizer {
  return {
    slotKinds: ["square"],
    slotStart: initialAccumulator,
    decay: null,
    scalars: ({ learningRate }) => ({ rate: learningRate }),
    apply(tf, { variable, gradient, slots }, { rate }) {
      const square = tf.add(slots.get("square")!, tf.square(gradient));
      variable.assign(tf.sub(variable, tf.div(tf.mul(gradient, rate!), tf.add(tf.sqrt(square), epsilon))));
      slots.get("square")!.assign(square);
    },
    kernel: {
      op: "ResourceApplyAdagradV2",
      inputs: ["variable", { slot: "square" }, { scalar: "rate" }, { constant: epsilon }, "gradient"],
      flags: { update_slots: true },
    },
  };
}
