/** Who is who in a pipeline's stack: a role for each program, a policy for people, and a role for repairs. */
import { Stack } from "aws-cdk-lib";
import * as iam from "aws-cdk-lib/aws-iam";
import { Construct } from "constructs";
import { policiesOf, type PipelineNames, type Role } from "./policies.ts";
import { acknowledgeWildcards, documentOf, role } from "./roles.ts";

export class PipelineRoles extends Construct {
  readonly intake: iam.CfnRole;
  readonly ledger: iam.CfnRole;
  readonly trainer: iam.CfnRole;
  readonly scheduler: iam.CfnRole;
  readonly execution: iam.CfnRole;
  /** Taken by an operator for `verify --repair`: the only one that may write over what is never changed. */
  readonly repair: iam.CfnRole;
  readonly operatorPolicyArn: string;

  constructor(
    scope: Construct,
    id: string,
    {
      names: others,
      boundary,
    }: { readonly names: Omit<PipelineNames, "repairRole">; readonly boundary: string | null },
  ) {
    super(scope, id);
    this.repair = new iam.CfnRole(this, "Repair", {
      description: `accrete: verify --repair of ${others.pipeline}`,
      assumeRolePolicyDocument: documentOf([
        {
          Effect: "Allow",
          Action: "sts:AssumeRole",
          Principal: { AWS: `arn:${others.partition}:iam::${Stack.of(this).account}:root` },
        },
      ]),
      ...(boundary === null ? {} : { permissionsBoundary: boundary }),
    });
    const names = { ...others, repairRole: this.repair.attrArn };
    const statements = policiesOf(names);
    const made = (id: string, of: Role, service: string, ownAccount = false): iam.CfnRole =>
      role(this, id, { service, statements: statements[of], boundary, wildcards: WILDCARDS, ownAccount });
    this.intake = made("Intake", "intake", "lambda.amazonaws.com");
    this.ledger = made("Ledger", "ledger", "lambda.amazonaws.com");
    this.trainer = made("Trainer", "trainer", "ecs-tasks.amazonaws.com", true);
    this.execution = made("Execution", "execution", "ecs-tasks.amazonaws.com", true);
    this.scheduler = made("Scheduler", "scheduler", "scheduler.amazonaws.com", true);

    this.repair.policies = [{ policyName: "accrete", policyDocument: documentOf(statements.repairer) }];
    const operator = new iam.CfnManagedPolicy(this, "Operator", {
      description: `accrete: what the CLI needs for ${names.pipeline}`,
      policyDocument: documentOf(statements.operator),
      // from here, as the policy names the role: the other way round they would wait for each other
      roles: [this.repair.ref],
    });
    acknowledgeWildcards(operator, statements.operator, WILDCARDS);
    this.operatorPolicyArn = operator.ref;
    acknowledgeWildcards(this.repair, statements.repairer, WILDCARDS);
  }
}

const WILDCARDS =
  "The keys of protocol.md's table under the pipeline's prefix, whose numbers and digests nobody knows beforehand; streams of the pipeline's own log groups; jobs, whose ids Batch draws; and calls that know no resource.";
