/** The plan's live checkpoint, measured on the same holdouts as the round's own, so that the gate can compare them. */
import { join } from "node:path";
import { canonicalJson } from "../protocol/digest.ts";
import { AccreteError, messageOf } from "../protocol/errors.ts";
import type { Checkpoint, Metrics, Plan } from "../protocol/types.ts";
import { isBroken, readCheckpoint, type BeginAt, type Beginning } from "./begin.ts";
import { fetchCode } from "./code.ts";
import { evaluate } from "./evaluate.ts";
import { buildModel, loadDefinition, type Model } from "./model.ts";
import { restoreInOrder, restoreWeights } from "./restore.ts";
import type { Trained } from "./session.ts";
import type { Shape } from "./step.ts";
import { missingKernel } from "./eager-step.ts";
import { useCpu, type Tf } from "./tf.ts";

/** What will be so at each attempt; anything else may pass. */
const LASTING: ReadonlySet<string> = new Set(["MODEL_INVALID", "MODEL_NOT_LOADABLE", "CODE_MISMATCH"]);

/**
 * Comes last: live's weights may take the place of the round's own, which are saved, and the backend may be another one afterwards.
 * @returns null if there is no live checkpoint, or, having said why, if it can't be measured
 */
export async function measureLive(at: BeginAt, plan: Plan, trained: Trained, shape: Shape): Promise<Metrics | null> {
  if (plan.live === null) return null;
  try {
    return await measure(at, { plan, live: plan.live }, trained, shape);
  } catch (error) {
    const lasts = isBroken(error) || (error instanceof AccreteError && LASTING.has(error.code));
    if (!lasts) throw error; // it may pass, and the gate needs the figures
    at.say(`live (round ${plan.live.round}) can't be measured: ${messageOf(error)}`);
    return null;
  }
}

async function measure(
  at: BeginAt,
  { plan, live }: { plan: Plan; live: Checkpoint },
  trained: Trained,
  shape: Shape,
): Promise<Metrics> {
  const { tf, holdout, schema } = trained;
  const checkpoint = await readCheckpoint(at, live, "live");
  if (!checkpoint.hasWeights || canonicalJson(checkpoint.schema) !== canonicalJson(schema))
    throw new AccreteError("MODEL_INVALID", "it was trained on data of another schema");
  const { normalisation } = checkpoint.state;
  if (checkpoint.restored.manifest.code === plan.code) {
    restoreWeights(tf, trained.model, checkpoint.weights(), "live");
    return evaluate(tf, trained.model, holdout, shape, normalisation);
  }
  const model = await buildLive(at, plan, trained, checkpoint);
  try {
    return await evaluateOther(at, tf, () => evaluate(tf, model, holdout, shape, normalisation));
  } finally {
    model.network.dispose();
  }
}

/** The backend was chosen for the round's own model. */
async function evaluateOther(at: BeginAt, tf: Tf, figures: () => Promise<Metrics>): Promise<Metrics> {
  try {
    return await figures();
  } catch (cause) {
    const missing = missingKernel(tf, cause);
    if (missing === undefined && cause instanceof AccreteError) throw cause;
    if (missing === undefined)
      throw new AccreteError("MODEL_INVALID", `its model throws: ${messageOf(cause)}`, { cause });
    at.say(`live is measured with plain JavaScript, as wasm lacks ${missing}`);
    await useCpu(tf);
    return evaluateOther(at, tf, figures);
  }
}

/** In the network that its own code builds: with another one, weights of the same shapes would give another model. */
async function buildLive(at: BeginAt, plan: Plan, { tf, schema }: Trained, live: Beginning): Promise<Model> {
  const path = join(at.scratch, "live.mjs");
  await fetchCode(at.store, live.restored.manifest.code, path);
  const definition = await loadDefinition(path);
  const model = buildModel(tf, definition, { seed: plan.seed, trainer: { trainable: null } }, schema);
  restoreInOrder(tf, model, live.weights(), "live");
  return model;
}
