/** How a job of the pipeline runs: the container and its limits, and which ends are tried again. */
import { ArnFormat, Stack } from "aws-cdk-lib";
import * as batch from "aws-cdk-lib/aws-batch";
import type { Construct } from "constructs";
import type { PipelineConfig } from "../protocol/config.ts";
import { computeOf, type Compute } from "./compute.ts";
import { logGroup } from "./log-group.ts";
import { jobDefinitionName } from "./names.ts";

/** Of the trainer in its image, who owns /scratch; refused the metadata address by the machine. */
const JOB_USER = "10001:10001";
const SCRATCH = "/scratch";
/** The only other place to write to, of the job's memory. */
const TMP_MIB = 256;
/**
 * Starts of one attempt by Batch itself: one more, then the ledger decides, who sends it where nobody takes machines back.
 */
const STARTS = 2;

/** What ends an attempt through no fault of its own. AWS Batch takes five; the first that fits counts. */
const retryWhen = ({ fargate }: Compute): Omit<batch.CfnJobDefinition.EvaluateOnExitProperty, "action">[] => [
  { onStatusReason: fargate ? "Your Spot Task was interrupted*" : "Host EC2*" }, // the machine was taken back, or died
  { onReason: "CannotPullContainerError:*" },
  { onExitCode: "75" }, // the trainer's "try again": saved on SIGTERM, or a hang
  { onExitCode: "143" }, // SIGTERM in the first moments of the container's init
];

export interface JobDefinitionProps {
  readonly stage: string;
  readonly pipeline: PipelineConfig;
  readonly image: string;
  readonly jobRoleArn: string;
  readonly executionRoleArn: string;
  readonly logRetentionDays: number;
  readonly kmsKeyArn: string | undefined;
  readonly environment: Readonly<Record<string, string>>;
  readonly tags: Readonly<Record<string, string>>;
}

export function jobDefinition(scope: Construct, id: string, props: JobDefinitionProps): batch.CfnJobDefinition {
  const { stage, pipeline } = props;
  const compute = computeOf(pipeline);
  const at = { stage, pipeline: pipeline.name };
  const { ref: logs } = logGroup(scope, `${id}Logs`, { ...props, at, name: "jobs" });
  return new batch.CfnJobDefinition(scope, id, {
    jobDefinitionName: jobDefinitionName(at),
    type: "container",
    platformCapabilities: [compute.fargate ? "FARGATE" : "EC2"],
    propagateTags: true,
    tags: { ...props.tags },
    timeout: { attemptDurationSeconds: Math.max(60, Math.ceil(pipeline.jobs.timeLimit / 1000)) },
    retryStrategy: {
      attempts: STARTS,
      evaluateOnExit: [
        ...retryWhen(compute).map((when) => ({ ...when, action: "RETRY" })),
        { onReason: "*", action: "EXIT" },
      ],
    },
    // a plan names a revision: a deploy while its round is open must not take it away
    resourceRetentionPolicy: { skipDeregisterOnUpdate: true },
    containerProperties: {
      image: props.image,
      jobRoleArn: props.jobRoleArn,
      executionRoleArn: props.executionRoleArn,
      user: JOB_USER,
      privileged: false,
      environment: Object.entries({ ...props.environment, ...ofTheMachine(compute) }).map(([name, value]) => ({
        name,
        value,
      })),
      resourceRequirements: requirements(compute),
      logConfiguration: {
        logDriver: "awslogs",
        options: {
          "awslogs-group": logs,
          "awslogs-region": Stack.of(scope).region,
          "awslogs-stream-prefix": pipeline.name,
        },
      },
      ...(compute.fargate ? onFargate(compute) : onMachines(compute)),
    },
  });
}

function requirements({ gpus, vcpus, memoryMiB }: Compute): batch.CfnJobDefinition.ResourceRequirementProperty[] {
  return [
    { type: "VCPU", value: String(vcpus) },
    { type: "MEMORY", value: String(memoryMiB) },
    ...(gpus > 0 ? [{ type: "GPU", value: String(gpus) }] : []),
  ];
}

/** What a program can't see from inside: it is shown all of a machine's processors, and a missing GPU is no error to TensorFlow. */
function ofTheMachine({ gpus, vcpus }: Compute): Readonly<Record<string, string>> {
  return { ACCRETE_THREADS: String(vcpus), ...(gpus > 0 ? { ACCRETE_GPUS: String(gpus) } : {}) };
}

type Container = Partial<batch.CfnJobDefinition.ContainerPropertiesProperty>;

function onMachines({ sharedMemoryMiB }: Compute): Container {
  return {
    readonlyRootFilesystem: true,
    linuxParameters: {
      initProcessEnabled: true, // SIGTERM reaches the trainer, and nothing it started is left as a zombie
      sharedMemorySize: sharedMemoryMiB,
      tmpfs: [{ containerPath: "/tmp", size: TMP_MIB, mountOptions: ["rw", "nosuid", "nodev"] }],
    },
    volumes: [{ name: "scratch", host: { sourcePath: SCRATCH } }],
    mountPoints: [{ sourceVolume: "scratch", containerPath: SCRATCH, readOnly: false }],
  };
}

/** No tmpfs, no shared memory and no disk of its own there: the image's /scratch is written to. */
function onFargate({ scratchGiB }: Compute): Container {
  return {
    readonlyRootFilesystem: false,
    linuxParameters: { initProcessEnabled: true },
    ephemeralStorage: { sizeInGiB: scratchGiB },
    fargatePlatformConfiguration: { platformVersion: "LATEST" },
    networkConfiguration: { assignPublicIp: "ENABLED" },
  };
}

/** Without a revision. */
export function jobDefinitionArn(scope: Construct, at: { readonly stage: string; readonly pipeline: string }): string {
  return Stack.of(scope).formatArn({
    service: "batch",
    resource: "job-definition",
    resourceName: jobDefinitionName(at),
    arnFormat: ArnFormat.SLASH_RESOURCE_NAME,
  });
}
