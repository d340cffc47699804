/** A trainer without training, for tests of the ledger and of what reads its state: writes a whole checkpoint and the result. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sha256 } from "../protocol/digest.ts";
import { manifestKey, checkpointPrefix, resultKey } from "../protocol/keys.ts";
import type { Clock, Job, JobRequest, Jobs, Notice, StartWeights, Store, Ticks } from "../protocol/ports.ts";
import {
  documentBytes,
  parseDocument,
  type Item,
  type Manifest,
  type Metrics,
  type Plan,
  type RejectedItem,
  type Result,
} from "../protocol/types.ts";
import { Config, parseConfig, type PipelineConfig } from "../protocol/config.ts";
import type { Ledger } from "../ledger/ledger.ts";

export interface FakeTraining {
  /** of the new checkpoint @default accuracy 0.9 */
  readonly metrics?: Metrics;
  /** of the plan's live checkpoint @default accuracy 0.9 */
  readonly liveMetrics?: Metrics;
  /** keys of items that are rejected as bad */
  readonly reject?: readonly string[];
  /** an unfinished checkpoint and one saved within the round are written, too */
  readonly withLeftovers?: boolean;
  /** its checkpoints have a replay memory */
  readonly withMemory?: boolean;
}

/** What a trainer would write for a plan, in the same order: checkpoints, their manifests last, then the result. */
export async function fakeTrain(
  store: Store,
  planKey: string,
  attempt: number,
  training: FakeTraining = {},
): Promise<Result> {
  const stored = await store.get(planKey);
  if (stored === undefined) throw new Error(`${planKey}: no plan`);
  const plan = parseDocument("plan", planKey, stored.body);
  const of = { plan, planSha256: sha256(stored.body), attempt, withMemory: training.withMemory === true };
  const parentStep = plan.parent?.step ?? 0;
  const steps = plan.epochsToAdd * Math.max(1, plan.items.length);
  if (training.withLeftovers === true) {
    await store.create(
      `${checkpointPrefix({ round: plan.round, step: parentStep + 1, run: "killed" })}weights.safetensors`,
      new TextEncoder().encode("half"),
    );
    await writeCheckpoint(store, of, { step: parentStep + 1, epoch: (plan.parent?.epoch ?? 0) + 1, run: "within" });
  }
  const at = { step: parentStep + steps + 1, epoch: (plan.parent?.epoch ?? 0) + plan.epochsToAdd, run: "last" };
  const written = await writeCheckpoint(store, of, at);
  const rejected: RejectedItem[] = plan.items
    .filter(({ key }) => training.reject?.includes(key))
    .map((item) => ({ item, code: "bad", message: "line 3: 2 columns, 4 expected" }));
  const result: Result = {
    format: 1,
    round: plan.round,
    plan: of.planSha256,
    attempt: `${attempt}.1`,
    checkpoint: { manifest: written.key, sha256: written.sha256, round: plan.round, step: at.step, epoch: at.epoch },
    epochsAdded: plan.epochsToAdd,
    stepsAdded: steps + 1,
    rejected,
    metrics: training.metrics ?? { accuracy: 0.9, loss: 1e-7 },
    liveMetrics: plan.live === null ? null : (training.liveMetrics ?? { accuracy: 0.9, loss: 0.3 }),
  };
  const key = resultKey(plan.round);
  await store.create(key, documentBytes("result", key, result));
  return result;
}

async function writeCheckpoint(
  store: Store,
  of: { plan: Plan; planSha256: string; attempt: number; withMemory: boolean },
  at: { step: number; epoch: number; run: string },
): Promise<{ key: string; sha256: string }> {
  const { plan } = of;
  const where = { round: plan.round, step: at.step, run: at.run };
  const files: Manifest["files"] = [];
  const memory = of.withMemory ? ["memory.safetensors"] : [];
  for (const name of [...memory, "optimizer.safetensors", "state.json", "weights.safetensors"]) {
    const key = checkpointPrefix(where) + name;
    const body = new TextEncoder().encode(
      `${name} of round ${plan.round}, step ${at.step}, from ${plan.items.map((item) => item.etag).join()}`,
    );
    await store.create(key, body);
    const head = await store.head(key);
    files.push({ name, size: body.byteLength, sha256: sha256(body), etag: head!.etag });
  }
  const manifest: Manifest = {
    format: 1,
    round: plan.round,
    plan: of.planSha256,
    code: plan.code,
    parent: plan.parent?.sha256 ?? null,
    attempt: `${of.attempt}.1`,
    run: at.run,
    step: at.step,
    epoch: at.epoch,
    files,
    environment: { backend: "none" },
  };
  const key = manifestKey(where);
  const body = documentBytes("manifest", key, manifest);
  await store.create(key, body);
  return { key, sha256: sha256(body) };
}

export interface FakePipeline {
  readonly ledger: Ledger;
  readonly notices: Notice[];
  /** what each submitted job does; null: it writes nothing */
  training: FakeTraining | null;
  /** how jobs end that write no result */
  ends: "alive" | "failed";
}

/** A ledger on a store, whose jobs train within submit(). */
export function fakePipeline(
  store: Store,
  {
    prefix = "",
    ...pipeline
  }: Partial<Pick<PipelineConfig, "gate" | "keep" | "schedule" | "budget">> & {
    trigger?: Partial<PipelineConfig["trigger"]>;
    jobs?: Partial<PipelineConfig["jobs"]>;
    /** data.prefix */
    prefix?: string;
  } = {},
): FakePipeline {
  const input: Parameters<typeof Config.parse>[0] = {
    pipelines: [
      {
        name: "fake",
        data: { format: "csv", prefix },
        trainer: { model: "./model.ts", epochs: 2 },
        ...pipeline,
        trigger: { quietPeriod: 0, ...pipeline.trigger },
      },
    ],
  };
  const config = parseConfig(input).pipelines[0]!;
  const notices: Notice[] = [];
  const jobs = new Map<string, Job>();
  const fake: FakePipeline = { ledger: undefined!, notices, training: {}, ends: "alive" };
  let drawn = 0;
  const clock: Clock = { nowMs: () => 1_700_000_000_000 + drawn, nonce: () => String(++drawn).padStart(32, "0") };
  const ticks: Ticks = { ask: async () => undefined };
  const code = new TextEncoder().encode("export default {};");
  const ports: Jobs = {
    lookupLagMs: 0,
    async submit({ name, planKey, attempt }: JobRequest) {
      const id = `job-${jobs.size + 1}`;
      const base = { id, name, createdMs: clock.nowMs(), log: `/logs/${id}.txt` };
      if (fake.training === null)
        jobs.set(
          id,
          fake.ends === "alive"
            ? { ...base, state: "running" }
            : { ...base, state: "failed", exitCode: 70, reason: "exit code 70" },
        );
      else {
        await fakeTrain(store, planKey, attempt, fake.training);
        jobs.set(id, { ...base, state: "succeeded", exitCode: 0 });
      }
      return { outcome: "submitted", id };
    },
    describe: async (ids) => ids.flatMap((id) => jobs.get(id) ?? []),
    findByName: async (name) => [...jobs.values()].filter((job) => job.name === name),
    terminate: async (id) => {
      const job = jobs.get(id);
      if (job !== undefined) jobs.set(id, { ...job, state: "failed", exitCode: 143 });
    },
  };
  const ledger: Ledger = {
    config,
    store,
    jobs: ports,
    ticks,
    clock,
    notify: { notify: async (notice) => void notices.push(notice) },
    code: { sha256: sha256(code), body: code },
    start: null,
    image: null,
    jobDefinition: null,
  };
  return Object.assign(fake, { ledger });
}

/** Weights of a warm start: these bytes, in a file at each read. */
export function fakeStart(body: Uint8Array): StartWeights & { reads: number } {
  return {
    reads: 0,
    async read() {
      this.reads++;
      const folder = await mkdtemp(join(tmpdir(), "accrete-fake-"));
      const path = join(folder, "start.safetensors");
      await writeFile(path, body);
      return {
        path,
        sha256: sha256(body),
        [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
      };
    },
  };
}

/** An item as a directory would have it. */
export function fakeItem(key: string, content = key): Item {
  return { bucket: "data", key, etag: sha256(content), size: Math.max(1, content.length) };
}
