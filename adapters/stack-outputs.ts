/** A pipeline's stack on AWS: what CloudFormation says of it names all that the CLI needs. */
import { DescribeStacksCommand, type CloudFormationClient } from "@aws-sdk/client-cloudformation";
import * as z from "zod/mini";
import { AccreteError } from "../protocol/errors.ts";
import { fromAws } from "./aws-errors.ts";

const Text = z.string().check(z.minLength(1));
const S3Url = z.string().check(z.regex(/^s3:\/\/[a-z0-9][a-z0-9.-]+(\/[^?#]*)?$/));
const Account = z.string().check(z.regex(/^\d{12}$/));

const Outputs = z.object({
  Pipeline: Text,
  StateUrl: S3Url,
  DataUrl: S3Url,
  DataAccount: Account,
  TicksUrl: z.string().check(z.regex(/^https?:\/\//)),
  ArrivalsUrl: z.string().check(z.regex(/^https?:\/\//)),
  DeadLettersUrl: z.string().check(z.regex(/^https?:\/\//)),
  /** name */
  DeadLettersAlarm: Text,
  JobQueue: Text,
  /** empty: all machines are on demand */
  OnDemandJobQueue: z.string(),
  JobDefinition: Text,
  Image: Text,
  JobLogGroup: Text,
  IntakeFunction: Text,
  LedgerFunction: Text,
  /** empty: none */
  TopicArn: z.string(),
  OperatorPolicyArn: Text,
  RepairRoleArn: Text,
  ConfigDigest: z.string().check(z.regex(/^[0-9a-f]{64}$/)),
  AccreteVersion: Text,
});

export interface Stack {
  readonly name: string;
  /** of CloudFormation: CREATE_COMPLETE, UPDATE_ROLLBACK_COMPLETE ... */
  readonly status: string;
  readonly region: string;
  readonly account: string;
  readonly outputs: z.infer<typeof Outputs>;
}

/**
 * @throws {AccreteError} STACK_NOT_FOUND, STACK_NOT_OURS, and what aws-errors.ts makes of AWS' errors
 */
export async function readStack(client: CloudFormationClient, name: string): Promise<Stack> {
  const found = await describe(client, name);
  const { region, account } = ofArn(found.StackId ?? "");
  const status = found.StackStatus ?? "";
  if (/^(DELETE|CREATE|REVIEW)_IN_PROGRESS$|^(ROLLBACK|DELETE)_COMPLETE$/.test(status))
    throw new AccreteError("STACK_NOT_FOUND", `the stack ${name} is ${status}: it is not there yet, or not any more`);
  const named = Object.fromEntries((found.Outputs ?? []).map(({ OutputKey, OutputValue }) => [OutputKey, OutputValue]));
  // CloudFormation leaves an empty output out in some places
  const parsed = z.safeParse(Outputs, { OnDemandJobQueue: "", TopicArn: "", ...named });
  if (!parsed.success) {
    const where = parsed.error.issues[0]?.path.join(".") ?? "";
    throw new AccreteError(
      "STACK_NOT_OURS",
      `the stack ${name} has no output ${where} as a pipeline's has: ${Object.keys(named).join(", ") || "it has none"}`,
    );
  }
  return { name, status, region, account, outputs: parsed.data };
}

async function describe(client: CloudFormationClient, name: string) {
  try {
    const { Stacks } = await client.send(new DescribeStacksCommand({ StackName: name }));
    if (Stacks?.[0] !== undefined) return Stacks[0];
  } catch (error) {
    const missing = error instanceof Error && error.name === "ValidationError";
    if (!missing) throw fromAws(error, `the stack ${name} could not be read`);
  }
  const region = await client.config.region();
  throw new AccreteError("STACK_NOT_FOUND", `there is no stack ${name} in ${region}`);
}

/** arn:aws:cloudformation:eu-central-1:123456789012:stack/NAME/ID */
function ofArn(arn: string): { region: string; account: string } {
  const [, , , region = "", account = ""] = arn.split(":");
  return { region, account };
}

/** s3://bucket/prefix -> its two parts; the prefix may be empty. */
export function bucketOf(url: string): { bucket: string; prefix: string } {
  const [, bucket = "", prefix = ""] = /^s3:\/\/([^/]+)\/?(.*?)\/?$/.exec(url) ?? [];
  return { bucket, prefix };
}
