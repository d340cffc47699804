import { RemovalPolicy } from "aws-cdk-lib";
import * as logs from "aws-cdk-lib/aws-logs";
import type { Construct } from "constructs";
import { logGroupName } from "./names.ts";

/** Goes with the stack: its name is known beforehand, so one that stayed would keep the stack from being made again. */
export function logGroup(
  scope: Construct,
  id: string,
  options: {
    readonly at: { readonly stage: string; readonly pipeline: string };
    readonly name: "intake" | "ledger" | "jobs";
    readonly logRetentionDays: number;
    readonly kmsKeyArn: string | undefined;
  },
): logs.CfnLogGroup {
  const made = new logs.CfnLogGroup(scope, id, {
    logGroupName: logGroupName(options.at, options.name),
    retentionInDays: options.logRetentionDays,
    ...(options.kmsKeyArn === undefined ? {} : { kmsKeyId: options.kmsKeyArn }),
  });
  made.applyRemovalPolicy(RemovalPolicy.DESTROY);
  return made;
}
