/** Asks a policy evaluator, as AWS would decide: the caller's own policies, its boundary, and the resource's policy. */
import { runSimulation, type StatementExplain } from "@cloud-copilot/iam-simulate";
import type { ResourceStatement, Statement } from "../../infra/statement.ts";

/** One decision that IAM makes for a call of an API; a call may need several. */
export interface Asked {
  /** such as s3:PutObject */
  readonly action: string;
  /** ARN, or "*" */
  readonly resource: string;
  /** 12 digits: the resource's */
  readonly account: string;
  /** condition keys of the request; those of every request are added */
  readonly context: Readonly<Record<string, string>>;
}

export interface Caller {
  /** of the role */
  readonly arn: string;
  readonly statements: readonly Statement[];
  readonly boundary?: readonly Statement[];
}

export interface Decision {
  readonly result: "Allowed" | "ExplicitlyDenied" | "ImplicitlyDenied";
  /** Sids of the statements that refused it */
  readonly refusedBy: readonly string[];
  /** what of the caller's own statements allowed it: "Sid action resource" as they are written there */
  readonly allowedBy: readonly string[];
}

/** A role's trust policy names no resource: it is the role's own. */
const document = (statements: readonly Statement[]): object => ({
  Version: "2012-10-17",
  Statement: statements.map(({ Resource, ...one }) => (Resource.length === 0 ? one : { ...one, Resource })),
});

/**
 * @param resourcePolicy that of the resource, if it has one
 * @throws {Error} a policy that is not valid, or a condition key that the action does not know: AWS would not set it
 */
export async function decide(
  caller: Caller,
  asked: Asked,
  resourcePolicy: readonly ResourceStatement[] = [],
): Promise<Decision> {
  const [, partition, account, role] = /^arn:([^:]*):iam::(\d{12}):role\/(.*)$/.exec(caller.arn) ?? [];
  if (partition === undefined || account === undefined || role === undefined)
    throw new Error(`${caller.arn}: not a role`);
  const answer = await runSimulation(
    {
      request: {
        principal: `arn:${partition}:sts::${account}:assumed-role/${role.split("/").at(-1)}/session`,
        action: asked.action,
        resource: { resource: asked.resource, accountId: asked.account },
        contextVariables: {
          "aws:SecureTransport": "true",
          "aws:PrincipalArn": caller.arn,
          "aws:PrincipalAccount": account,
          ...(asked.action.startsWith("s3:") ? { "s3:ResourceAccount": asked.account } : {}),
          ...asked.context,
        },
      },
      identityPolicies: [{ name: "own", policy: document(caller.statements) }],
      ...(caller.boundary === undefined
        ? {}
        : { permissionBoundaryPolicies: [{ name: "boundary", policy: document(caller.boundary) }] }),
      ...(resourcePolicy.length === 0 ? {} : { resourcePolicy: document(resourcePolicy) }),
      serviceControlPolicies: [],
      resourceControlPolicies: [],
    },
    {},
  );
  if (answer.resultType === "error") throw new Error(JSON.stringify(answer.errors));
  if (answer.resultType === "wildcard") throw new Error(`${asked.resource}: one resource is expected`);
  const { analysis, ignoredContextKeys = [] } = answer.result;
  if (ignoredContextKeys.length > 0) throw new Error(`${asked.action} has no ${ignoredContextKeys.join(", ")}`);
  const refusing = [
    ...(analysis.identityAnalysis?.denyStatements ?? []),
    ...(analysis.resourceAnalysis?.denyStatements ?? []),
    ...(analysis.permissionBoundaryAnalysis?.denyStatements ?? []),
  ];
  const allowing = analysis.identityAnalysis?.allowStatements ?? [];
  return {
    result: analysis.result,
    refusedBy: refusing.map(({ explain }) => explain.identifier),
    allowedBy: allowing.flatMap(({ explain }) => matchesOf(explain)),
  };
}

function matchesOf({ identifier, actions, resources }: StatementExplain): string[] {
  const list = <T>(one: T | T[] | undefined): T[] => (one === undefined ? [] : Array.isArray(one) ? one : [one]);
  const matching = list(resources).filter(({ matches }) => matches);
  return list(actions)
    .filter(({ matches }) => matches)
    .flatMap(({ action }) => matching.map(({ resource }) => `${identifier} ${action} ${resource}`));
}
