/** What accrete.config.ts calls: the functions return what they are given, and the types help while it is written. */
import type { ConfigInput, PipelineInput } from "./config.ts";

/**
 * The whole of accrete.config.ts, as its default export. Checked when it is loaded, not here.
 * @example export default defineConfig({ pipelines: [digits] });
 */
export function defineConfig(config: ConfigInput): ConfigInput {
  return config;
}

/** One pipeline: everything with a default may be left out. */
export function definePipeline(pipeline: PipelineInput): PipelineInput {
  return pipeline;
}
