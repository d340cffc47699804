/** The training of one round: from where it begins to its result. */
import { join } from "node:path";
import { AccreteError } from "../protocol/errors.ts";
import { startKey } from "../protocol/keys.ts";
import type { Checkpoint, Manifest, Metrics, Plan, RejectedItem } from "../protocol/types.ts";
import { ownAtStep, type BeginAt, type Beginning } from "./begin.ts";
import type { Saved } from "./checkpoint.ts";
import { writeHere, type CheckpointWriter } from "./checkpoint-writer.ts";
import { chooseStepper } from "./choose-stepper.ts";
import { classWeightsOf } from "./class-weights.ts";
import { differenceText, environment, usesBfloat16, usesGpu, type EnvironmentOptions } from "./environment.ts";
import { evaluate } from "./evaluate.ts";
import { emptyHoldout, extendHoldout, type Holdout } from "./holdout-state.ts";
import { trainLoop } from "./loop.ts";
import { measureLive } from "./measure-live.ts";
import { buildModel, loadDefinition, type Model } from "./model.ts";
import { nextTurn } from "./next-turn.ts";
import { stepRecords } from "./micro-batches.ts";
import { emptyNormalisation, normalisedRecords, updateNormalisation } from "./normalise.ts";
import { augmentationOf } from "./packed/augment.ts";
import { floatsOf, type PackedRecords } from "./packed/records.ts";
import { restoreFitting, restoreSlots, restoreWeights } from "./restore.ts";
import { writeResult, type Found } from "./result.ts";
import type { Normalisation } from "./scale.ts";
import { numericMask, type Schema } from "./schema.ts";
import { savedOf, Saver, type RunName, type Trained } from "./session.ts";
import { START, type Position, type State } from "./state.ts";
import { shapeOf, type Shape, type Stepper } from "./step.ts";
import { loadTf, type LoadOptions, type Loaded, type Tf } from "./tf.ts";
import type { Timings } from "./timings.ts";
import { firstBatch, stepsOf, trainingSet, type TrainingSet } from "./train.ts";
import { readStart } from "./warm-start.ts";
import { evaluationLimitMs, HANG_LEAST_MS, stepLimitMs, UNWATCHED, type Watchdog } from "./watchdog.ts";

export interface RoundOptions extends BeginAt, LoadOptions, EnvironmentOptions {
  readonly attempt: number;
  /** SIGTERM has come: save and end */
  readonly stopAsked: () => boolean;
  /** told whether there may be something to save: while so, `stopAsked` is looked at between steps; else a signal may end the process at once */
  readonly unsaved: (is: boolean) => void;
  readonly nowMs: () => number;
  /** @default nobody looks whether it hangs */
  readonly watchdog?: Watchdog | undefined;
  /** milliseconds: what takes less never hangs. @default HANG_LEAST_MS */
  readonly hangLeastMs?: number | undefined;
  /** of checkpoints into the store; @default on this thread */
  readonly writer?: CheckpointWriter | undefined;
}

/** What a round is trained on. */
export interface Data {
  readonly schema: Schema | null;
  readonly records: PackedRecords;
  readonly rejected: readonly RejectedItem[];
  /** of the items that are not rejected, and what was read of them */
  readonly digest: string;
}

export class Round {
  readonly #options: RoundOptions;
  readonly #name: RunName;
  readonly #beginning: Beginning | null;
  /** the beginning is a checkpoint of this round */
  readonly #own: boolean;
  readonly #data: Data;
  readonly #timings: Timings;
  readonly #loaded: Loaded | undefined;
  readonly #startedMs: number;
  readonly #watchdog: Watchdog;
  readonly #hangLeastMs: number;

  constructor(
    options: RoundOptions,
    name: RunName,
    from: { beginning: Beginning | null; own: boolean; data: Data; timings: Timings; loaded?: Loaded | undefined },
  ) {
    this.#options = options;
    this.#name = name;
    this.#beginning = from.beginning;
    this.#own = from.own;
    this.#data = from.data;
    this.#timings = from.timings;
    this.#loaded = from.loaded;
    this.#watchdog = options.watchdog ?? UNWATCHED;
    this.#hangLeastMs = options.hangLeastMs ?? HANG_LEAST_MS;
    this.#startedMs = options.nowMs();
  }

  async train(definitionPath: string): Promise<number> {
    const { schema, records } = this.#data;
    const hasWeights = this.#beginning?.hasWeights === true;
    const rows = records.train.length;
    if (schema === null || (rows === 0 && !hasWeights)) return this.#saveNothingTrained();
    if (hasOneClass(schema)) {
      throw new AccreteError(
        "CONFIG_INVALID",
        `all of the round's records have the label "${schema.classes[0]}": name all classes in data.labels`,
      );
    }

    const { plan } = this.#name;
    const augmentation = augmentationOf(plan.data.augment, schema.inputShape);
    const began = this.#loaded ?? (await loadTf(this.#options));
    const { tf } = began;
    const normalisation = this.#normalisation(schema);
    const classWeights = classWeightsOf(plan.trainer, schema, records);
    const set = trainingSet(records, { normalisation, augmentation, classWeights });
    const shape = shapeOf(schema, plan.trainer);
    const definition = await loadDefinition(definitionPath);
    const model = buildModel(tf, definition, plan, schema);
    const takenOver = await this.#restoreWeights(tf, model);
    const { say, scratch } = this.#options;
    const batch = firstBatch(set, plan);
    const sizes = sizesOf(set, plan);
    this.#watchdog.begin("step", 1, stepLimitMs(this.#hangLeastMs, undefined)); // it tries the model
    const bfloat16 = usesBfloat16(plan.trainer, this.#options, began, say);
    const { stepper, loaded } = await chooseStepper(began, {
      model,
      plan,
      shape,
      batch,
      sizes,
      bfloat16,
      say,
      scratch,
    });
    this.#watchdog.end();
    this.#sayWhereOtherwise(loaded, stepper);
    const state = await this.#restoreState(stepper, takenOver);
    const trained: Trained = { tf, model, stepper, schema, holdout: this.#holdout(schema), normalisation };
    return this.#loop(trained, set, shape, state, loaded);
  }

  /** With this round's records; a checkpoint of this round has them already. */
  #holdout({ task }: Schema): Holdout {
    const before = this.#beginning?.holdout ?? null;
    if (this.#own && before !== null) return before;
    const { records } = this.#data;
    return extendHoldout(before ?? emptyHoldout(records.width, task), records, this.#name.plan.round);
  }

  #normalisation(schema: Schema): Normalisation | null {
    const { data } = this.#name.plan;
    if (schema.columns === null || data.normalise === "none") return null;
    const before = this.#beginning?.state.normalisation ?? null;
    if (this.#own) return before;
    const { records } = this.#data;
    return updateNormalisation(before ?? emptyNormalisation(records.width), floatsOf(records, records.train), {
      numeric: numericMask(schema),
      until: normalisedRecords(data),
    });
  }

  /** The round's own checkpoint was made by another machine. */
  #sayWhereOtherwise(loaded: Loaded, { kind }: Stepper): void {
    const then = this.#beginning?.restored.manifest.environment;
    if (!this.#own || then === undefined) return;
    const differs = differenceText(then, environment(this.#options, loaded, kind));
    if (differs !== "") this.#options.say(`the checkpoint was made elsewhere (${differs}): the bits may differ`);
  }

  /** At the start of a round as `onModelChange` says; within it exactly, so that a resume changes no bit. @returns whether there were any */
  async #restoreWeights(tf: Tf, model: Model): Promise<boolean> {
    const from = this.#beginning;
    if (from?.hasWeights !== true) {
      await this.#startWarm(tf, model);
      return false;
    }
    const of = `the checkpoint of round ${from.restored.manifest.round}`;
    const onModelChange = this.#own ? "fail" : this.#name.plan.trainer.onModelChange;
    return restoreFitting(tf, model, from.weights(), { of, onModelChange, say: this.#options.say });
  }

  /** At the start of a round as `onRound` says. */
  async #restoreState(stepper: Stepper, takenOver: boolean): Promise<State> {
    const from = this.#beginning;
    if (from?.hasWeights !== true) return this.#untrained();
    const { say } = this.#options;
    const reset = !this.#own && this.#name.plan.trainer.onRound.optimizer === "reset";
    const kept = takenOver && !reset && restoreSlots(stepper, from.slots());
    if (reset) say("the optimizer begins anew, as onRound says");
    else if (!kept) say("the optimizer or what it trains was changed: it begins anew");
    return { ...from.state, updates: kept ? from.state.updates : 0, records: this.#data.digest };
  }

  async #startWarm(tf: Tf, model: Model): Promise<void> {
    const { store, scratch, say } = this.#options;
    const { start, trainer } = this.#name.plan;
    if (start === null) return;
    const weights = await readStart(store, start, scratch);
    const how = { of: "the weights of trainer.start", onModelChange: trainer.onModelChange, say };
    if (restoreFitting(tf, model, weights, how)) say(`a warm start with the weights of ${startKey(start)}`);
  }

  #untrained(): State {
    return {
      format: 1,
      step: 0,
      epoch: 0,
      updates: 0,
      position: START,
      records: this.#data.digest,
      normalisation: null,
    };
  }

  async #loop(trained: Trained, set: TrainingSet, shape: Shape, begun: State, loaded: Loaded): Promise<number> {
    const { plan } = this.#name;
    const { say } = this.#options;
    const from = begun.position.step;
    say(
      from > 0
        ? `round ${plan.round}: resumes at step ${from} of ${stepsOf(set, plan)}`
        : `round ${plan.round}: ${set.rows.length} records to train on, ${trained.holdout.count} in the holdout, backend ${loaded.backend}, ${trained.stepper.kind}`,
    );
    const saver = this.#saver(environment(this.#options, loaded, trained.stepper.kind), savedOf(this.#beginning));
    const metricsText = this.#beginning?.metricsText ?? "";
    const holdoutLoss = this.#holdoutLoss(trained, shape);
    const [timings, watchdog, hangLeastMs] = [this.#timings, this.#watchdog, this.#hangLeastMs];
    const options = { ...this.#options, plan, saver, metricsText, holdoutLoss, timings, watchdog, hangLeastMs };
    await nextTurn(); // a signal that came while the model was tried: there is nothing to save for it yet
    this.#options.unsaved(true);
    const ended = await trainLoop(options, trained, set, begun);
    if (ended.outcome === "ended") return ended.exit;
    this.#options.unsaved(false);
    trained.stepper.pull();
    const { checkpoint, position } = ended.outcome === "done" ? ended : await this.#goBack(trained, ended.step);
    return this.#finish(checkpoint, trained, shape, {
      gpu: usesGpu(loaded),
      steps: position.step,
      epochs: position.epochIndex,
      trainLoss: position.epochLoss,
      records: set.rows.length,
    });
  }

  /** For early stopping; null: none is asked for, or there is nothing to go by. */
  #holdoutLoss({ tf, model, stepper, holdout, normalisation }: Trained, shape: Shape): (() => Promise<number>) | null {
    if (this.#name.plan.trainer.earlyStopping === null) return null;
    if (holdout.count === 0) {
      this.#options.say("there is no record in the holdout yet: no early stopping in this round");
      return null;
    }
    return async () => {
      stepper.pull();
      return (await evaluate(tf, model, holdout, shape, normalisation))["loss"] ?? NaN;
    };
  }

  /** Puts the weights of this round's checkpoint of a step into the model. No step comes after it. */
  async #goBack({ tf, model }: Trained, step: number): Promise<{ checkpoint: Checkpoint; position: Position }> {
    const best = await ownAtStep(this.#options, this.#name, this.#data.digest, step, "best");
    if (!best?.hasWeights)
      throw new AccreteError("CHECKPOINT_NOT_WHOLE", `the best epoch's checkpoint, of step ${step}, can't be read`);
    restoreWeights(tf, model, best.weights(), `the checkpoint of step ${step}`);
    const { restored, state } = best;
    const { round, epoch } = restored.manifest;
    const checkpoint = { manifest: restored.manifestKey, sha256: restored.manifestSha256, round, step, epoch };
    return { checkpoint, position: state.position };
  }

  #saver(environmentOfRun: Manifest["environment"], before: Saved): Saver {
    const { store, scratch } = this.#options;
    const writer = this.#options.writer ?? writeHere(store, join(scratch, "save"));
    return new Saver({ writer, name: this.#name, environment: environmentOfRun, before });
  }

  async #finish(
    final: Checkpoint,
    trained: Trained,
    shape: Shape,
    done: { gpu: boolean; steps: number; epochs: number; trainLoss: number | null; records: number },
  ): Promise<number> {
    const { tf, model, holdout, normalisation } = trained;
    const timings = this.#timings;
    const batches = 2 * Math.ceil(holdout.count / this.#name.plan.trainer.batchSize); // live comes after
    this.#watchdog.begin("evaluation", done.steps, evaluationLimitMs(this.#hangLeastMs, timings.medianStepMs, batches));
    const measured = await timings.measure("evaluate", () => evaluate(tf, model, holdout, shape, normalisation));
    const liveMetrics = await timings.measure("evaluate", () =>
      measureLive(this.#options, this.#name.plan, trained, shape),
    );
    this.#watchdog.end();
    const metrics: Metrics = {
      ...measured,
      trainRecords: done.records,
      ...(done.trainLoss === null ? {} : { trainLoss: done.trainLoss }),
      ...this.#runMetrics(done.gpu),
    };
    return this.#writeResult({
      checkpoint: final,
      epochsAdded: done.epochs,
      stepsAdded: done.steps,
      metrics,
      liveMetrics,
    });
  }

  /** What it took: of this process, not of attempts before it. */
  #runMetrics(gpu: boolean): Metrics {
    const gpuBytes = gpu ? this.#options.readGpu?.()?.usedBytes : undefined;
    return {
      seconds: (this.#options.nowMs() - this.#startedMs) / 1_000,
      ...this.#timings.metrics(),
      "run.peakBytes": process.resourceUsage().maxRSS * 1_024,
      ...(gpuBytes === undefined ? {} : { "run.gpuBytes": gpuBytes }),
    };
  }

  /** Nothing to train on, now or ever before: all items were rejected, or all records belong to the holdout. */
  async #saveNothingTrained(): Promise<number> {
    const { schema } = this.#data;
    const read = schema === null || hasOneClass(schema) ? null : { schema, holdout: this.#holdout(schema) };
    const saver = this.#saver(environment(this.#options, null, null), new Map());
    const checkpoint = await saver.saveUntrained(this.#untrained(), read);
    return this.#writeResult({
      checkpoint,
      epochsAdded: 0,
      stepsAdded: 0,
      metrics: { holdoutRecords: read?.holdout.count ?? 0 },
      liveMetrics: null,
    });
  }

  #writeResult(found: Found): Promise<number> {
    return writeResult(this.#options, this.#name, this.#data.rejected, found);
  }
}

/** Of the first records: another class would never have a place in the model. */
function hasOneClass({ task, classes }: Schema): boolean {
  return task === "classification" && classes.length < 2;
}

/** How many records the batches of an epoch have: all the same, but for the last one. */
function sizesOf({ rows }: TrainingSet, { trainer }: Plan): number[] {
  const records = stepRecords(trainer);
  return [Math.min(records, rows.length), rows.length % records].filter((size) => size > 0);
}
