/** A run on the deployed stack in which everything goes wrong, and which goes on. */
import {
  GetQueueAttributesCommand,
  SendMessageCommand,
  SetQueueAttributesCommand,
  SQSClient,
} from "@aws-sdk/client-sqs";
import { PutObjectCommand, type S3Client } from "@aws-sdk/client-s3";
import { openS3Client } from "../adapters/s3-client.ts";
import { openS3Store } from "../adapters/s3-store.ts";
import { bucketOf } from "../adapters/stack-outputs.ts";
import { readLive } from "../ledger/read.ts";
import type { Cloud } from "../localstack/cloud.ts";
import type { DeployedPipeline } from "../localstack/deploy.ts";
import { ACCOUNT, CREDENTIALS, REGION } from "../localstack/environment.ts";
import type { Armed } from "../localstack/faults/fault.ts";
import type { FaultProxy } from "../localstack/faults/proxy.ts";
import { attemptsPrefix, parseAttemptKey } from "../protocol/keys.ts";
import type { Store } from "../protocol/ports.ts";
import type { Random } from "../test/simulation/random.ts";
import { delivery, ROUND_MS_MAX } from "./localstack-chaos-data.ts";
import { FAULTS, trainers, type ChaosFault, type Field } from "./localstack-chaos-faults.ts";
import { sleep, until } from "./workspace.ts";

/** In the place of the stack's, six times a function's limit: what a killed function has left is shown again after it. */
const VISIBILITY_SECONDS = 20;
/** In the place of a quarter of an hour: LocalStack's scheduler never fires. */
const SWEEP_MS = 8_000;
/** An intent without a record is looked into when a job is hidden no more, after ten minutes of the store's clock. */
const INTENT_MS = 4_000;
const HIDDEN_MS = 11 * 60_000;

export interface ChaosOptions {
  readonly cloud: Cloud;
  readonly proxy: FaultProxy;
  readonly pipeline: DeployedPipeline;
  readonly random: Random;
  readonly faults: number;
  /** among which the faults are shared out; what has hit nothing then gets more */
  readonly rounds: number;
  readonly say: (line: string) => void;
}

/** The run that everything goes wrong in. What it does itself goes past the proxy. */
export class Chaos {
  readonly store: Store;
  readonly met = new Map<string, number>();
  hits = 0;
  readonly #deck: ChaosFault[];
  readonly #field: Field;
  readonly #proxy: FaultProxy;
  readonly #pipeline: DeployedPipeline;
  readonly #s3: S3Client;
  readonly #sqs: SQSClient;
  readonly #rounds: number;
  readonly #say: (line: string) => void;

  constructor({ cloud, proxy, pipeline, random, faults, rounds, say }: ChaosOptions) {
    const { outputs } = pipeline.stack;
    const functions = { intake: outputs.IntakeFunction, ledger: outputs.LedgerFunction };
    const jobQueues = [outputs.JobQueue, outputs.OnDemandJobQueue].filter((name) => name !== "");
    this.#field = { cloud, random, functions, jobQueues };
    this.#proxy = proxy;
    this.#pipeline = pipeline;
    const at = { endpoint: cloud.servers.endpoint, region: REGION, credentials: CREDENTIALS };
    this.#s3 = openS3Client({ config: { ...at, forcePathStyle: true } });
    this.#sqs = new SQSClient({ ...at, useQueueUrlAsEndpoint: false });
    const { bucket, prefix } = bucketOf(outputs.StateUrl);
    this.store = openS3Store({ client: this.#s3, bucket, prefix, owner: ACCOUNT });
    this.#deck = deckOf(faults, random);
    this.#rounds = rounds;
    this.#say = say;
  }

  get left(): number {
    return this.#deck.length;
  }

  async prepare(): Promise<void> {
    const { ArrivalsUrl, TicksUrl } = this.#pipeline.stack.outputs;
    const Attributes = { VisibilityTimeout: String(VISIBILITY_SECONDS) };
    for (const QueueUrl of [ArrivalsUrl, TicksUrl])
      await this.#sqs.send(new SetQueueAttributesCommand({ QueueUrl, Attributes }));
  }

  async round(round: number): Promise<void> {
    const share = this.#deck.splice(0, Math.ceil(this.#deck.length / Math.max(1, this.#rounds + 1 - round)));
    const armed = share.flatMap((fault) => ("aim" in fault ? [{ fault, rule: this.#arm(round, fault) }] : []));
    const strikes = share.filter((fault) => "strike" in fault);
    const { bucket } = bucketOf(this.#pipeline.stack.outputs.DataUrl);
    const { items, again } = delivery(round);
    for (const { name, body } of [...again, ...items]) {
      const Key = `${this.#pipeline.prefix}${name}`;
      await this.#s3.send(new PutObjectCommand({ Bucket: bucket, Key, Body: body }));
    }
    const ended = new AbortController();
    const sweeping = this.#sweep(ended.signal);
    const striking = this.#strike(round, strikes, ended.signal);
    try {
      await until(
        `the commit of round ${round}`,
        ROUND_MS_MAX,
        async () => {
          await this.#passTime(round);
          return (await this.#isFinished(round)) ? true : undefined;
        },
        200,
      );
    } finally {
      ended.abort();
      await Promise.all([sweeping, striking]);
      this.#proxy.storeAheadMs = 0;
      for (const { rule } of armed) rule.disarm();
    }
    this.#deck.push(...armed.flatMap(({ fault, rule }) => (rule.hit === undefined ? [fault] : [])), ...strikes);
    this.#say(`round ${round}: committed; ${this.hits} faults by now`);
  }

  #arm(round: number, fault: Extract<ChaosFault, { aim: unknown }>): Armed {
    return this.#proxy.arm(fault.aim, fault.make(this.#field), (call) => this.#hit(round, fault, shownCall(call)));
  }

  #hit(round: number, { what }: ChaosFault, met: string): void {
    this.hits++;
    this.met.set(what, (this.met.get(what) ?? 0) + 1);
    this.#say(`round ${round}: fault ${this.hits}: ${what}: ${met}`);
  }

  /** One after the other, each while a job runs. @param strikes those that have hit are taken out */
  async #strike(round: number, strikes: ChaosFault[], signal: AbortSignal): Promise<void> {
    while (strikes[0] !== undefined && !signal.aborted) {
      const [fault] = strikes;
      if (!("strike" in fault) || trainers(this.#field.cloud.folder).length === 0) {
        await sleep(50);
        continue;
      }
      const met = await fault.strike(this.#field);
      if (met === undefined) continue;
      strikes.shift();
      this.#hit(round, fault, met);
    }
  }

  async #sweep(signal: AbortSignal): Promise<void> {
    const sweep = { QueueUrl: this.#pipeline.stack.outputs.TicksUrl, MessageBody: '{"format":1,"sweep":true}' };
    for (let nextMs = performance.now() + SWEEP_MS; !signal.aborted; await sleep(100)) {
      if (performance.now() < nextMs) continue;
      nextMs += SWEEP_MS;
      await this.#sqs.send(new SendMessageCommand(sweep));
    }
  }

  /** Who can't know whether its SubmitJob was heard looks after ten minutes, by the store's clock: these go by. */
  async #passTime(round: number): Promise<void> {
    const { objects, nowMs } = await this.store.list(attemptsPrefix(round));
    const attempts = objects.map((object) => ({ ...object, ...parseAttemptKey(object.key) }));
    const recorded = new Set(attempts.flatMap(({ what, attempt }) => (what === "job" ? [attempt] : [])));
    const isWaiting = attempts.some(
      ({ what, attempt, modifiedMs }) =>
        what === "intent" && !recorded.has(attempt) && nowMs - modifiedMs > INTENT_MS && nowMs - modifiedMs < HIDDEN_MS,
    );
    const aheadMs = isWaiting ? HIDDEN_MS : 0;
    if (this.#proxy.storeAheadMs !== aheadMs && isWaiting)
      this.#say(`round ${round}: an intent without a job: eleven minutes go by`);
    this.#proxy.storeAheadMs = aheadMs;
  }

  async #isFinished(round: number): Promise<boolean> {
    return (await readLive(this.store)).live.seq >= round;
  }

  async deadLetters(): Promise<{ readonly depth: number; readonly alarm: string | undefined }> {
    const { TicksUrl } = this.#pipeline.stack.outputs;
    const attribute = async (
      QueueUrl: string,
      name: "RedrivePolicy" | "ApproximateNumberOfMessages",
    ): Promise<string> => {
      const answer = await this.#sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: [name] }));
      return answer.Attributes?.[name] ?? "";
    };
    const queue =
      /"deadLetterTargetArn": ?"[^"]*:([^":]+)"/.exec(await attribute(TicksUrl, "RedrivePolicy"))?.[1] ?? "";
    const depth = Number(await attribute(TicksUrl.replace(/[^/]+$/, queue), "ApproximateNumberOfMessages"));
    return { depth, alarm: await alarmOf(this.#field.cloud.servers.endpoint, queue) };
  }

  close(): void {
    this.#s3.destroy();
    this.#sqs.destroy();
  }
}

/** The first ones of the list, mixed: each of them before any comes again. */
function deckOf(count: number, random: Random): ChaosFault[] {
  const all = Array.from({ length: count }, (_, i) => FAULTS[i % FAULTS.length]!);
  for (let i = all.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [all[i], all[j]] = [all[j]!, all[i]!];
  }
  return all;
}

/** Without the bucket and the query, and digests cut. */
function shownCall(call: string): string {
  return call
    .replace(/\?.*/, "")
    .replace(/ \/accrete[^/]*/, " ")
    .replaceAll(/([0-9a-f]{8})[0-9a-f]{20,}/g, "$1...");
}

/** State of the alarm on a queue: INSUFFICIENT_DATA, OK or ALARM; undefined: there is none. */
async function alarmOf(endpoint: string, queue: string): Promise<string | undefined> {
  const authorization = `AWS4-HMAC-SHA256 Credential=test/20260101/${REGION}/monitoring/aws4_request, SignedHeaders=host, Signature=0`;
  const headers = { authorization, "content-type": "application/x-www-form-urlencoded" };
  const body = "Action=DescribeAlarms&Version=2010-08-01";
  const text = await (await fetch(endpoint, { method: "POST", headers, body })).text();
  const alarm = text.split("<AlarmName>").find((one) => one.includes(`<Value>${queue}</Value>`));
  return alarm === undefined ? undefined : /<StateValue>(\w+)</.exec(alarm)?.[1];
}
