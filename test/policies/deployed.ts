/** What a synthesised stack would be in an account: its roles and the policies of its resources, with the names of place.ts. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipelineStackName } from "../../infra/names.ts";
import type { Role } from "../../infra/policies.ts";
import type { ResourceStatement } from "../../infra/statement.ts";
import { pipeline, synthesise } from "../../infra/testing/synth.ts";
import type { Caller } from "./evaluate.ts";
import { ACCOUNT, DATA, PIPELINE, REGION, STATE } from "./place.ts";
import { policiesOfTemplate, type TemplatePolicies } from "./template-policies.ts";

export interface Deployed {
  readonly callers: Readonly<Record<Role, Caller>>;
  /** policies by the ARN of the resource */
  readonly resources: ReadonlyMap<string, readonly ResourceStatement[]>;
}

/** @param prefix the config's data.prefix */
export function deploy(prefix: string): Deployed {
  const folder = mkdtempSync(join(tmpdir(), "accrete-policies-"));
  try {
    const { pipelines } = synthesise(folder, {
      pipelines: [pipeline({ name: PIPELINE, data: { prefix, format: "csv" }, schedule: { every: "1 day" } })],
      aws: {
        account: ACCOUNT,
        region: REGION,
        image: `${ACCOUNT}.dkr.ecr.${REGION}.amazonaws.com/trainer:1`,
        alarms: { email: "ops@example.org" },
      },
    });
    const template = policiesOfTemplate(pipelines[PIPELINE]!, {
      partition: "aws",
      region: REGION,
      account: ACCOUNT,
      stack: pipelineStackName("prod", PIPELINE),
      nameOf,
    });
    return { callers: callersOfTemplate(template), resources: template.resources };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function nameOf(type: string, id: string): string | undefined {
  if (type === "AWS::S3::Bucket") return id.includes("State") ? STATE : DATA;
  if (type === "AWS::SNS::Topic") return "notices";
  if (type !== "AWS::SQS::Queue" || id.includes("Dead")) return undefined;
  return id.includes("Ticks") ? "ticks" : "arrivals";
}

/** Each role by what uses it. */
function callersOfTemplate(template: TemplatePolicies): Record<Role, Caller> {
  const byArn = new Map([...template.roles.values()].map((role) => [role.arn, role]));
  const caller = (arn: unknown): Caller => {
    const role = byArn.get(String(arn));
    if (role === undefined) throw new Error(`${String(arn)}: no role of the template`);
    if (role.managedElsewhere.length > 0)
      throw new Error(`${role.arn} has ${role.managedElsewhere.join(", ")} as well`);
    return { arn: role.arn, statements: role.statements };
  };
  const one = (type: string, has: (properties: Readonly<Record<string, unknown>>) => boolean = () => true) => {
    const found = [...template.ofType(type).values()].find(has);
    if (found === undefined) throw new Error(`there is no ${type}`);
    return found;
  };
  const roleOfFunction = (name: string): unknown =>
    one("AWS::Lambda::Function", ({ FunctionName }) => String(FunctionName).endsWith(`-${name}`))["Role"];
  const container = one("AWS::Batch::JobDefinition")["ContainerProperties"] as Record<string, unknown>;
  const target = one("AWS::Scheduler::Schedule")["Target"] as Record<string, unknown>;
  const [operator, ...others] = template.managed.values();
  if (operator === undefined || others.length > 0) throw new Error("one managed policy is expected: the operator's");
  const [repairer] = [...template.roles].filter(([id]) => id.includes("Repair"));
  const repairs = caller(repairer?.[1].arn);
  return {
    intake: caller(roleOfFunction("intake")),
    ledger: caller(roleOfFunction("ledger")),
    trainer: caller(container["JobRoleArn"]),
    execution: caller(container["ExecutionRoleArn"]),
    scheduler: caller(target["RoleArn"]),
    operator: { arn: `arn:aws:iam::${ACCOUNT}:role/somebody`, statements: operator },
    // of two policies: a Sid is one policy's own
    repairer: { ...repairs, statements: repairs.statements.map((one, i) => ({ ...one, Sid: `${one.Sid}${i}` })) },
  };
}
