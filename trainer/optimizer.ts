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
  /** Changes the variable and its slots, operation by operation. Leaves no tensor behind inside a tidy. */
  apply(tf: Tf, update: Update, scalars: Readonly<Record<string, Scalar>>): void;
  /** The same update by a kernel, where there is one: the same formula, maybe rounded otherwise. */
  readonly kernel: UpdateKernel | null;
}

/** The name of a slot in optimizer.safetensors. */
export const slotName = (optimizer: string, kind: string, variable: string): string =>
  `${optimizer}/${kind}/${variable}`;

export function createOptimizer(config: OptimizerConfig): Optimizer {
  if (config.name === "adam") return adam(config);
  return config.momentum === 0 ? plainSgd() : momentumSgd(config.momentum);
}

/** w <- w - rate g */
function plainSgd(): Optimizer {
  return {
    slotKinds: [],
    scalars: ({ learningRate }) => ({ rate: learningRate }),
    apply(tf, { variable, gradient }, { rate }) {
      variable.assign(tf.sub(variable, tf.mul(gradient, rate!)));
    },
    kernel: { op: "ResourceApplyGradientDescent", inputs: ["variable", { scalar: "rate" }, "gradient"] },
  };
}

/**
 * v <- momentum v + g; w <- w - rate v
 * @see PyTorch torch.optim.SGD (dampening 0), TensorFlow ResourceApplyMomentum; Keras puts the rate inside v instead
 */
function momentumSgd(momentum: number): Optimizer {
  return {
    slotKinds: ["momentum"],
    scalars: ({ learningRate }) => ({ rate: learningRate }),
    apply(tf, { variable, gradient, slots }, { rate }) {
      const velocity = tf.add(tf.mul(slots.get("momentum")!, momentum), gradient);
      variable.assign(tf.sub(variable, tf.mul(velocity, rate!)));
      slots.get("momentum")!.assign(velocity);
    },
    kernel: {
      op: "ResourceApplyMomentum",
      inputs: ["variable", { slot: "momentum" }, { scalar: "rate" }, "gradient", { constant: momentum }],
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
