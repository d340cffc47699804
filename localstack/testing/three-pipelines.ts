/** A config with three pipelines, as a user writes one: one with a bucket of its own, two that share another, each with its prefix. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MODEL_TEXT } from "../../cli/sample.ts";

export const STAGE = "ops";
export const SHARED_BUCKET = "ops-shared-data";
export type Name = keyof typeof SCHEDULES;
export const stackOf = (pipeline: Name): string => `accrete-${STAGE}-${pipeline}`;

/** Of the jobs of all three. */
export interface Machines {
  readonly vcpus: number;
  readonly memory: string;
  readonly instanceTypes: readonly string[];
  readonly maxVcpus: number;
}
export const MACHINES: Machines = { vcpus: 1, memory: "2 GiB", instanceTypes: ["c7i.large"], maxVcpus: 4 };

/** Rounds of a few seconds, which start by `train` or by the schedule alone: no quiet period ends while a test runs. */
const TRAINER = `trainer: { model: "./model.ts", epochs: 3, batchSize: 16, optimizer: { name: "adam", learningRate: 0.01 } },
    trigger: { quietPeriod: "50 min" }, jobs: { attempts: 2 }, gate: { metric: "accuracy", maxDrop: 0.5, onFail: "hold" }`;

const dataOf = (prefix: string): string =>
  `data: { prefix: "${prefix}", suffixes: [".csv"], format: "csv", label: "label", holdout: 0.2 }`;

/** 29 February: a loop that runs the same config on this machine must not meet it. */
const LEAP_DAY = "30 2 29 2 *";

/** Of each pipeline, as the config's writer wants it and as EventBridge Scheduler says it. */
export const SCHEDULES = {
  flowers: { expression: "cron(30 2 29 2 ? *)", timeZone: "Europe/Berlin", retrain: "full" },
  lilies: { expression: "rate(50 minutes)", timeZone: "UTC", retrain: "pending" },
  tulips: { expression: "cron(30 2 ? * MON,TUE,WED,THU,FRI *)", timeZone: "America/New_York", retrain: "pending" },
} as const;

export const configText = (machines: Machines): string => `import { defineConfig } from "@accrete/pipeline";
const compute = { gpus: 0, ...${JSON.stringify(machines)} };
const shared = { data: "${SHARED_BUCKET}" };
export default defineConfig({
  pipelines: [
    { name: "flowers", compute, ${dataOf("flowers/")},
      schedule: { cron: "${LEAP_DAY}", timeZone: "Europe/Berlin", retrain: "full" }, ${TRAINER} },
    { name: "lilies", compute, buckets: shared, ${dataOf("lilies/")},
      schedule: { every: "50 min", retrain: "pending" }, ${TRAINER} },
    { name: "tulips", compute, buckets: shared, ${dataOf("tulips/")},
      schedule: { cron: "30 2 * * 1-5", timeZone: "America/New_York" }, ${TRAINER} },
  ],
  aws: { stage: "${STAGE}", image: "accrete-trainer:localstack" },
});
`;

/** @returns the file at whose presence the model can't be built, as long as it is there */
export function writeWorkspace(folder: string, machines = MACHINES): string {
  mkdirSync(folder, { recursive: true });
  const broken = join(folder, "broken");
  writeFileSync(join(folder, "accrete.config.ts"), configText(machines));
  const check = `if (process.getBuiltinModule("node:fs").existsSync(${JSON.stringify(broken)})) throw new Error("not yet");`;
  const model = MODEL_TEXT.replace("=>\n    tf.sequential({", `=> {\n    ${check}\n    return tf.sequential({`);
  writeFileSync(join(folder, "model.ts"), model.replace("    }),\n});", "    });\n  },\n});"));
  return broken;
}
