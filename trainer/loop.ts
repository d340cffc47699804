/** The loop of a round: steps, and between them what is said, saved and looked at. */
import { epochLine } from "../protocol/epoch-metrics.ts";
import { AccreteError, EXIT } from "../protocol/errors.ts";
import type { Store } from "../protocol/ports.ts";
import type { Checkpoint, Plan } from "../protocol/types.ts";
import { EarlyStopping } from "./early-stopping.ts";
import { Progress } from "./progress.ts";
import type { Saver, Trained } from "./session.ts";
import type { Position, State } from "./state.ts";
import { supersededBy } from "./superseded.ts";
import type { Timings } from "./timings.ts";
import { stepsOf, trainFrom, type TrainingSet } from "./train.ts";
import { saveLimitMs, stepLimitMs, type Watchdog } from "./watchdog.ts";

export interface LoopOptions {
  readonly store: Store;
  readonly plan: Plan;
  readonly attempt: number;
  readonly say: (line: string) => void;
  readonly stopAsked: () => boolean;
  readonly nowMs: () => number;
  readonly saver: Saver;
  readonly timings: Timings;
  readonly watchdog: Watchdog;
  /** milliseconds: what takes less never hangs */
  readonly hangLeastMs: number;
  /** of the checkpoint that it begins from */
  readonly metricsText: string;
  /** the loss on the holdout as the weights are now; null: no early stopping */
  readonly holdoutLoss: (() => number) | null;
}

/** ended: with this exit code, before the round was done. */
export type LoopOutcome =
  | { readonly outcome: "ended"; readonly exit: number }
  | { readonly outcome: "done"; readonly checkpoint: Checkpoint; readonly position: Position }
  /** done, and an earlier epoch is the result: the checkpoint of this step, which is in the store */
  | { readonly outcome: "best-before"; readonly step: number };

export async function trainLoop(
  options: LoopOptions,
  trained: Trained,
  set: TrainingSet,
  begun: State,
): Promise<LoopOutcome> {
  const { plan, store, say, nowMs, saver, timings, watchdog, hangLeastMs } = options;
  let { metricsText } = options;
  const early = new EarlyStopping(plan.trainer.earlyStopping, options.holdoutLoss, begun.stopping);
  const before = {
    step: begun.step - begun.position.step,
    epoch: begun.epoch - begun.position.epochIndex,
    updates: begun.updates - begun.position.step,
  };
  const steps = stepsOf(set, plan);
  const save = async (position: Position): Promise<Checkpoint> => {
    watchdog.begin("save", position.step, saveLimitMs(hangLeastMs));
    const state = { ...stateAt(position, before, begun, trained), ...early.state };
    const checkpoint = await timings.measure("save", () => saver.save(state, trained, metricsText));
    watchdog.end();
    return checkpoint;
  };
  const progress = new Progress({
    say,
    nowMs,
    round: plan.round,
    epochs: plan.epochsToAdd,
    steps,
    from: begun.position.step,
    medianStepMs: () => timings.medianStepMs,
  });
  const beginStep = (step: number): number => {
    watchdog.begin("step", step, stepLimitMs(hangLeastMs, timings.medianStepMs));
    return nowMs();
  };

  let position = begun.position;
  let lastSave = { step: position.step, ms: nowMs() };
  let final: Checkpoint | undefined;
  try {
    let beganMs = beginStep(position.step + 1);
    for (const done of early.over ? [] : trainFrom(trained.stepper, set, plan, position, before.updates)) {
      ({ position } = done);
      watchdog.end();
      timings.step(nowMs() - beganMs, done.batchRecords);
      progress.step(done);
      if (done.epochEnded) {
        const at = { epoch: before.epoch + position.epochIndex, step: before.step + position.step };
        const measured = early.epochEnded({ step: at.step, epochIndex: position.epochIndex - 1 });
        const { learningRate } = done;
        metricsText += epochLine({
          round: plan.round,
          ...at,
          trainLoss: position.epochLoss,
          learningRate,
          ...measured,
        });
      }
      await new Promise((resolve) => setImmediate(resolve)); // signals and timers come between steps
      const stop = options.stopAsked();
      if (stop || isSaveDue(plan, done, lastSave, nowMs())) {
        final = await save(position);
        lastSave = { step: position.step, ms: nowMs() };
        if (stop) {
          say(`saved at step ${position.step} of ${steps}: asked to stop`);
          return { outcome: "ended", exit: EXIT.interrupted };
        }
        const superseded = await supersededBy(store, { round: plan.round, attempt: options.attempt });
        if (superseded !== undefined) {
          say(`stops: ${superseded}`);
          return { outcome: "ended", exit: EXIT.ok };
        }
        if (early.over) break;
      }
      beganMs = beginStep(position.step + 1);
    }
    watchdog.end();
    const best = early.best(plan.round);
    if (best && early.over)
      say(
        `round ${plan.round}: stops after epoch ${position.epochIndex}: the loss on the holdout was lowest after epoch ${best.epochIndex + 1}, ${best.loss.toFixed(4)}`,
      );
    if (best && best.step !== before.step + position.step) return { outcome: "best-before", step: best.step };
    return { outcome: "done", checkpoint: final ?? (await save(position)), position };
  } catch (error) {
    throw withNewest(error, plan, lastSave.step);
  }
}

/** A loss that is not finite, with the checkpoint that is left. @param savedStep of the round; 0: none */
function withNewest(error: unknown, { round, parent }: Plan, savedStep: number): unknown {
  if (!(error instanceof AccreteError) || error.code !== "LOSS_NOT_FINITE") return error;
  const newest =
    savedStep > 0
      ? `that after step ${savedStep} of round ${round}`
      : parent === null
        ? "none: nothing was trained before"
        : `that of round ${parent.round}, as nothing of round ${round} is saved`;
  return new AccreteError(error.code, `${error.message}; the last good checkpoint is ${newest}`, { cause: error });
}

function stateAt(
  position: Position,
  before: Pick<State, "step" | "epoch" | "updates">,
  begun: State,
  { normalisation }: Trained,
): State {
  return {
    format: 1,
    step: before.step + position.step,
    epoch: before.epoch + position.epochIndex,
    updates: before.updates + position.step,
    position,
    records: begun.records,
    normalisation,
  };
}

function isSaveDue(
  { trainer }: Plan,
  done: { position: Position; epochEnded: boolean },
  last: { step: number; ms: number },
  nowMs: number,
): boolean {
  if (done.epochEnded) return true;
  if (trainer.saveEverySteps > 0 && done.position.step - last.step >= trainer.saveEverySteps) return true;
  return nowMs - last.ms >= trainer.saveEvery;
}
