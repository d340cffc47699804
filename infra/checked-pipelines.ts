import { parseConfig, type PipelineConfig, type PipelineInput } from "../protocol/config.ts";

/**
 * Pipelines as they are written or as they were loaded; checking them twice changes nothing.
 * @throws {AccreteError} CONFIG_INVALID
 */
export function checkedPipelines(pipelines: readonly (PipelineInput | PipelineConfig)[]): readonly PipelineConfig[] {
  return parseConfig({ pipelines }).pipelines;
}
