/** What matters in the templates, each by itself: a change of anything else is nobody's business here. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Match, Template } from "aws-cdk-lib/assertions";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseWaking } from "../functions/wakings.ts";
import { parseConfig } from "../protocol/config.ts";
import { INTAKE_SECONDS, LEDGER_SECONDS } from "./functions.ts";
import { CONFIGS } from "./testing/configs.ts";
import { pipeline, synthesise, type Resource, type Synthesised } from "./testing/synth.ts";

const root = mkdtempSync(join(tmpdir(), "accrete-infra-"));
const made = new Map<string, Synthesised>();
const USED = ["default", "fargate", "own bucket with KMS", "cron schedule", "built image", "everything"] as const;
const FAR = "data of another account and region";

beforeAll(() => {
  for (const name of [...USED, FAR] as const) made.set(name, synthesise(join(root, name), CONFIGS[name]));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

type Name = (typeof USED)[number] | typeof FAR;
const platform = (name: Name = "default"): Template => Template.fromJSON(made.get(name)!.platform);
const digits = (name: Name = "default"): Template => Template.fromJSON(made.get(name)!.pipelines["digits"]!);
const ofType = (template: Template, type: string): [string, Resource][] =>
  Object.entries(template.findResources(type)) as [string, Resource][];
const only = (template: Template, type: string): Resource => {
  const found = ofType(template, type);
  expect(found).toHaveLength(1);
  return found[0]![1];
};
/** The logical id of the one whose id holds the text. */
const idOf = (template: Template, type: string, part: string): string =>
  ofType(template, type).find(([id]) => id.includes(part))![0];

describe("AWS Batch", () => {
  it("has a spot and an on-demand queue, of machines that are named in the config and scale to zero", () => {
    platform().hasResourceProperties("AWS::Batch::ComputeEnvironment", {
      ReplaceComputeEnvironment: false,
      UpdatePolicy: { TerminateJobsOnUpdate: false, JobExecutionTimeoutMinutes: 360 },
      ComputeResources: Match.objectLike({
        Type: "SPOT",
        AllocationStrategy: "SPOT_PRICE_CAPACITY_OPTIMIZED",
        InstanceTypes: ["g4dn.xlarge"],
        MinvCpus: 0,
        MaxvCpus: 16,
        Ec2Configuration: [{ ImageType: "ECS_AL2023_NVIDIA" }],
        UpdateToLatestImageVersion: true,
      }),
    });
    platform().hasResourceProperties("AWS::Batch::ComputeEnvironment", {
      ComputeResources: Match.objectLike({ Type: "EC2", AllocationStrategy: "BEST_FIT_PROGRESSIVE", MinvCpus: 0 }),
    });
    const names = ofType(platform(), "AWS::Batch::JobQueue").map(([, { Properties }]) => Properties["JobQueueName"]);
    const name = (end: string): object => ({ "Fn::Join": ["", ["accrete-prod-", { Ref: "AWS::Region" }, end]] });
    expect(names).toEqual([name("-digits"), name("-digits-ondemand")]);
  });

  it("has queues and environments that another config never replaces: their names are taken, and tags of theirs can't be changed", () => {
    const tags = (name: Name): unknown[] =>
      ["AWS::Batch::JobQueue", "AWS::Batch::ComputeEnvironment"].flatMap((type) =>
        ofType(platform(name), type).map(([, { Properties }]) => Properties["Tags"]),
      );
    const fixed = { "accrete:pipeline": "digits", "accrete:stage": "prod" };
    expect(tags("default")).toEqual([fixed, fixed, fixed, fixed]);
    expect(tags("everything")).toEqual(tags("default"));
    // what costs has them
    platform("everything").hasResourceProperties("AWS::Batch::ComputeEnvironment", {
      ComputeResources: Match.objectLike({ Tags: { ...fixed, team: "vision" } }),
    });
  });

  it("has another environment where AWS can't turn the one into the other, and gives the queue both in turn", () => {
    const ids = (name: Name): string[][] => [
      ofType(platform(name), "AWS::Batch::ComputeEnvironment").map(([id]) => id),
      ofType(platform(name), "AWS::Batch::JobQueue").map(([id]) => id),
    ];
    const [[environments, queues], [onFargate, fargateQueues]] = [ids("default"), ids("fargate")];
    expect(fargateQueues).toEqual(queues);
    expect(new Set([...environments!, ...onFargate!]).size).toBe(4);
  });

  it("ends what waits at the head of a queue for what will not come", () => {
    for (const [, { Properties }] of ofType(platform(), "AWS::Batch::JobQueue"))
      expect(Properties["JobStateTimeLimitActions"]).toEqual([
        {
          Action: "CANCEL",
          MaxTimeSeconds: 7_200,
          Reason: "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
          State: "RUNNABLE",
        },
        {
          Action: "CANCEL",
          MaxTimeSeconds: 600,
          Reason: "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE",
          State: "RUNNABLE",
        },
        {
          Action: "CANCEL",
          MaxTimeSeconds: 600,
          Reason: "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT",
          State: "RUNNABLE",
        },
      ]);
  });

  it("starts again what its machine, its image or a signal has ended, and nothing else: all five places are taken", () => {
    const { Properties } = only(digits(), "AWS::Batch::JobDefinition");
    expect(Properties["RetryStrategy"]).toEqual({
      Attempts: 2,
      EvaluateOnExit: [
        { Action: "RETRY", OnStatusReason: "Host EC2*" },
        { Action: "RETRY", OnReason: "CannotPullContainerError:*" },
        { Action: "RETRY", OnExitCode: "75" },
        { Action: "RETRY", OnExitCode: "143" },
        { Action: "EXIT", OnReason: "*" },
      ],
    });
    expect(Properties["ResourceRetentionPolicy"]).toEqual({ SkipDeregisterOnUpdate: true });
    expect(Properties["Timeout"]).toEqual({ AttemptDurationSeconds: 86_400 });
  });

  it("runs a job as nobody in particular, who writes to its scratch disk and nowhere else", () => {
    digits().hasResourceProperties("AWS::Batch::JobDefinition", {
      ContainerProperties: Match.objectLike({
        User: "10001:10001",
        Privileged: false,
        ReadonlyRootFilesystem: true,
        LinuxParameters: {
          InitProcessEnabled: true,
          SharedMemorySize: 1_024,
          Tmpfs: [{ ContainerPath: "/tmp", Size: 256, MountOptions: ["rw", "nosuid", "nodev"] }],
        },
        MountPoints: [{ ContainerPath: "/scratch", ReadOnly: false, SourceVolume: "scratch" }],
        Volumes: [{ Name: "scratch", Host: { SourcePath: "/scratch" } }],
        LogConfiguration: {
          LogDriver: "awslogs",
          Options: Match.objectLike({ "awslogs-group": { Ref: idOf(digits(), "AWS::Logs::LogGroup", "JobLogs") } }),
        },
      }),
    });
  });

  it("tells a job its vCPUs and GPUs: a container is shown all of the machine's, and TensorFlow misses no GPU", () => {
    const environmentOf = (name: Name): Readonly<Record<string, unknown>> => {
      const container = only(digits(name), "AWS::Batch::JobDefinition").Properties["ContainerProperties"];
      const { Environment } = container as { Environment: { Name: string; Value: unknown }[] };
      return Object.fromEntries(Environment.map(({ Name, Value }) => [Name, Value]));
    };
    expect(environmentOf("default")).toMatchObject({ ACCRETE_THREADS: "4", ACCRETE_GPUS: "1" });
    expect(environmentOf("fargate")).toMatchObject({ ACCRETE_THREADS: "2" });
    expect(environmentOf("fargate")).not.toHaveProperty("ACCRETE_GPUS");
  });

  it("tells a job its region, and that of data which is elsewhere: nothing else on a machine would", () => {
    const environmentOf = (name: Name): unknown =>
      only(digits(name), "AWS::Batch::JobDefinition").Properties["ContainerProperties"];
    expect(environmentOf("default")).toMatchObject({
      Environment: expect.arrayContaining([{ Name: "AWS_REGION", Value: { Ref: "AWS::Region" } }]),
    });
    expect(JSON.stringify(environmentOf("default"))).not.toContain("ACCRETE_DATA_REGION");
    expect(environmentOf("data of another account and region")).toMatchObject({
      Environment: expect.arrayContaining([
        { Name: "AWS_REGION", Value: "eu-central-1" },
        { Name: "ACCRETE_DATA_REGION", Value: "us-east-1" },
      ]),
    });
  });

  it("has an encrypted scratch disk of the config's size and metadata by token alone", () => {
    platform().hasResourceProperties("AWS::EC2::LaunchTemplate", {
      LaunchTemplateData: Match.objectLike({
        BlockDeviceMappings: [
          { DeviceName: "/dev/xvda", Ebs: { DeleteOnTermination: true, Encrypted: true, VolumeType: "gp3" } },
          {
            DeviceName: "/dev/xvdb",
            Ebs: { DeleteOnTermination: true, Encrypted: true, VolumeType: "gp3", VolumeSize: 100 },
          },
        ],
        MetadataOptions: Match.objectLike({
          HttpTokens: "required",
          HttpPutResponseHopLimit: 1,
          HttpProtocolIpv6: "disabled",
        }),
      }),
    });
  });

  it("on Fargate has neither tmpfs nor shared memory, but a root that can be written to", () => {
    const { Properties } = only(digits("fargate"), "AWS::Batch::JobDefinition");
    expect(Properties["PlatformCapabilities"]).toEqual(["FARGATE"]);
    expect(JSON.stringify(Properties["ContainerProperties"])).not.toContain('"GPU"');
    expect(JSON.stringify(Properties["RetryStrategy"])).toContain("Your Spot Task was interrupted*");
    const container = Properties["ContainerProperties"];
    expect(container).toMatchObject({
      ReadonlyRootFilesystem: false,
      EphemeralStorage: { SizeInGiB: 30 },
      LinuxParameters: { InitProcessEnabled: true },
      ResourceRequirements: [
        { Type: "VCPU", Value: "2" },
        { Type: "MEMORY", Value: "6144" },
      ],
    });
    expect(container).not.toHaveProperty("Volumes");
    platform("fargate").hasResourceProperties("AWS::Batch::ComputeEnvironment", {
      ComputeResources: Match.objectLike({ Type: "FARGATE_SPOT" }),
    });
    platform("fargate").resourceCountIs("AWS::EC2::LaunchTemplate", 0);
    platform("fargate").resourceCountIs("AWS::IAM::InstanceProfile", 0);
  });

  it("lets nothing into the network, and HTTPS out", () => {
    const { Properties } = only(platform(), "AWS::EC2::SecurityGroup");
    expect(Properties["SecurityGroupIngress"]).toBeUndefined();
    expect(Properties["SecurityGroupEgress"]).toMatchObject([{ FromPort: 443, ToPort: 443 }]);
    platform().resourceCountIs("AWS::EC2::SecurityGroupIngress", 0);
  });
});

describe("events", () => {
  it("the state bucket tells nobody of anything, and no rule names it: the pipeline can't wake itself", () => {
    const state = idOf(digits(), "AWS::S3::Bucket", "State");
    const buckets = digits().findResources("AWS::S3::Bucket");
    expect(buckets[state]!["Properties"]).not.toHaveProperty("NotificationConfiguration");
    expect(JSON.stringify(digits().findResources("AWS::Events::Rule"))).not.toContain(state);
    const data = idOf(digits(), "AWS::S3::Bucket", "Data");
    expect(buckets[data]!["Properties"]["NotificationConfiguration"]).toEqual({
      EventBridgeConfiguration: { EventBridgeEnabled: true },
    });
  });

  it("data of the pipeline's own prefix wakes intake; the end of a job of its own queues the ledger", () => {
    digits().hasResourceProperties("AWS::Events::Rule", {
      EventPattern: {
        source: ["aws.s3"],
        account: [{ Ref: "AWS::AccountId" }],
        "detail-type": ["Object Created"],
        detail: {
          bucket: { name: [{ Ref: idOf(digits(), "AWS::S3::Bucket", "Data") }] },
          object: { key: [{ prefix: "digits/" }] },
        },
      },
    });
    const queue = (end: string): object => ({
      "Fn::Join": [
        "",
        [
          "arn:",
          { Ref: "AWS::Partition" },
          ":batch:",
          { Ref: "AWS::Region" },
          ":",
          { Ref: "AWS::AccountId" },
          ":job-queue/accrete-prod-",
          { Ref: "AWS::Region" },
          end,
        ],
      ],
    });
    digits().hasResourceProperties("AWS::Events::Rule", {
      EventPattern: {
        source: ["aws.batch"],
        "detail-type": ["Batch Job State Change"],
        detail: { status: ["SUCCEEDED", "FAILED"], jobQueue: [queue("-digits"), queue("-digits-ondemand")] },
      },
    });
    for (const [, { Properties }] of ofType(digits(), "AWS::Events::Rule"))
      expect(Properties["Targets"]).toMatchObject([{ DeadLetterConfig: {} }]);
  });

  it("a message is received five times before it is a dead letter, and hidden six times as long as a call may take", () => {
    const dead = idOf(digits(), "AWS::SQS::Queue", "DeadLetters");
    for (const [part, seconds] of [
      ["Arrivals", INTAKE_SECONDS],
      ["Ticks", LEDGER_SECONDS],
    ] as const) {
      const { Properties } = digits().findResources("AWS::SQS::Queue")[
        idOf(digits(), "AWS::SQS::Queue", part)
      ]! as Resource;
      expect(Properties["VisibilityTimeout"]).toBeGreaterThanOrEqual(6 * seconds);
      expect(Properties["RedrivePolicy"]).toEqual({
        deadLetterTargetArn: { "Fn::GetAtt": [dead, "Arn"] },
        maxReceiveCount: 5,
      });
    }
    digits().allResourcesProperties("AWS::SQS::Queue", { SqsManagedSseEnabled: true });
    const timeouts = ofType(digits(), "AWS::Lambda::Function").map(([, { Properties }]) => Properties["Timeout"]);
    expect(timeouts).toEqual([INTAKE_SECONDS, LEDGER_SECONDS]);
    digits().allResourcesProperties("AWS::Lambda::EventSourceMapping", {
      FunctionResponseTypes: ["ReportBatchItemFailures"],
      ScalingConfig: { MaximumConcurrency: 2 },
    });
  });

  it("every queue takes TLS alone, and messages of the pipeline's own rules", () => {
    const policies = ofType(digits(), "AWS::SQS::QueuePolicy");
    expect(policies).toHaveLength(3);
    for (const [, { Properties }] of policies)
      expect(Properties["PolicyDocument"]).toMatchObject({
        Statement: [
          { Effect: "Deny", Principal: "*", Action: "sqs:*", Condition: { Bool: { "aws:SecureTransport": "false" } } },
          { Effect: "Allow", Principal: { Service: "events.amazonaws.com" }, Condition: { ArnEquals: {} } },
        ],
      });
  });

  it("each deploy ends in a sweep of everything, of this stack's alone", () => {
    const [id, { Properties }] = ofType(digits(), "AWS::Events::Rule").find(([name]) => name.includes("Deployed"))!;
    expect(Properties).toMatchObject({
      State: "ENABLED",
      EventPattern: {
        source: ["aws.cloudformation"],
        "detail-type": ["CloudFormation Stack Status Change"],
        detail: {
          "stack-id": [{ Ref: "AWS::StackId" }],
          "status-details": { status: ["CREATE_COMPLETE", "UPDATE_COMPLETE"] },
        },
      },
      Targets: [{ Arn: { "Fn::GetAtt": [idOf(digits(), "AWS::SQS::Queue", "Ticks"), "Arn"] } }],
    });
    const [{ Input }] = Properties["Targets"] as [{ Input: string }];
    expect(parseWaking(Input)).toEqual({ is: "sweep", whole: true });
    // and the queue takes it
    const policy =
      digits().findResources("AWS::SQS::QueuePolicy")[idOf(digits(), "AWS::SQS::QueuePolicy", "TicksPolicy")]!;
    expect(JSON.stringify(policy)).toContain(JSON.stringify({ "Fn::GetAtt": [id, "Arn"] }));
  });

  it("the sweep comes every 15 minutes, and the retraining when the config says so", () => {
    const schedules = ofType(digits("cron schedule"), "AWS::Scheduler::Schedule").map(
      ([, { Properties }]) => Properties,
    );
    expect(schedules).toMatchObject([
      { ScheduleExpression: "cron(0/15 * * * ? *)", Target: { Input: '{"format":1,"sweep":true}' } },
      {
        ScheduleExpression: "cron(30 2 ? * MON,TUE,WED,THU,FRI *)",
        ScheduleExpressionTimezone: "Europe/Berlin",
        Target: {
          Input: '{"format":1,"schedule":"<aws.scheduler.scheduled-time>","retrain":"rehearse"}',
        },
      },
    ]);
    digits().resourceCountIs("AWS::Scheduler::Schedule", 1);
  });

  it("another account may send events of S3 and no others; its owner is told what to set up", () => {
    digits(FAR).hasResourceProperties("AWS::Events::EventBusPolicy", {
      Statement: Match.objectLike({
        Principal: { AWS: "arn:aws:iam::444455556666:root" },
        Action: "events:PutEvents",
        Condition: { StringEquals: { "events:source": "aws.s3" } },
      }),
    });
    digits(FAR).hasResourceProperties("AWS::Batch::JobDefinition", {
      ContainerProperties: Match.objectLike({
        Environment: Match.arrayWith([{ Name: "ACCRETE_DATA_REGION", Value: "us-east-1" }]),
      }),
    });
    digits(FAR).hasOutput("DataRule", {});
    digits(FAR).hasOutput("DataBucketPolicy", {});
    digits().resourceCountIs("AWS::Events::EventBusPolicy", 0);
    expect(Object.keys(digits().findOutputs("*"))).not.toContain("DataRule");
  });
});

describe("what is kept", () => {
  it("buckets outlive the stack, are versioned, encrypted and not public; only what is not current goes", () => {
    for (const [, bucket] of ofType(digits(), "AWS::S3::Bucket")) {
      expect(bucket).toMatchObject({ DeletionPolicy: "Retain", UpdateReplacePolicy: "Retain" });
      expect(bucket.Properties).not.toHaveProperty("BucketName");
      expect(bucket.Properties).toMatchObject({
        VersioningConfiguration: { Status: "Enabled" },
        PublicAccessBlockConfiguration: {
          BlockPublicAcls: true,
          BlockPublicPolicy: true,
          IgnorePublicAcls: true,
          RestrictPublicBuckets: true,
        },
        LifecycleConfiguration: {
          Rules: [{ ExpiredObjectDeleteMarker: true, AbortIncompleteMultipartUpload: { DaysAfterInitiation: 7 } }],
        },
      });
      const { Rules } = bucket.Properties["LifecycleConfiguration"] as { Rules: object[] };
      for (const rule of Rules)
        expect(Object.keys(rule).filter((key) => /^(Expiration|Transition)/.test(key))).toEqual([]);
    }
    const stateRules = digits().findResources("AWS::S3::Bucket")[idOf(digits(), "AWS::S3::Bucket", "State")]!;
    expect(stateRules["Properties"].LifecycleConfiguration.Rules[0].NoncurrentVersionExpiration).toEqual({
      NoncurrentDays: 7,
    });
  });

  it("logs go with the stack, whose names they have, and after the days of the config", () => {
    for (const [name, days] of [
      ["default", 30],
      ["everything", 90],
    ] as const) {
      const groups = ofType(digits(name), "AWS::Logs::LogGroup");
      expect(groups.map(([, { Properties }]) => Properties["LogGroupName"]).sort()).toEqual([
        "/accrete/prod/digits/intake",
        "/accrete/prod/digits/jobs",
        "/accrete/prod/digits/ledger",
      ]);
      for (const [, group] of groups) {
        expect(group.DeletionPolicy).toBe("Delete");
        expect(group.Properties["RetentionInDays"]).toBe(days);
      }
    }
  });

  it("buckets that exist are used as they are: no setting of theirs but the state's own policy is touched", () => {
    digits("everything").resourceCountIs("AWS::S3::Bucket", 0);
    digits("everything").resourceCountIs("AWS::S3::BucketPolicy", 1);
    digits("everything").hasResourceProperties("AWS::S3::BucketPolicy", { Bucket: "old-state" });
    digits("everything").hasOutput("StateUrl", { Value: "s3://old-state/digits" });
  });
});

describe("who may do what", () => {
  it("each program has a role with its own statements, and no role another's", () => {
    const template = digits();
    const roleOf = (type: string, property: string): string =>
      JSON.stringify(only(template, type).Properties[property] ?? "");
    expect(JSON.stringify(only(template, "AWS::Batch::JobDefinition").Properties["ContainerProperties"])).toContain(
      `"JobRoleArn":{"Fn::GetAtt":["${idOf(template, "AWS::IAM::Role", "Trainer")}","Arn"]}`,
    );
    for (const part of ["Intake", "Ledger"])
      expect(
        template.findResources("AWS::Lambda::Function")[idOf(template, "AWS::Lambda::Function", part)]!["Properties"]
          .Role,
      ).toEqual({ "Fn::GetAtt": [idOf(template, "AWS::IAM::Role", `Roles${part}`), "Arn"] });
    expect(roleOf("AWS::Scheduler::Schedule", "Target")).toContain(idOf(template, "AWS::IAM::Role", "Scheduler"));
    for (const [id, { Properties }] of ofType(template, "AWS::IAM::Role"))
      if (!id.includes("Repair")) expect(Properties["ManagedPolicyArns"], id).toBeUndefined();
  });

  it("the state bucket's policy refuses what may not be written over, but to the repair role", () => {
    const text = JSON.stringify(
      digits().findResources("AWS::S3::BucketPolicy")[idOf(digits(), "AWS::S3::BucketPolicy", "StatePolicy")],
    );
    for (const sid of ["TlsOnly", "CreateOnly", "ReplaceOnlyWhatWasRead", "KeepForGood", "OnlyTheJanitorDeletes"])
      expect(text).toContain(`"Sid":"${sid}"`);
    expect(text).toContain(idOf(digits(), "AWS::IAM::Role", "Repair"));
  });

  it("a boundary bounds every role", () => {
    for (const template of [platform("everything"), digits("everything")])
      template.allResourcesProperties("AWS::IAM::Role", {
        PermissionsBoundary: "arn:aws:iam::111122223333:policy/boundary",
      });
  });

  it("the config's key encrypts state, queues, topic and logs", () => {
    const key = "arn:aws:kms:eu-central-1:111122223333:key/0a1b2c3d-0000-4000-8000-000000000000";
    const template = digits("own bucket with KMS");
    template.allResourcesProperties("AWS::SQS::Queue", { KmsMasterKeyId: key });
    template.allResourcesProperties("AWS::Logs::LogGroup", { KmsKeyId: key });
    template.allResourcesProperties("AWS::SNS::Topic", { KmsMasterKeyId: key });
    expect(JSON.stringify(only(template, "AWS::S3::Bucket"))).toContain(key);
  });
});

describe("who is told", () => {
  it("three alarms, no news is good news, and each says where the runbook has it", () => {
    const alarms = ofType(digits("own bucket with KMS"), "AWS::CloudWatch::Alarm");
    expect(alarms.map(([, { Properties }]) => Properties["AlarmName"])).toEqual([
      "accrete-prod-digits-blocked",
      "accrete-prod-digits-oldest-pending",
      "accrete-prod-digits-dead-letters",
    ]);
    for (const [, { Properties }] of alarms) {
      expect(Properties["TreatMissingData"]).toBe("notBreaching");
      expect(Properties["AlarmDescription"]).toMatch(/docs\/operations\.md#[a-z-]+$/);
      expect(Properties["AlarmActions"]).toHaveLength(1);
    }
  });

  it("two stages with a pipeline of the same name share no metric: function, alarms and dashboard say STAGE-PIPELINE", () => {
    const other = synthesise(join(root, "test stage"), {
      ...CONFIGS.everything,
      aws: { ...CONFIGS.everything.aws, stage: "test" },
    });
    for (const [stage, template] of [
      ["prod", digits("everything")],
      ["test", Template.fromJSON(other.pipelines["digits"]!)],
    ] as const) {
      template.allResourcesProperties("AWS::Lambda::Function", {
        Environment: { Variables: Match.objectLike({ ACCRETE_METRICS: `${stage}-digits` }) },
      });
      const own = ofType(template, "AWS::CloudWatch::Alarm").filter(
        ([, { Properties }]) => Properties["Namespace"] === "Accrete",
      );
      expect(own).toHaveLength(2);
      for (const [, { Properties }] of own)
        expect(Properties["Dimensions"]).toEqual([{ Name: "pipeline", Value: `${stage}-digits` }]);
      expect(JSON.stringify(only(template, "AWS::CloudWatch::Dashboard"))).toContain(
        String.raw`\"pipeline\",\"${stage}-digits\"`,
      );
    }
  });

  it("each place in the runbook that somebody is sent to is there", () => {
    const runbook = readFileSync(new URL("../docs/operations.md", import.meta.url), "utf8");
    const sentTo = [
      ...JSON.stringify(made.get("own bucket with KMS")!.pipelines).matchAll(/operations\.md#([a-z-]+)/g),
    ];
    expect(new Set(sentTo.map(([, place]) => place)).size).toBe(5);
    for (const [, place] of sentTo) expect(runbook).toContain(`\n### ${place}\n`);
  });

  it("an own topic is used, and none is made without an address", () => {
    digits("everything").resourceCountIs("AWS::SNS::Topic", 0);
    digits("everything").allResourcesProperties("AWS::CloudWatch::Alarm", {
      AlarmActions: ["arn:aws:sns:eu-central-1:111122223333:ops"],
    });
    digits().resourceCountIs("AWS::SNS::Topic", 0);
    digits().hasOutput("TopicArn", { Value: "" });
  });

  it("a failed attempt and a blocked queue are told by rules, which cost nothing", () => {
    for (const detail of ["Batch Job State Change", "Batch Job Queue Blocked"])
      digits("own bucket with KMS").hasResourceProperties("AWS::Events::Rule", {
        EventPattern: Match.objectLike({
          "detail-type": [detail],
          detail: Match.objectLike({ jobQueue: [Match.anyValue(), Match.anyValue()] }),
        }),
        Targets: [Match.objectLike({ Id: "Topic" })],
      });
  });
});

describe("the stack and the CLI", () => {
  it("the outputs are what the CLI asks for", () => {
    expect(Object.keys(digits().findOutputs("*")).sort()).toEqual(
      [
        "AccreteVersion",
        "ArrivalsUrl",
        "DeadLettersUrl",
        "DeadLettersAlarm",
        "ConfigDigest",
        "DataAccount",
        "DataUrl",
        "Image",
        "IntakeFunction",
        "JobDefinition",
        "JobLogGroup",
        "JobQueue",
        "LedgerFunction",
        "OnDemandJobQueue",
        "OperatorPolicyArn",
        "Pipeline",
        "RepairRoleArn",
        "StateUrl",
        "TicksUrl",
        "TopicArn",
      ].sort(),
    );
  });

  it("asks whoever deploys for nothing", () => {
    for (const name of USED) {
      digits(name).resourceCountIs("AWS::SSM::Parameter", 0);
      expect(digits(name).findParameters("*"), name).toEqual({ BootstrapVersion: expect.anything() });
    }
  });
});

describe("what AWS would refuse, or nobody wants", () => {
  it.each([
    [{ compute: { platform: "fargate", vcpus: 3 } }, /vcpus: 3: fargate has 1, 2, 4, 8, 16/],
    [
      { compute: { platform: "fargate", vcpus: 1, memory: "12 GiB" } },
      /memory: 12 GiB: with 1 vcpus fargate has 2 to 8/,
    ],
    [{ compute: { platform: "fargate", vcpus: 2, memory: "8 GB" } }, /memory: 7.45 GiB: with 2 vcpus/],
    [{ compute: { platform: "fargate", scratch: "300 GiB" } }, /scratch: 300 GiB: fargate has at most 200/],
    [{ compute: { vcpus: 32 } }, /maxVcpus: 16 is less than the 32 vcpus/],
    [{ buckets: { data: "same-bucket", state: "same-bucket" } }, /can't be the state bucket as well/],
    [{ buckets: { data: "the-data", dataRegion: "us-east-1" } }, /name aws.region as well/],
    [{ name: "a".repeat(40) }, /Lambda allows 64/],
    [{ name: "platform" }, /the platform's stack is named so/],
  ] as const)("%j", (change, message) => {
    const config = { pipelines: [pipeline(change)], aws: { stage: "averylongsta" } };
    expect(() => synthesise(join(root, "refused"), config)).toThrow(message);
  });

  it.each([
    [{ state: "old-state" }, { state: "old-state" }, /digits and letters have the same buckets.state, old-state/],
    [{ state: "old-state" }, { data: "old-state" }, /letters: buckets.data is the state bucket of digits/],
    [{ data: "old-state" }, { state: "old-state" }, /digits: buckets.data is the state bucket of letters/],
    [{ data: "the-data", state: "old-state" }, { data: "the-data", state: "other" }, undefined],
  ])("buckets that two pipelines can't share: %j, %j", (digits, letters, message) => {
    const config = {
      pipelines: [pipeline({ buckets: digits }), pipeline({ name: "letters", buckets: letters })],
      aws: { image: "x" },
    };
    const made = expect(() => synthesise(mkdtempSync(join(root, "shared-")), config));
    if (message === undefined) made.not.toThrow();
    else made.toThrow(message);
  });

  it("data in another region costs at each round: refused unless the config says so", () => {
    const config = (crossRegion: boolean) => ({
      pipelines: [pipeline({ buckets: { data: "the-data", dataRegion: "us-east-1", crossRegion } })],
      aws: { image: "x", region: "eu-central-1" },
    });
    expect(() => synthesise(join(root, "far"), config(false))).toThrow(/set buckets.crossRegion/);
    expect(parseConfig(config(true)).pipelines).toHaveLength(1);
  });
});
