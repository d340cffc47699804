import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { sha256 } from "../protocol/digest.ts";
import { bundleModule, PIPELINE_ENTRY } from "./bundle.ts";

let root: string;
beforeEach(async () => void (root = await realpath(await mkdtemp(join(tmpdir(), "accrete-bundle-")))));
afterEach(() => rm(root, { recursive: true, force: true }));

async function files(folder: string, contents: Readonly<Record<string, string>>): Promise<string> {
  for (const [name, text] of Object.entries(contents)) {
    await mkdir(dirname(join(root, folder, name)), { recursive: true });
    await writeFile(join(root, folder, name), text);
  }
  return join(root, folder, "model.ts");
}
const text = (body: Uint8Array): string => new TextDecoder().decode(body);
const run = (body: Uint8Array): Promise<Record<string, unknown>> =>
  import(/* @vite-ignore */ `data:text/javascript;base64,${Buffer.from(body).toString("base64")}`);

const MODEL = {
  "model.ts": `
    /*! licence */
    import { readFileSync } from "node:fs";
    import type { Tensor } from "@tensorflow/tfjs-core";
    import { defineModel, type ModelContext } from "@accrete/pipeline";
    import { units } from "./layers/units.ts";
    import legacy from "./node_modules/legacy/index.cjs";
    export class Wide { units: number = units; tensor?: Tensor; }
    export const reader: typeof readFileSync = readFileSync;
    export default defineModel({ build: (context: ModelContext) => [new Wide().units, legacy.answer, context.classes] as never });`,
  "layers/units.ts": "export const units: number = 32;",
  "node_modules/legacy/index.cjs": "exports.answer = 42;",
};

it("bundles a module with what it imports, Node's own modules left out", async () => {
  const { body, inputs } = await bundleModule(await files("a", MODEL));
  const exported = await run(body);
  expect(exported["default"]).toMatchObject({ build: expect.any(Function) });
  const definition = exported["default"];
  if (
    typeof definition !== "object" ||
    definition === null ||
    !("build" in definition) ||
    typeof definition.build !== "function"
  )
    throw new Error("no build");
  expect(definition.build({ classes: 10 })).toEqual([32, 42, 10]);
  expect(inputs).toContain(join(root, "a/layers/units.ts"));
  expect(inputs).toContain(PIPELINE_ENTRY);
  expect(text(body)).toContain('from"node:fs"');
});

it("gives the same bytes for the same source in whatever folder, under a tsconfig.json or a link", async () => {
  const one = await bundleModule(await files("a", MODEL));
  await files("deeper/down", {
    "tsconfig.json": `{ "compilerOptions": { "target": "es5", "useDefineForClassFields": false } }`,
  });
  const entry = await files("deeper/down/b", MODEL);
  const other = await bundleModule(entry);
  await symlink(dirname(entry), join(root, "linked"));
  const linked = await bundleModule(join(root, "linked", "model.ts"));
  expect(text(other.body)).toBe(text(one.body));
  expect(text(linked.body)).toBe(text(one.body));
  expect([other.sha256, linked.sha256]).toEqual([one.sha256, sha256(one.body)]);
  for (const trace of [root, PIPELINE_ENTRY, dirname(PIPELINE_ENTRY), "licence", "sourceMappingURL"])
    expect(text(one.body)).not.toContain(trace);
  const changed = await bundleModule(await files("a", { "layers/units.ts": "export const units: number = 33;" }));
  expect(changed.sha256).not.toBe(one.sha256);
});

it("takes @accrete/pipeline from the file given, not from what is installed beside the module", async () => {
  const entry = await files("a", {
    "model.ts": `import { who } from "@accrete/pipeline"; export default who;`,
    "node_modules/@accrete/pipeline/package.json": `{ "main": "index.js" }`,
    "node_modules/@accrete/pipeline/index.js": `export const who = "installed";`,
    "ours.ts": `export const who = "ours";`,
  });
  expect((await run((await bundleModule(entry, { pipelineEntry: join(root, "a/ours.ts") })).body))["default"]).toBe(
    "ours",
  );
});

it.each([
  ["an import", `import * as tf from "@tensorflow/tfjs";\nexport default tf;`, "model.ts:1:21: "],
  ["a dynamic import", `export default async () =>\n  import("@tensorflow/tfjs-node");`, "model.ts:2:10: "],
])("refuses %s of TensorFlow.js and says what to use", async (_what, source, where) => {
  const failure = bundleModule(await files("a", { "model.ts": source }));
  await expect(failure).rejects.toMatchObject({ code: "MODEL_NOT_LOADABLE", message: expect.stringContaining(where) });
  await expect(failure).rejects.toThrow("`tf` that is handed to build()");
});

it.each([
  ["a slip", { "model.ts": "export default {\n  build: (" }, /^model\.ts:2:11: Unexpected end of file/],
  [
    "a slip in an imported file",
    { "model.ts": `import "./layers/a.ts";`, "layers/a.ts": "\n let 1 = 2;" },
    /^layers\/a\.ts:2:6: Expected /,
  ],
  ["a missing import", { "model.ts": `\n  import "./nowhere.ts";` }, /^model\.ts:2:10: Could not resolve/],
  [
    "an unknown part of this package",
    { "model.ts": `import "@accrete/pipeline/trainer";` },
    /^model\.ts:1:8: Could not resolve/,
  ],
])("says where %s is", async (_what, contents, message) => {
  await expect(bundleModule(await files("a", contents))).rejects.toMatchObject({
    code: "MODEL_NOT_LOADABLE",
    message: expect.stringMatching(message),
  });
});

it("names the module that does not exist", async () => {
  await expect(bundleModule(join(root, "model.ts"))).rejects.toMatchObject({
    code: "MODEL_NOT_LOADABLE",
    message: expect.stringContaining(join(root, "model.ts")),
  });
});

it("refuses a module with data bundled in", async () => {
  const entry = await files("a", {
    "model.ts": `import data from "./data.json"; export default data;`,
    "data.json": JSON.stringify("x".repeat(33 * 1_048_576)),
  });
  await expect(bundleModule(entry)).rejects.toMatchObject({
    code: "MODEL_NOT_LOADABLE",
    message: expect.stringMatching(/^model\.ts: \d+ bytes bundled/),
  });
});
