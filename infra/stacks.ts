import { Stack, Tags, type App } from "aws-cdk-lib";
import type { AwsConfig } from "../protocol/aws-config.ts";
import type { Config } from "../protocol/config.ts";
import type { PipelineCode } from "./code.ts";
import type { TrainerImage } from "./image.ts";
import { checkNames, pipelineStackName, platformStackName } from "./names.ts";
import { IncrementalTrainingPipeline } from "./pipeline.ts";
import { TrainingPlatform } from "./platform.ts";
import { tagsOf } from "./stage.ts";

/**
 * The stacks of an accrete.config.ts: the platform, and one for each pipeline. Nothing is looked up, so the same config gives the same
 * templates everywhere; without aws.account and aws.region they are for wherever they are deployed.
 * @param codes by the pipeline's name, as `pipelineCode()` makes them
 * @param image for what names none, as `trainerImage()` makes it
 * @throws {AccreteError} CONFIG_INVALID
 */
export function addStacks(
  app: App,
  config: Config,
  codes: ReadonlyMap<string, PipelineCode>,
  image: TrainerImage,
): void {
  const { aws, pipelines } = config;
  const { stage, tags } = aws;
  checkNames(
    stage,
    pipelines.map(({ name }) => name),
  );
  const env = {
    ...(aws.account === null ? {} : { account: aws.account }),
    ...(aws.region === null ? {} : { region: aws.region }),
  };
  const common = commonOf(aws, image);
  const platform = new Stack(app, platformStackName(stage), {
    env,
    description: `accrete ${stage}: network, machines and job queues of all pipelines`,
  });
  tag(platform, tagsOf(stage, null, tags));
  new TrainingPlatform(platform, "Platform", {
    ...common,
    pipelines,
    ...(aws.vpc === null ? {} : { network: { vpcId: aws.vpc.id, subnetIds: aws.vpc.subnets } }),
    ...(aws.monthlyBudget === null ? {} : { monthlyBudget: aws.monthlyBudget }),
  });
  for (const pipeline of pipelines) {
    const code = codes.get(pipeline.name);
    if (code === undefined) throw new Error(`no code for ${pipeline.name}`);
    const stack = new Stack(app, pipelineStackName(stage, pipeline.name), {
      env,
      description: `accrete ${stage}: pipeline ${pipeline.name}`,
    });
    tag(stack, tagsOf(stage, pipeline.name, tags));
    stack.addStackDependency(platform, "its jobs run in the platform's queues, which it knows by name");
    new IncrementalTrainingPipeline(stack, "Pipeline", {
      ...common,
      pipeline,
      code,
      ...(aws.kmsKey === null ? {} : { kmsKeyArn: aws.kmsKey }),
      ...(aws.alarms.topic === null ? {} : { alarmTopicArn: aws.alarms.topic }),
      logRetentionDays: aws.logRetention,
      dashboard: aws.dashboard,
    });
  }
}

/** What both constructs take. */
function commonOf(
  { stage, tags, image: named, permissionsBoundary, alarms }: AwsConfig,
  image: TrainerImage,
): {
  readonly stage: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly image: string | TrainerImage;
  readonly permissionsBoundaryArn?: string;
  readonly alarmEmail?: string;
} {
  return {
    stage,
    tags,
    image: named ?? image,
    ...(permissionsBoundary === null ? {} : { permissionsBoundaryArn: permissionsBoundary }),
    ...(alarms.email === null ? {} : { alarmEmail: alarms.email }),
  };
}

/** Dashboards: not everywhere yet. Batch: the tags of a queue can't be changed, so it has those that never do (batch.ts). */
const UNTAGGED = ["AWS::CloudWatch::Dashboard", "AWS::Batch::JobQueue", "AWS::Batch::ComputeEnvironment"];

function tag(stack: Stack, tags: Readonly<Record<string, string>>): void {
  for (const [key, value] of Object.entries(tags)) Tags.of(stack).add(key, value, { excludeResourceTypes: UNTAGGED });
}
