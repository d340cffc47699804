/** One run of the trainer, from the plan to the result: the steps of docs/protocol.md, "The trainer", in their order. */
import { join } from "node:path";
import { canonicalJson, itemId, sha256 } from "../protocol/digest.ts";
import { AccreteError, EXIT } from "../protocol/errors.ts";
import type { Items, Store } from "../protocol/ports.ts";
import { parseDocument, type Plan } from "../protocol/types.ts";
import { ownBeginning, parentBeginning, type Beginning } from "./begin.ts";
import { fetchCode } from "./code.ts";
import { DataUnusable } from "./failure.ts";
import { knownContents } from "./holdout-state.ts";
import { loadWithGpu, type PromisedGpus } from "./promised-gpus.ts";
import { Reader } from "./reader-process.ts";
import { readRecords } from "./records.ts";
import { Round, type Data, type RoundOptions } from "./round.ts";
import type { RunName } from "./session.ts";
import { stageItems } from "./stage.ts";
import { supersededBy } from "./superseded.ts";
import { Timings } from "./timings.ts";

export interface RunOptions extends RoundOptions {
  readonly items: Items;
  readonly retry: number;
  /** drawn at the start of the process: [0-9a-z]{1,32} */
  readonly run: string;
  /** said once there is something to do. @default nothing is said */
  readonly aboutMachine?: () => string;
  /** @default none */
  readonly promised?: PromisedGpus | undefined;
  /** @default one of this run's own, within the plan's limits; a given one stays open */
  readonly reader?: Reader;
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
  const definitionPath = join(options.scratch, "model.mjs");
  await fetchCode(store, plan.code, definitionPath);
  const { aboutMachine, promised } = options;
  if (aboutMachine !== undefined) say(aboutMachine());
  // before gigabytes are read: a job that can't have what it was promised
  const loaded = promised === undefined ? undefined : await loadWithGpu(options, promised);
  const timings = new Timings(options.nowMs);
  const { beginning, own, data } = await beginAndRead(options, timings, plan, planSha256);
  const tooMany = data.rejected.length > 10 && data.rejected.length > plan.items.length / 100;
  if (tooMany)
    throw new DataUnusable(
      `${data.rejected.length} of ${plan.items.length} items can't be used; the first: ${data.rejected[0]!.item.key}: ${data.rejected[0]!.message}`,
      data.rejected.map(({ item }) => item.key),
    );
  if (options.stopAsked()) return EXIT.interrupted;

  const name: RunName = { plan, planSha256, attempt: `${options.attempt}.${options.retry}`, run: options.run };
  const round = new Round(options, name, { beginning, own, data, timings, loaded });
  return round.train(definitionPath);
}

/** The checkpoint to go on from, and the records. A checkpoint of this round counts only if it was made from these very records. */
async function beginAndRead(
  options: RunOptions,
  timings: Timings,
  plan: Plan,
  planSha256: string,
): Promise<{ beginning: Beginning | null; own: boolean; data: Data }> {
  const { scratch, say, store } = options;
  const at = { store, scratch, say };
  const staged = await timings.measure("stage", () =>
    stageItems(options.items, plan, join(scratch, "items"), (done, bytes) => {
      if (done === plan.items.length) say(`round ${plan.round}: items staged: ${done}, ${bytes} bytes`);
    }),
  );
  await using readerOfRun = new Reader({
    scratch: join(scratch, "reader"),
    memory: plan.data.limits.memory,
  });
  const reader = options.reader ?? readerOfRun;
  const read = async (from: Beginning | null): Promise<Data> => {
    const schema = from?.schema ?? null;
    const known = knownContents(from?.holdout ?? null, plan.round, schema);
    const packed = join(scratch, "packed");
    const how = { data: plan.data, schema, reader, packed, known };
    const read = await timings.measure("read", () => readRecords(staged.files, how));
    const { schema: found, records, rejected } = read;
    const all = [...staged.rejected, ...rejected];
    const out = new Set(all.map(({ item }) => itemId(item)));
    const used = plan.items.map(itemId).filter((id) => !out.has(id));
    return { schema: found, records, rejected: all, digest: sha256(canonicalJson({ used, count: records.count })) };
  };
  const own = await ownBeginning(at, plan, planSha256);
  if (own !== null) {
    const data = await read(own);
    if (own.state.records === data.digest) return { beginning: own, own: true, data };
    say(`the data is not what this round's newest checkpoint was trained on: an item has gone since`);
  }
  const parent = await parentBeginning(at, plan);
  const data = await read(parent);
  // one with fewer steps, but of a run that the item was gone for already
  const earlier = own === null ? null : await ownBeginning(at, plan, planSha256, data.digest);
  return earlier === null ? { beginning: parent, own: false, data } : { beginning: earlier, own: true, data };
}
