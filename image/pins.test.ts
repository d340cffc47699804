import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import * as z from "zod/mini";
import { BASE } from "./kind.ts";
import { MODULES, NODE, type NpmPin } from "./pins.ts";

const read = (file: string): string => readFileSync(new URL(`../${file}`, import.meta.url), "utf8");
const locked = z
  .object({
    packages: z.record(z.string(), z.object({ version: z.optional(z.string()), integrity: z.optional(z.string()) })),
  })
  .parse(JSON.parse(read("package-lock.json"))).packages;

it.each(MODULES)("$name in the image is what the lock file has", ({ name, version, integrity }: NpmPin) => {
  expect(locked[`node_modules/${name}`]).toEqual({ version, integrity });
});

it("sharp finds in the image all that it and its library import", () => {
  const { dependencies } = z
    .object({ dependencies: z.record(z.string(), z.string()) })
    .parse(JSON.parse(read("node_modules/sharp/package.json")));
  const names = MODULES.map(({ name }) => name);
  expect(names).toEqual(expect.arrayContaining(["sharp", "@img/sharp-linux-x64", ...Object.keys(dependencies)]));
});

it("Node in the image is the one that tests run on", () => {
  expect(NODE.version).toBe(locked["node_modules/node"]?.version);
  expect(`v${NODE.version}`).toBe(process.version);
});

it("the Dockerfile builds on the same base by default", () => {
  expect(read("image/Dockerfile")).toContain(`\nARG BASE=${BASE}\n`);
});
