import { Annotations, ArnFormat, Stack } from "aws-cdk-lib";
import * as budgets from "aws-cdk-lib/aws-budgets";
import * as iam from "aws-cdk-lib/aws-iam";
import { Construct } from "constructs";
import type { PipelineConfig, PipelineInput } from "../protocol/config.ts";
import { PipelineBatch } from "./batch.ts";
import { checkedPipelines } from "./checked-pipelines.ts";
import { computeOf } from "./compute.ts";
import { checkNames, logGroupName } from "./names.ts";
import { imageOf, imageRepositories, type PipelineImage, type TrainerImage } from "./image.ts";
import { jobSecurityGroup, PublicNetwork, type Network } from "./network.ts";
import { instanceStatements } from "./instance-policy.ts";
import { role } from "./roles.ts";
import { tagsOf } from "./stage.ts";

export interface TrainingPlatformProps {
  /** The pipelines whose jobs run here, as in accrete.config.ts: each gets machines and job queues of its own. */
  readonly pipelines: readonly (PipelineInput | PipelineConfig)[];
  /** Part of every name, so that two can stand side by side. @default "prod" */
  readonly stage?: string;
  /**
   * A VPC that exists. Its subnets need a way to S3, ECS, ECR and CloudWatch Logs.
   * @default - one is made: public subnets in three zones, no way in, S3 by a gateway endpoint, nothing that costs while idle
   */
  readonly network?: Network;
  /** What jobs of pipelines that name no image run in: as the pipelines' constructs are given it. @default - each pipeline's `compute.image` */
  readonly image?: string | TrainerImage;
  /** ARN of a policy that bounds every role. @default - none */
  readonly permissionsBoundaryArn?: string;
  /** Dollars a month that AWS Budgets warns of, at 80 % and at 100 % (forecast). Needs `alarmEmail`. @default - none */
  readonly monthlyBudget?: number;
  /** Who is warned. @default - nobody */
  readonly alarmEmail?: string;
  /** On machines and disks as well, whose costs can be told by them. @default - accrete:stage and accrete:pipeline alone */
  readonly tags?: Readonly<Record<string, string>>;
}

/**
 * Where jobs run: network, machines, job queues. One for a stage; it costs nothing while no job runs.
 * Found by `IncrementalTrainingPipeline` through the names of its job queues: it is deployed first.
 */
export class TrainingPlatform extends Construct {
  /** Where the jobs run. */
  readonly network: Network;

  /** @throws {AccreteError} CONFIG_INVALID */
  constructor(scope: Construct, id: string, props: TrainingPlatformProps) {
    super(scope, id);
    const { stage = "prod", tags = {} } = props;
    const pipelines = checkedPipelines(props.pipelines);
    checkNames(
      stage,
      pipelines.map(({ name }) => name),
    );
    this.network = props.network ?? new PublicNetwork(this, "Network");
    const securityGroup = jobSecurityGroup(this, "Jobs", this.network.vpcId);
    // of all pipelines: this stack comes first, and nothing of it is changed until an image that has to be built is built and pushed
    const images = new Map(pipelines.map((pipeline) => [pipeline, imageOf(Stack.of(this), pipeline, props.image)]));
    for (const pipeline of pipelines) if (computeOf(pipeline).fargate) images.delete(pipeline);
    const instanceProfileArn = images.size === 0 ? "" : this.#instanceProfile(stage, images, props).attrArn;
    for (const pipeline of pipelines)
      new PipelineBatch(this, pipeline.name, {
        stage,
        pipeline,
        network: this.network,
        securityGroupId: securityGroup.attrGroupId,
        instanceProfileArn,
        tags: tagsOf(stage, pipeline.name, tags),
      });
    if (props.monthlyBudget !== undefined) this.#budget(stage, props.monthlyBudget, props.alarmEmail);
  }

  #instanceProfile(
    stage: string,
    images: ReadonlyMap<PipelineConfig, PipelineImage>,
    { permissionsBoundaryArn }: TrainingPlatformProps,
  ): iam.CfnInstanceProfile {
    const stack = Stack.of(this);
    const instance = role(this, "InstanceRole", {
      service: "ec2.amazonaws.com",
      boundary: permissionsBoundaryArn ?? null,
      wildcards:
        "AWS Batch names its clusters itself, ECS their tasks, and CloudWatch Logs its streams; some actions know no resource.",
      statements: instanceStatements({
        partition: stack.partition,
        region: stack.region,
        account: stack.account,
        jobLogGroups: [...images.keys()].map(({ name }) =>
          stack.formatArn({
            service: "logs",
            resource: "log-group",
            resourceName: logGroupName({ stage, pipeline: name }, "jobs"),
            arnFormat: ArnFormat.COLON_RESOURCE_NAME,
          }),
        ),
        imageRepositories: imageRepositories([...images.values()]),
      }),
    });
    return new iam.CfnInstanceProfile(this, "InstanceProfile", { roles: [instance.ref] });
  }

  #budget(stage: string, limit: number, email: string | undefined): void {
    if (email === undefined) {
      Annotations.of(this).addError("aws.monthlyBudget: nobody would be warned: set aws.alarms.email");
      return;
    }
    const subscribers = [{ subscriptionType: "EMAIL", address: email }];
    new budgets.CfnBudget(this, "Budget", {
      budget: {
        budgetType: "COST",
        timeUnit: "MONTHLY",
        budgetLimit: { amount: limit, unit: "USD" },
        // counts once the tag is activated for cost allocation: docs/operations.md
        costFilters: { TagKeyValue: [`user:accrete:stage$${stage}`] },
      },
      notificationsWithSubscribers: [["ACTUAL", 80] as const, ["FORECASTED", 100] as const].map(
        ([notificationType, threshold]) => ({
          notification: {
            notificationType,
            threshold,
            thresholdType: "PERCENTAGE",
            comparisonOperator: "GREATER_THAN",
          },
          subscribers,
        }),
      ),
    });
  }
}
