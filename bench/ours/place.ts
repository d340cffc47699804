/** A state store with one plan for the files of a folder, as the ledger leaves it for the trainer. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { openDirectoryItems } from "../../adapters/directory-items.ts";
import { openDirectoryStore } from "../../adapters/directory-store.ts";
import { DataConfig } from "../../protocol/data-config.ts";
import { sha256 } from "../../protocol/digest.ts";
import { arrivedItem } from "../../protocol/intake.ts";
import { codeKey, planKey } from "../../protocol/keys.ts";
import type { TrainerConfig } from "../../protocol/trainer-config.ts";
import { documentBytes } from "../../protocol/types.ts";
import { planOf } from "../../trainer/testing/plan.ts";

/** A dense network with hidden layers of these units. */
export const moduleOf = (...hidden: readonly number[]): string =>
  `export default { build: ({ tf, inputShape, classes }) => tf.sequential({ layers: [
  ${hidden.map((units, i) => `tf.layers.dense({ name: "hidden${i}", units: ${units}, activation: "relu", ${i === 0 ? "inputShape: [...inputShape]" : ""} })`).join(",\n  ")},
  tf.layers.dense({ name: "out", units: classes })] }) };`;

export interface Place extends Disposable {
  /** what the trainer's process is told */
  readonly env: Readonly<Record<string, string>>;
}

/** @param dataFolder one file in it, at least */
export async function makePlace(
  dataFolder: string,
  options: { module: string; data: Partial<DataConfig>; trainer: Partial<TrainerConfig> },
): Promise<Place> {
  const folder = mkdtempSync(join(tmpdir(), "accrete-bench-"));
  const state = join(folder, "state");
  const store = openDirectoryStore(state);
  const module = new TextEncoder().encode(options.module);
  await store.create(codeKey(sha256(module)), module);
  const { items } = await openDirectoryItems(dataFolder, { settleMs: 0 }).list("");
  const plan = planOf(options.trainer);
  const whole = {
    ...plan,
    items: items.map(arrivedItem),
    code: sha256(module),
    epochsToAdd: plan.trainer.epochs,
    data: DataConfig.parse({ format: "csv", ...options.data }),
  };
  await store.create(planKey(1), documentBytes("plan", planKey(1), whole));
  return {
    env: {
      ACCRETE_PLAN: planKey(1),
      ACCRETE_STATE: pathToFileURL(state).href,
      ACCRETE_DATA: pathToFileURL(dataFolder).href,
      ACCRETE_ATTEMPT: "1",
    },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}
