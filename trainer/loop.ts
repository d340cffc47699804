/** The loop of a round: steps, and between them what is said, saved and looked at. */
import { epochLine } from "../protocol/epoch-metrics.ts";
import { AccreteError, EXIT } from "../protocol/errors.ts";
import type { Store } from "../protocol/ports.ts";
import type { Checkpoint, Plan } from "../protocol/types.ts";
import { EarlyStopping } from "./early-stopping.ts";
import { nextTurn } from "./next-turn.ts";
import { Progress } from "./progress.ts";
import { Saving } from "./saving.ts";
import type { Saver, Trained } from "./session.ts";
import { SlowWork } from "./slow-work.ts";
import type { Position, State } from "./state.ts";
import { supersededBy } from "./superseded.ts";
import type { Timings } from "./timings.ts";
import { stepsOf, trainFrom, type StepDone, type TrainingSet } from "./train.ts";
import { evaluationLimitMs, saveLimitMs, stepLimitMs, type Watchdog } from "./watchdog.ts";

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
  readonly holdoutLoss: (() => Promise<number>) | null;
}

/** ended: with this exit code, before the round was done. */
export type LoopOutcome =
  | { readonly outcome: "ended"; readonly exit: number }
  | { readonly outcome: "done"; readonly checkpoint: Checkpoint; readonly position: Position }
  /** done, and an earlier epoch is the result: the checkpoint of this step, which is in the store */
  | { readonly outcome: "best-before"; readonly step: number };

export function trainLoop(
  options: LoopOptions,
  trained: Trained,
  set: TrainingSet,
  begun: State,
): Promise<LoopOutcome> {
  return new Loop(options, trained, set, begun).run();
}

class Loop {
  readonly #options: LoopOptions;
  readonly #trained: Trained;
  readonly #set: TrainingSet;
  readonly #begun: State;
  /** before the round */
  readonly #before: Before;
  readonly #early: EarlyStopping;
  readonly #saving: Saving;
  readonly #slow: SlowWork;
  #position: Position;
  #metricsText: string;
  #lastSave: { readonly step: number; readonly ms: number };
  /** by this run */
  #saved: Position | undefined;

  constructor(options: LoopOptions, trained: Trained, set: TrainingSet, begun: State) {
    const { plan, store, attempt, holdoutLoss } = options;
    const { position } = begun;
    this.#options = options;
    this.#trained = trained;
    this.#set = set;
    this.#begun = begun;
    this.#before = {
      step: begun.step - position.step,
      epoch: begun.epoch - position.epochIndex,
      updates: begun.updates - position.step,
    };
    this.#early = new EarlyStopping(plan.trainer.earlyStopping, holdoutLoss, begun.stopping);
    this.#saving = new Saving(() => supersededBy(store, { round: plan.round, attempt }));
    this.#slow = new SlowWork(options.say);
    this.#position = position;
    this.#metricsText = options.metricsText;
    this.#lastSave = { step: position.step, ms: options.nowMs() };
  }

  async run(): Promise<LoopOutcome> {
    const saving = this.#saving;
    try {
      const ended = await this.#steps();
      if (ended !== undefined) return ended;
      if (this.#saved !== this.#position && !this.#early.over) await this.#save();
      await this.#wait(() => saving.settled());
      return this.#stoppedIfSuperseded() ?? (await this.#result());
    } catch (error) {
      await saving.settled();
      throw withNewest(error, this.#options.plan, saving.newest);
    } finally {
      await saving.settled(); // whatever ended the loop: what is being written becomes whole
    }
  }

  /** To the last one that the round has. @returns what has ended the round before */
  async #steps(): Promise<LoopOutcome | undefined> {
    const { plan, stopAsked, nowMs, watchdog, timings, hangLeastMs } = this.#options;
    if (this.#early.over) return undefined;
    const progress = this.#progress();
    const begin = (step: number): void => watchdog.begin("step", step, stepLimitMs(hangLeastMs, timings.medianStepMs));
    const { stepper } = this.#trained;
    let beganMs = nowMs(); // a step takes as long as there is to wait for its batch, too
    for await (const done of trainFrom(stepper, this.#set, plan, this.#position, this.#before.updates, { begin })) {
      this.#position = done.position;
      watchdog.end();
      const tookMs = nowMs() - beganMs;
      timings.step(tookMs, done.batchRecords);
      this.#slow.took("a step", tookMs);
      progress.step(done);
      if (done.epochEnded) await this.#epochEnded(done);
      await nextTurn();
      const stop = stopAsked();
      if (stop || isSaveDue(plan, done, this.#lastSave, nowMs())) await this.#save();
      const stopped = this.#stoppedIfSuperseded() ?? (stop ? await this.#interrupted() : undefined);
      if (stopped !== undefined || this.#early.over) return stopped;
      beganMs = nowMs();
    }
    return undefined;
  }

  async #epochEnded({ learningRate }: StepDone): Promise<void> {
    const { plan, watchdog, timings, hangLeastMs, nowMs } = this.#options;
    const { epochIndex, step, epochLoss: trainLoss } = this.#position;
    const at = { epoch: this.#before.epoch + epochIndex, step: this.#before.step + step };
    const batches = Math.ceil(this.#trained.holdout.count / plan.trainer.batchSize);
    watchdog.begin("evaluation", step, evaluationLimitMs(hangLeastMs, timings.medianStepMs, batches));
    const ended = { step: at.step, epochIndex: epochIndex - 1 };
    const beganMs = nowMs();
    const measured = await timings.measure("evaluate", () => this.#early.epochEnded(ended));
    this.#slow.took("measuring the holdout after an epoch", nowMs() - beganMs);
    watchdog.end();
    this.#metricsText += epochLine({ round: plan.round, ...at, trainLoss, learningRate, ...measured });
  }

  async #save(): Promise<void> {
    const { saver, nowMs } = this.#options;
    const trained = this.#trained;
    const state = { ...stateAt(this.#position, this.#before, this.#begun, trained), ...this.#early.state };
    await this.#wait(() => this.#saving.begin(() => saver.begin(state, trained, this.#metricsText)));
    this.#saved = this.#position;
    this.#lastSave = { step: this.#position.step, ms: nowMs() };
  }

  /** For the disk: no step. */
  async #wait(work: () => Promise<void>): Promise<void> {
    const { watchdog, timings, hangLeastMs } = this.#options;
    watchdog.begin("save", this.#position.step, saveLimitMs(hangLeastMs));
    await timings.measure("save", work);
    watchdog.end();
  }

  /** @throws what the newest save has failed with */
  #stoppedIfSuperseded(): LoopOutcome | undefined {
    const superseded = this.#saving.superseded();
    if (superseded === undefined) return undefined;
    this.#options.say(`stops: ${superseded}`);
    return { outcome: "ended", exit: EXIT.ok };
  }

  async #interrupted(): Promise<LoopOutcome> {
    await this.#wait(async () => void (await this.#saving.written()));
    const steps = stepsOf(this.#set, this.#options.plan);
    this.#options.say(`saved at step ${this.#position.step} of ${steps}: asked to stop`);
    return { outcome: "ended", exit: EXIT.interrupted };
  }

  async #result(): Promise<LoopOutcome> {
    const { plan, say } = this.#options;
    const position = this.#position;
    const best = this.#early.best(plan.round);
    if (best && this.#early.over)
      say(
        `round ${plan.round}: stops after epoch ${position.epochIndex}: the loss on the holdout was lowest after epoch ${best.epochIndex + 1}, ${best.loss.toFixed(4)}`,
      );
    if (best && best.step !== this.#before.step + position.step) return { outcome: "best-before", step: best.step };
    const checkpoint = await this.#saving.written();
    if (checkpoint === undefined) throw new Error("there is no checkpoint of the round's end");
    return { outcome: "done", checkpoint, position };
  }

  #progress(): Progress {
    const { say, nowMs, plan, timings } = this.#options;
    return new Progress({
      say,
      nowMs,
      round: plan.round,
      epochs: plan.epochsToAdd,
      steps: stepsOf(this.#set, plan),
      from: this.#begun.position.step,
      medianStepMs: () => timings.medianStepMs,
    });
  }
}

/** Of the state, what was there before the round. */
type Before = Pick<State, "step" | "epoch" | "updates">;

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

function stateAt(position: Position, before: Before, begun: State, { normalisation }: Trained): State {
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
