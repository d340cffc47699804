/**
 * When a round ends before all its epochs: the loss on the holdout has not become lower for some of them. What is needed to go on after
 * a kill is a part of the state, so the round ends at the same epoch, with the same checkpoint.
 */
import * as z from "zod/mini";
import { AccreteError } from "../protocol/errors.ts";
import type { TrainerConfig } from "../protocol/trainer-config.ts";

const Count = z.int().check(z.gte(0));

export const StoppingDocument = z.strictObject({
  /** the epoch with the lowest loss on the holdout, and the checkpoint's step after it; null: none had a finite one */
  best: z.nullable(z.strictObject({ loss: z.number(), step: Count, epochIndex: Count })),
  /** epochs of the round since then */
  waited: Count,
});
export type Stopping = z.infer<typeof StoppingDocument>;

type Config = NonNullable<TrainerConfig["earlyStopping"]>;

export const NOTHING_MEASURED: Stopping = { best: null, waited: 0 };

/**
 * As Keras' EarlyStopping: an epoch is better if its loss is lower by more than minDelta than that of the best before it.
 * @param epoch.loss on the holdout; one that is not finite is never better
 * @param epoch.epochIndex of the epoch that has ended; epoch.step: of the checkpoint that is saved after it
 */
export function afterEpoch(
  before: Stopping,
  epoch: { loss: number; step: number; epochIndex: number },
  { minDelta }: Pick<Config, "minDelta">,
): Stopping {
  const { best, waited } = before;
  const better = Number.isFinite(epoch.loss) && (best === null || epoch.loss < best.loss - minDelta);
  return better ? { best: { ...epoch }, waited: 0 } : { best, waited: waited + 1 };
}

export function isOver({ waited }: Stopping, { patience }: Pick<Config, "patience">): boolean {
  return waited >= patience;
}

/** Early stopping in the loop of a round. */
export class EarlyStopping {
  readonly #config: Config | null;
  readonly #holdoutLoss: (() => Promise<number>) | null;
  #stopping: Stopping | undefined;

  /**
   * @param holdoutLoss with the weights as they are when it is called; null: nothing stops early
   * @param begun of the state that the loop begins from
   */
  constructor(config: Config | null, holdoutLoss: (() => Promise<number>) | null, begun: Stopping | undefined) {
    this.#config = config;
    this.#holdoutLoss = holdoutLoss;
    this.#stopping = begun;
  }

  /** What goes into state.json. */
  get state(): { readonly stopping?: Stopping } {
    return this.#stopping === undefined ? {} : { stopping: this.#stopping };
  }

  get over(): boolean {
    return this.#stopping !== undefined && this.#config !== null && isOver(this.#stopping, this.#config);
  }

  /** @returns what is to be written about the epoch */
  async epochEnded(epoch: {
    step: number;
    epochIndex: number;
  }): Promise<{ readonly holdout?: { readonly loss: number } }> {
    if (this.#holdoutLoss === null || this.#config === null) return {};
    const loss = await this.#holdoutLoss();
    this.#stopping = afterEpoch(this.#stopping ?? NOTHING_MEASURED, { ...epoch, loss }, this.#config);
    return Number.isFinite(loss) ? { holdout: { loss } } : {};
  }

  /** The epoch that is the round's result; undefined: the last one, whatever it is. @throws {AccreteError} LOSS_NOT_FINITE */
  best(round: number): Stopping["best"] | undefined {
    return this.#stopping && bestOf(this.#stopping, round);
  }
}

/** @throws {AccreteError} LOSS_NOT_FINITE if no epoch had a loss to go by */
export function bestOf({ best }: Stopping, round: number): NonNullable<Stopping["best"]> {
  if (best !== null) return best;
  throw new AccreteError("LOSS_NOT_FINITE", `the loss on the holdout is not finite after any epoch of round ${round}`);
}
