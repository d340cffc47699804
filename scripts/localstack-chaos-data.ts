/** What a run on LocalStack is given, and what an undisturbed one on a directory makes of it. */
import * as z from "zod/mini";
import { needDocument, readEntry, readHead } from "../ledger/read.ts";
import { canonicalJson } from "../protocol/digest.ts";
import { MANIFEST } from "../protocol/keys.ts";
import type { Store } from "../protocol/ports.ts";
import { allDigits, idxFile } from "./digits.ts";
import { until, type DigitsWorkspace } from "./workspace.ts";

export const FILES_A_ROUND = 4;
const DIGITS_A_FILE = 100;
export const ROUND_MS_MAX = 240_000;

/** The same config there and on a directory. A round starts with all its files, so that it has the same ones in each run. */
export const changed = (config: string): string =>
  config
    .replace(/epochs: \d+/, "epochs: 12")
    .replace(/batchSize: \d+/, "batchSize: 8")
    .replace(/saveEverySteps: \d+/, "saveEverySteps: 30")
    .replace(/quietPeriod: "[^"]+"/, `quietPeriod: "1 s", minItems: ${FILES_A_ROUND}`)
    .replace(
      "gate: {",
      'keep: { rounds: 1_000, history: 0 },\n      jobs: { attempts: 20 },\n      compute: { gpus: 0, vcpus: 1, memory: "2 GiB" },\n      gate: {',
    )
    .replace(/\n\}\);\s*$/, '\n  aws: { image: "accrete-trainer:localstack" },\n});\n');

const digits = allDigits();
const Position = z.looseObject({ records: z.string(), step: z.int(), epoch: z.int() });

interface Delivery {
  readonly name: string;
  readonly body: Uint8Array;
}

/** A round's items; and in every second round one again that was learned. */
export function delivery(round: number): { readonly items: readonly Delivery[]; readonly again: readonly Delivery[] } {
  const items = (of: number): Delivery[] =>
    Array.from({ length: FILES_A_ROUND }, (_, i) => {
      const from = ((of * FILES_A_ROUND + i) * DIGITS_A_FILE) % digits.length;
      return { name: `digits-${of}-${i}.idx`, body: idxFile(digits.slice(from, from + DIGITS_A_FILE)) };
    });
  return { items: items(round), again: round % 2 === 0 ? items(round - 1).slice(2, 3) : [] };
}

export async function undisturbed(workspace: DigitsWorkspace, rounds: number): Promise<string[]> {
  const up = workspace.accrete(["up"], () => {}, { ACCRETE_THREADS: "1" }); // as many as the job definition's vCPUs
  try {
    for (let round = 1; round <= rounds; round++) {
      const { items, again } = delivery(round);
      for (const { name, body } of [...items, ...again]) workspace.drop(name, body);
      await until(`the undisturbed commit of round ${round}`, ROUND_MS_MAX, async () =>
        (await workspace.head()).seq >= round ? true : undefined,
      );
    }
    return digestsOf(workspace.store);
  } finally {
    up.kill("SIGTERM");
    await up.ended;
  }
}

/** Of each entry's weights, optimizer and position. Not all of state.json: its digest of the records has the items' buckets and etags in it. */
export async function digestsOf(store: Store): Promise<string[]> {
  const { head } = await readHead(store);
  return Promise.all(
    Array.from({ length: head.seq }, async (_, i) => {
      const { document: entry } = await readEntry(store, i + 1);
      const key = entry.checkpoint?.manifest ?? MANIFEST;
      const { document } = await needDocument(store, "manifest", key, `entry ${entry.seq}`);
      const sums = new Map(document.files.map((file) => [file.name, file.sha256]));
      const state = await store.get(key.replace(MANIFEST, "state.json"));
      if (state === undefined) throw new Error(`entry ${entry.seq}: its checkpoint has no state.json`);
      const { records: _records, ...position } = Position.parse(JSON.parse(new TextDecoder().decode(state.body)));
      const weights = ["weights.safetensors", "optimizer.safetensors"].map((name) => sums.get(name));
      return [...weights, canonicalJson(position)].join(" ");
    }),
  );
}
