import { defineConfig } from "@accrete/pipeline";
import { burst } from "../burst-pipeline.ts";

export default defineConfig({
  pipelines: [burst(2_000)],
  aws: { stage: "flood", image: "accrete-trainer:localstack" },
});
