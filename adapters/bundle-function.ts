/** A function of the stack as one file, with all of the SDK that it needs: Lambda starts it in a fraction of a second. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "esbuild";

export type FunctionName = "intake" | "ledger";

const IS_SOURCE = import.meta.url.endsWith(".ts");

/**
 * `index.mjs` of a function, with its export `handler`. From the sources it is bundled anew, and the same sources give the same bytes; a published
 * package has it already.
 */
export async function bundleFunction(name: FunctionName): Promise<Uint8Array> {
  if (!IS_SOURCE) return readFile(new URL(`../functions/${name}.mjs`, import.meta.url));
  return buildFunction(name);
}

/** From the sources. */
export async function buildFunction(name: FunctionName): Promise<Uint8Array> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL(`../functions/${name}.ts`, import.meta.url))],
    absWorkingDir: fileURLToPath(new URL("../", import.meta.url)),
    bundle: true,
    write: false,
    minify: true,
    format: "esm",
    platform: "node",
    target: "node24",
    charset: "utf8",
    legalComments: "none",
    sourcemap: false,
    tsconfigRaw: "{}",
    // the SDK's modules, not their CommonJS: half as large, as what is not used falls away
    mainFields: ["module", "main"],
    plugins: [credentialsOfEnvironment, noEventStreams, versionsAlone],
    logLevel: "silent",
  });
  const [output] = outputFiles;
  if (output === undefined) throw new Error(`${name}: nothing was bundled`);
  return output.contents;
}

/** What takes the place of a module of the SDK that a function has no use for. @param specifier as it is imported: letters, / and - */
function inPlaceOf(specifier: string, contents: string): Plugin {
  const filter = new RegExp(`^${specifier}$`);
  return {
    name: `in-place-of ${specifier}`,
    setup(on) {
      on.onResolve({ filter }, ({ resolveDir }) => ({
        path: specifier,
        namespace: "in-place-of",
        pluginData: resolveDir,
      }));
      on.onLoad({ filter, namespace: "in-place-of" }, ({ pluginData }: { pluginData: string }) => ({
        contents,
        resolveDir: pluginData,
      }));
    },
  };
}

/** Lambda hands its role's credentials over in the environment: of all the SDK's ways to find some, that one is enough. */
const credentialsOfEnvironment = inPlaceOf(
  "@aws-sdk/credential-provider-node",
  'export { fromEnv as defaultProvider } from "@aws-sdk/credential-provider-env";',
);

/** S3 can answer queries by a stream of events. Nothing asks for that. */
const noEventStreams = inPlaceOf(
  "@smithy/core/event-streams",
  `export const eventStreamSerdeProvider = () => undefined;
export const resolveEventStreamSerdeConfig = (input) => input;
export class EventStreamSerde { constructor() { throw new Error("there are no event streams in this bundle"); } }`,
);

/** Each client says its version, and brings the whole of its package.json for it. */
const versionsAlone: Plugin = {
  name: "versions-alone",
  setup(on) {
    on.onLoad({ filter: /@aws-sdk[\\/]client-[a-z0-9-]+[\\/]package\.json$/ }, async ({ path }) => {
      const { version }: { version?: unknown } = JSON.parse(await readFile(path, "utf8"));
      return { contents: JSON.stringify({ version }), loader: "json" };
    });
  },
};
