/**
 * The exporter's program: `node export.ts <job.json>`. Makes of a checkpoint what other programs load. A process of its own, as it runs
 * the user's model module.
 */
import { readFile, writeFile } from "node:fs/promises";
import { findNative } from "../adapters/native-library.ts";
import { AccreteError, messageOf } from "../protocol/errors.ts";
import { exportModel, parseJob } from "./export-model.ts";

const [path = ""] = process.argv.slice(2);
const job = parseJob(await readFile(path, "utf8"));
try {
  const files = await exportModel(job, findNative()?.addon ?? null);
  await writeFile(job.answer, JSON.stringify({ files }));
} catch (error) {
  const code = error instanceof AccreteError ? error.code : "MODEL_NOT_EXPORTABLE";
  await writeFile(job.answer, JSON.stringify({ code, message: messageOf(error) }));
}
process.exit();
