/** A checkpoint made into what other programs load, by a process of its own: it runs the user's model module. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AccreteError, ADVICE, type ErrorCode } from "../protocol/errors.ts";
import { printable } from "../protocol/printable.ts";
import { EXPORTER } from "./compose-local.ts";

export interface ExportRequest {
  /** folder with the checkpoint's files, and room for more */
  readonly checkpoint: string;
  /** path of the model module */
  readonly code: string;
  /** folder that is there */
  readonly out: string;
  readonly formats: readonly ("tfjs" | "savedmodel")[];
  /** names of what else the folder will have */
  readonly beside: readonly string[];
}

/** Of what the module prints, so much is said when it fails. */
const OUTPUT_CHARS_MAX = 2_000;

/** As long as the trainer waits for a step: nothing that goes on takes it. */
const LIMIT_MS = 600_000;

/** @throws {AccreteError} MODEL_NOT_EXPORTABLE, MODEL_NOT_LOADABLE, MODEL_INVALID and what else the exporter says */
export async function runExporter(request: ExportRequest, limitMs = LIMIT_MS): Promise<void> {
  const [job, answer] = ["job.json", "answer.json"].map((name) => join(request.checkpoint, name)) as [string, string];
  await writeFile(job, JSON.stringify({ ...request, answer }));
  const child = spawn(process.execPath, [EXPORTER, job], { stdio: ["ignore", "pipe", "pipe"] });
  let late = false;
  const timer = setTimeout(() => (late = child.kill("SIGKILL")), limitMs);
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => (output = (output + chunk.toString()).slice(-OUTPUT_CHARS_MAX)));
  await once(child, "close");
  clearTimeout(timer);
  const said = await readFile(answer, "utf8").catch(() => undefined);
  if (said === undefined) {
    const how = late
      ? `was ended, as it took longer than ${limitMs / 1_000} s`
      : `ended (${child.signalCode ?? `exit ${child.exitCode}`})`;
    throw new AccreteError(
      "MODEL_NOT_EXPORTABLE",
      `the process that makes the model ${how}: ${printable(output.trim())}`,
    );
  }
  const found: unknown = JSON.parse(said);
  if (typeof found !== "object" || found === null || !("code" in found)) return;
  const message = "message" in found ? String(found.message) : "";
  throw new AccreteError(isCode(found.code) ? found.code : "MODEL_NOT_EXPORTABLE", message);
}

const isCode = (code: unknown): code is ErrorCode => typeof code === "string" && Object.hasOwn(ADVICE, code);
