/** The policies of a synthesised template, with its references resolved to what they could be in an account. */
import type { ResourceStatement, Statement } from "../../infra/statement.ts";

interface Resource {
  readonly Type: string;
  readonly Properties?: Readonly<Record<string, unknown>>;
}
export interface Template {
  readonly Resources?: Readonly<Record<string, Resource>>;
  readonly Parameters?: Readonly<Record<string, unknown>>;
}

export interface Environment {
  readonly partition: string;
  readonly region: string;
  readonly account: string;
  readonly stack: string;
  /** of what CloudFormation names itself; undefined: the logical id is the name */
  readonly nameOf?: (type: string, logicalId: string) => string | undefined;
}

export interface TemplateRole {
  readonly arn: string;
  /** inline, attached and managed ones that the template makes */
  readonly statements: readonly Statement[];
  /** ARNs of managed policies that it does not make */
  readonly managedElsewhere: readonly string[];
  readonly boundary: string | undefined;
}

export interface TemplatePolicies {
  /** by logical id */
  readonly roles: ReadonlyMap<string, TemplateRole>;
  /** managed policies, by logical id */
  readonly managed: ReadonlyMap<string, readonly Statement[]>;
  /** of buckets, queues, topics, keys and roles: by the ARN of the resource */
  readonly resources: ReadonlyMap<string, readonly ResourceStatement[]>;
  /** a value of the template as it could be in the account */
  resolve(value: unknown): unknown;
  /** resources of a type, by logical id, resolved */
  ofType(type: string): ReadonlyMap<string, Readonly<Record<string, unknown>>>;
}

const array = (value: unknown): unknown[] => (Array.isArray(value) ? value : value === undefined ? [] : [value]);
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const string = (value: unknown): string => {
  if (typeof value !== "string") throw new Error(`a text is expected: ${JSON.stringify(value)}`);
  return value;
};

export function policiesOfTemplate(template: Template, env: Environment): TemplatePolicies {
  const resources = Object.entries(template.Resources ?? {});
  const resolve = resolver(template, env);
  const properties = ({ Properties = {} }: Resource): Record<string, unknown> => {
    const resolved = resolve(Properties);
    return isObject(resolved) ? resolved : {};
  };
  const ofType = (type: string): Map<string, Record<string, unknown>> =>
    new Map(resources.flatMap(([id, one]) => (one.Type === type ? [[id, properties(one)]] : [])));

  const managed = new Map<string, Statement[]>();
  const attached = new Map<string, Statement[]>();
  const attach = (role: unknown, statements: Statement[]): void =>
    void attached.set(string(role), [...(attached.get(string(role)) ?? []), ...statements]);
  for (const type of ["AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"])
    for (const [id, one] of ofType(type)) {
      const statements = statementsOf(one["PolicyDocument"]);
      if (type === "AWS::IAM::ManagedPolicy") managed.set(id, statements);
      for (const role of array(one["Roles"])) attach(role, statements);
    }

  const roles = new Map<string, TemplateRole>();
  for (const [id, one] of ofType("AWS::IAM::Role")) {
    const inline = array(one["Policies"]).flatMap((policy) =>
      isObject(policy) ? statementsOf(policy["PolicyDocument"]) : [],
    );
    const arns = array(one["ManagedPolicyArns"]).map(string);
    const own = [...managed.keys()].filter((other) => arns.includes(string(resolve({ Ref: other }))));
    roles.set(id, {
      arn: string(resolve({ "Fn::GetAtt": [id, "Arn"] })),
      statements: [
        ...inline,
        ...(attached.get(string(resolve({ Ref: id }))) ?? []),
        ...own.flatMap((other) => managed.get(other)!),
      ],
      managedElsewhere: arns.filter((arn) => !own.some((other) => resolve({ Ref: other }) === arn)),
      boundary: one["PermissionsBoundary"] === undefined ? undefined : string(one["PermissionsBoundary"]),
    });
  }
  return { roles, managed, resources: resourcePolicies(ofType, env), resolve, ofType };
}

function resourcePolicies(
  ofType: (type: string) => ReadonlyMap<string, Record<string, unknown>>,
  env: Environment,
): Map<string, ResourceStatement[]> {
  const found = new Map<string, ResourceStatement[]>();
  const add = (arn: string, document: unknown): void =>
    void found.set(arn, [...(found.get(arn) ?? []), ...(statementsOf(document) as ResourceStatement[])]);
  for (const one of ofType("AWS::S3::BucketPolicy").values())
    add(`arn:${env.partition}:s3:::${string(one["Bucket"])}`, one["PolicyDocument"]);
  for (const [id, one] of ofType("AWS::IAM::Role"))
    add(`arn:${env.partition}:iam::${env.account}:role/${id}`, one["AssumeRolePolicyDocument"]);
  for (const one of ofType("AWS::SQS::QueuePolicy").values())
    for (const url of array(one["Queues"])) add(queueArn(string(url), env), one["PolicyDocument"]);
  for (const one of ofType("AWS::SNS::TopicPolicy").values())
    for (const topic of array(one["Topics"])) add(string(topic), one["PolicyDocument"]);
  return found;
}

const queueArn = (url: string, env: Environment): string =>
  `arn:${env.partition}:sqs:${env.region}:${env.account}:${url.split("/").at(-1)}`;

/** CDK writes one value where a list is allowed: lists here. */
function statementsOf(document: unknown): Statement[] {
  if (!isObject(document)) return [];
  return array(document["Statement"]).flatMap((one, index) => {
    if (!isObject(one)) return [];
    const { Sid, Effect, Action, Resource, ...others } = one;
    const given = Sid === undefined ? `Statement${index}` : string(Sid);
    return [
      {
        Sid: given,
        Effect: Effect === "Deny" ? "Deny" : "Allow",
        Action: array(Action).map(string),
        Resource: array(Resource).map(string),
        ...others,
      },
    ] satisfies Statement[];
  });
}

// ------------------------------------------------------------------------------------------------ references

function resolver(template: Template, env: Environment): (value: unknown) => unknown {
  const pseudo: Record<string, string> = {
    "AWS::Partition": env.partition,
    "AWS::Region": env.region,
    "AWS::AccountId": env.account,
    "AWS::StackName": env.stack,
    "AWS::StackId": `arn:${env.partition}:cloudformation:${env.region}:${env.account}:stack/${env.stack}/0f3a`,
    "AWS::URLSuffix": env.partition === "aws-cn" ? "amazonaws.com.cn" : "amazonaws.com",
  };

  const reference = (id: string): unknown => {
    if (id in pseudo) return pseudo[id];
    const parameter = template.Parameters?.[id];
    if (parameter !== undefined) return isObject(parameter) ? (parameter["Default"] ?? id) : id;
    return REFERENCE[template.Resources?.[id]?.Type ?? ""]?.(nameOf(id), env) ?? nameOf(id);
  };
  const nameOf = (id: string): string => {
    const { Type, Properties = {} } = template.Resources?.[id] ?? { Type: "" };
    const given = Properties[NAME[Type] ?? ""];
    if (given !== undefined) return string(resolve(given));
    return env.nameOf?.(Type, id) ?? (Type === "AWS::S3::Bucket" ? id.toLowerCase() : id);
  };
  const attribute = (id: string, name: string): unknown => {
    const type = template.Resources?.[id]?.Type ?? "";
    if (name.endsWith("Arn") && ARN[type] !== undefined) return ARN[type](nameOf(id), env);
    if (name.endsWith("Name")) return nameOf(id);
    return `${id}.${name}`;
  };

  function resolve(value: unknown): unknown {
    if (Array.isArray(value)) return value.map(resolve).filter((one) => one !== NOTHING);
    if (!isObject(value)) return value;
    const [[key, of] = ["", undefined], ...more] = Object.entries(value);
    if (more.length === 0) {
      if (key === "Ref") return of === "AWS::NoValue" ? NOTHING : reference(string(of));
      if (key === "Fn::GetAtt") {
        const [id, ...name] = Array.isArray(of) ? of : string(of).split(".");
        return attribute(string(id), name.join("."));
      }
      if (key === "Fn::Join") {
        const [between, parts] = array(of);
        return array(resolve(parts)).map(String).join(string(between));
      }
      if (key === "Fn::Select") {
        const [index, from] = array(resolve(of));
        return array(from)[Number(index)];
      }
      if (key === "Fn::Split") {
        const [between, from] = array(resolve(of));
        return string(from).split(string(between));
      }
      if (key === "Fn::Sub") {
        const [text, own] = Array.isArray(of) ? of : [of, {}];
        return string(text).replaceAll(/\$\{(!?)([^}]*)\}/g, (_whole, literally: string, name: string) => {
          if (literally === "!") return `\${${name}}`;
          if (isObject(own) && name in own) return String(resolve(own[name]));
          const [id, ...attributes] = name.split(".");
          return String(attributes.length === 0 ? reference(id!) : attribute(id!, attributes.join(".")));
        });
      }
      if (key.startsWith("Fn::")) throw new Error(`${key} is not known here`);
    }
    return Object.fromEntries(
      Object.entries(value).flatMap(([name, one]) => {
        const resolved = resolve(one);
        return resolved === NOTHING ? [] : [[name, resolved]];
      }),
    );
  }
  return resolve;
}

const NOTHING = Symbol("AWS::NoValue");

const NAME: Readonly<Record<string, string>> = {
  "AWS::S3::Bucket": "BucketName",
  "AWS::SQS::Queue": "QueueName",
  "AWS::SNS::Topic": "TopicName",
  "AWS::IAM::Role": "RoleName",
  "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
  "AWS::Lambda::Function": "FunctionName",
  "AWS::Logs::LogGroup": "LogGroupName",
  "AWS::Batch::JobDefinition": "JobDefinitionName",
  "AWS::Batch::JobQueue": "JobQueueName",
};

type Named = (name: string, env: Environment) => string;
const regional =
  (service: string, kind: string): Named =>
  (name, { partition, region, account }) =>
    `arn:${partition}:${service}:${region}:${account}:${kind}${name}`;
const ARN: Readonly<Record<string, Named>> = {
  "AWS::S3::Bucket": (name, { partition }) => `arn:${partition}:s3:::${name}`,
  "AWS::SQS::Queue": regional("sqs", ""),
  "AWS::SNS::Topic": regional("sns", ""),
  "AWS::IAM::Role": (name, { partition, account }) => `arn:${partition}:iam::${account}:role/${name}`,
  "AWS::Lambda::Function": regional("lambda", "function:"),
  "AWS::Logs::LogGroup": (name, env) => `${regional("logs", "log-group:")(name, env)}:*`,
  "AWS::KMS::Key": regional("kms", "key/"),
};
/** What Ref gives, where it is not the name. */
const REFERENCE: Readonly<Record<string, Named>> = {
  "AWS::SNS::Topic": regional("sns", ""),
  "AWS::SQS::Queue": (name, { region, account }) => `https://sqs.${region}.amazonaws.com/${account}/${name}`,
  "AWS::IAM::ManagedPolicy": (name, { partition, account }) => `arn:${partition}:iam::${account}:policy/${name}`,
  "AWS::Batch::JobDefinition": (name, env) => `${regional("batch", "job-definition/")(name, env)}:1`,
  "AWS::Batch::JobQueue": regional("batch", "job-queue/"),
};
