/** AWS Batch as botocore, AWS' own SDK for Python, has it: which members there are, of which kind, and which are required. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import * as z from "zod/mini";
import { installPackages, packagesFolder } from "../../../scripts/pip-packages.ts";

const REQUIREMENTS = fileURLToPath(new URL("botocore-requirements.txt", import.meta.url));

const Shape = z.object({
  type: z.string(),
  required: z.optional(z.array(z.string())),
  members: z.optional(z.record(z.string(), z.object({ shape: z.string(), location: z.optional(z.string()) }))),
  member: z.optional(z.object({ shape: z.string() })),
  key: z.optional(z.object({ shape: z.string() })),
  value: z.optional(z.object({ shape: z.string() })),
  enum: z.optional(z.array(z.string())),
  min: z.optional(z.number()),
  max: z.optional(z.number()),
});
export type Shape = z.infer<typeof Shape>;
const Model = z.object({
  operations: z.record(
    z.string(),
    z.object({
      http: z.object({ method: z.string(), requestUri: z.string() }),
      input: z.object({ shape: z.string() }),
      output: z.object({ shape: z.string() }),
      errors: z.array(z.object({ shape: z.string() })),
    }),
  ),
  shapes: z.record(z.string(), Shape),
});
export type Model = z.infer<typeof Model>;

/** Why there is no model here; undefined if there is. Installs it. With ACCRETE_BOTOCORE_REQUIRED nothing is a reason. */
export async function modelFault(): Promise<string | undefined> {
  const fault = await installPackages(REQUIREMENTS);
  if (fault !== undefined && process.env["ACCRETE_BOTOCORE_REQUIRED"] !== undefined) throw new Error(fault);
  return fault;
}

export function readModel(): Model {
  const path = join(packagesFolder(REQUIREMENTS), "botocore/data/batch/2016-08-10/service-2.json.gz");
  return Model.parse(JSON.parse(gunzipSync(readFileSync(path)).toString()));
}

/** What is wrong with a value that should have a shape; none: nothing. */
export function shapeFaults(model: Model, name: string, value: unknown, path = name): string[] {
  const shape = model.shapes[name];
  if (shape === undefined) return [`${path}: no shape ${name}`];
  const wrong = (): string[] => [`${path}: ${JSON.stringify(value)} is no ${shape.type}`];
  if (shape.type === "structure") return isObject(value) ? memberFaults(model, shape, value, path) : wrong();
  if (shape.type === "list")
    return Array.isArray(value)
      ? [
          ...sizeFaults(shape, value.length, path),
          ...value.flatMap((one, index) => shapeFaults(model, shape.member!.shape, one, `${path}[${index}]`)),
        ]
      : wrong();
  if (shape.type === "map")
    return isObject(value)
      ? Object.entries(value).flatMap(([key, one]) => [
          ...shapeFaults(model, shape.key!.shape, key, `${path} key`),
          ...shapeFaults(model, shape.value!.shape, one, `${path}.${key}`),
        ])
      : wrong();
  if (shape.type === "string") {
    if (typeof value !== "string") return wrong();
    if (shape.enum !== undefined && !shape.enum.includes(value)) return [`${path}: ${value} is none of ${shape.enum}`];
    return sizeFaults(shape, value.length, path);
  }
  if (shape.type === "boolean") return typeof value === "boolean" ? [] : wrong();
  if (shape.type === "integer" || shape.type === "long") return Number.isSafeInteger(value) ? [] : wrong();
  if (shape.type === "double") return typeof value === "number" ? [] : wrong();
  return [`${path}: unknown kind ${shape.type}`];
}

function memberFaults(model: Model, shape: Shape, value: Readonly<Record<string, unknown>>, path: string): string[] {
  const members = shape.members ?? {};
  const missing = (shape.required ?? []).filter((key) => !(key in value)).map((key) => `${path}.${key}: missing`);
  const faults = Object.entries(value).flatMap(([key, one]) => {
    const member = members[key];
    return member === undefined ? [`${path}.${key}: unknown`] : shapeFaults(model, member.shape, one, `${path}.${key}`);
  });
  return [...missing, ...faults];
}

function sizeFaults({ min = 0, max = Infinity }: Shape, size: number, path: string): string[] {
  return size < min || size > max ? [`${path}: size ${size}, not ${min} to ${max}`] : [];
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
