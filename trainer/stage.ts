/** Copies a plan's items to local disk. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { itemId } from "../protocol/digest.ts";
import { AccreteError } from "../protocol/errors.ts";
import type { FetchOutcome, Items } from "../protocol/ports.ts";
import { printable } from "../protocol/printable.ts";
import type { Item, Plan, RejectedItem } from "../protocol/types.ts";
import { sizeText } from "../protocol/units.ts";

/** An item on local disk. */
export interface StagedItem {
  readonly item: Item;
  readonly path: string;
}

/** Fetches at once: enough to hide a store's latency, few enough for its limits. */
const TOGETHER = 8;

const WHY: Readonly<Record<Exclude<FetchOutcome["outcome"], "fetched">, string>> = {
  gone: "it was deleted or overwritten since it arrived",
  archived: "it is in an archive that cannot be read at once",
  forbidden: "the trainer may not read it",
};

/**
 * Fetches every item of the plan into the folder, under its itemId: a key may come from anybody, so it names no file.
 * @param onProgress told after each item: how many are done, and the bytes of those that were fetched
 * @returns both in the plan's order
 * @throws whatever an item's fetch throws: that may pass, so the attempt fails
 */
export async function stageItems(
  items: Items,
  plan: Plan,
  folder: string,
  onProgress: (done: number, bytes: number) => void,
): Promise<{ files: StagedItem[]; rejected: RejectedItem[] }> {
  await mkdir(folder, { recursive: true });
  const staged: (StagedItem | RejectedItem)[] = Array.from({ length: plan.items.length });
  let next = 0;
  let done = 0;
  let bytes = 0;
  let failed = false;
  const work = async (): Promise<void> => {
    while (next < plan.items.length && !failed) {
      const index = next++;
      const item = plan.items[index]!;
      const path = join(folder, itemId(item));
      try {
        const result = tooLarge(item, plan) ?? (await stageOne(items, item, path));
        staged[index] = result;
        if ("path" in result) bytes += item.size;
      } catch (error) {
        failed = true;
        throw error;
      }
      onProgress(++done, bytes);
    }
  };
  const ended = await Promise.allSettled(Array.from({ length: TOGETHER }, work)); // no fetch goes on after this returns
  for (const end of ended) if (end.status === "rejected") throw end.reason;
  return { files: staged.filter((each) => "path" in each), rejected: staged.filter((each) => "code" in each) };
}

/** What no reader may read is not fetched either. */
function tooLarge(item: Item, { data }: Plan): RejectedItem | undefined {
  const { bytes } = data.limits;
  if (item.size <= bytes) return undefined;
  const message = `it has ${item.size} bytes: more than ${sizeText(bytes)} (data.limits.bytes)`;
  return { item, code: "bad", message: rejection(item, message) };
}

async function stageOne(items: Items, item: Item, path: string): Promise<StagedItem | RejectedItem> {
  try {
    const { outcome } = await items.fetch(item, path);
    if (outcome === "fetched") return { item, path };
    return { item, code: outcome, message: rejection(item, WHY[outcome]) };
  } catch (error) {
    // such a key can never be read: failing the attempt for it would block the pipeline for good
    if (!(error instanceof AccreteError) || error.code !== "UNSAFE_KEY") throw error;
    return { item, code: "bad", message: rejection(item, error.message) };
  }
}

/** One line for people, at most as long as a result holds. */
export function rejection(item: Item, reason: string): string {
  const key = printable(item.key);
  const text = printable(reason);
  return `${key.length > 1_024 ? `${key.slice(0, 1_023)}…` : key}: ${text.length > 1_024 ? `${text.slice(0, 1_023)}…` : text}`;
}
