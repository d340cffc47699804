/**
 * Mends what `verify` has found, as far as what is left proves what was there. Damaged bytes are kept under damaged/ before anything is
 * changed. Nothing here makes the pipeline forget: consumed/ is only added to, and no plan or result is ever taken away.
 */
import { itemId, sha256, shardOf } from "../protocol/digest.ts";
import { AccreteError } from "../protocol/errors.ts";
import {
  CODE,
  codeKey,
  CONSUMED,
  damagedKey,
  digestOfKey,
  INBOX,
  LIVE,
  LOG,
  MANIFEST,
  parseAttemptKey,
  parseCheckpointFile,
  parseSegmentKey,
  QUARANTINE,
  quarantineKey,
  roundOfKey,
  seqOfLogKey,
  STARTS,
} from "../protocol/keys.ts";
import { mendedBy, mendedDocument } from "../protocol/mend.ts";
import type { PipelineConfig } from "../protocol/config.ts";
import type { Store, Stored } from "../protocol/ports.ts";
import { documentBytes, parseDocument, type DocumentKind } from "../protocol/types.ts";
import { foldShard, quarantine } from "./finish.ts";
import { canBeCommittedAnew, entryAnew, shortDigest } from "./repair-log.ts";
import { NO_LIVE, readCommitted, readDocument, readEntry, readHead } from "./read.ts";

export interface Repaired {
  readonly key: string;
  /** mended: the bytes are what they were. rebuilt: made anew from the log. aside: taken away, and it is made up for by itself. left: as it is */
  readonly did: "mended" | "rebuilt" | "aside" | "left";
  /** of `left`: what to do about it */
  readonly message: string;
}

export interface RepairPorts {
  readonly store: Store;
  readonly config: Pick<PipelineConfig, "gate" | "keep">;
  /** today's bundled model, where it can be had: what a damaged one may be replaced by */
  readonly code: { readonly sha256: string; readonly body: Uint8Array } | null;
}

/**
 * @param keys of the findings of `verify`; each once
 * @returns one for each key that is damaged still, or was; the log's first: the others are rebuilt from it
 */
export async function repair(ports: RepairPorts, keys: readonly string[]): Promise<Repaired[]> {
  const done: Repaired[] = [];
  const left: string[] = [];
  for (const key of keys) {
    const mended = await mendBytes(ports, key);
    if (mended === undefined) left.push(key);
    else done.push(mended);
  }
  // entries oldest first: each is made of the one before it. Then live.json, which is made of the log, and the rest
  left.sort((a, b) => order(a) - order(b) || (a < b ? 1 : -1));
  for (const key of left) done.push(await rebuild(ports, key));
  return done;
}

function order(key: string): number {
  return seqOfLogKey(key) !== undefined ? 0 : key === LIVE ? 1 : 2;
}

// ------------------------------------------------------------------------------------------------ one bit

async function mendBytes({ store }: RepairPorts, key: string): Promise<Repaired | undefined> {
  const stored = await store.get(key);
  if (stored === undefined) return undefined;
  const kind = kindOf(key);
  const digest = kind === undefined ? await namedDigest(store, key) : undefined;
  const mended =
    kind !== undefined ? mendedDocument(stored.body) : digest === undefined ? undefined : mendedBy(digest, stored.body);
  if (mended === undefined) return undefined;
  // its digest is right, but it is no document of ours: of another version, or somebody else's
  if (kind !== undefined && !isWhole(kind, key, mended)) return undefined;
  await putInPlace(store, key, mended);
  return { key, did: "mended", message: "one bit was flipped: its digest says which" };
}

function kindOf(key: string): DocumentKind | undefined {
  if (seqOfLogKey(key) !== undefined) return "logEntry";
  if (key === LIVE) return "live";
  if (key.startsWith(CONSUMED)) return "consumed";
  if (key.startsWith(INBOX)) return "segment";
  if (key.startsWith(QUARANTINE)) return "quarantined";
  if (key.endsWith("/plan.json")) return "plan";
  if (key.endsWith("/result.json")) return "result";
  const attempt = parseAttemptKey(key)?.what;
  if (attempt !== undefined) return attempt === "job" ? "jobRecord" : attempt;
  return parseCheckpointFile(key)?.name === MANIFEST ? "manifest" : undefined;
}

/** Of a file that is no document: the digest that its name or its checkpoint's manifest says. */
async function namedDigest(store: Store, key: string): Promise<string | undefined> {
  const named = digestOfKey(key);
  if (named !== undefined) return named;
  const file = parseCheckpointFile(key);
  if (file === undefined) return undefined;
  try {
    const manifest = await readDocument(store, "manifest", key.slice(0, -file.name.length) + MANIFEST);
    return manifest?.document.files.find(({ name }) => name === file.name)?.sha256;
  } catch (error) {
    if (!isDamage(error)) throw error;
    return undefined;
  }
}

function isDamage(error: unknown): boolean {
  return (
    error instanceof AccreteError && ["STORED_NOT_READABLE", "STORED_TOO_LARGE", "STATE_MISSING"].includes(error.code)
  );
}

// ------------------------------------------------------------------------------------------------ what is left says more

async function rebuild(ports: RepairPorts, key: string): Promise<Repaired> {
  try {
    const did = await rebuilt(ports, key);
    if (did !== undefined) return { key, ...did };
  } catch (error) {
    // what it would be made of is damaged as well
    if (!isDamage(error)) throw error;
  }
  return { key, did: "left", message: await adviceFor(ports, key) };
}

type Did = Omit<Repaired, "key"> | undefined;

async function rebuilt(ports: RepairPorts, key: string): Promise<Did> {
  const { store, code } = ports;
  if (key === LIVE) return rebuildLive(store);
  if (key.startsWith(CONSUMED)) return rebuildConsumed(store, key);
  if (key.startsWith(QUARANTINE)) return rebuildQuarantine(store, key);
  if (code !== null && key === codeKey(code.sha256)) {
    await putInPlace(store, key, code.body);
    return { did: "rebuilt", message: "it is the model as it lies beside accrete.config.ts" };
  }
  const stored = await store.get(key);
  // whole, what is wrong is something else: that it does not fit to another file, say
  if (stored === undefined || isWhatItWas(key, stored.body)) return undefined;
  const seq = seqOfLogKey(key);
  if (seq !== undefined) return rebuildEntry(ports, key, seq, stored);
  if (key.startsWith(INBOX)) {
    await takeAway(store, key, stored);
    return {
      did: "aside",
      message: "`accrete up` takes the files in again that are in the data folder and were not learned",
    };
  }
  if (key.startsWith(STARTS)) {
    await takeAway(store, key, stored);
    return { did: "aside", message: "the next plan that begins with it stores it anew: `accrete rollback --to head`" };
  }
  const attempt = parseAttemptKey(key)?.what;
  if (attempt === "job") {
    await takeAway(store, key, stored);
    return { did: "aside", message: "the job is looked for by its name" };
  }
  if (attempt === "failure") {
    await takeAway(store, key, stored);
    return { did: "aside", message: "if its reason lasts, the next attempt says it again" };
  }
  return undefined;
}

async function rebuildEntry(ports: RepairPorts, key: string, seq: number, stored: Stored): Promise<Did> {
  const { store, config } = ports;
  const anew = await entryAnew(store, config, seq, stored.body);
  if (anew !== undefined) {
    await putInPlace(store, key, anew);
    return {
      did: "rebuilt",
      message: "made anew of its plan, its result and the entry before: its digest is what it was",
    };
  }
  const [newest] = (await store.list(LOG, { limit: 1 })).objects;
  if (newest?.key !== key) return undefined;
  const can = await canBeCommittedAnew(store, seq, stored.body);
  if (can === "not-proved")
    return {
      did: "left",
      message: `${BACKUP}. It was either a command (rollback, drop, retry, promote) or the commit of a round whose result is whole: if you gave no command just before, delete the file, and \`accrete up\` commits the round again`,
    };
  if (can === "no") return undefined;
  await takeAway(store, key, stored);
  return { did: "aside", message: "its round's result is whole: `accrete up` commits it again" };
}

/** As if the head had not been followed up: the next tick does it again, which does no harm. */
async function rebuildLive(store: Store): Promise<Did> {
  const stored = await store.get(LIVE);
  // it is the log that lacks an entry then: live.json never goes back
  if (stored !== undefined && isWhole("live", LIVE, stored.body)) return undefined;
  const { head } = await readHead(store);
  const seq = Math.max(0, head.seq - 1);
  const live = seq === 0 ? NO_LIVE : { ...NO_LIVE, seq, live: (await readEntry(store, seq)).document.live };
  await putInPlace(store, LIVE, documentBytes("live", LIVE, live));
  return { did: "rebuilt", message: `from the log, up to entry ${seq}: the next tick follows the newest one up` };
}

/** The union over all entries. If one can't be read there may be more, and then nothing is claimed. */
async function rebuildConsumed(store: Store, key: string): Promise<Did> {
  const { head } = await readHead(store);
  const ids = new Set<string>();
  for (let seq = 1; seq <= head.seq; seq++) {
    const { document } = await readEntry(store, seq);
    const items =
      document.kind === "round"
        ? (await readCommitted(store, document)).plan.items
        : document.kind === "rollback"
          ? document.without
          : [];
    for (const item of items) if (CONSUMED + shardOf(itemId(item)) === key) ids.add(itemId(item));
  }
  const stored = await store.get(key);
  if (stored === undefined) await foldShard(store, key, [...ids]);
  else if (isWhole("consumed", key, stored.body)) {
    const known = new Set(parseDocument("consumed", key, stored.body).ids);
    if ([...ids].every((id) => known.has(id))) return undefined; // there is too much in it
    await foldShard(store, key, [...ids]);
  } else await putInPlace(store, key, documentBytes("consumed", key, { format: 1, ids: [...ids].sort() }));
  return { did: "rebuilt", message: `from the log: ${ids.size} items` };
}

async function rebuildQuarantine(store: Store, key: string): Promise<Did> {
  const { head } = await readHead(store);
  for (let seq = head.seq; seq > 0; seq--) {
    const { document } = await readEntry(store, seq);
    if (document.kind !== "round" || document.rejected === 0) continue;
    const { result } = await readCommitted(store, document);
    if (!result.rejected.some(({ item }) => quarantineKey(itemId(item)) === key)) continue;
    const stored = await store.get(key);
    if (stored !== undefined) await takeAway(store, key, stored);
    await quarantine(store, result);
    return { did: "rebuilt", message: `from the result of round ${result.round}` };
  }
  return undefined;
}

function isWhatItWas(key: string, body: Uint8Array): boolean {
  const named = parseSegmentKey(key)?.sha256 ?? digestOfKey(key);
  if (named !== undefined) return sha256(body) === named;
  const kind = kindOf(key);
  return kind !== undefined && isWhole(kind, key, body);
}

function isWhole(kind: DocumentKind, key: string, body: Uint8Array): boolean {
  try {
    parseDocument(kind, key, body);
    return true;
  } catch {
    return false;
  }
}

// ------------------------------------------------------------------------------------------------ writing

async function keepDamaged(store: Store, key: string, body: Uint8Array): Promise<void> {
  const aside = damagedKey(key, shortDigest(body));
  if ((await store.create(aside, body)) === "unknown")
    throw new AccreteError("STORE_UNREADABLE", `whether ${aside} was written is not known: ask again`);
}

/** In one write, so that nobody ever sees it missing. A file that is not there is created. */
async function putInPlace(store: Store, key: string, body: Uint8Array): Promise<void> {
  const stored = await store.get(key);
  if (stored !== undefined) await keepDamaged(store, key, stored.body);
  const written = await store.replace(key, body, stored?.etag ?? null);
  if (written !== "won")
    throw new AccreteError("STORE_UNREADABLE", `${key} was changed meanwhile, or could not be written: ask again`);
}

/** @param seen what was judged: another repair may have mended it meanwhile, and the pipeline gone on from it */
async function takeAway(store: Store, key: string, seen: Stored): Promise<void> {
  await keepDamaged(store, key, seen.body);
  if ((await store.head(key))?.etag !== seen.etag)
    throw new AccreteError("STORE_UNREADABLE", `${key} was changed meanwhile: ask again`);
  await store.delete(key);
}

// ------------------------------------------------------------------------------------------------ what can't be mended

const BACKUP = "restore it from a backup";

async function adviceFor({ store }: RepairPorts, key: string): Promise<string> {
  const round = roundOfKey(key);
  if (key.startsWith(CODE))
    return `${BACKUP}; rounds that were trained by it go on being what they are, and a changed model has another file`;
  if (round === undefined) return BACKUP;
  const { head } = await readHead(store).catch((error: unknown) => {
    if (!isDamage(error)) throw error;
    return { head: undefined };
  });
  if (head === undefined) return BACKUP;
  if (round === head.round + 1)
    return `${BACKUP}, or give the round up: \`accrete rollback --to head\` plans its items anew`;
  const file = parseCheckpointFile(key);
  if (file === undefined)
    return `${BACKUP}; the pipeline goes on without it, but \`accrete why\` and a rollback with --replay need it`;
  if (head.checkpoint?.manifest.startsWith(key.slice(0, -file.name.length)) !== true)
    return `${BACKUP}; the pipeline goes on without it, but nothing can go back to round ${round}`;
  const whole = head.keep.map(({ checkpoint }) => checkpoint.round).filter((kept) => kept !== round);
  return `${BACKUP}, or train it again: \`accrete rollback --to ${Math.max(0, ...whole)} --replay\``;
}
