/** Chooses the adapters of a function: what it is given lies beside it and in its environment. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { BatchClient } from "@aws-sdk/client-batch";
import { SNSClient } from "@aws-sdk/client-sns";
import { SQSClient } from "@aws-sdk/client-sqs";
import { awsClientOptions } from "../adapters/aws-client.ts";
import { openBatchJobs } from "../adapters/batch-jobs.ts";
import { systemClock } from "../adapters/clock.ts";
import { openJsonLog } from "../adapters/json-log.ts";
import { openS3Client } from "../adapters/s3-client.ts";
import { openS3Items } from "../adapters/s3-items.ts";
import { openS3Store } from "../adapters/s3-store.ts";
import { openSnsNotices } from "../adapters/sns-notices.ts";
import { openSqsTicks } from "../adapters/sqs-ticks.ts";
import { openStartFile } from "../adapters/start-file.ts";
import { parseConfig, type PipelineConfig } from "../protocol/config.ts";
import { sha256 } from "../protocol/digest.ts";
import { AccreteError, messageOf } from "../protocol/errors.ts";
import type { Clock, Notify, Store, Ticks } from "../protocol/ports.ts";
import type { LedgerPorts } from "./bring-on.ts";
import type { Log } from "./log.ts";
import type { IntakePorts } from "./take-in.ts";
import { Telling } from "./telling.ts";

/** Where a function's own files are, and what it was told. */
export interface FunctionPlace {
  readonly folder: string;
  readonly env: NodeJS.ProcessEnv;
}

/** Until an answer begins: a segment is small, and the queue brings again what was cut off. */
const INTAKE_ANSWER_MS = 10_000;

/** @throws {AccreteError} CONFIG_INVALID, USAGE */
export function composeIntake(place: FunctionPlace): IntakePorts {
  const common = composeCommon(place, INTAKE_ANSWER_MS);
  return { ledger: common, bucket: dataBucket(place).bucket, log: common.log };
}

/** @throws {AccreteError} CONFIG_INVALID, USAGE, MODEL_NOT_LOADABLE */
export function composeLedger(place: FunctionPlace): LedgerPorts {
  const { log, ...common } = composeCommon(place);
  const { config, clock } = common;
  const needed = (name: string): string => neededIn(place, name);
  const topic = place.env["ACCRETE_TOPIC"] ?? "";
  const data = dataBucket(place);
  const region = config.buckets.dataRegion;
  return {
    ledger: {
      ...common,
      jobs: openBatchJobs({
        // a call that breaks off with a dead connection would be waited for as long as a job may be hidden: ten minutes
        client: new BatchClient(awsClientOptions({ keepAlive: false })),
        queue: needed("ACCRETE_JOB_QUEUE"),
        onDemandQueue: place.env["ACCRETE_ONDEMAND_JOB_QUEUE"] ?? "",
      }),
      code: readCode(place),
      start: config.trainer.start === null ? null : openStartFile(join(place.folder, "start.safetensors")),
      image: needed("ACCRETE_IMAGE"),
      jobDefinition: needed("ACCRETE_JOB_DEFINITION"),
    },
    items: openS3Items({ client: openS3Client(region === null ? {} : { config: { region } }), ...data }),
    telling: new Telling({ config, log, people: topic === "" ? null : composePeople(topic, clock, log) }),
    log,
  };
}

function composeCommon(
  place: FunctionPlace,
  answerMs?: number,
): { config: PipelineConfig; store: Store; ticks: Ticks; clock: Clock; log: Log } {
  const config = readConfig(place);
  const clock = systemClock();
  const options = answerMs === undefined ? {} : { answerMs };
  const log = openJsonLog({
    pipeline: config.name,
    metrics: neededIn(place, "ACCRETE_METRICS"),
    nowMs: clock.nowMs,
    write: (line) => void process.stdout.write(`${line}\n`),
  });
  const state = placeOf(place, "ACCRETE_STATE");
  return {
    config,
    clock,
    log,
    store: openS3Store({ client: openS3Client(options), ...state, owner: neededIn(place, "ACCRETE_ACCOUNT") }),
    ticks: openSqsTicks({
      client: new SQSClient(awsClientOptions(options)),
      url: neededIn(place, "ACCRETE_TICKS"),
      nowMs: clock.nowMs,
    }),
  };
}

function composePeople(topic: string, { nowMs }: Clock, log: Log): Notify {
  return openSnsNotices({
    client: new SNSClient(awsClientOptions()),
    topic,
    nowMs,
    onRefused: (error) => log.error("notice-refused", new Error(error)),
  });
}

function dataBucket(place: FunctionPlace): { bucket: string; owner: string } {
  return { bucket: placeOf(place, "ACCRETE_DATA").bucket, owner: neededIn(place, "ACCRETE_DATA_ACCOUNT") };
}

function placeOf(place: FunctionPlace, name: string): { bucket: string; prefix: string } {
  const url = neededIn(place, name);
  const [, bucket, prefix = ""] = /^s3:\/\/([^/]+)\/?(.*?)\/?$/.exec(url) ?? [];
  if (bucket === undefined) throw new AccreteError("USAGE", `${name}=${url}: expected an s3: URL`);
  return { bucket, prefix };
}

function neededIn({ env }: FunctionPlace, name: string): string {
  const value = env[name];
  if (value === undefined || value === "") throw new AccreteError("USAGE", `${name} is not set`);
  return value;
}

/** Written by the deploy, as it was parsed then: it parses to itself. */
function readConfig({ folder }: FunctionPlace): PipelineConfig {
  const path = join(folder, "config.json");
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw new AccreteError("CONFIG_INVALID", `${path}: ${messageOf(cause)}`, { cause });
  }
  return parseConfig({ pipelines: [value] }).pipelines[0]!;
}

function readCode({ folder }: FunctionPlace): { sha256: string; body: Uint8Array } {
  const path = join(folder, "model.mjs");
  try {
    const body = new Uint8Array(readFileSync(path));
    return { sha256: sha256(body), body };
  } catch (cause) {
    throw new AccreteError("MODEL_NOT_LOADABLE", `${path}: ${messageOf(cause)}`, { cause });
  }
}
