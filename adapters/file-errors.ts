import { AccreteError, messageOf } from "../protocol/errors.ts";

/** The system's error code, such as "ENOENT"; undefined for anything else that was thrown. */
export function errorCode(thrown: unknown): string | undefined {
  return thrown instanceof Error && "code" in thrown && typeof thrown.code === "string" ? thrown.code : undefined;
}

/** Nothing is there: the file, or a folder on the way to it. */
export function isMissing(thrown: unknown): boolean {
  const code = errorCode(thrown);
  return code === "ENOENT" || code === "ENOTDIR";
}

/**
 * What a user can mend gets a code; the rest stays as it was thrown, as it may pass (EIO, EMFILE, ETIMEDOUT).
 * @param what the key or folder that was asked for, for the message
 * @param where the folder on whose disk it lies: a key alone does not say which disk is full
 */
export function fileError(thrown: unknown, what: string, where?: string): unknown {
  const message = `${what}: ${messageOf(thrown)}${where === undefined ? "" : ` (in ${where})`}`;
  switch (errorCode(thrown)) {
    case "ENOSPC":
    case "EDQUOT":
      return new AccreteError("OUT_OF_DISK", message, { cause: thrown });
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return new AccreteError("STORE_UNREADABLE", message, { cause: thrown });
    case "ENAMETOOLONG":
      return new AccreteError("UNSAFE_KEY", message, { cause: thrown });
    default:
      return thrown;
  }
}
