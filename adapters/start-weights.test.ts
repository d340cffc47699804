/** Real files, as TensorFlow.js and as `accrete pull` write them. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { sha256 } from "../protocol/digest.ts";
import { AccreteError } from "../protocol/errors.ts";
import { parseSafetensorsHeader, safetensorsHeader, tensorsBegin, type TensorKind } from "../protocol/safetensors.ts";
import { openStartWeights } from "./start-weights.ts";

const temporary = mkdtempSync(join(tmpdir(), "accrete-start-test-"));
const tmp = process.env["TMPDIR"];
process.env["TMPDIR"] = temporary; // so that what is left behind is seen, and nobody else's
afterAll(() => {
  if (tmp === undefined) delete process.env["TMPDIR"];
  else process.env["TMPDIR"] = tmp;
  rmSync(temporary, { recursive: true, force: true });
});
let made = 0;
/** A folder with these files. */
function folderWith(files: Readonly<Record<string, string | Uint8Array>>): string {
  const folder = join(temporary, String(made++));
  mkdirSync(folder);
  for (const [name, body] of Object.entries(files)) writeFileSync(join(folder, name), body);
  return folder;
}

const KERNEL = Float32Array.of(1, 2, 3, 4, 5, 6);
const BIAS = Float32Array.of(0.5, -0.25);
const STEPS = Int32Array.of(7);
const bytes = (...arrays: (Float32Array | Int32Array | Uint8Array)[]): Buffer =>
  Buffer.concat(arrays.map((array) => Buffer.from(array.buffer, array.byteOffset, array.byteLength)));

const WEIGHTS = [
  { name: "out/kernel", shape: [3, 2], dtype: "float32" },
  { name: "out/bias", shape: [2], dtype: "float32" },
  { name: "count/steps", shape: [], dtype: "int32" },
];
interface Model {
  readonly format?: string;
  readonly paths?: readonly string[];
  readonly weights?: readonly object[];
}
const modelJson = ({ format = "layers-model", paths = ["a.bin", "b.bin"], weights = WEIGHTS }: Model = {}): string =>
  JSON.stringify({ format, generatedBy: "a test", modelTopology: {}, weightsManifest: [{ paths, weights }] });
/** Cut in the middle of a number, as TensorFlow.js cuts at 4 MiB. */
const ALL = bytes(KERNEL, BIAS, STEPS);
const SHARDS = { "a.bin": ALL.subarray(0, 10), "b.bin": ALL.subarray(10) };

const safetensors = (kinds: readonly TensorKind[], body: Uint8Array): Buffer =>
  Buffer.concat([safetensorsHeader(kinds), body]);
const CANONICAL = safetensors(
  [
    { name: "count/steps", dtype: "I32", shape: [] },
    { name: "out/bias", dtype: "F32", shape: [2] },
    { name: "out/kernel", dtype: "F32", shape: [3, 2] },
  ],
  bytes(STEPS, BIAS, KERNEL),
);

async function bytesRead(folder: string, from: string, digest: string | null = null): Promise<Buffer> {
  await using file = await openStartWeights(folder, { from, sha256: digest }).read();
  const body = readFileSync(file.path);
  expect(file.sha256).toBe(sha256(body));
  return body;
}

async function errorOf(folder: string, from: string, digest: string | null = null): Promise<string> {
  const before = scratches();
  const error: unknown = await bytesRead(folder, from, digest).catch((thrown: unknown) => thrown);
  if (!(error instanceof AccreteError)) throw new Error(`expected is an error of accrete, not ${String(error)}`);
  expect(scratches()).toEqual(before);
  return `${error.code} ${error.message}`;
}

const scratches = (): string[] => readdirSync(tmpdir()).filter((name) => /^accrete-start-.{6}$/.test(name));

describe("a TensorFlow.js layers model", () => {
  it("becomes safetensors with sorted names, whatever the shards and the order of the weights", async () => {
    const folder = folderWith({ "model.json": modelJson(), ...SHARDS });
    const body = await bytesRead(folder, "./model.json");
    expect(body.equals(CANONICAL)).toBe(true);
    const begin = tensorsBegin(body.subarray(0, 8), body.length, "it");
    expect(parseSafetensorsHeader(body.subarray(0, begin), body.length, "it").map(({ name }) => name)).toEqual([
      "count/steps",
      "out/bias",
      "out/kernel",
    ]);
    const groups = [
      { paths: ["1"], weights: [WEIGHTS[1]] },
      { paths: ["2", "3"], weights: [WEIGHTS[2], WEIGHTS[0]] },
    ];
    const other = folderWith({
      "m.json": JSON.stringify({ format: "layers-model", weightsManifest: groups }),
      "1": bytes(BIAS),
      "2": new Uint8Array(),
      "3": bytes(STEPS, KERNEL),
    });
    expect((await bytesRead(other, "m.json")).equals(CANONICAL)).toBe(true);
  });

  it("has the digest of model.json and its shards, in the order of its list", async () => {
    const folder = folderWith({ "model.json": modelJson(), ...SHARDS });
    const digest = sha256(Buffer.concat([Buffer.from(modelJson()), ALL]));
    expect((await bytesRead(folder, "model.json", digest)).equals(CANONICAL)).toBe(true);
    const wrong = "0".repeat(64);
    expect(await errorOf(folder, "model.json", wrong)).toBe(
      `START_NOT_MATCHING ${join(folder, "model.json")}: its sha256 is ${digest}, expected is ${wrong}`,
    );
    writeFileSync(join(folder, "b.bin"), Buffer.from(SHARDS["b.bin"]).fill(1));
    expect(await errorOf(folder, "model.json", digest)).toContain("START_NOT_MATCHING");
  });

  it.each<[string, string, string]>([
    ["is no JSON", "{", "it is not JSON"],
    ["is a graph model", modelJson({ format: "graph-model" }), 'it is a graph-model: expected is a "layers-model"'],
    ["is something else", "[]", "no layers model of TensorFlow.js"],
    ["has no list of weights", '{"format":"layers-model"}', "weightsManifest"],
    ["has no weights", modelJson({ paths: ["empty"], weights: [] }), "it has no weights"],
    ["names a shard above it", modelJson({ paths: ["../a.bin"] }), 'the shard "../a.bin" does not lie beside it'],
    ["names a shard in a folder", modelJson({ paths: ["x/a.bin"] }), "does not lie beside it"],
    ["names a shard by an absolute path", modelJson({ paths: ["/etc/hostname"] }), "does not lie beside it"],
    ["names a shard by a URL", modelJson({ paths: ["https://example.org/a.bin"] }), "does not lie beside it"],
    ["names its folder", modelJson({ paths: [".."] }), "does not lie beside it"],
    ["names a missing shard", modelJson({ paths: ["a.bin", "c.bin"] }), "its shard: ENOENT"],
    ["names a link", modelJson({ paths: ["link.bin"] }), "its shard link.bin is no regular file"],
    ["has a shard too few", modelJson({ paths: ["a.bin"] }), "a.bin: 10 bytes, but its weights take 36"],
    ["has a shard twice", modelJson({ paths: ["a.bin", "b.bin", "b.bin"] }), "62 bytes, but its weights take 36"],
    [
      "has a negative size",
      modelJson({ weights: [{ name: "a/b", shape: [-1], dtype: "float32" }] }),
      "weightsManifest.0.weights.0.shape.0",
    ],
    [
      "has a size that is no number of bytes",
      modelJson({ weights: [{ name: "a/b", shape: [2 ** 40, 2 ** 40], dtype: "float32" }] }),
      "36 bytes, but its weights take 4.8",
    ],
    ["has a weight twice", modelJson({ weights: [WEIGHTS[1]!, WEIGHTS[1]!] }), "two weights are named out/bias"],
    [
      "has a weight with a name that no object has",
      modelJson({ weights: [{ ...WEIGHTS[1], name: "__proto__" }] }),
      "no weight can be named __proto__",
    ],
    [
      "is quantized",
      modelJson({ weights: [{ ...WEIGHTS[0], quantization: { dtype: "uint8", min: 0, scale: 1 } }] }),
      "out/kernel is quantized: convert the model without quantization",
    ],
    [
      "has text for a weight",
      modelJson({ weights: [{ ...WEIGHTS[0], dtype: "string" }] }),
      "out/kernel is of type string: a weight is float32, int32, uint8",
    ],
  ])("that %s is refused", async (_, json, why) => {
    const folder = folderWith({ "model.json": json, ...SHARDS, empty: "" });
    symlinkSync(join(folder, "a.bin"), join(folder, "link.bin"));
    const error = await errorOf(folder, "model.json");
    expect(error).toContain(`START_NOT_READABLE ${join(folder, "model.json")}: `);
    expect(error).toContain(why);
  });
});

describe("a safetensors file", () => {
  it("is taken as it is, its digest checked", async () => {
    const folder = folderWith({ "weights.safetensors": CANONICAL });
    const taken = await bytesRead(folder, "weights.safetensors", sha256(CANONICAL));
    expect(taken.equals(CANONICAL)).toBe(true);
    expect(await errorOf(folder, "weights.safetensors", "1".repeat(64))).toContain(
      `START_NOT_MATCHING ${join(folder, "weights.safetensors")}: its sha256 is ${sha256(CANONICAL)}, expected is 111`,
    );
  });

  it.each<[string, Uint8Array, string]>([
    ["is empty", new Uint8Array(), "not a safetensors file: 0 bytes"],
    ["is cut off", CANONICAL.subarray(0, -1), "it is cut off"],
    ["is something else", Buffer.from("PK\x03\x04 a zip archive, for one"), "not a safetensors file: a header of"],
    ["has nothing in it", safetensors([], new Uint8Array()), "it has no weights"],
    [
      "has a type that no weight has",
      safetensors([{ name: "a", dtype: "F64", shape: [1] }], new Uint8Array(8)),
      "a is of type F64: a weight is F32, I32 or U8",
    ],
  ])("that %s is refused", async (_, body, why) => {
    const folder = folderWith({ "weights.safetensors": body });
    expect(await errorOf(folder, "weights.safetensors")).toMatch(/^START_NOT_READABLE /);
    expect(await errorOf(folder, "weights.safetensors")).toContain(why);
  });
});

describe("what `from` names", () => {
  it.each([
    ["is missing", "none.json", "none.json: ENOENT"],
    ["is missing in a folder that is missing", "none/weights.safetensors", "ENOENT"],
    ["is a folder", "folder.json", "folder.json: it is no file"],
    ["is a URL", "https://example.org/model.json", "https://example.org/model.json: expected is a path"],
    [
      "is of another kind",
      "weights.h5",
      "weights.h5: expected is a path to a TensorFlow.js model.json or to a .safetensors",
    ],
  ])("%s", async (_, from, why) => {
    const folder = folderWith({ "weights.h5": "" });
    mkdirSync(join(folder, "folder.json"));
    expect(await errorOf(folder, from)).toMatch(/^START_NOT_READABLE /);
    expect(await errorOf(folder, from)).toContain(why);
  });
});
