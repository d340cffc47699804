/**
 * The names by which a stage's stacks find one another: nothing is exported or imported, so each is updated and deleted alone. What
 * nobody else has to know (buckets, SQS queues, roles) is named by CloudFormation, and can be made again after it was deleted.
 */
import { AccreteError } from "../protocol/errors.ts";

/** Where a pipeline's things are. Each part may be a token of CDK, but for stage and pipeline. */
export interface Place {
  readonly stage: string;
  readonly region: string;
  readonly pipeline: string;
}

/** Lambda's limit for a function's name; all others allow more. */
const FUNCTION_NAME_MAX = 64;

export const platformStackName = (stage: string): string => `accrete-${stage}-platform`;
export const pipelineStackName = (stage: string, pipeline: string): string => `accrete-${stage}-${pipeline}`;

/** Of AWS Batch. @param onDemand the one whose machines nobody takes back */
export const jobQueueName = ({ stage, region, pipeline }: Place, onDemand = false): string =>
  `accrete-${stage}-${region}-${pipeline}${onDemand ? "-ondemand" : ""}`;
export const jobDefinitionName = ({ stage, pipeline }: Pick<Place, "stage" | "pipeline">): string =>
  `accrete-${stage}-${pipeline}`;
export const functionName = (
  { stage, pipeline }: Pick<Place, "stage" | "pipeline">,
  name: "intake" | "ledger",
): string => `accrete-${stage}-${pipeline}-${name}`;
/** The one dimension of its metrics: as its stack is named, so that no two stacks of an account and region share them. */
export const metricsName = ({ stage, pipeline }: Pick<Place, "stage" | "pipeline">): string => `${stage}-${pipeline}`;
export const logGroupName = (
  { stage, pipeline }: Pick<Place, "stage" | "pipeline">,
  name: "intake" | "ledger" | "jobs",
): string => `/accrete/${stage}/${pipeline}/${name}`;

/**
 * @throws {AccreteError} CONFIG_INVALID: a name that AWS would refuse, or one that two stacks would have
 */
export function checkNames(stage: string, pipelines: readonly string[]): void {
  const all = new Set(pipelines);
  for (const pipeline of pipelines) {
    const name = functionName({ stage, pipeline }, "intake");
    if (name.length > FUNCTION_NAME_MAX)
      throw new AccreteError(
        "CONFIG_INVALID",
        `pipelines: ${pipeline}: with aws.stage ${stage} its functions' names are ${name.length} long, Lambda allows ${FUNCTION_NAME_MAX}: shorten one of them`,
      );
    if (pipelineStackName(stage, pipeline) === platformStackName(stage))
      throw new AccreteError("CONFIG_INVALID", `pipelines: ${pipeline}: on AWS the platform's stack is named so`);
    if (all.has(`${pipeline}-ondemand`))
      throw new AccreteError(
        "CONFIG_INVALID",
        `pipelines: ${pipeline}-ondemand: on AWS the second job queue of ${pipeline} is named so`,
      );
  }
}
