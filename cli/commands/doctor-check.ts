/** One line of `accrete doctor`. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { messageOf } from "../../protocol/errors.ts";

export interface Check {
  readonly name: string;
  readonly state: "ok" | "missing" | "info";
  readonly found: string;
  /** what to do about it */
  readonly advice?: string;
  /** without it nothing can be trained here */
  readonly needed?: boolean;
}

const PROBE_MS = 5_000;
const run = promisify(execFile);

/** Output of a program; undefined if it is not there, fails or takes too long. */
export async function outputOf(
  program: string,
  args: readonly string[],
): Promise<{ text: string } | { failed: string }> {
  try {
    const { stdout } = await run(program, [...args], { timeout: PROBE_MS });
    return { text: stdout.trim() };
  } catch (error) {
    const missing = error instanceof Error && "code" in error && error.code === "ENOENT";
    if (missing) return { failed: "is not installed" };
    const said =
      error instanceof Error && "stderr" in error && typeof error.stderr === "string" ? error.stderr.trim() : "";
    return { failed: `does not answer: ${(said === "" ? messageOf(error) : said).split("\n")[0] ?? ""}` };
  }
}
