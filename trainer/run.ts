/** One run of the trainer, from the plan to the result: the steps of docs/protocol.md, "The trainer", in their order. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { canonicalJson, itemId, sha256 } from "../protocol/digest.ts";
import { AccreteError, EXIT, messageOf } from "../protocol/errors.ts";
import { codeKey, resultKey } from "../protocol/keys.ts";
import type { Items, Store } from "../protocol/ports.ts";
import {
  documentBytes,
  parseDocument,
  type Checkpoint,
  type Metrics,
  type Plan,
  type RejectedItem,
  type Result,
} from "../protocol/types.ts";
import { isBroken, ownBeginning, parentBeginning, readCheckpoint, type Beginning } from "./begin.ts";
import { evaluate } from "./evaluate.ts";
import { DataUnusable } from "./failure.ts";
import { emptyHoldout, extendHoldout, indexesOf, type Holdout } from "./holdout-state.ts";
import { buildModel, loadDefinition } from "./model.ts";
import { emptyNormalisation, updateNormalisation, type Normalisation } from "./normalise.ts";
import { Progress } from "./progress.ts";
import { readRecords, type Records } from "./records.ts";
import { epochOrder } from "./sampler.ts";
import { numericMask, type Schema } from "./schema.ts";
import { environment, restoreSlots, restoreWeights, savedOf, Saver, type RunName, type Trained } from "./session.ts";
import { stageItems } from "./stage.ts";
import { START, type Position, type State } from "./state.ts";
import { Stepper, type Shape } from "./step.ts";
import { supersededBy } from "./superseded.ts";
import { loadTf, useCpu, type Backend, type Tf } from "./tf.ts";
import { batchAt, stepsOf, trainFrom, trainingSet, type TrainingSet } from "./train.ts";

export interface RunOptions {
  readonly store: Store;
  readonly items: Items;
  readonly planKey: string;
  readonly attempt: number;
  readonly retry: number;
  /** drawn at the start of the process: [0-9a-z]{1,32} */
  readonly run: string;
  /** an empty folder of this run's own */
  readonly scratch: string;
  readonly say: (line: string) => void;
  /** SIGTERM has come: save and end */
  readonly stopAsked: () => boolean;
  /** told when there may be something to save: from here on `stopAsked` is looked at between steps */
  readonly begin: () => void;
  readonly nowMs: () => number;
}

/** What a round is trained on. */
interface Data {
  readonly schema: Schema | null;
  readonly records: Records;
  readonly rejected: readonly RejectedItem[];
  /** of the items that are not rejected, and what was read of them */
  readonly digest: string;
}

export async function readPlan(store: Store, key: string): Promise<{ plan: Plan; sha256: string }> {
  const stored = await store.get(key);
  if (stored === undefined) throw new AccreteError("PLAN_NOT_FOUND", `${key} is not in the state store`);
  return { plan: parseDocument("plan", key, stored.body), sha256: sha256(stored.body) };
}

/** @returns the exit code @throws what ends the attempt otherwise */
export async function runTrainer(options: RunOptions, plan: Plan, planSha256: string): Promise<number> {
  const { store, say } = options;
  const at = { round: plan.round, attempt: options.attempt };
  const superseded = await supersededBy(store, at);
  if (superseded !== undefined) {
    say(`nothing to do: ${superseded}`);
    return EXIT.ok;
  }
  const definitionPath = await fetchCode(options, plan);
  const { beginning, own, data } = await beginAndRead(options, plan, planSha256);
  const tooMany = data.rejected.length > 10 && data.rejected.length > plan.items.length / 100;
  if (tooMany)
    throw new DataUnusable(
      `${data.rejected.length} of ${plan.items.length} items can't be used; the first: ${data.rejected[0]!.item.key}: ${data.rejected[0]!.message}`,
      data.rejected.map(({ item }) => item.key),
    );
  if (options.stopAsked()) return EXIT.killedBySigterm;
  options.begin();

  const name: RunName = { plan, planSha256, attempt: `${options.attempt}.${options.retry}`, run: options.run };
  const round = new Round(options, name, { beginning, own, data });
  return round.train(definitionPath);
}

async function fetchCode({ store, scratch }: RunOptions, plan: Plan): Promise<string> {
  const stored = await store.get(codeKey(plan.code));
  if (stored === undefined || sha256(stored.body) !== plan.code) {
    throw new AccreteError(
      "CODE_MISMATCH",
      `${codeKey(plan.code)} ${stored === undefined ? "is not there" : "is not what its name says"}`,
    );
  }
  const path = join(scratch, "model.mjs");
  await writeFile(path, stored.body);
  return path;
}

/** The checkpoint to go on from, and the records. A checkpoint of this round counts only if it was made from these very records. */
async function beginAndRead(
  options: RunOptions,
  plan: Plan,
  planSha256: string,
): Promise<{ beginning: Beginning | null; own: boolean; data: Data }> {
  const { scratch, say, store } = options;
  const at = { store, scratch, say };
  const staged = await stageItems(options.items, plan, join(scratch, "items"), (done, bytes) => {
    if (done === plan.items.length) say(`round ${plan.round}: ${done} items staged, ${bytes} bytes`);
  });
  const read = async (schema: Schema | null): Promise<Data> => {
    const { schema: found, records, rejected } = await readRecords(staged.files, { data: plan.data, schema, scratch });
    const all = [...staged.rejected, ...rejected];
    const out = new Set(all.map(({ item }) => itemId(item)));
    const used = plan.items.map(itemId).filter((id) => !out.has(id));
    return { schema: found, records, rejected: all, digest: sha256(canonicalJson({ used, count: records.count })) };
  };
  const own = await ownBeginning(at, plan, planSha256);
  if (own !== null) {
    const data = await read(own.schema);
    if (own.state.records === data.digest) return { beginning: own, own: true, data };
    say(`the data is not what this round's newest checkpoint was trained on: an item has gone since`);
  }
  const parent = await parentBeginning(at, plan);
  const data = await read(parent?.schema ?? null);
  // one with fewer steps, but of a run that the item was gone for already
  const earlier = own === null ? null : await ownBeginning(at, plan, planSha256, data.digest);
  return earlier === null ? { beginning: parent, own: false, data } : { beginning: earlier, own: true, data };
}

class Round {
  readonly #options: RunOptions;
  readonly #name: RunName;
  readonly #beginning: Beginning | null;
  /** the beginning is a checkpoint of this round */
  readonly #own: boolean;
  readonly #data: Data;
  readonly #startedMs: number;
  #metricsText: string;

  constructor(options: RunOptions, name: RunName, from: { beginning: Beginning | null; own: boolean; data: Data }) {
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
        `all of the round's records have the label "${schema.classes[0]}": name all classes in data.labels, then give the round up with \`accrete rollback --to head\``,
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
    const state = this.#restore(tf, { model, stepper });
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

  #restore(tf: Tf, { model, stepper }: Pick<Trained, "model" | "stepper">): State {
    const from = this.#beginning;
    const fresh: State = {
      format: 1,
      step: 0,
      epoch: 0,
      updates: 0,
      position: START,
      records: this.#data.digest,
      normalisation: null,
    };
    if (from?.weights == null) return fresh;
    restoreWeights(tf, model, from.weights, `the checkpoint of round ${from.restored.manifest.round}`);
    const kept = restoreSlots(tf, stepper, from.slots);
    if (!kept) this.#options.say("the optimizer was changed: it begins anew");
    return { ...from.state, updates: kept ? from.state.updates : 0, records: this.#data.digest };
  }

  async #loop(trained: Trained, set: TrainingSet, shape: Shape, begun: State, backend: Backend): Promise<number> {
    const { plan } = this.#name;
    const { store, say, scratch, nowMs } = this.#options;
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
    const saver = new Saver({
      store,
      name: this.#name,
      folder: join(scratch, "save"),
      backend,
      before: savedOf(this.#beginning),
    });
    const progress = new Progress({
      say,
      nowMs,
      round: plan.round,
      epochs: plan.epochsToAdd,
      steps: stepsOf(set, plan),
      from: begun.position.step,
    });
    say(
      begun.position.step > 0
        ? `round ${plan.round}: resumes at step ${begun.position.step} of ${stepsOf(set, plan)}`
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
        say(`saved at step ${position.step} of ${stepsOf(set, plan)}: asked to stop`);
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
    const liveMetrics = await this.#measureLive(trained, shape);
    return this.#writeResult({
      checkpoint: final,
      epochsAdded: done.epochs,
      stepsAdded: done.steps,
      metrics,
      liveMetrics,
    });
  }

  /** The plan's live checkpoint on the same holdouts, in the same network: its weights take the place of ours, which are saved. */
  async #measureLive({ tf, model, holdout, schema }: Trained, shape: Shape): Promise<Metrics | null> {
    const { plan } = this.#name;
    const { store, scratch, say } = this.#options;
    if (plan.live === null) return null;
    try {
      const live = await readCheckpoint({ store, scratch, say }, plan.live, "live");
      if (live.weights === null || canonicalJson(live.schema) !== canonicalJson(schema))
        throw new AccreteError("MODEL_INVALID", "it was trained on data of another schema");
      restoreWeights(tf, model, live.weights, "live");
      return evaluate(tf, model, holdout, shape, live.state.normalisation);
    } catch (error) {
      const lasts = isBroken(error) || (error instanceof AccreteError && error.code === "MODEL_INVALID");
      if (!lasts) throw error; // it may pass, and the gate needs the figures
      say(`live (round ${plan.live.round}) can't be measured: ${messageOf(error)}`);
      return null;
    }
  }

  /** Nothing to train on, now or ever before: all items were rejected, or all records belong to the holdout. */
  async #saveNothingTrained(): Promise<number> {
    const { store, scratch } = this.#options;
    const { schema } = this.#data;
    const read = schema === null || hasOneClass(schema) ? null : { schema, holdout: this.#holdout(schema) };
    const saver = new Saver({
      store,
      name: this.#name,
      folder: join(scratch, "save"),
      backend: "cpu",
      before: new Map(),
    });
    const state: State = {
      format: 1,
      step: 0,
      epoch: 0,
      updates: 0,
      position: START,
      records: this.#data.digest,
      normalisation: null,
    };
    const checkpoint = await saver.saveUntrained(state, read);
    return this.#writeResult({
      checkpoint,
      epochsAdded: 0,
      stepsAdded: 0,
      metrics: { holdoutRecords: read?.holdout.count ?? 0 },
      liveMetrics: null,
    });
  }

  async #writeResult(
    found: Pick<Result, "checkpoint" | "epochsAdded" | "stepsAdded" | "metrics" | "liveMetrics">,
  ): Promise<number> {
    const { plan, planSha256, attempt } = this.#name;
    const { store, say } = this.#options;
    const key = resultKey(plan.round);
    const result: Result = {
      format: 1,
      round: plan.round,
      plan: planSha256,
      attempt,
      rejected: [...this.#data.rejected],
      ...found,
    };
    const body = documentBytes("result", key, result);
    let written = await store.create(key, body);
    if (written === "unknown") written = await store.create(key, body);
    if (written === "unknown") throw new Error(`${key}: whether it was written is not known`);
    say(written === "won" ? `round ${plan.round}: done` : `round ${plan.round}: another run was first`);
    return EXIT.ok;
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
