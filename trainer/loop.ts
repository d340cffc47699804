/** The loop of a round: steps, and between them what is said, saved and looked at. */
import { epochLine } from "../protocol/epoch-metrics.ts";
import { AccreteError, EXIT } from "../protocol/errors.ts";
import type { Store } from "../protocol/ports.ts";
import type { Checkpoint, Plan } from "../protocol/types.ts";
import { EarlyStopping } from "./early-stopping.ts";
import { Progress } from "./progress.ts";
import { Saving } from "./saving.ts";
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
  const saving = new Saving(() => supersededBy(store, { round: plan.round, attempt: options.attempt }));
  /** For the disk: no step. */
  const wait = async <T>(work: () => Promise<T>): Promise<T> => {
    watchdog.begin("save", position.step, saveLimitMs(hangLeastMs));
    const result = await timings.measure("save", work);
    watchdog.end();
    return result;
  };
  const save = (at: Position): Promise<void> => {
    const state = { ...stateAt(at, before, begun, trained), ...early.state };
    return wait(() => saving.begin(() => saver.begin(state, trained, metricsText)));
  };
  const stopped = (superseded: string): LoopOutcome => {
    say(`stops: ${superseded}`);
    return { outcome: "ended", exit: EXIT.ok };
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
  const begin = (step: number): void => watchdog.begin("step", step, stepLimitMs(hangLeastMs, timings.medianStepMs));
  const training = trainFrom(trained.stepper, set, plan, begun.position, before.updates, { begin });

  let position = begun.position;
  let lastSave = { step: position.step, ms: nowMs() };
  let saved: Position | undefined;
  try {
    let beganMs = nowMs(); // a step takes as long as there is to wait for its batch, too
    for await (const done of early.over ? [] : training) {
      ({ position } = done);
      watchdog.end();
      timings.step(nowMs() - beganMs, done.batchRecords);
      progress.step(done);
      if (done.epochEnded) {
        const at = { epoch: before.epoch + position.epochIndex, step: before.step + position.step };
        const measured = early.epochEnded({ step: at.step, epochIndex: position.epochIndex - 1 });
        const { learningRate } = done;
        const { epochLoss: trainLoss } = position;
        metricsText += epochLine({ round: plan.round, ...at, trainLoss, learningRate, ...measured });
      }
      await new Promise((resolve) => setImmediate(resolve)); // signals and timers come between steps
      const stop = options.stopAsked();
      if (stop || isSaveDue(plan, done, lastSave, nowMs())) {
        await save(position);
        saved = position;
        lastSave = { step: position.step, ms: nowMs() };
      }
      const superseded = saving.superseded();
      if (superseded !== undefined) return stopped(superseded);
      if (stop) {
        await wait(() => saving.written());
        say(`saved at step ${position.step} of ${steps}: asked to stop`);
        return { outcome: "ended", exit: EXIT.interrupted };
      }
      if (early.over) break;
      beganMs = nowMs();
    }
    watchdog.end();
    if (saved !== position && !early.over) await save(position);
    await wait(() => saving.settled());
    const superseded = saving.superseded();
    if (superseded !== undefined) return stopped(superseded);
    const best = early.best(plan.round);
    if (best && early.over)
      say(
        `round ${plan.round}: stops after epoch ${position.epochIndex}: the loss on the holdout was lowest after epoch ${best.epochIndex + 1}, ${best.loss.toFixed(4)}`,
      );
    if (best && best.step !== before.step + position.step) return { outcome: "best-before", step: best.step };
    const checkpoint = await saving.written();
    if (checkpoint === undefined) throw new Error("there is no checkpoint of the round's end");
    return { outcome: "done", checkpoint, position };
  } catch (error) {
    await saving.settled();
    throw withNewest(error, plan, saving.newest);
  } finally {
    await saving.settled(); // whatever ended the loop: what is being written becomes whole
  }
}

/** A loss that is not finite, with the checkpoint that is left. @param newest of this run */
function withNewest(error: unknown, { round, parent }: Plan, newest: Checkpoint | undefined): unknown {
  if (!(error instanceof AccreteError) || error.code !== "LOSS_NOT_FINITE") return error;
  const last =
    newest !== undefined
      ? `that after step ${newest.step - (parent?.step ?? 0)} of round ${round}`
      : parent === null
        ? "none: nothing was trained before"
        : `that of round ${parent.round}, as nothing of round ${round} is saved`;
  return new AccreteError(error.code, `${error.message}; the last good checkpoint is ${last}`, { cause: error });
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
