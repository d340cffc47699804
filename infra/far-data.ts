import { Stack } from "aws-cdk-lib";
import type { Construct } from "constructs";
import type { PipelineConfig } from "../protocol/config.ts";
import { forwardingTemplate } from "../protocol/own-bucket.ts";
import { defaultBusArn } from "./events.ts";
import type { PipelineRoles } from "./pipeline-roles.ts";
import { otherAccountStatements } from "./bucket-policies.ts";
import type { PipelineNames } from "./policies.ts";

/**
 * What the owner of data in another account or region has to do, as outputs: `DataRule` is a template for that account and region,
 * `DataBucketPolicy` are statements for the bucket's policy.
 */
export function forTheDatasOwner(
  scope: Construct,
  {
    pipeline: { buckets, data },
    names,
    roles,
  }: {
    readonly pipeline: PipelineConfig;
    readonly names: Omit<PipelineNames, "repairRole">;
    readonly roles: PipelineRoles;
  },
): Readonly<Record<string, string>> {
  const stack = Stack.of(scope);
  if (buckets.data === null || (buckets.dataAccount === null && buckets.dataRegion === null)) return {};
  const rule = forwardingTemplate({ bucket: buckets.data, prefix: data.prefix, bus: defaultBusArn(scope) });
  const statements = otherAccountStatements({
    dataBucket: names.dataBucket,
    dataPrefix: names.dataPrefix,
    trainerRole: roles.trainer.attrArn,
    ledgerRole: roles.ledger.attrArn,
  });
  return {
    DataRule: stack.toJsonString(rule),
    ...(buckets.dataAccount === null ? {} : { DataBucketPolicy: stack.toJsonString(statements) }),
  };
}
