import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { imageDigest, imageInputs } from "./digest.ts";
import { BASE, imageName } from "./kind.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const CPU = { gpu: false };

const folder = mkdtempSync(join(tmpdir(), "accrete-digest-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Another clone, in another folder. @param change of one file's text */
function cloned(name: string, change?: { readonly file: string; readonly to: (text: string) => string }): string {
  const clone = join(folder, "some", name);
  mkdirSync(clone, { recursive: true });
  for (const part of ["adapters", "image", "protocol", "trainer", "package.json"])
    cpSync(join(ROOT, part), join(clone, part), { recursive: true });
  symlinkSync(join(ROOT, "node_modules"), join(clone, "node_modules"));
  if (change !== undefined) {
    const path = join(clone, change.file);
    const text = readFileSync(path, "utf8");
    const changed = change.to(text);
    expect(changed).not.toBe(text);
    writeFileSync(path, changed);
  }
  return clone;
}

/** By a process of the clone's own, which is in a third folder. */
function inputsOf(clone: string): { readonly digest: string; readonly layers: Readonly<Record<string, string>> } {
  const program = `const { imageInputs } = await import(${JSON.stringify(join(clone, "image/digest.ts"))});
const { digest, layers } = await imageInputs({ gpu: false });
console.log(JSON.stringify({ digest, layers }));`;
  const said = execFileSync(process.execPath, ["--input-type=module", "-e", program], { cwd: tmpdir() });
  return JSON.parse(said.toString());
}

describe("the digest of an image's inputs", () => {
  it("is the same twice, and from another clone in another folder", async () => {
    const here = await imageDigest(CPU);
    expect(here).toMatch(/^[0-9a-f]{64}$/);
    expect(await imageDigest(CPU)).toBe(here);
    expect(inputsOf(cloned("clone")).digest).toBe(here);
  });

  it("stays if comments change, and is another one if a line of the trainer's code does: in the last layer alone", async () => {
    const here = await imageInputs(CPU);
    const comment = { file: "trainer/loop.ts", to: (text: string) => `/* nobody reads this */\n${text}// nor this\n` };
    expect(inputsOf(cloned("comment", comment))).toEqual({ digest: here.digest, layers: here.layers });
    const code = {
      file: "trainer/main.ts",
      to: (text: string) => text.replace('"the key of a plan"', '"a plan\'s key"'),
    };
    const changed = inputsOf(cloned("code", code));
    expect(changed.digest).not.toBe(here.digest);
    expect({ ...changed.layers, app: null }).toEqual({ ...here.layers, app: null });
    expect(changed.layers["app"]).not.toBe(here.layers.app);
  });

  it.each([
    { what: "the addon's sources", file: "adapters/native/mute.cc", to: (text: string) => `${text}\nint more;\n` },
    { what: "the Dockerfile", file: "image/Dockerfile", to: (text: string) => text.replace("/scratch", "/scratches") },
    { what: "a pin of npm", file: "image/pins.ts", to: (text: string) => text.replace("sha512-", "sha512-0") },
    {
      what: "a wheel's sha256",
      file: "adapters/native-pins.ts",
      to: (text: string) => text.replace("dcc8afd3", "0cc8afd3"),
    },
  ])("is another one with $what", async ({ what, file, to }) => {
    expect(inputsOf(cloned(what.replaceAll(/\W/g, "-"), { file, to })).digest).not.toBe(await imageDigest(CPU));
  });

  it("is another one for GPUs and on another base", async () => {
    const all = [await imageDigest(CPU), await imageDigest({ gpu: true }), await imageDigest(CPU, "debian:bookworm")];
    expect(new Set(all).size).toBe(3);
    expect(await imageDigest(CPU, BASE)).toBe(all[0]);
    expect(imageName({ gpu: true }, all[1]!)).toBe(`accrete-trainer:gpu-${all[1]!.slice(0, 16)}`);
  });

  it("has the trainer, and not what only `accrete pull` runs", async () => {
    const { trainer } = await imageInputs(CPU);
    expect([...trainer.keys()]).toEqual(expect.arrayContaining(["main.js", "reader.js", "save-worker.js"]));
    expect([...trainer.keys()]).not.toContain("export.js");
    expect([...trainer.keys()].filter((name) => !name.endsWith(".js"))).toEqual([]);
  });
});
