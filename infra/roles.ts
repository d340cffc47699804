/** Roles made of the plain statements of policies.ts, word for word: an L2 role would merge and reorder what the tests evaluate. */
import { Stack, Validations } from "aws-cdk-lib";
import * as iam from "aws-cdk-lib/aws-iam";
import type { Construct } from "constructs";
import type { Statement } from "./statement.ts";

export interface RoleOptions {
  /** who may take it, such as "lambda.amazonaws.com" */
  readonly service: string;
  readonly statements: readonly Statement[];
  /** ARN of a policy; null: none */
  readonly boundary: string | null;
  /** why a resource of it has a wildcard, for whoever reads the findings of cdk-nag */
  readonly wildcards: string;
  /** only for this account's own resources: not for EC2, which says no account */
  readonly ownAccount?: boolean;
}

export function role(scope: Construct, id: string, options: RoleOptions): iam.CfnRole {
  const made = new iam.CfnRole(scope, id, {
    assumeRolePolicyDocument: {
      Version: "2012-10-17",
      Statement: [
        {
          Effect: "Allow",
          Action: "sts:AssumeRole",
          Principal: { Service: options.service },
          ...(options.ownAccount === true
            ? { Condition: { StringEquals: { "aws:SourceAccount": Stack.of(scope).account } } }
            : {}),
        },
      ],
    },
    ...(options.statements.length === 0
      ? {}
      : { policies: [{ policyName: "accrete", policyDocument: documentOf(options.statements) }] }),
    ...(options.boundary === null ? {} : { permissionsBoundary: options.boundary }),
  });
  acknowledgeWildcards(made, options.statements, options.wildcards);
  return made;
}

export function documentOf(statements: readonly object[]): object {
  return { Version: "2012-10-17", Statement: statements };
}

/** cdk-nag wants each resource with a wildcard named: those of the statements, as it writes them. */
export function acknowledgeWildcards(construct: Construct, statements: readonly Statement[], reason: string): void {
  const found = new Set(
    statements
      .filter(({ Effect }) => Effect === "Allow")
      .flatMap(({ Resource }) => Resource.map((resource) => flat(Stack.of(construct).resolve(resource))))
      .filter((resource) => resource.includes("*")),
  );
  for (const resource of found)
    Validations.of(construct).acknowledge({ id: `AwsSolutions-IAM5[Resource::${resource}]`, reason });
}

/** An intrinsic function as cdk-nag writes it: `<Bucket.Arn>/x`. */
function flat(value: unknown): string {
  if (typeof value === "string") return value.replaceAll("${", "<").replaceAll("}", ">");
  if (typeof value !== "object" || value === null) return String(value);
  if ("Fn::Join" in value && Array.isArray(value["Fn::Join"])) {
    const [separator, parts]: unknown[] = value["Fn::Join"];
    return Array.isArray(parts) ? parts.map(flat).join(String(separator)) : "";
  }
  if ("Fn::GetAtt" in value && Array.isArray(value["Fn::GetAtt"]))
    return `<${value["Fn::GetAtt"].map(flat).join(".")}>`;
  if ("Ref" in value) return `<${flat(value.Ref)}>`;
  return JSON.stringify(value);
}
