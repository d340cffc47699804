/** A user's module and all it imports -> one file, named by its content. */
import { realpath } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type BuildOptions, type Message, type Plugin } from "esbuild";
import { sha256 } from "../protocol/digest.ts";
import { AccreteError, messageOf } from "../protocol/errors.ts";

/** A model module is code, and the trainer reads it whole: more than this has data bundled in. */
const MODULE_BYTES_MAX = 32 * 1_048_576;

/** What `@accrete/pipeline` means to a user's module: the source here, the compiled file in the package. */
export const PIPELINE_ENTRY = fileURLToPath(
  new URL(`../index.${import.meta.url.endsWith(".ts") ? "ts" : "js"}`, import.meta.url),
);

export interface Bundled {
  /** of the body */
  readonly sha256: string;
  readonly body: Uint8Array;
  /** absolute paths of all files that went into it, sorted */
  readonly inputs: readonly string[];
  /** names */
  readonly exports: readonly string[];
}

/**
 * Bundles a model module for Node 24. The same source gives the same bytes in whatever folder it lies: no path, source
 * map or comment gets in, and no tsconfig.json is read (Node does not either).
 * @param entry absolute path
 * @param options.pipelineEntry what `@accrete/pipeline` resolves to @default PIPELINE_ENTRY
 * @throws {AccreteError} MODEL_NOT_LOADABLE, with file:line:column of the first error
 */
export async function bundleModule(entry: string, options: { readonly pipelineEntry?: string } = {}): Promise<Bundled> {
  const bundled = await bundle(entry, {
    code: "MODEL_NOT_LOADABLE",
    plugins: [refuseTensorFlow, ourPackage(options.pipelineEntry ?? PIPELINE_ENTRY)],
  });
  // before a plan names it: the trainer would only say the same, and the round would be blocked
  if (!bundled.exports.some((name) => name === "default" || name === "model")) {
    const names = bundled.exports.length === 0 ? "nothing" : bundled.exports.join(", ");
    throw new AccreteError(
      "MODEL_NOT_LOADABLE",
      `${basename(entry)}: expected \`export default defineModel({ build })\`; it exports ${names}`,
    );
  }
  return bundled;
}

/** @throws {AccreteError} of the code given */
export async function bundle(
  entry: string,
  options: {
    readonly code: "MODEL_NOT_LOADABLE" | "CONFIG_NOT_LOADABLE";
    readonly plugins: Plugin[];
    readonly define?: Record<string, string>;
  },
): Promise<Bundled> {
  const { code, plugins, define = {} } = options;
  let file: string;
  try {
    file = await realpath(entry);
  } catch (cause) {
    const missing = cause instanceof Error && "code" in cause && cause.code === "ENOENT";
    throw new AccreteError(code, `${entry}: ${missing ? "there is no such file" : messageOf(cause)}`, { cause });
  }
  const folder = dirname(file);
  const settings = {
    entryPoints: [file],
    absWorkingDir: folder,
    bundle: true,
    write: false,
    format: "esm",
    platform: "node",
    target: "node24",
    charset: "utf8",
    sourcemap: false,
    legalComments: "none",
    // takes out the comments with the paths; names stay, as layers are saved under those of their classes
    minifyWhitespace: true,
    tsconfigRaw: "{}",
    metafile: true,
    logLevel: "silent",
    plugins,
    define,
  } satisfies BuildOptions;
  try {
    const { outputFiles, metafile } = await build(settings);
    const [output] = outputFiles;
    if (output === undefined) throw new Error("nothing was bundled");
    const body = output.contents;
    if (body.byteLength > MODULE_BYTES_MAX)
      throw new Error(`${body.byteLength} bytes bundled, at most ${MODULE_BYTES_MAX} expected`);
    const inputs = Object.keys(metafile.inputs).map((input) => resolve(folder, input));
    const exports = Object.values(metafile.outputs).flatMap((one) => one.exports);
    return { sha256: sha256(body), body, inputs: inputs.sort(), exports };
  } catch (cause) {
    const first = messagesOf(cause)[0];
    throw new AccreteError(code, first === undefined ? `${basename(file)}: ${messageOf(cause)}` : describe(first), {
      cause,
    });
  }
}

/** `@accrete/pipeline` is the package that runs, wherever the user's file lies and whatever is installed there. */
export function ourPackage(pipelineEntry: string): Plugin {
  return {
    name: "accrete-pipeline",
    setup: (on) => on.onResolve({ filter: /^@accrete\/pipeline$/ }, () => ({ path: pipelineEntry })),
  };
}

/** A second copy would have its own engine and its own tensors, and the bundle would be megabytes. */
const refuseTensorFlow: Plugin = {
  name: "refuse-tensorflow",
  setup: (on) =>
    on.onResolve({ filter: /^@tensorflow\// }, ({ path }) => ({
      errors: [
        { text: `"${path}" can't be bundled: use the \`tf\` that is handed to build(), and \`import type\` for types` },
      ],
    })),
};

/** esbuild throws a BuildFailure: an Error with `errors`. */
function messagesOf(thrown: unknown): readonly Message[] {
  return thrown instanceof Error && "errors" in thrown && Array.isArray(thrown.errors) ? thrown.errors : [];
}

function describe({ text, location }: Message): string {
  if (location === null) return text;
  // esbuild counts columns from 0
  return `${location.file}:${location.line}:${location.column + 1}: ${text}`;
}
