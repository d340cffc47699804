import { createHash } from "node:crypto";

/** sha256 of bytes or of text as UTF-8, as 64 hex digits. */
export function sha256(data: Uint8Array | string): string {
  return createHash("sha256").update(data).digest("hex");
}

/**
 * JSON with sorted keys and no spaces: equal values have equal bytes, so they have equal digests.
 * Undefined properties are left out, as JSON.stringify does.
 * @throws {TypeError} for what JSON cannot hold: a number that is not finite, a bigint, a function
 */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value === "boolean" || typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw new TypeError(`canonicalJson: ${value} is not finite`);
    return JSON.stringify(value);
  }
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value === "object") return joinMembers(canonicalMembers(value));
  throw new TypeError(`canonicalJson: cannot hold a ${typeof value}`);
}

/** An object's members as canonical JSON, in the order in which they stand in it. */
export function canonicalMembers(value: object): string[] {
  const members: string[] = [];
  for (const [name, member] of Object.entries(value).sort(byName))
    if (member !== undefined) members.push(`${JSON.stringify(name)}:${canonicalJson(member)}`);
  return members;
}

export function joinMembers(members: readonly string[]): string {
  return `{${members.join(",")}}`;
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}

export function jsonBytes(value: unknown): Uint8Array {
  return new TextEncoder().encode(canonicalJson(value));
}

/** What makes two data objects the same item: their bucket, key and etag (never their time or version). */
export interface ItemIdentity {
  readonly bucket: string;
  readonly key: string;
  readonly etag: string;
}

/** sha256 of bucket NUL key NUL etag, its first 128 bits as base64url: 22 characters. */
export function itemId(item: ItemIdentity): string {
  return createHash("sha256")
    .update(`${item.bucket}\0${item.key}\0${item.etag}`)
    .digest()
    .subarray(0, 16)
    .toString("base64url");
}

/** The shard of `consumed/` that holds an item: the first byte of its id, as two hex digits. */
export function shardOf(id: string): string {
  return Buffer.from(id.slice(0, 2), "base64url").toString("hex").slice(0, 2);
}

/** Compares as S3 orders a LIST: by UTF-8 bytes, not by UTF-16 code units. */
export function compareBytes(a: string, b: string): number {
  return a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b));
}
