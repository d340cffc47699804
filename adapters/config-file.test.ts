import { mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { bundleModel, loadConfigFile } from "./config-file.ts";

let root: string;
beforeEach(async () => void (root = await realpath(await mkdtemp(join(tmpdir(), "accrete-config-")))));
afterEach(() => rm(root, { recursive: true, force: true }));

const PIPELINE = `{ name: "digits", data: { format: "idx" }, trainer: { model: "./models/model.ts" } }`;
const CONFIG = `import { defineConfig, definePipeline } from "@accrete/pipeline";
  const digits = definePipeline(${PIPELINE});
  export default defineConfig({ pipelines: [digits] });`;
const write = (name: string, text: string): Promise<void> => writeFile(join(root, name), text);

it("loads the config of a folder with all defaults, and the model module that it names", async () => {
  await write("accrete.config.ts", CONFIG);
  await mkdir(join(root, "models"));
  await write("models/model.ts", `export default { build: () => "built" };`);
  const { config, folder, file } = await loadConfigFile(root);
  expect({ folder, file }).toEqual({ folder: root, file: join(root, "accrete.config.ts") });
  const [pipeline] = config.pipelines;
  if (pipeline === undefined) throw new Error("no pipeline");
  expect(pipeline).toMatchObject({
    name: "digits",
    data: { format: "idx", label: "label" },
    trainer: { batchSize: 32 },
  });
  const { body, sha256 } = await bundleModel(folder, pipeline);
  expect(new TextDecoder().decode(body)).toContain("built");
  expect(sha256).toMatch(/^[0-9a-f]{64}$/);
});

it.each(["ts", "mts", "js", "mjs"])("finds accrete.config.%s", async (extension) => {
  await write(`accrete.config.${extension}`, CONFIG);
  expect((await loadConfigFile(root)).file).toBe(join(root, `accrete.config.${extension}`));
});

it("loads the file that is named, with an export `config`, files of its own and its place", async () => {
  await write("name.ts", `export const name: string = "letters";`);
  await write(
    "other.config.ts",
    `import { basename } from "node:path";
     import { name } from "./name.ts";
     const here = [import.meta.url, import.meta.filename, import.meta.dirname].map((place) => basename(place)).join();
     export const config = { pipelines: [{ ...${PIPELINE}, name, data: { format: "csv", label: here } }] };`,
  );
  const { config } = await loadConfigFile(join(root, "other.config.ts"));
  expect(config.pipelines[0]).toMatchObject({
    name: "letters",
    data: { label: `other.config.ts,other.config.ts,${root.split("/").at(-1)}` },
  });
});

it("is read anew when it has changed", async () => {
  await write("accrete.config.ts", CONFIG);
  await loadConfigFile(root);
  await write("accrete.config.ts", CONFIG.replace(`"digits"`, `"letters"`));
  expect((await loadConfigFile(root)).config.pipelines[0]?.name).toBe("letters");
});

it("says which folder has no config, and which path does not exist", async () => {
  await expect(loadConfigFile(root)).rejects.toMatchObject({
    code: "CONFIG_NOT_FOUND",
    message: `${root} has no accrete.config.ts`,
  });
  const missing = join(root, "missing");
  await expect(loadConfigFile(missing)).rejects.toMatchObject({
    code: "CONFIG_NOT_FOUND",
    message: `${missing} does not exist`,
  });
});

it.each([
  ["does not parse", "export default {\n  pipelines: [", /^accrete\.config\.ts:2:15: /],
  ["imports what is not there", `import "./gone.ts";`, /^accrete\.config\.ts:1:8: Could not resolve/],
  ["throws", `throw new Error("no key set");`, /accrete\.config\.ts: it stopped with: no key set$/],
  ["exports nothing", "const a = 1;", /it exports nothing$/],
  [
    "exports something else",
    "export const pipeline = 1;",
    /expected `export default defineConfig\(\{ \.\.\. \}\)`; it exports pipeline$/,
  ],
])("refuses a config that %s, and says where", async (_what, text, message) => {
  await write("accrete.config.ts", text);
  await expect(loadConfigFile(root)).rejects.toMatchObject({
    code: "CONFIG_NOT_LOADABLE",
    message: expect.stringMatching(message),
  });
});

it("names file, place and the nearest known name of what the schema refuses", async () => {
  await write("accrete.config.ts", CONFIG.replace("trainer:", "triner: 1, trainer:"));
  const failure = loadConfigFile(root);
  await expect(failure).rejects.toMatchObject({
    code: "CONFIG_INVALID",
    message: expect.stringContaining(join(root, "accrete.config.ts")),
  });
  await expect(failure).rejects.toThrow(/did you mean "trainer"/);
});

it("refuses a schedule that never comes, and says where", async () => {
  await write("accrete.config.ts", CONFIG.replace("trainer:", `schedule: { cron: "0 3 31 2 *" }, trainer:`));
  await expect(loadConfigFile(root)).rejects.toMatchObject({
    code: "CONFIG_INVALID",
    message: expect.stringContaining('schedule.cron: "0 3 31 2 *" never comes'),
  });
});
