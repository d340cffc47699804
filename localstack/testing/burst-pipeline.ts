import type { PipelineInput } from "@accrete/pipeline";

/** Of a machine that this one has. */
export const COMPUTE = { gpus: 0, vcpus: 1, memory: "2 GiB" } as const;

/** Learns one row an object, once so many contents are there: however long a busy machine takes to put them. */
export const burst = (minItems: number): PipelineInput => ({
  name: "burst",
  data: { prefix: "burst/", format: "csv", features: ["a", "b"] },
  trainer: { model: "../burst-model.ts", epochs: 1, batchSize: 32 },
  trigger: { quietPeriod: "1 s", minItems },
  gate: null,
  compute: COMPUTE,
});
