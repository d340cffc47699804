/** A checkpoint as a TensorFlow.js model, or as a SavedModel. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod/mini";
import { AccreteError, messageOf } from "../protocol/errors.ts";
import { buildModel, loadDefinition, type Model } from "./model.ts";
import { preprocessingOf, readmeOf, type Preprocessing } from "./preprocessing.ts";
import { restoreWeights } from "./restore.ts";
import { openSafetensors } from "./safetensors.ts";
import { savedModelOf } from "./saved-model.ts";
import { parseSchema, type Schema } from "./schema.ts";
import { parseState } from "./state.ts";
import { loadTf, type Tf } from "./tf.ts";

const Job = z.strictObject({
  /** folder with the checkpoint's files */
  checkpoint: z.string(),
  /** path of the model module that made it */
  code: z.string(),
  /** folder that is there */
  out: z.string(),
  /** file for what came of it: the names of the files made, or code and message */
  answer: z.string(),
  formats: z.array(z.enum(["tfjs", "savedmodel"])),
  /** names of what else the folder will have, for its README */
  beside: z.array(z.string()),
});
export type ExportJob = z.infer<typeof Job>;

export function parseJob(text: string): ExportJob {
  return Job.parse(JSON.parse(text));
}

/** As TensorFlow.js' own converter: browsers keep files of this size in their cache. */
const SHARD_BYTES_MAX = 4 * 1_048_576;
/** What a SavedModel can hold in one file. */
const GRAPH_BYTES_MAX = 2 ** 31 - 2 ** 20;

/**
 * @param addon of TensorFlow's library; null: there is none
 * @returns names of what was made
 * @throws {AccreteError} MODEL_NOT_EXPORTABLE, MODEL_NOT_LOADABLE, MODEL_INVALID
 */
export async function exportModel(job: ExportJob, addon: string | null): Promise<string[]> {
  const file = (name: string): Promise<string> => readFile(join(job.checkpoint, name), "utf8");
  const schema = parseSchema(await file("schema.json"));
  const preprocessing = preprocessingOf(schema, parseState(await file("state.json"), "state.json").normalisation);
  const native = job.formats.includes("savedmodel");
  if (native && addon === null)
    throw new AccreteError("MODEL_NOT_EXPORTABLE", "a SavedModel needs TensorFlow's library, which is not installed");
  const made = ["preprocessing.json"];
  await writeFile(join(job.out, "preprocessing.json"), `${JSON.stringify(preprocessing, null, 2)}\n`);
  if (job.formats.length > 0) {
    const say = (line: string): void => console.error(line);
    const { tf, backend } = await loadTf({ addon: native ? addon : null, threads: 1, say });
    if (native && backend !== "native")
      throw new AccreteError("MODEL_NOT_EXPORTABLE", "a SavedModel needs TensorFlow's library, which can't be used");
    const definition = await loadDefinition(job.code);
    const model = buildModel(tf, definition, { seed: 1, trainer: { trainable: null } }, schema);
    const weights = openSafetensors(join(job.checkpoint, "weights.safetensors"), "weights.safetensors");
    restoreWeights(tf, model, weights, "the checkpoint");
    if (job.formats.includes("tfjs")) made.push(...(await writeLayersModel(tf, model, preprocessing, job.out)));
    if (native) made.push(await writeSavedModel(tf, model, schema, job.out));
  }
  await writeFile(join(job.out, "README.md"), readmeOf(preprocessing, [...job.beside, ...made]));
  return ["README.md", ...made];
}

/** model.json and its shards, as `model.save("file://...")` of tfjs-node writes them. */
async function writeLayersModel(tf: Tf, { network }: Model, about: Preprocessing, out: string): Promise<string[]> {
  const made: string[] = [];
  const handler = tf.io.withSaveHandler(async ({ modelTopology, weightSpecs = [], weightData, ...more }) => {
    const data = new Uint8Array(tf.io.CompositeArrayBuffer.join(weightData));
    const count = Math.max(1, Math.ceil(data.length / SHARD_BYTES_MAX));
    const paths = Array.from({ length: count }, (_, i) => `group1-shard${i + 1}of${count}.bin`);
    for (const [i, path] of paths.entries())
      await writeFile(join(out, path), data.subarray(i * SHARD_BYTES_MAX, (i + 1) * SHARD_BYTES_MAX));
    const json = {
      format: more.format,
      generatedBy: more.generatedBy,
      convertedBy: more.convertedBy,
      modelTopology,
      userDefinedMetadata: about,
      weightsManifest: [{ paths, weights: weightSpecs }],
    };
    await writeFile(join(out, "model.json"), JSON.stringify(json));
    made.push("model.json", ...paths);
    return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: "JSON" } };
  });
  try {
    await network.save(handler);
  } catch (cause) {
    throw new AccreteError("MODEL_NOT_EXPORTABLE", `the model has no TensorFlow.js form: ${messageOf(cause)}`, {
      cause,
    });
  }
  return made;
}

async function writeSavedModel(tf: Tf, model: Model, { task }: Schema, out: string): Promise<string> {
  let bytes: Uint8Array;
  try {
    bytes = savedModelOf(tf, model, { probabilities: task === "classification" });
  } catch (cause) {
    throw new AccreteError("MODEL_NOT_EXPORTABLE", `the model has no SavedModel form: ${messageOf(cause)}`, { cause });
  }
  if (bytes.length > GRAPH_BYTES_MAX)
    throw new AccreteError(
      "MODEL_NOT_EXPORTABLE",
      `the SavedModel would be ${bytes.length} bytes, at most ${GRAPH_BYTES_MAX} fit`,
    );
  const folder = join(out, "saved_model");
  await mkdir(join(folder, "variables"), { recursive: true });
  await writeFile(join(folder, "saved_model.pb"), bytes);
  return "saved_model";
}
