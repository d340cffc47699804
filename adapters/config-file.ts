/** accrete.config.ts: found, bundled, run and checked. */
import { stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseConfig, type Config, type PipelineConfig } from "../protocol/config.ts";
import { AccreteError, messageOf } from "../protocol/errors.ts";
import { bundle, bundleModule, ourPackage, PIPELINE_ENTRY, type Bundled } from "./bundle.ts";
import { checkSchedules } from "./schedule-times.ts";

/** The first that is there counts. */
const NAMES = ["accrete.config.ts", "accrete.config.mts", "accrete.config.js", "accrete.config.mjs"];

export interface ConfigFile {
  readonly config: Config;
  /** absolute; what the config names is relative to it */
  readonly folder: string;
  /** absolute */
  readonly file: string;
}

/**
 * Loads the config of a folder, or the file that is named. Its export `default`, or `config`, is checked by the schema.
 * @param path folder or file
 * @throws {AccreteError} CONFIG_NOT_FOUND, CONFIG_NOT_LOADABLE, CONFIG_INVALID
 */
export async function loadConfigFile(
  path: string,
  options: { readonly pipelineEntry?: string } = {},
): Promise<ConfigFile> {
  const file = await findConfigFile(resolve(path));
  const folder = dirname(file);
  const { body } = await bundle(file, {
    code: "CONFIG_NOT_LOADABLE",
    plugins: [ourPackage(options.pipelineEntry ?? PIPELINE_ENTRY)],
    // the bundle is run from memory: it should not notice
    define: {
      "import.meta.url": JSON.stringify(pathToFileURL(file).href),
      "import.meta.filename": JSON.stringify(file),
      "import.meta.dirname": JSON.stringify(folder),
    },
  });
  let exported: Readonly<Record<string, unknown>>;
  try {
    exported = await import(/* @vite-ignore */ `data:text/javascript;base64,${Buffer.from(body).toString("base64")}`);
  } catch (cause) {
    throw new AccreteError("CONFIG_NOT_LOADABLE", `${file}: it stopped with: ${messageOf(cause)}`, { cause });
  }
  const value = exported["default"] ?? exported["config"];
  if (value === undefined) {
    const names = Object.keys(exported).join(", ");
    throw new AccreteError(
      "CONFIG_NOT_LOADABLE",
      `${file}: expected \`export default defineConfig({ ... })\`; it exports ${names === "" ? "nothing" : names}`,
    );
  }
  try {
    const config = parseConfig(value);
    checkSchedules(config);
    return { config, folder, file };
  } catch (cause) {
    if (!(cause instanceof AccreteError)) throw cause;
    throw new AccreteError(cause.code, `${file}: ${cause.message}`, { cause });
  }
}

/**
 * The pipeline's model module as it lies beside the config.
 * @throws {AccreteError} MODEL_NOT_LOADABLE
 */
export async function bundleModel(
  configFolder: string,
  pipeline: PipelineConfig,
  options: { readonly pipelineEntry?: string } = {},
): Promise<Bundled> {
  return bundleModule(resolve(configFolder, pipeline.trainer.model), options);
}

async function findConfigFile(path: string): Promise<string> {
  const kind = await kindOf(path);
  if (kind === "file") return path;
  if (kind === "folder") {
    for (const name of NAMES) if ((await kindOf(join(path, name))) === "file") return join(path, name);
    throw new AccreteError("CONFIG_NOT_FOUND", `${path} has no ${NAMES[0]}`);
  }
  throw new AccreteError("CONFIG_NOT_FOUND", `${path} does not exist`);
}

async function kindOf(path: string): Promise<"file" | "folder" | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isFile()) return "file";
  return found?.isDirectory() ? "folder" : undefined;
}
