/** The objects that a command names: by key, by path or by an item's id, with all their versions. */
import { basename } from "node:path";
import { whyOf, type Version } from "../ledger/why.ts";
import { AccreteError } from "../protocol/errors.ts";
import { nearestName } from "../protocol/nearest-name.ts";
import type { Item } from "../protocol/types.ts";
import type { Pipeline } from "./pipeline.ts";

export interface NamedObject {
  /** as it was typed */
  readonly name: string;
  /** at least one, in the order in which they were seen */
  readonly versions: readonly Version[];
}

/** What --help says of an argument that is one. */
export const OBJECT_HELP = "its key (the path in the data folder or bucket), its path or s3:// URL, or an item's id";

/**
 * What is known of each object.
 * @throws {AccreteError} NOT_FOUND, with the nearest known key
 */
export async function findObjects(pipeline: Pipeline, names: readonly string[]): Promise<NamedObject[]> {
  if (names.length === 0) return []; // reads nothing: what damages the history must not stop a command that names none
  const { data } = pipeline;
  const paths = names.map((name) => data.keyOf(name));
  const queries = [...names, ...paths.filter((key) => key !== undefined)];
  const { versions, keys } = await whyOf({ ...pipeline, items: data.now }, queries);
  const of = new Map(queries.map((query, i) => [query, versions[i]!]));
  return names.map((name, i) => {
    const path = paths[i];
    const found = [of.get(name)!, ...(path === undefined ? [] : [of.get(path)!])].find(({ length }) => length > 0);
    if (found !== undefined) return { name, versions: found };
    // who leaves the prefix out, or names another folder's file, means this one
    const sameEnd = [...keys].filter((key) => key.endsWith(`/${basename(name)}`));
    const near = sameEnd.length === 1 ? sameEnd[0] : nearestName(path ?? name, [...keys]);
    throw new AccreteError(
      "NOT_FOUND",
      `${name}: no round has it, it does not wait, and it is no file in ${data.name}${near === undefined ? "" : `: did you mean "${near}"?`}`,
    );
  });
}

/**
 * The versions that a command takes out: all that were ever taken in or could be. Those too that are out already: a rollback may go to
 * a round that has learned one, or ask for one again by mistake.
 * @throws {AccreteError} NOT_FOUND (it does not count), USAGE (named twice)
 */
export function toTakeOut(objects: readonly NamedObject[]): Item[] {
  return once(countingOf(objects));
}

/** As toTakeOut(), but those that are out already: to take them out once more is of no use. */
export function stillToTakeOut(objects: readonly NamedObject[]): Item[] {
  return once(countingOf(objects).filter(({ now }) => now.is !== "taken-out"));
}

function countingOf(objects: readonly NamedObject[]): Version[] {
  return objects.flatMap(({ name, versions }) => {
    const counting = versions.filter(({ now }) => now.is !== "ignored");
    if (counting.length === 0)
      throw new AccreteError("NOT_FOUND", `${name} does not count as data: there is nothing to take out`);
    return counting;
  });
}

/** The versions that some entry has consumed: what may be asked for again. */
export function consumedOf({ versions }: NamedObject): Version[] {
  return versions.filter(({ events }) =>
    events.some(({ what }) => what === "trained" || what === "rejected" || what === "taken-out"),
  );
}

/** @throws {AccreteError} USAGE if one of them is there twice */
export function once(versions: readonly Version[]): Item[] {
  const ids = new Set<string>();
  for (const { item, itemId } of versions) {
    if (ids.has(itemId)) throw new AccreteError("USAGE", `${item.key} is named twice`);
    ids.add(itemId);
  }
  return versions.map(({ item }) => item);
}
