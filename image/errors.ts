/** How the making of an image fails. */
import { AccreteError, messageOf } from "../protocol/errors.ts";

export function notBuilt(message: string, cause?: unknown): AccreteError {
  return new AccreteError("IMAGE_NOT_BUILT", message, { cause });
}

/** Whatever failed while files were made: the disk's errors, and those of TensorFlow's library. */
export function asNotBuilt(thrown: unknown): unknown {
  if (thrown instanceof AccreteError)
    return thrown.code === "NATIVE_NOT_BUILT" ? notBuilt(thrown.message, thrown) : thrown;
  if (!(thrown instanceof Error) || !("syscall" in thrown)) return thrown;
  const code = "code" in thrown ? thrown.code : undefined;
  if (code === "ENOSPC" || code === "EDQUOT") return notBuilt(`the disk is full: ${messageOf(thrown)}`, thrown);
  return notBuilt(`a file can't be read or written: ${messageOf(thrown)}`, thrown);
}

/** Hosts, addresses and paths of a registry are nobody else's business. */
export function withoutHosts(text: string): string {
  return text
    .replaceAll("the index", "the registry") // as lastLine() calls it
    .replace(/\bhttps?:\/\/[^\s'")]+/g, "the registry")
    .replace(/\blookup \S+( on \S+)?/g, "lookup of the registry")
    .replace(/(?<![\w.@/-])[a-z0-9-]+(\.[a-z0-9-]+)+(:\d+)?\/(?=[\w./-]+)/gi, "")
    .replace(/\b\d{1,3}(\.\d{1,3}){3}(:\d+)?\b|\[[0-9a-f:]+\](:\d+)?/gi, "an address");
}
