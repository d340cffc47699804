import { randomUUID } from "node:crypto";
import { mkdir, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join, relative, resolve, sep } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { chooseCheckpoint, type ChosenCheckpoint, type WhichCheckpoint } from "../../ledger/checkpoints.ts";
import { sha256 } from "../../protocol/digest.ts";
import { AccreteError } from "../../protocol/errors.ts";
import { codeKey, MANIFEST } from "../../protocol/keys.ts";
import type { Store } from "../../protocol/ports.ts";
import { parseDocument } from "../../protocol/types.ts";
import { openPipelineOf } from "../compose.ts";
import type { GlobalOptions } from "../pipeline.ts";
import { userFolder } from "../user-folder.ts";
import { fileSha256 } from "../digest-of-object.ts";
import { runExporter } from "../exporter.ts";
import { countOption } from "../options.ts";
import { bytes, count } from "../print.ts";
import { line, LiveLine, printJson } from "../terminal.ts";
import { printable } from "../../protocol/printable.ts";

const FORMATS = ["tfjs", "safetensors", "savedmodel", "checkpoint"] as const;
type Format = (typeof FORMATS)[number];

interface PullOptions extends GlobalOptions {
  readonly live?: boolean;
  readonly round?: number;
  readonly epoch?: number;
  readonly force?: boolean;
  readonly format: readonly Format[];
}

export function pullCommand(): Command {
  return new Command("pull")
    .summary("copy a model out, its digests checked")
    .description(
      "Makes a folder with a checkpoint's model, every byte that it is made of checked by its digest. Without a choice it is the live checkpoint. The folder appears whole or not at all.\n\nFormats: tfjs (model.json, for tf.loadLayersModel), safetensors (weights.safetensors by the names of the layers, for any program that reads it), savedmodel (saved_model/, for TensorFlow in any language; needs TensorFlow's own library here), checkpoint (all that the trainer saved, optimizer and holdout too). preprocessing.json and README.md say what inputs and outputs mean. `trainer.start.from` begins another pipeline with model.json or weights.safetensors.",
    )
    .argument("<dir>", "a folder that is not there yet, or is empty")
    .addOption(
      new Option("--format <list>", `what to make, separated by commas: ${FORMATS.join(", ")}`)
        .argParser(formatsOption)
        .default(["tfjs", "safetensors"], "tfjs,safetensors"),
    )
    .addOption(
      new Option("--live", "the checkpoint that users of the model load (default)").conflicts(["round", "epoch"]),
    )
    .addOption(new Option("--round <n>", "the result of this round").argParser(countOption).conflicts("epoch"))
    .addOption(
      new Option("--epoch <n>", "the newest checkpoint after so many epochs, also one saved within a round").argParser(
        countOption,
      ),
    )
    .option("--force", "replace the checkpoint that was pulled into the folder before")
    .addHelpText(
      "after",
      "\nExamples:\n  $ accrete pull model\n  $ accrete pull served --format savedmodel\n  $ accrete pull --round 3 model-3 --format checkpoint\n  $ accrete pull --epoch 12 model-12 --force",
    )
    .action(async (dir: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<PullOptions>();
      const { store } = await openPipelineOf(options);
      const target = resolve(userFolder(process.env), dir);
      await refuseFull(target, options.force === true);
      const which: WhichCheckpoint =
        options.round !== undefined
          ? { by: "round", number: options.round }
          : options.epoch !== undefined
            ? { by: "epoch", number: options.epoch }
            : { by: "live" };
      const chosen = await chooseCheckpoint(store, which);
      const files = await pull(store, chosen, { target, formats: options.format });
      const total = files.reduce((sum, { size }) => sum + size, 0);
      if (options.json === true) return printJson({ ...chosen, folder: target, files });
      line(
        `round ${chosen.round}, epoch ${chosen.epoch}, step ${chosen.step}${chosen.live ? ", live" : ""}: ${count(files.length, "file")}, ${bytes(total)} in ${printable(target)}`,
      );
    });
}

/** @throws {InvalidArgumentError} */
function formatsOption(text: string): Format[] {
  return text.split(",").map((name) => {
    const format = FORMATS.find((known) => known === name.trim());
    if (format !== undefined) return format;
    throw new InvalidArgumentError(`expected are some of ${FORMATS.join(", ")}, separated by commas.`);
  });
}

async function refuseFull(target: string, force: boolean): Promise<void> {
  try {
    const names = await readdir(target);
    if (names.length === 0) return;
    if (!force)
      throw new AccreteError(
        "TARGET_EXISTS",
        `${target} has ${count(names.length, "file or folder", "files or folders")} in it`,
      );
    if (!names.includes(MANIFEST))
      throw new AccreteError(
        "TARGET_EXISTS",
        `${target} has files in it that are no checkpoint: --force replaces only what was pulled before`,
      );
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOTDIR") throw new AccreteError("TARGET_EXISTS", `${target} is a file`, { cause: error });
    if (code !== "ENOENT") throw error;
  }
}

interface Pulled {
  /** within the folder, with slashes */
  readonly name: string;
  readonly size: number;
  readonly sha256: string;
}

/** What the exporter needs; the rest is copied for `checkpoint` alone. */
const MODEL_FILES = ["weights.safetensors", "schema.json", "state.json"];

/** Into a folder beside it, which gets the name once all is there and right. */
async function pull(
  store: Store,
  chosen: ChosenCheckpoint,
  { target, formats }: { target: string; formats: readonly Format[] },
): Promise<Pulled[]> {
  const part = join(dirname(target), `.accrete-pull-${randomUUID()}`);
  const [out, scratch] = [join(part, "out"), join(part, "scratch")];
  await mkdir(out, { recursive: true });
  await mkdir(scratch);
  const live = new LiveLine();
  try {
    const stored = await store.get(chosen.manifest);
    if (stored === undefined) throw new AccreteError("NOT_KEPT", `${chosen.manifest} is not there any more`);
    if (chosen.sha256 !== undefined && sha256(stored.body) !== chosen.sha256)
      throw new AccreteError("STORED_NOT_READABLE", `${chosen.manifest} is not the manifest that the log names`);
    const manifest = parseDocument("manifest", chosen.manifest, stored.body);
    const all = formats.includes("checkpoint");
    const model = formats.some((format) => format !== "checkpoint");
    if (model && !manifest.files.some(({ name }) => name === "weights.safetensors"))
      throw new AccreteError(
        "NOT_FOUND",
        `the checkpoint of round ${chosen.round} has no weights: nothing could be trained by then. --format checkpoint copies what it has`,
      );
    const kept: string[] = [];
    for (const file of manifest.files) {
      const wanted = all || (formats.includes("safetensors") && file.name === "weights.safetensors");
      if (!wanted && !(model && MODEL_FILES.includes(file.name))) continue;
      live.set(`${file.name}, ${bytes(file.size)}`);
      await copyChecked(store, chosen.manifest.slice(0, -MANIFEST.length), file, join(scratch, file.name));
      if (wanted) kept.push(file.name);
    }
    if (model) {
      live.set("making the model");
      const code = await fetchModule(store, manifest.code, scratch);
      const made = formats.filter((format) => format === "tfjs" || format === "savedmodel");
      await runExporter({ checkpoint: scratch, code, out, formats: made, beside: [...kept, MANIFEST] });
    }
    for (const name of kept) await rename(join(scratch, name), join(out, name));
    await writeFile(join(out, MANIFEST), stored.body, { flush: true });
    const files = await listPulled(out);
    await putInPlace(out, target, `${part}-old`);
    return files;
  } finally {
    live.clear();
    await rm(part, { recursive: true, force: true });
  }
}

async function copyChecked(
  store: Store,
  prefix: string,
  file: { name: string; sha256: string },
  path: string,
): Promise<void> {
  const read = await store.readToFile(prefix + file.name, path);
  if (read === undefined)
    throw new AccreteError("STATE_MISSING", `${prefix}${file.name} is not there, but its manifest names it`);
  if (read.sha256 !== file.sha256)
    throw new AccreteError("STORED_NOT_READABLE", `${prefix}${file.name} is not what its manifest names`);
}

/** The model module that the checkpoint was made by. @returns its path */
async function fetchModule(store: Store, code: string, folder: string): Promise<string> {
  const key = codeKey(code);
  const path = join(folder, "model.mjs");
  const read = await store.readToFile(key, path);
  if (read === undefined) throw new AccreteError("STATE_MISSING", `${key} is not there, but a manifest names it`);
  if (read.sha256 !== code) throw new AccreteError("STORED_NOT_READABLE", `${key} is not what its name says`);
  return path;
}

async function listPulled(folder: string): Promise<Pulled[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Promise.all(
    paths.sort().map(async (path) => ({
      name: relative(folder, path).replaceAll(sep, "/"),
      size: (await stat(path)).size,
      sha256: await fileSha256(path),
    })),
  );
}

/** What was there goes aside first and is deleted last, so that a kill loses neither. */
async function putInPlace(part: string, target: string, old: string): Promise<void> {
  try {
    await rename(part, target); // an empty folder is replaced
    return;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code !== "ENOTEMPTY" && code !== "EEXIST") throw error;
  }
  await rename(target, old);
  await rename(part, target);
  await rm(old, { recursive: true, force: true });
}
