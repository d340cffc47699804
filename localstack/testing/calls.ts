/** What was asked of a cloud that records it, by whom. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod/mini";
import { OPERATIONS } from "../batch/routes.ts";

/** The fields of both files: plugin/accrete_localstack/recorded_calls.py, batch/main.ts. */
const Line = z.object({
  ms: z.number(),
  key: z.optional(z.nullable(z.string())),
  role: z.optional(z.nullable(z.string())),
  internal: z.optional(z.boolean()),
  service: z.string(),
  command: z.string(),
  status: z.optional(z.number()),
  input: z.record(z.string(), z.unknown()),
});
const BatchLine = z.object({ ms: z.number(), key: z.optional(z.string()), path: z.string(), body: z.unknown() });
const Input = z.record(z.string(), z.unknown());

export interface RecordedCall {
  /** when it was answered, by this machine's clock */
  readonly ms: number;
  /** access key id; undefined: not signed */
  readonly key: string | undefined;
  /** ARN of the role that the key belongs to */
  readonly role: string | undefined;
  /** as the SDK names its client: "S3", "CloudWatch Logs" */
  readonly service: string;
  readonly command: string;
  /** of HTTP */
  readonly status: number;
  /** without bodies */
  readonly input: Readonly<Record<string, unknown>>;
}

/** By botocore's name. */
const SERVICES: Readonly<Record<string, string>> = {
  s3: "S3",
  sqs: "SQS",
  sns: "SNS",
  logs: "CloudWatch Logs",
  sts: "STS",
  cloudformation: "CloudFormation",
  "service-quotas": "Service Quotas",
};
const BATCH_COMMANDS = new Map(Object.keys(OPERATIONS).map((name) => [`/v1/${name.toLowerCase()}`, name]));

/** @param folder the cloud's @returns in the order of their answers */
export function readCalls(folder: string): RecordedCall[] {
  const calls = linesOf(join(folder, "logs/calls.jsonl")).map((line): RecordedCall => {
    const { ms, key, role, service, command, status = 0, input } = Line.parse(JSON.parse(line));
    const named = SERVICES[service] ?? service;
    return { ms, key: key ?? undefined, role: role ?? undefined, service: named, command, status, input };
  });
  const roles = new Map(
    calls.flatMap(({ key, role }) => (key !== undefined && role !== undefined ? [[key, role]] : [])),
  );
  const ofBatch = linesOf(join(folder, "logs/batch-calls.jsonl")).map((line): RecordedCall => {
    const { ms, key, path, body } = BatchLine.parse(JSON.parse(line));
    const input = Input.parse(body);
    const role = key === undefined ? undefined : roles.get(key);
    return { ms, key, role, service: "Batch", command: BATCH_COMMANDS.get(path) ?? path, status: 200, input };
  });
  return [...calls, ...ofBatch].sort((a, b) => a.ms - b.ms);
}

/** Whole ones: the last may be under way. */
function linesOf(file: string): string[] {
  return existsSync(file) ? readFileSync(file, "utf8").split("\n").slice(0, -1) : [];
}
