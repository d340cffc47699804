/** What is done around a job: its machine, its image, its log. */
import { allow, type Statement } from "./statement.ts";

/** Where the machines of a stage are. */
export interface PlatformNames {
  readonly partition: string;
  readonly region: string;
  readonly account: string;
  /** log groups of all pipelines' jobs, without a ":*" behind */
  readonly jobLogGroups: readonly string[];
  /** ARNs in ECR of all images; none: they come from elsewhere */
  readonly imageRepositories: readonly string[];
}

/**
 * What the ECS agent of a machine does. Instead of AmazonEC2ContainerServiceforEC2Role, by which a machine may join and change any cluster and
 * pull any image. A job can't ask for these: the machine refuses it the metadata address.
 */
export function instanceStatements(names: PlatformNames): Statement[] {
  const arn = (rest: string): string => `arn:${names.partition}:ecs:${names.region}:${names.account}:${rest}`;
  // Batch names its clusters by a number of its own
  const cluster = arn("cluster/*");
  return [
    allow("Discover", ["ecs:DiscoverPollEndpoint"], ["*"]),
    allow(
      "Join",
      [
        "ecs:RegisterContainerInstance",
        "ecs:DeregisterContainerInstance",
        "ecs:SubmitAttachmentStateChanges",
        "ecs:SubmitContainerStateChange",
        "ecs:SubmitTaskStateChange",
      ],
      [cluster],
    ),
    allow(
      "Work",
      ["ecs:Poll", "ecs:StartTelemetrySession", "ecs:UpdateContainerInstancesState"],
      [arn("container-instance/*")],
    ),
    ...pullImages(names.imageRepositories),
    writeLogs(names.jobLogGroups),
  ];
}

export function writeLogs(groups: readonly string[]): Statement {
  return allow(
    "WriteLogs",
    ["logs:CreateLogStream", "logs:PutLogEvents"],
    groups.map((group) => `${group}:*`),
  );
}

export function pullImages(repositories: readonly string[]): Statement[] {
  if (repositories.length === 0) return [];
  return [
    allow("LogInToImages", ["ecr:GetAuthorizationToken"], ["*"]),
    allow(
      "PullImages",
      ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
      repositories,
    ),
  ];
}
