/**
 * For CDK, which takes what a program prints for an image's name: `node build.ts [--gpu] [--base REF] [--digest HEX]` prepares and builds, and says
 * all the rest on stderr.
 */
import { parseArgs } from "node:util";
import { AccreteError, messageOf } from "../protocol/errors.ts";
import { printable } from "../protocol/printable.ts";
import { makeImage } from "./make.ts";

const { values } = parseArgs({
  options: { gpu: { type: "boolean", default: false }, base: { type: "string" }, digest: { type: "string" } },
});
const stopped = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, () => stopped.abort(new AccreteError("IMAGE_NOT_BUILT", `${signal} has come before the end`)));
try {
  const say = (text: string): void => console.error(printable(text));
  const { gpu, base, digest } = values;
  const made = await makeImage({ kind: { gpu }, base, digest, say, signal: stopped.signal });
  console.log(made.name);
} catch (error) {
  const [code, advice] = error instanceof AccreteError ? [` ${error.code}`, `\nwhat to do: ${error.advice}`] : ["", ""];
  console.error(printable(`error${code}: ${messageOf(error)}`) + advice);
  process.exitCode = 1;
}
