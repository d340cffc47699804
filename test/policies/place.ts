/** A stage with two pipelines, as it would be deployed: names alone. */
import { stateBucketStatements, dataBucketStatements } from "../../infra/bucket-policies.ts";
import { policiesOf, type PipelineNames, type Role } from "../../infra/policies.ts";
import type { ResourceStatement } from "../../infra/statement.ts";
import type { Caller } from "./evaluate.ts";

export const ACCOUNT = "111122223333";
export const STRANGER = "999988887777";
export const REGION = "eu-central-1";
export const PIPELINE = "sim";
export const STATE = "state";
/** as the tests' items have it */
export const DATA = "data";

/** names, the second one of machines that nobody takes back */
export const JOB_QUEUES = ["accrete-prod-eu-central-1-sim", "accrete-prod-eu-central-1-sim-ondemand"] as const;
export const TICKS_URL = `https://sqs.${REGION}.amazonaws.com/${ACCOUNT}/ticks`;

const arn = (service: string, rest: string): string => `arn:aws:${service}:${REGION}:${ACCOUNT}:${rest}`;

export const roleArn = (role: Role, account = ACCOUNT): string => `arn:aws:iam::${account}:role/accrete-${role}`;

export const NAMES: PipelineNames = {
  partition: "aws",
  region: REGION,
  account: ACCOUNT,
  pipeline: PIPELINE,
  stateBucket: `arn:aws:s3:::${STATE}`,
  dataBucket: `arn:aws:s3:::${DATA}`,
  dataAccount: ACCOUNT,
  dataPrefix: "f",
  ticksQueue: arn("sqs", "ticks"),
  arrivalsQueue: arn("sqs", "arrivals"),
  deadLettersQueue: arn("sqs", "dead-letters"),
  jobQueues: JOB_QUEUES.map((name) => arn("batch", `job-queue/${name}`)),
  jobDefinition: arn("batch", "job-definition/accrete-prod-sim"),
  topic: arn("sns", "notices"),
  logGroups: {
    intake: arn("logs", "log-group:/accrete/prod/sim/intake"),
    ledger: arn("logs", "log-group:/accrete/prod/sim/ledger"),
    jobs: arn("logs", "log-group:/accrete/prod/sim/jobs"),
  },
  repairRole: roleArn("repairer"),
  stack: arn("cloudformation", "stack/accrete-prod-sim/*"),
  imageRepositories: [arn("ecr", "repository/trainer")],
  stateKey: null,
  dataKey: null,
};

/** Each role with its policy. A repairer is an operator with more. */
export function callersOf(names: PipelineNames): Record<Role, Caller> {
  const { operator, repairer, ...others } = policiesOf(names);
  const renamed = repairer.map((statement) => ({ ...statement, Sid: `Repair${statement.Sid}` }));
  const all = { ...others, operator, repairer: [...operator, ...renamed] };
  const caller = (role: Role): Caller => ({ arn: roleArn(role), statements: all[role] });
  return {
    intake: caller("intake"),
    ledger: caller("ledger"),
    trainer: caller("trainer"),
    operator: caller("operator"),
    repairer: caller("repairer"),
    scheduler: caller("scheduler"),
    execution: caller("execution"),
  };
}

/** Who may take the repair role: whom the account's own policies let. */
const OWN_ACCOUNT: ResourceStatement = {
  Sid: "Account",
  Effect: "Allow",
  Principal: { AWS: [`arn:aws:iam::${ACCOUNT}:root`] },
  Action: ["sts:AssumeRole"],
  Resource: [],
};

/** The policies of buckets and of the repair role, by their ARN. */
export function bucketPoliciesOf(
  names: PipelineNames,
  options: { repairer?: boolean } = {},
): ReadonlyMap<string, readonly ResourceStatement[]> {
  return new Map([
    [
      names.stateBucket,
      stateBucketStatements({
        ...names,
        ledgerRole: roleArn("ledger"),
        ...(options.repairer === true ? { repairerRole: roleArn("repairer") } : {}),
      }),
    ],
    [names.dataBucket, dataBucketStatements(names)],
    [names.repairRole, [OWN_ACCOUNT]],
  ]);
}

/** The policy that has a say in a resource. */
export function policyFor(
  policies: ReadonlyMap<string, readonly ResourceStatement[]>,
  resource: string,
): readonly ResourceStatement[] {
  return policies.get(resource) ?? policies.get(resource.split("/")[0]!) ?? [];
}
