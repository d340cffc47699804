/** `@accrete/pipeline/cdk`: for a CDK app of one's own, which brings aws-cdk-lib and constructs. */
export { pipelineCode, trainerImage } from "./assets.ts";
export type { PipelineCode } from "./code.ts";
export type { ImageAsset, TrainerImage } from "./image.ts";
export type { Network } from "./network.ts";
export { IncrementalTrainingPipeline, type IncrementalTrainingPipelineProps } from "./pipeline.ts";
export { TrainingPlatform, type TrainingPlatformProps } from "./platform.ts";
