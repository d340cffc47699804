/** docs/config.md lists every name of the schema, and no other. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import * as z from "zod/mini";
import { Config, parseConfig, PipelineConfig } from "../protocol/config.ts";

/** Names whose parts are told in their own row. */
const TOLD_WHOLE = new Set(["trainer.optimizer", "trainer.schedule"]);

/** Through defaults, null, transformations: to what is meant. */
function inner(schema: z.core.$ZodType): z.core.$ZodType {
  const { def } = schema._zod as { def: { innerType?: z.core.$ZodType; in?: z.core.$ZodType } };
  const next = def.innerType ?? def.in;
  return next === undefined ? schema : inner(next);
}

function namesOf(schema: z.core.$ZodType, path: string): string[] {
  const { def } = inner(schema)._zod as {
    def: { type: string; shape?: Record<string, z.core.$ZodType>; options?: z.core.$ZodType[] };
  };
  if (TOLD_WHOLE.has(path)) return [path];
  if (def.shape !== undefined)
    return Object.entries(def.shape).flatMap(([name, part]) => namesOf(part, path === "" ? name : `${path}.${name}`));
  const parts = (def.options ?? []).flatMap((option) => namesOf(option, path));
  return parts.length > 0 ? parts : [path];
}

describe("docs/config.md", () => {
  const text = readFileSync(new URL("../docs/config.md", import.meta.url), "utf8");
  const listed = [...text.matchAll(/^\| `([a-zA-Z.0-9]+)` \|/gm)].map(([, name]) => name!);
  const parts = new Set([
    "data",
    "trainer",
    "trigger",
    "gate",
    "keep",
    "jobs",
    "schedule",
    "budget",
    "notify",
    "compute",
    "buckets",
    "aws",
  ]);

  it("lists every name of the schema", () => {
    const known = [...new Set([...namesOf(PipelineConfig, ""), ...namesOf(Config.shape.aws, "aws")])];
    expect(known.length).toBeGreaterThan(40);
    expect(known.filter((name) => !listed.includes(name))).toEqual([]);
    expect(listed.filter((name) => !known.includes(name) && !parts.has(name))).toEqual([]);
  });
});

describe("a misspelt name", () => {
  const names = new Set(
    [...namesOf(PipelineConfig, ""), ...namesOf(Config.shape.aws, "aws")].map((path) => path.split(".").at(-1)!),
  );

  it.each([...names])("of %s is told the right one", (name) => {
    expect(() => parseConfig({ pipelines: [], [`${name}_`]: 1 })).toThrow(`did you mean "${name}"?`);
  });
});
