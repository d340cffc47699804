/**
 * What each call may hold, as the service's own model has it: names, kinds and what is required. What AWS has and this server hasn't is
 * refused by name, so that nobody takes a job for one that heeds it. Rules between members are in validate.ts.
 */
import * as z from "zod/mini";

const notHere = (what: string) => z.optional(z.never({ error: `this server has no ${what}` }));
const text = z.string();
const texts = z.array(text);
const some = z.optional;

const KeyValue = z.strictObject({ name: some(text), value: some(text) });
export const Tags = z.record(
  text.check(z.minLength(1), z.maxLength(128), z.regex(/^(?!aws:)/i)),
  text.check(z.maxLength(256)),
);
const ResourceRequirement = z.strictObject({ type: z.enum(["GPU", "VCPU", "MEMORY"]), value: text });
const Parameters = z.record(text, text);

const EvaluateOnExit = z.strictObject({
  onStatusReason: some(text),
  onReason: some(text),
  onExitCode: some(text),
  // its case doesn't matter, the service says
  action: text.check(z.regex(/^(RETRY|EXIT)$/i)),
});
export const RetryStrategy = z.strictObject({ attempts: some(z.int()), evaluateOnExit: some(z.array(EvaluateOnExit)) });
export type RetryStrategy = z.infer<typeof RetryStrategy>;
const Timeout = z.strictObject({ attemptDurationSeconds: some(z.int()) });

const Volume = z.strictObject({
  name: some(text),
  host: some(z.strictObject({ sourcePath: some(text) })),
  efsVolumeConfiguration: notHere("EFS"),
  s3filesVolumeConfiguration: notHere("S3 Files"),
});
const LinuxParameters = z.strictObject({
  devices: some(
    z.array(
      z.strictObject({
        hostPath: text,
        containerPath: some(text),
        permissions: some(z.array(z.enum(["READ", "WRITE", "MKNOD"]))),
      }),
    ),
  ),
  initProcessEnabled: some(z.boolean()),
  sharedMemorySize: some(z.int()),
  tmpfs: some(z.array(z.strictObject({ containerPath: text, size: z.int(), mountOptions: some(texts) }))),
  maxSwap: some(z.int()),
  swappiness: some(z.int()),
});
const LogConfiguration = z.strictObject({
  logDriver: z.enum(["json-file", "syslog", "journald", "gelf", "fluentd", "awslogs", "splunk", "awsfirelens"]),
  options: some(Parameters),
  secretOptions: notHere("secrets"),
});

export const ContainerProperties = z.strictObject({
  image: some(text),
  vcpus: some(z.int()),
  memory: some(z.int()),
  command: some(texts),
  jobRoleArn: some(text),
  executionRoleArn: some(text),
  volumes: some(z.array(Volume)),
  environment: some(z.array(KeyValue)),
  mountPoints: some(
    z.array(z.strictObject({ containerPath: some(text), readOnly: some(z.boolean()), sourceVolume: some(text) })),
  ),
  readonlyRootFilesystem: some(z.boolean()),
  privileged: some(z.boolean()),
  ulimits: some(z.array(z.strictObject({ name: text, softLimit: z.int(), hardLimit: z.int() }))),
  user: some(text),
  instanceType: notHere("multi-node jobs"),
  resourceRequirements: some(z.array(ResourceRequirement)),
  linuxParameters: some(LinuxParameters),
  logConfiguration: some(LogConfiguration),
  secrets: notHere("secrets"),
  networkConfiguration: some(z.strictObject({ assignPublicIp: some(z.enum(["ENABLED", "DISABLED"])) })),
  fargatePlatformConfiguration: some(z.strictObject({ platformVersion: some(text) })),
  enableExecuteCommand: some(z.boolean()),
  ephemeralStorage: some(z.strictObject({ sizeInGiB: z.int() })),
  runtimePlatform: some(z.strictObject({ operatingSystemFamily: some(text), cpuArchitecture: some(text) })),
  repositoryCredentials: notHere("private registries"),
});
export type ContainerProperties = z.infer<typeof ContainerProperties>;

const ContainerOverrides = z.strictObject({
  vcpus: some(z.int()),
  memory: some(z.int()),
  command: some(texts),
  instanceType: notHere("multi-node jobs"),
  environment: some(z.array(KeyValue)),
  resourceRequirements: some(z.array(ResourceRequirement)),
});
export type ContainerOverrides = z.infer<typeof ContainerOverrides>;

export const RegisterJobDefinition = z.strictObject({
  jobDefinitionName: text,
  type: z.enum(["container", "multinode"]),
  parameters: some(Parameters),
  schedulingPriority: notHere("fair-share scheduling"),
  containerProperties: some(ContainerProperties),
  nodeProperties: notHere("multi-node jobs"),
  retryStrategy: some(RetryStrategy),
  propagateTags: some(z.boolean()),
  timeout: some(Timeout),
  tags: some(Tags),
  platformCapabilities: some(z.array(z.enum(["EC2", "FARGATE", "MANAGED_INSTANCES"]))),
  eksProperties: notHere("EKS"),
  ecsProperties: notHere("jobs of several containers"),
  consumableResourceProperties: notHere("consumable resources"),
});
export type RegisterJobDefinition = z.infer<typeof RegisterJobDefinition>;

export const SubmitJob = z.strictObject({
  jobName: text,
  jobQueue: text,
  jobDefinition: text,
  shareIdentifier: notHere("fair-share scheduling"),
  schedulingPriorityOverride: notHere("fair-share scheduling"),
  arrayProperties: notHere("array jobs"),
  dependsOn: notHere("dependencies between jobs"),
  parameters: some(Parameters),
  containerOverrides: some(ContainerOverrides),
  nodeOverrides: notHere("multi-node jobs"),
  retryStrategy: some(RetryStrategy),
  propagateTags: some(z.boolean()),
  timeout: some(Timeout),
  tags: some(Tags),
  eksPropertiesOverride: notHere("EKS"),
  ecsPropertiesOverride: notHere("jobs of several containers"),
  consumableResourcePropertiesOverride: notHere("consumable resources"),
});
export type SubmitJob = z.infer<typeof SubmitJob>;

const Paged = { maxResults: some(z.int()), nextToken: some(text) };
export const DescribeJobDefinitions = z.strictObject({
  jobDefinitions: some(texts),
  jobDefinitionName: some(text),
  status: some(text),
  ...Paged,
});
export const DeregisterJobDefinition = z.strictObject({ jobDefinition: text });
export const DescribeJobs = z.strictObject({ jobs: texts });
export const ListJobs = z.strictObject({
  jobQueue: some(text),
  arrayJobId: notHere("array jobs"),
  multiNodeJobId: notHere("multi-node jobs"),
  jobStatus: some(z.enum(["SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED"])),
  filters: some(z.array(z.strictObject({ name: some(text), values: some(texts) }))),
  ...Paged,
});
export type ListJobs = z.infer<typeof ListJobs>;
export const EndJob = z.strictObject({ jobId: text, reason: text.check(z.maxLength(1_024)) });

const State = z.enum(["ENABLED", "DISABLED"]);
const EnvironmentOrder = z.array(z.strictObject({ order: z.int(), computeEnvironment: text }));
const StateLimits = z.array(
  z.strictObject({
    reason: text,
    state: z.enum(["RUNNABLE"]),
    maxTimeSeconds: z.int().check(z.gte(600), z.lte(86_400)),
    // TERMINATE is for queues of SageMaker alone
    action: z.enum(["CANCEL"]),
  }),
);
export type StateLimits = z.infer<typeof StateLimits>;
const queueSettings = {
  schedulingPolicyArn: notHere("fair-share scheduling"),
  serviceEnvironmentOrder: notHere("service environments"),
  jobStateTimeLimitActions: some(StateLimits),
  state: some(State),
  computeEnvironmentOrder: some(EnvironmentOrder),
};
export const CreateJobQueue = z.strictObject({
  jobQueueName: text,
  priority: z.int(),
  jobQueueType: some(z.enum(["ECS", "ECS_FARGATE"])),
  tags: some(Tags),
  ...queueSettings,
});
export const UpdateJobQueue = z.strictObject({ jobQueue: text, priority: some(z.int()), ...queueSettings });
export const DescribeJobQueues = z.strictObject({ jobQueues: some(texts), ...Paged });
export const DeleteJobQueue = z.strictObject({ jobQueue: text });

const computeSettings = {
  minvCpus: some(z.int()),
  desiredvCpus: some(z.int()),
  subnets: some(texts),
  securityGroupIds: some(texts),
  instanceTypes: some(texts),
  ec2KeyPair: some(text),
  instanceRole: some(text),
  tags: some(z.record(text, text)),
  placementGroup: some(text),
  bidPercentage: some(z.int()),
  imageId: some(text),
  launchTemplate: some(
    z.strictObject({
      launchTemplateId: some(text),
      launchTemplateName: some(text),
      version: some(text),
      overrides: notHere("launch template for each instance type"),
      userdataType: notHere("EKS"),
    }),
  ),
  ec2Configuration: some(
    z.array(
      z.strictObject({
        imageType: text,
        imageIdOverride: some(text),
        batchImageStatus: some(text),
        imageKubernetesVersion: notHere("EKS"),
      }),
    ),
  ),
  scalingPolicy: some(z.strictObject({ minScaleDownDelayMinutes: some(z.int()) })),
  managedInstancesProvider: notHere("managed instances"),
  capacityTags: notHere("managed instances"),
};
const STRATEGIES = [
  "BEST_FIT_PROGRESSIVE",
  "BEST_FIT_PROGRESSIVE_ORDERED",
  "SPOT_CAPACITY_OPTIMIZED",
  "SPOT_PRICE_CAPACITY_OPTIMIZED",
  "SPOT_CAPACITY_OPTIMIZED_PRIORITIZED",
] as const;
const ComputeKind = z.enum(["EC2", "SPOT", "FARGATE", "FARGATE_SPOT"]);
const EcsSettings = z.strictObject({ containerInsights: some(z.enum(["ENABLED", "ENHANCED", "DISABLED"])) });
export const ComputeResource = z.strictObject({
  type: ComputeKind,
  allocationStrategy: some(z.enum(["BEST_FIT", ...STRATEGIES])),
  maxvCpus: z.int(),
  spotIamFleetRole: some(text),
  ...computeSettings,
});
export type ComputeResource = z.infer<typeof ComputeResource>;
export const CreateComputeEnvironment = z.strictObject({
  computeEnvironmentName: text,
  // unmanaged ones bring machines of one's own
  type: z.enum(["MANAGED"], { error: "this server has no unmanaged compute environments" }),
  state: some(State),
  unmanagedvCpus: notHere("unmanaged compute environments"),
  computeResources: some(ComputeResource),
  serviceRole: some(text),
  tags: some(Tags),
  eksConfiguration: notHere("EKS"),
  context: some(text),
  ecsSettings: some(EcsSettings),
});
const UpdatePolicy = z.strictObject({
  terminateJobsOnUpdate: some(z.boolean()),
  jobExecutionTimeoutMinutes: some(z.int().check(z.gte(1), z.lte(360))),
});
export const UpdateComputeEnvironment = z.strictObject({
  computeEnvironment: text,
  state: some(State),
  unmanagedvCpus: notHere("unmanaged compute environments"),
  computeResources: some(
    z.strictObject({
      ...computeSettings,
      type: some(ComputeKind),
      allocationStrategy: some(z.enum(STRATEGIES)),
      maxvCpus: some(z.int()),
      updateToLatestImageVersion: some(z.boolean()),
    }),
  ),
  serviceRole: some(text),
  updatePolicy: some(UpdatePolicy),
  context: some(text),
  ecsSettings: some(EcsSettings),
  eksConfiguration: notHere("EKS"),
});
export const DescribeComputeEnvironments = z.strictObject({ computeEnvironments: some(texts), ...Paged });
export const DeleteComputeEnvironment = z.strictObject({ computeEnvironment: text });

// ---- what is kept

export const Definition = z.extend(RegisterJobDefinition, {
  arn: text,
  revision: z.int(),
  status: z.enum(["ACTIVE", "INACTIVE"]),
});
export type Definition = z.infer<typeof Definition>;
export const Queue = z.strictObject({
  name: text,
  arn: text,
  state: State,
  priority: z.int(),
  jobQueueType: some(text),
  computeEnvironmentOrder: EnvironmentOrder,
  jobStateTimeLimitActions: StateLimits,
  tags: Tags,
});
export type Queue = z.infer<typeof Queue>;
export const Environment = z.strictObject({
  name: text,
  arn: text,
  uuid: text,
  state: State,
  computeResources: ComputeResource,
  serviceRole: some(text),
  updatePolicy: some(UpdatePolicy),
  context: some(text),
  ecsSettings: some(EcsSettings),
  tags: Tags,
  /** not AWS: no machine is to be had; see routes.ts */
  exhausted: z.boolean(),
});
export type Environment = z.infer<typeof Environment>;
