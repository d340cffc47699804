/** A pipeline's machines and job queues in AWS Batch. */
import { Stack } from "aws-cdk-lib";
import * as batch from "aws-cdk-lib/aws-batch";
import { Construct } from "constructs";
import type { PipelineConfig } from "../protocol/config.ts";
import { computeOf, type Compute } from "./compute.ts";
import { launchTemplate } from "./launch-template.ts";
import { jobQueueName } from "./names.ts";
import type { Network } from "./network.ts";
import { tagsOf } from "./stage.ts";

/** AWS Batch allows 10 minutes to a day. */
const STATE_LIMIT_SECONDS = { from: 600, to: 86_400 } as const;
/** of an update that replaces machines: a running job may go on for so long; at most 6 hours */
const UPDATE_MINUTES_MAX = 360;

export interface PipelineBatchProps {
  readonly stage: string;
  readonly pipeline: PipelineConfig;
  readonly network: Network;
  readonly securityGroupId: string;
  /** ARN; none on Fargate */
  readonly instanceProfileArn: string;
  /** of machines and disks, so that their cost can be told */
  readonly tags: Readonly<Record<string, string>>;
}

/** One compute environment and queue for each kind of machine: with spot there is a second, on-demand one. */
export class PipelineBatch extends Construct {
  constructor(scope: Construct, id: string, props: PipelineBatchProps) {
    super(scope, id);
    const compute = computeOf(props.pipeline);
    const resources = compute.fargate ? fargate(compute, props) : machines(this, compute, props);
    // Batch takes them when a queue is made and never again: one that changed would have CloudFormation make a second queue of that name
    const fixedTags = { ...tagsOf(props.stage, props.pipeline.name, {}) };
    for (const onDemand of compute.spot ? [false, true] : [false]) {
      const spot = compute.spot && !onDemand;
      const environment = new batch.CfnComputeEnvironment(this, environmentId(compute, onDemand), {
        type: "MANAGED",
        state: "ENABLED",
        computeResources: { ...resources, ...kindOf(compute, spot) },
        // a new launch template or machine image is taken over in place: the queue goes on, running jobs too
        replaceComputeEnvironment: false,
        ...(compute.fargate ? {} : { updatePolicy: updatePolicy(props.pipeline) }),
        tags: fixedTags,
      });
      new batch.CfnJobQueue(this, onDemand ? "OnDemandQueue" : "Queue", {
        jobQueueName: jobQueueName(
          { stage: props.stage, region: Stack.of(this).region, pipeline: props.pipeline.name },
          onDemand,
        ),
        priority: 1,
        state: "ENABLED",
        computeEnvironmentOrder: [{ order: 1, computeEnvironment: environment.attrComputeEnvironmentArn }],
        jobStateTimeLimitActions: stateLimits(props.pipeline.jobs.maxWait),
        tags: fixedTags,
      });
    }
  }
}

/**
 * Of what can't become the other in place: machines of EC2 may turn from spot to on demand, but not into Fargate, and that not at all. Another
 * id is another environment, which the queue is given before the old one goes.
 */
function environmentId({ fargate, spot }: Compute, onDemand: boolean): string {
  if (fargate) return spot && !onDemand ? "FargateSpot" : "Fargate";
  return onDemand ? "OnDemand" : "Machines";
}

function kindOf({ fargate }: Compute, spot: boolean): { type: string; allocationStrategy?: string } {
  if (fargate) return { type: spot ? "FARGATE_SPOT" : "FARGATE" };
  return spot
    ? { type: "SPOT", allocationStrategy: "SPOT_PRICE_CAPACITY_OPTIMIZED" }
    : { type: "EC2", allocationStrategy: "BEST_FIT_PROGRESSIVE" };
}

type Resources = Omit<batch.CfnComputeEnvironment.ComputeResourcesProperty, "type" | "allocationStrategy">;

function fargate({ maxVcpus }: Compute, { network, securityGroupId }: PipelineBatchProps): Resources {
  return { maxvCpus: maxVcpus, subnets: [...network.subnetIds], securityGroupIds: [securityGroupId] };
}

function machines(scope: Construct, compute: Compute, props: PipelineBatchProps): Resources {
  const template = launchTemplate(scope, "LaunchTemplate", { compute, tags: props.tags });
  return {
    minvCpus: 0, // nothing runs, nothing is paid
    maxvCpus: compute.maxVcpus,
    instanceTypes: [...compute.instanceTypes], // what is named and nothing else: no "optimal"
    instanceRole: props.instanceProfileArn,
    ec2Configuration: [{ imageType: compute.gpus > 0 ? "ECS_AL2023_NVIDIA" : "ECS_AL2023" }],
    updateToLatestImageVersion: true,
    launchTemplate: { launchTemplateId: template.ref, version: template.attrLatestVersionNumber },
    subnets: [...props.network.subnetIds],
    securityGroupIds: [props.securityGroupId],
    tags: { ...props.tags },
  };
}

/** A deploy leaves a running job alone for as long as it may run. One that is ended goes on from what it saved. */
function updatePolicy({ jobs }: PipelineConfig): batch.CfnComputeEnvironment.UpdatePolicyProperty {
  const minutes = Math.min(UPDATE_MINUTES_MAX, Math.max(1, Math.ceil(jobs.timeLimit / 60_000)));
  return { terminateJobsOnUpdate: false, jobExecutionTimeoutMinutes: minutes };
}

/**
 * What waits at the head of the queue and can't get a machine is ended by Batch itself, so that the round goes on elsewhere or is
 * blocked with a reason, even if no tick looked at it.
 */
function stateLimits(maxWaitMs: number): batch.CfnJobQueue.JobStateTimeLimitActionProperty[] {
  const { from, to } = STATE_LIMIT_SECONDS;
  const waitSeconds = Math.min(to, Math.max(from, Math.ceil(maxWaitMs / 1000)));
  return [
    { reason: "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY", maxTimeSeconds: waitSeconds },
    { reason: "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE", maxTimeSeconds: from },
    { reason: "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT", maxTimeSeconds: from },
  ].map((one) => ({ ...one, state: "RUNNABLE", action: "CANCEL" }));
}
