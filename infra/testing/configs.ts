/** What is supported, as configs: each is checked by cdk-nag and cfn-lint. */
import type { ConfigInput } from "../../protocol/config.ts";
import { pipeline } from "./synth.ts";

const IMAGE =
  "111122223333.dkr.ecr.eu-central-1.amazonaws.com/accrete@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const KEY = "arn:aws:kms:eu-central-1:111122223333:key/0a1b2c3d-0000-4000-8000-000000000000";

export const CONFIGS = {
  default: { pipelines: [pipeline()], aws: { image: IMAGE } },
  cpu: { pipelines: [pipeline({ compute: { gpus: 0 } })], aws: { image: IMAGE } },
  fargate: {
    pipelines: [pipeline({ compute: { platform: "fargate", vcpus: 2, scratch: "30 GiB" } })],
    aws: { image: IMAGE },
  },
  "own VPC": {
    pipelines: [pipeline()],
    aws: { image: IMAGE, vpc: { id: "vpc-0a1b2c3d", subnets: ["subnet-0a1b2c3d", "subnet-1a1b2c3d"] } },
  },
  "own bucket with KMS": {
    pipelines: [pipeline({ buckets: { data: "the-data", dataKey: KEY } })],
    aws: { image: IMAGE, kmsKey: KEY, alarms: { email: "ops@example.org" } },
  },
  "own image": {
    pipelines: [
      pipeline({
        compute: {
          image:
            "public.ecr.aws/a1b2c3d4/trainer:1.2.3@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        },
      }),
    ],
  },
  "two pipelines": {
    pipelines: [pipeline(), pipeline({ name: "letters", data: { prefix: "letters/", format: "idx" } })],
    aws: { image: IMAGE, stage: "test", account: "111122223333", region: "us-west-1" },
  },
  "cron schedule": {
    pipelines: [pipeline({ schedule: { cron: "30 2 * * 1-5", timeZone: "Europe/Berlin", retrain: "rehearse" } })],
    aws: { image: IMAGE },
  },
  "no spot": { pipelines: [pipeline({ compute: { spot: false } })], aws: { image: IMAGE } },
  "built image": { pipelines: [pipeline()] },
  "built images of both kinds": {
    pipelines: [
      pipeline(),
      pipeline({ name: "letters", data: { prefix: "letters/", format: "idx" }, compute: { gpus: 0 } }),
    ],
    aws: { account: "111122223333", region: "eu-central-1" },
  },
  "built image on fargate": { pipelines: [pipeline({ compute: { platform: "fargate", vcpus: 2 } })] },
  "data of another account and region": {
    pipelines: [
      pipeline({
        buckets: { data: "the-data", dataAccount: "444455556666", dataRegion: "us-east-1", crossRegion: true },
      }),
    ],
    aws: { image: IMAGE, region: "eu-central-1" },
  },
  everything: {
    pipelines: [pipeline({ buckets: { state: "old-state", data: "old-data" }, schedule: { every: "1 day" } })],
    aws: {
      image: IMAGE,
      kmsKey: KEY,
      permissionsBoundary: "arn:aws:iam::111122223333:policy/boundary",
      alarms: { topic: "arn:aws:sns:eu-central-1:111122223333:ops", email: "ops@example.org" },
      logRetention: 90,
      dashboard: true,
      monthlyBudget: 50,
      tags: { team: "vision" },
    },
  },
} satisfies Readonly<Record<string, ConfigInput>>;
