import { expect, it } from "vitest";
import { AccreteError } from "../protocol/errors.ts";
import { errorCode, fileError, isMissing } from "./file-errors.ts";

const systemError = (code: string): Error => Object.assign(new Error(`${code}: something, write`), { code });

it.each([
  ["ENOSPC", "OUT_OF_DISK"],
  ["EDQUOT", "OUT_OF_DISK"],
  ["EACCES", "STORE_UNREADABLE"],
  ["EPERM", "STORE_UNREADABLE"],
  ["EROFS", "STORE_UNREADABLE"],
  ["ENAMETOOLONG", "UNSAFE_KEY"],
])("tells a user what to do about %s: %s", (system, code) => {
  const cause = systemError(system);
  expect(fileError(cause, "log/1.json")).toMatchObject({
    code,
    cause,
    message: `log/1.json: ${system}: something, write`,
  });
});

it("leaves as it is what may pass, and what has been told already", () => {
  for (const thrown of [systemError("EIO"), systemError("EMFILE"), new AccreteError("UNSAFE_KEY", "x"), "text"]) {
    expect(fileError(thrown, "a")).toBe(thrown);
  }
  expect(isMissing(systemError("ENOTDIR"))).toBe(true);
  expect(isMissing(systemError("EIO"))).toBe(false);
  expect(errorCode(null)).toBeUndefined();
});
