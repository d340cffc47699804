/** Where a run goes on from: the newest whole checkpoint of its own round, else the plan's parent, else nothing. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { AccreteError, messageOf } from "../protocol/errors.ts";
import { parseCheckpointFile } from "../protocol/keys.ts";
import type { Store } from "../protocol/ports.ts";
import type { Checkpoint, Plan } from "../protocol/types.ts";
import { manifestsOf, restore, type Restored } from "./checkpoint.ts";
import { holdoutOf, type Holdout } from "./holdout-state.ts";
import type { SavedTensors } from "./restore.ts";
import { openSafetensors, readSafetensors } from "./safetensors.ts";
import { parseSchema, type Schema } from "./schema.ts";
import { parseState, START, type State } from "./state.ts";

/** A checkpoint's contents. Of one that was saved with nothing trained yet, the weights are missing, and schema and holdout where no data was read yet. */
export interface Beginning {
  readonly restored: Restored;
  readonly state: State;
  readonly schema: Schema | null;
  readonly hasWeights: boolean;
  readonly holdout: Holdout | null;
  readonly metricsText: string;
  /** Of its files, where they lie: a large model does not fit twice. None where there is no such file. */
  weights(): SavedTensors;
  slots(): SavedTensors;
}

export interface BeginAt {
  readonly store: Store;
  /** an empty folder of the run's own */
  readonly scratch: string;
  readonly say: (line: string) => void;
}

/** Which checkpoints of a round are a run's own. */
export interface OwnPlan {
  readonly plan: Plan;
  readonly planSha256: string;
}

/**
 * The newest whole checkpoint of this very plan. One that is not whole is said, and the next older one is taken; so is one whose best
 * epoch's (early stopping) is not: the round's result would be lost, and is trained again.
 * @param records only one that was trained on the records of this digest
 */
export async function ownBeginning(
  at: BeginAt,
  plan: Plan,
  planSha256: string,
  records?: string,
): Promise<Beginning | null> {
  for (const [i, key] of (await manifestsOf(at.store, plan.round)).entries()) {
    const own = await readOwn(at, { plan, planSha256 }, key, `own-${i}`);
    if (own === null || (records !== undefined && own.state.records !== records)) continue;
    const best = own.state.stopping?.best?.step ?? own.state.step;
    if (best === own.state.step) return own;
    if ((await ownAtStep(at, { plan, planSha256 }, own.state.records, best, `best-of-${i}`)) !== null) return own;
    at.say(`CHECKPOINT_NOT_WHOLE: the best epoch's, of step ${best}, can't be read; it is trained again`);
  }
  return null;
}

/** A whole checkpoint of this very plan and these records with so many steps. Any will do: they have the same bits. */
export async function ownAtStep(
  at: BeginAt,
  own: OwnPlan,
  records: string,
  step: number,
  folder: string,
): Promise<Beginning | null> {
  for (const [i, key] of (await manifestsOf(at.store, own.plan.round)).entries()) {
    if (parseCheckpointFile(key)?.step !== step) continue;
    const beginning = await readOwn(at, own, key, `${folder}-${i}`);
    if (beginning?.state.records === records) return beginning;
  }
  return null;
}

/** @returns null if it is another plan's, or, having said so, not whole */
async function readOwn(
  at: BeginAt,
  { planSha256 }: OwnPlan,
  manifest: string,
  folder: string,
): Promise<Beginning | null> {
  try {
    const restored = await restore(at.store, manifest, join(at.scratch, folder));
    return restored.manifest.plan === planSha256 ? await contents(restored) : null;
  } catch (error) {
    if (!isBroken(error)) throw error;
    at.say(`CHECKPOINT_NOT_WHOLE: ${messageOf(error)}; going on from the next older checkpoint`);
    return null;
  }
}

/** The plan's parent, at the start of a round. @throws {AccreteError} PARENT_NOT_WHOLE */
export async function parentBeginning(at: BeginAt, plan: Plan): Promise<Beginning | null> {
  if (plan.parent === null) return null;
  try {
    const beginning = await readCheckpoint(at, plan.parent, "parent");
    const { stopping: _, ...state } = beginning.state;
    return { ...beginning, state: { ...state, position: START } };
  } catch (cause) {
    if (isBroken(cause))
      throw new AccreteError("PARENT_NOT_WHOLE", `the checkpoint of round ${plan.parent.round}: ${messageOf(cause)}`, {
        cause,
      });
    throw cause;
  }
}

export async function readCheckpoint(at: BeginAt, checkpoint: Checkpoint, folder: string): Promise<Beginning> {
  return contents(await restore(at.store, checkpoint.manifest, join(at.scratch, folder), checkpoint.sha256));
}

/** Damage in the store, as against a store that can't be read just now. */
export function isBroken(error: unknown): boolean {
  return (
    error instanceof AccreteError &&
    ["CHECKPOINT_NOT_WHOLE", "STORED_NOT_READABLE", "STORED_TOO_LARGE"].includes(error.code)
  );
}

async function contents(restored: Restored): Promise<Beginning> {
  const folder = restored.manifestKey;
  const text = async (name: string): Promise<string | undefined> => {
    const path = restored.path(name);
    return path && new TextDecoder("utf-8", { fatal: true }).decode(await readFile(path));
  };
  const tensors = (name: string): SavedTensors => {
    const path = restored.path(name);
    return path === undefined ? new Map() : openSafetensors(path, `${folder}: ${name}`);
  };
  const state = await text("state.json");
  if (state === undefined) throw new AccreteError("CHECKPOINT_NOT_WHOLE", `${folder} lists no state.json`);
  const schema = await text("schema.json");
  const holdout = restored.path("holdout.safetensors");
  return {
    restored,
    state: parseState(state, folder),
    schema: schema === undefined ? null : parseSchema(schema),
    hasWeights: restored.path("weights.safetensors") !== undefined,
    weights: () => tensors("weights.safetensors"),
    slots: () => tensors("optimizer.safetensors"),
    holdout:
      holdout === undefined
        ? null
        : holdoutOf(readSafetensors(holdout, `${folder}: holdout.safetensors`), `${folder}: holdout`),
    metricsText: (await text("metrics.jsonl")) ?? "",
  };
}
