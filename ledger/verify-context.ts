/** What the parts of `verify` share: what they report, and how a document is read. */
import { canonicalJson, sha256 } from "../protocol/digest.ts";
import { messageOf } from "../protocol/errors.ts";
import { LOG } from "../protocol/keys.ts";
import type { Store } from "../protocol/ports.ts";
import { parseDocument, type DocumentKind, type DocumentOf } from "../protocol/types.ts";
import { readDocument } from "./read.ts";

export interface Finding {
  /**
   * damage: a file is missing, changed or not where it belongs. warning: nothing is lost, but something is there that nobody wrote
   * or a copy for people is missing. info: as it should be after a kill.
   */
  readonly severity: "damage" | "warning" | "info";
  readonly key: string;
  readonly message: string;
}

/** What the parts of the check share. */
export interface VerifyContext {
  readonly store: Store;
  /** sha256 of an object's bytes without holding them in memory; undefined if it is gone */
  readonly digestOf: (key: string, size: number) => Promise<string | undefined>;
  report(severity: Finding["severity"], key: string, message: string): void;
  /** The document, if it is there, readable and in the only form that is written; else it is reported ("gone": it is not). */
  read<K extends DocumentKind>(kind: K, key: string): Promise<Verifiable<K>>;
}
export type Verifiable<K extends DocumentKind> =
  | { readonly is: "whole"; readonly document: DocumentOf<K>; readonly sha256: string }
  | { readonly is: "damaged" }
  | { readonly is: "gone" };

export async function readStrictly<K extends DocumentKind>(
  context: Pick<VerifyContext, "store" | "report">,
  kind: K,
  key: string,
): Promise<Verifiable<K>> {
  const stored = await context.store.get(key);
  if (stored === undefined) return { is: "gone" };
  try {
    const document = parseDocument(kind, key, stored.body);
    // the same value can be spelled in other ways (1e-7, 1E-7): a document has one spelling
    const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(stored.body);
    if (canonicalJson(JSON.parse(text)) !== text)
      throw new Error(`${key}: its JSON is not in the form in which it is written`);
    return { is: "whole", document, sha256: sha256(stored.body) };
  } catch (error) {
    context.report("damage", key, messageOf(error).replace(`${key}: `, ""));
    return { is: "damaged" };
  }
}

/** Whether an entry still names this checkpoint: what has left `keep` may be deleted while it is checked. */
export async function isStillKept(store: Store, manifest: string): Promise<boolean> {
  const page = await store.list(LOG, { limit: 1 });
  const key = page.objects[0]?.key;
  if (key === undefined) return false;
  try {
    const head = await readDocument(store, "logEntry", key);
    return head?.document.keep.some(({ checkpoint }) => checkpoint.manifest === manifest) ?? false;
  } catch {
    return true; // the head is damaged, and said to be: the names in it are not known
  }
}
