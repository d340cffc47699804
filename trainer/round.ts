/** The training of one round: from where it begins to its result. */
import { join } from "node:path";
import { canonicalJson } from "../protocol/digest.ts";
import { AccreteError, EXIT } from "../protocol/errors.ts";
import { startKey } from "../protocol/keys.ts";
import type { Checkpoint, Metrics, Plan, RejectedItem } from "../protocol/types.ts";
import type { BeginAt, Beginning } from "./begin.ts";
import type { Saved } from "./checkpoint.ts";
import { evaluate } from "./evaluate.ts";
import { emptyHoldout, extendHoldout, indexesOf, type Holdout } from "./holdout-state.ts";
import { measureLive } from "./measure-live.ts";
import { buildModel, loadDefinition, type Model } from "./model.ts";
import { emptyNormalisation, updateNormalisation, type Normalisation } from "./normalise.ts";
import { Progress } from "./progress.ts";
import { restoreFitting, restoreSlots } from "./restore.ts";
import { writeResult, type Found } from "./result.ts";
import type { Records } from "./records.ts";
import { epochOrder } from "./sampler.ts";
import { numericMask, type Schema } from "./schema.ts";
import { environment, savedOf, Saver, type RunName, type Trained } from "./session.ts";
import { START, type Position, type State } from "./state.ts";
import { Stepper, type Shape } from "./step.ts";
import { supersededBy } from "./superseded.ts";
import { loadTf, useCpu, type Backend, type Tf } from "./tf.ts";
import { batchAt, stepsOf, trainFrom, trainingSet, type TrainingSet } from "./train.ts";
import { readStart } from "./warm-start.ts";

export interface RoundOptions extends BeginAt {
  readonly attempt: number;
  /** SIGTERM has come: save and end */
  readonly stopAsked: () => boolean;
  readonly nowMs: () => number;
}

/** What a round is trained on. */
export interface Data {
  readonly schema: Schema | null;
  readonly records: Records;
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
  readonly #startedMs: number;
  #metricsText: string;

  constructor(options: RoundOptions, name: RunName, from: { beginning: Beginning | null; own: boolean; data: Data }) {
    this.#options = options;
    this.#name = name;
    this.#beginning = from.beginning;
    this.#own = from.own;
    this.#data = from.data;
    this.#startedMs = options.nowMs();
    this.#metricsText = from.beginning?.metricsText ?? "";
  }

  async train(definitionPath: string): Promise<number> {
    const { schema, records } = this.#data;
    const hasWeights = this.#beginning?.weights != null;
    const rows = indexesOf(records, 0).length;
    if (schema === null || (rows === 0 && !hasWeights)) return this.#saveNothingTrained();
    if (hasOneClass(schema)) {
      throw new AccreteError(
        "CONFIG_INVALID",
        `all of the round's records have the label "${schema.classes[0]}": name all classes in data.labels`,
      );
    }

    const { tf, backend } = await loadTf();
    const normalisation = this.#normalisation(schema);
    const set = trainingSet(records, normalisation);
    const shape: Shape = {
      inputShape: schema.inputShape,
      classes: schema.task === "regression" ? 1 : schema.classes.length,
      task: schema.task,
    };
    const definition = await loadDefinition(definitionPath);
    const model = buildModel(tf, definition, this.#name.plan, schema);
    const stepper = new Stepper(tf, model, this.#name.plan, shape);
    const chosen = await this.#chooseBackend(tf, backend, stepper, set);
    const state = await this.#restore(tf, { model, stepper });
    const trained: Trained = { tf, model, stepper, schema, holdout: this.#holdout(schema), normalisation };
    return this.#loop(trained, set, shape, state, chosen);
  }

  /** With this round's records; a checkpoint of this round has them already. */
  #holdout({ task }: Schema): Holdout {
    const before = this.#beginning?.holdout ?? null;
    if (this.#own && before !== null) return before;
    const { records } = this.#data;
    return extendHoldout(before ?? emptyHoldout(records.width, task), records, this.#name.plan.round);
  }

  #normalisation(schema: Schema): Normalisation | null {
    if (schema.columns === null) return null;
    const before = this.#beginning?.state.normalisation ?? null;
    if (this.#own) return before;
    const { records } = this.#data;
    return updateNormalisation(
      before ?? emptyNormalisation(records.width),
      records.features,
      records.width,
      indexesOf(records, 0),
      numericMask(schema),
    );
  }

  /** wasm, unless the model needs what it lacks: found by a step that changes nothing. */
  async #chooseBackend(tf: Tf, backend: Backend, stepper: Stepper, set: TrainingSet): Promise<Backend> {
    const { plan } = this.#name;
    let chosen = backend;
    if (set.rows.length > 0) {
      const batch = batchAt(
        set,
        epochOrder({ seed: plan.seed, epochIndex: 0, records: set.rows.length }),
        0,
        plan.trainer.batchSize,
      );
      const missing = stepper.probe(batch);
      if (missing !== undefined) {
        this.#options.say(`backend: plain JavaScript, as wasm lacks ${missing}`);
        chosen = await useCpu(tf);
        stepper.probe(batch);
      }
    }
    const [now, then] = [environment(chosen), this.#beginning?.restored.manifest.environment];
    const differs = then === undefined ? [] : Object.keys(now).filter((key) => now[key] !== then[key]);
    if (this.#own && differs.length > 0)
      this.#options.say(`the checkpoint was made with another ${differs.join(", ")}: the bits may differ`);
    return chosen;
  }

  /** At the start of a round by `onRound` and `onModelChange`; within it exactly, so that a resume changes no bit. */
  async #restore(tf: Tf, { model, stepper }: Pick<Trained, "model" | "stepper">): Promise<State> {
    const from = this.#beginning;
    const { say } = this.#options;
    const { onRound, onModelChange } = this.#name.plan.trainer;
    if (from?.weights == null) {
      await this.#startWarm(tf, model);
      return this.#untrained();
    }
    const of = `the checkpoint of round ${from.restored.manifest.round}`;
    const how = { of, onModelChange: this.#own ? "fail" : onModelChange, say } as const;
    const takenOver = restoreFitting(tf, model, from.weights, how);
    const reset = !this.#own && onRound.optimizer === "reset";
    const kept = takenOver && !reset && restoreSlots(tf, stepper, from.slots);
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

  async #loop(trained: Trained, set: TrainingSet, shape: Shape, begun: State, backend: Backend): Promise<number> {
    const { plan } = this.#name;
    const { store, say, nowMs } = this.#options;
    const before = {
      step: begun.step - begun.position.step,
      epoch: begun.epoch - begun.position.epochIndex,
      updates: begun.updates - begun.position.step,
    };
    const stateAt = (position: Position): State => ({
      format: 1,
      step: before.step + position.step,
      epoch: before.epoch + position.epochIndex,
      updates: before.updates + position.step,
      position,
      records: begun.records,
      normalisation: trained.normalisation,
    });
    const saver = this.#saver(backend, savedOf(this.#beginning));
    const steps = stepsOf(set, plan);
    const from = begun.position.step;
    const progress = new Progress({ say, nowMs, round: plan.round, epochs: plan.epochsToAdd, steps, from });
    say(
      from > 0
        ? `round ${plan.round}: resumes at step ${from} of ${steps}`
        : `round ${plan.round}: ${set.rows.length} records to train on, ${trained.holdout.count} in the holdout, backend ${backend}`,
    );

    let position = begun.position;
    let lastSave = { step: position.step, ms: nowMs() };
    let final: Checkpoint | undefined;
    for (const done of trainFrom(trained.stepper, set, plan, position, before.updates)) {
      ({ position } = done);
      progress.step(done);
      if (done.epochEnded)
        this.#metricsText += `${canonicalJson({ round: plan.round, epoch: before.epoch + position.epochIndex, step: before.step + position.step, trainLoss: position.epochLoss })}\n`;
      await new Promise((resolve) => setImmediate(resolve)); // signals and timers come between steps
      const stop = this.#options.stopAsked();
      if (!stop && !isSaveDue(plan, done, lastSave, nowMs())) continue;
      final = await saver.save(stateAt(position), trained, this.#metricsText);
      lastSave = { step: position.step, ms: nowMs() };
      if (stop) {
        say(`saved at step ${position.step} of ${steps}: asked to stop`);
        return EXIT.interrupted;
      }
      const superseded = await supersededBy(store, { round: plan.round, attempt: this.#options.attempt });
      if (superseded !== undefined) {
        say(`stops: ${superseded}`);
        return EXIT.ok;
      }
    }
    final ??= await saver.save(stateAt(position), trained, this.#metricsText);
    return this.#finish(final, trained, shape, {
      steps: position.step,
      epochs: position.epochIndex,
      trainLoss: position.epochLoss,
      records: set.rows.length,
    });
  }

  #saver(backend: Backend, before: Saved): Saver {
    const { store, scratch } = this.#options;
    return new Saver({ store, name: this.#name, folder: join(scratch, "save"), backend, before });
  }

  async #finish(
    final: Checkpoint,
    trained: Trained,
    shape: Shape,
    done: { steps: number; epochs: number; trainLoss: number | null; records: number },
  ): Promise<number> {
    const { tf, model, holdout, normalisation } = trained;
    const seconds = (this.#options.nowMs() - this.#startedMs) / 1_000;
    const metrics: Metrics = {
      ...evaluate(tf, model, holdout, shape, normalisation),
      trainRecords: done.records,
      ...(done.trainLoss === null ? {} : { trainLoss: done.trainLoss }),
      seconds,
    };
    const liveMetrics = await measureLive(this.#options, this.#name.plan, trained, shape);
    return this.#writeResult({
      checkpoint: final,
      epochsAdded: done.epochs,
      stepsAdded: done.steps,
      metrics,
      liveMetrics,
    });
  }

  /** Nothing to train on, now or ever before: all items were rejected, or all records belong to the holdout. */
  async #saveNothingTrained(): Promise<number> {
    const { schema } = this.#data;
    const read = schema === null || hasOneClass(schema) ? null : { schema, holdout: this.#holdout(schema) };
    const saver = this.#saver("cpu", new Map());
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
