/** `@accrete/pipeline`: what accrete.config.ts and a model module import. */
export { defineConfig, definePipeline } from "./protocol/define.ts";
export { defineModel, type ModelContext, type ModelDefinition, type TensorFlow } from "./protocol/model.ts";
export type { ConfigInput, PipelineInput } from "./protocol/config.ts";
