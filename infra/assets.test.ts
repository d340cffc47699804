import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";
import { imageDigest } from "../image/digest.ts";
import { parseConfig } from "../protocol/config.ts";
import { canonicalJson } from "../protocol/digest.ts";
import { safetensorsHeader } from "../protocol/safetensors.ts";
import { pipelineCode, trainerImage } from "./assets.ts";
import { pipeline } from "./testing/synth.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "accrete-assets-"));
  writeFileSync(join(folder, "model.ts"), "export default { build: () => undefined };\n");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const made = (input: Parameters<typeof pipeline>[0], out: string) =>
  pipelineCode({ pipeline: pipeline(input), folder, out: join(folder, out) });

it("each function's folder has what it needs and nothing else, the same bytes each time", async () => {
  const [first, again] = [await made({}, "first"), await made({}, "again")];
  expect(readdirSync(first.intake).sort()).toEqual(["config.json", "index.mjs"]);
  expect(readdirSync(first.ledger).sort()).toEqual(["config.json", "index.mjs", "model.mjs"]);
  for (const name of ["intake", "ledger"] as const)
    for (const file of readdirSync(first[name]))
      expect(readFileSync(join(again[name], file)).equals(readFileSync(join(first[name], file))), file).toBe(true);
  const [config] = parseConfig({ pipelines: [pipeline()] }).pipelines;
  expect(readFileSync(join(first.ledger, "config.json"), "utf8")).toBe(canonicalJson(config));
  const model: unknown = await import(pathToFileURL(join(first.ledger, "model.mjs")).href);
  expect(model).toHaveProperty("default.build");
});

it("the weights of a warm start lie beside the ledger", async () => {
  const body = Buffer.concat([
    safetensorsHeader([{ name: "dense/kernel", dtype: "F32", shape: [1] }]),
    Buffer.alloc(4),
  ]);
  writeFileSync(join(folder, "weights.safetensors"), body);
  const trainer = { ...pipeline().trainer, start: { from: "./weights.safetensors" } };
  const { ledger } = await made({ trainer }, "out");
  expect(readFileSync(join(ledger, "start.safetensors")).equals(body)).toBe(true);
  const missing = { ...trainer, start: { from: "./none.safetensors" } };
  await expect(made({ trainer: missing }, "missing")).rejects.toMatchObject({ code: "START_NOT_READABLE" });
});

it("a model that can't be loaded is said before anything is made", async () => {
  writeFileSync(join(folder, "model.ts"), "export const nothing = 1;\n");
  await expect(made({}, "out")).rejects.toMatchObject({ code: "MODEL_NOT_LOADABLE" });
});

it("an image is for the pipelines that name none, by the digest of what it is made of and with the program that makes it", async () => {
  const named = pipeline({ name: "named", compute: { image: "own:1" } });
  expect(await trainerImage({ pipelines: [named] })).toEqual({});
  const digest = await imageDigest({ gpu: false });
  const onProcessors = await trainerImage({ pipelines: [named, pipeline({ compute: { gpus: 0 } })] });
  const build = fileURLToPath(new URL("../image/build.ts", import.meta.url));
  expect(existsSync(build)).toBe(true);
  expect(onProcessors).toEqual({
    cpu: { digest, executable: [process.execPath, build, "--digest", digest] },
  });
  const base = "mirror.example.org/debian:1";
  const based = await imageDigest({ gpu: true }, base);
  expect(await trainerImage({ pipelines: [pipeline()], base })).toEqual({
    gpu: { digest: based, executable: [process.execPath, build, "--gpu", "--base", base, "--digest", based] },
  });
});
