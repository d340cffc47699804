/**
 * Checks every digest and every link from the first entry to the head, and every stored file, one at a time. It reads, and takes no
 * lock: what a running pipeline changes meanwhile is no finding.
 *
 * A flipped byte is found by: the digest that each document carries of itself and the one form that its JSON can have; the own name of a
 * segment, of code and of a warm start's weights; a checkpoint's manifest for its files.
 */
import { itemId } from "../protocol/digest.ts";
import {
  CONSUMED,
  DAMAGED,
  digestOfKey,
  LIVE,
  parseQuarantineKey,
  parseSegmentKey,
  ROUNDS,
  seqOfLogKey,
} from "../protocol/keys.ts";
import type { Listed, Store } from "../protocol/ports.ts";
import { ConsumedCheck } from "./verify-consumed.ts";
import { readStrictly, type Finding, type VerifyContext } from "./verify-context.ts";
import { readChain, verifyEntries } from "./verify-log.ts";
import { RoundCheck } from "./verify-rounds.ts";

export interface Verified {
  readonly files: number;
  readonly bytes: number;
  readonly entries: number;
  readonly damaged: number;
  readonly warnings: number;
}

export interface VerifyOptions {
  /** sha256 of an object's bytes without holding them in memory; undefined if it is gone */
  readonly digestOf: (key: string, size: number) => Promise<string | undefined>;
  readonly onFinding: (finding: Finding) => void;
  /** after each file */
  readonly onProgress?: (progress: { files: number; bytes: number; key: string }) => void;
}

/** @returns what was looked at; `damaged` is 0 if all is whole */
export async function verify(store: Store, options: VerifyOptions): Promise<Verified> {
  const count = { files: 0, bytes: 0, damaged: 0, warnings: 0 };
  const reported = new Set<string>();
  const context: VerifyContext = {
    store,
    digestOf: options.digestOf,
    report(severity, key, message) {
      const once = `${key}\0${message}`;
      if (reported.has(once)) return;
      reported.add(once);
      if (severity === "damage") count.damaged++;
      if (severity === "warning") count.warnings++;
      options.onFinding({ severity, key, message });
    },
    read: (kind, key) => readStrictly(context, kind, key),
  };
  // before the log: what this names has an entry by the time that the log is read
  const live = await context.read("live", LIVE);
  const chain = await readChain(context);
  verifyEntries(context, chain, live);

  const rounds = new RoundCheck(context, chain);
  const consumed = new ConsumedCheck(context, chain, live.is === "whole" ? live.document.seq : undefined);
  for await (const listed of everything(store)) {
    await verifyFile(context, listed, { rounds, consumed });
    count.files++;
    count.bytes += listed.size;
    options.onProgress?.({ files: count.files, bytes: count.bytes, key: listed.key });
  }
  await rounds.end();
  await consumed.run();
  return { ...count, entries: chain.headSeq };
}

async function* everything(store: Store): AsyncGenerator<Listed> {
  for (let after: string | undefined; ;) {
    const page = await store.list("", after === undefined ? {} : { after });
    yield* page.objects;
    after = page.objects.at(-1)?.key;
    if (!page.more || after === undefined) return;
  }
}

async function verifyFile(
  context: VerifyContext,
  listed: Listed,
  parts: { rounds: RoundCheck; consumed: ConsumedCheck },
): Promise<void> {
  const { key, size } = listed;
  if (key === LIVE) return; // read at the start
  if (key.startsWith(DAMAGED)) return context.report("info", key, "damaged bytes that a repair has put aside");
  if (key.startsWith(ROUNDS)) return parts.rounds.add(listed);
  if (seqOfLogKey(key) !== undefined) return; // read as a chain
  if (key.startsWith(CONSUMED) && parts.consumed.add(key)) return; // read at the end
  const named = digestOfKey(key);
  if (named !== undefined) {
    const digest = await context.digestOf(key, size);
    if (digest !== undefined && digest !== named)
      context.report("damage", key, "its bytes are not those that its name says");
    return;
  }
  const segment = parseSegmentKey(key);
  if (segment !== undefined) return verifySegment(context, key, segment);
  const quarantined = parseQuarantineKey(key);
  if (quarantined !== undefined) return verifyQuarantined(context, key, quarantined);
  context.report("warning", key, "it belongs to nothing: accrete has not written it");
}

async function verifySegment(
  context: VerifyContext,
  key: string,
  name: { count: number; bytes: number; sha256: string },
): Promise<void> {
  const read = await context.read("segment", key);
  if (read.is !== "whole") return; // gone: it was consumed meanwhile
  const bytes = read.document.items.reduce((sum, { size }) => sum + size, 0);
  if (read.sha256 !== name.sha256) context.report("damage", key, "its bytes are not those that its name says");
  if (read.document.items.length !== name.count || bytes !== name.bytes)
    context.report(
      "damage",
      key,
      `it has ${read.document.items.length} items of ${bytes} bytes: its name says otherwise`,
    );
}

async function verifyQuarantined(context: VerifyContext, key: string, id: string): Promise<void> {
  const read = await context.read("quarantined", key);
  if (read.is === "whole" && itemId(read.document.rejected.item) !== id)
    context.report("damage", key, "its item is another one than its name says");
}
