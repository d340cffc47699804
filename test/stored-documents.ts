/** One whole document of each kind, with every optional part in it, for tests of what is stored. */
import { MANIFEST } from "../protocol/keys.ts";
import type { Head } from "../protocol/head.ts";
import { START } from "../protocol/head.ts";
import { parseConfig, type PipelineConfig, type PipelineInput } from "../protocol/config.ts";
import type { Checkpoint, DocumentKind, DocumentOf, Item, Kept, Plan, Result, RoundEntry } from "../protocol/types.ts";
import { sha256 } from "../protocol/digest.ts";

/** The only pipeline of a config that leaves out what may be left out. */
export function pipelineConfig(pipeline: Partial<PipelineInput> = {}): PipelineConfig {
  const input = { name: "digits", data: { format: "csv" }, trainer: { model: "./model.ts" }, ...pipeline };
  return parseConfig({ pipelines: [input] }).pipelines[0]!;
}

export function sampleItem(key: string, part: Partial<Item> = {}): Item {
  return { bucket: "data", key, etag: sha256(key), size: 10, ...part };
}

/** The checkpoint that round `round` ends with. */
export function sampleCheckpoint(round: number): Checkpoint {
  const manifest = `rounds/${String(round).padStart(10, "0")}/checkpoints/0000000007-run/${MANIFEST}`;
  return { manifest, sha256: sha256(manifest), round, step: round * 7, epoch: round * 3 };
}

export function sampleKept(round: number, part: Partial<Kept> = {}): Kept {
  return { checkpoint: sampleCheckpoint(round), seq: round, liveAt: 0, measured: null, ...part };
}

export function sampleHead(part: Partial<Head> = {}): Head {
  return { ...START, ...part };
}

export function samplePlan(part: Partial<Plan> = {}): Plan {
  const { trainer, data } = pipelineConfig();
  return {
    format: 1,
    pipeline: "digits",
    round: 2,
    kind: "extend",
    items: [sampleItem("a.csv"), sampleItem("b \u{1f600}.csv", { versionId: "v1" })],
    segments: ["inbox/1"],
    parent: sampleCheckpoint(1),
    live: sampleCheckpoint(1),
    epochsToAdd: 3,
    trainer,
    data,
    code: sha256("code"),
    start: null,
    image: null,
    jobDefinition: "accrete:7",
    seed: 42,
    scheduled: 1_700_000_000_000,
    ...part,
  };
}

export function sampleResult(part: Partial<Result> = {}): Result {
  return {
    format: 1,
    round: 2,
    plan: sha256("plan"),
    attempt: "1.1",
    checkpoint: sampleCheckpoint(2),
    epochsAdded: 3,
    stepsAdded: 7,
    rejected: [{ item: sampleItem("b.csv"), code: "bad", message: "line 3,\u001f column 2" }],
    metrics: { accuracy: 0.9, loss: 1e-7, holdoutRecords: 10 },
    liveMetrics: { accuracy: 0.9 },
    ...part,
  };
}

const roundEntrySample: RoundEntry = {
  format: 1,
  seq: 2,
  parent: sha256("entry 1"),
  at: 1_700_000_000_000,
  round: 2,
  checkpoint: sampleCheckpoint(2),
  redo: { rounds: [1], less: ["A".repeat(22)], plus: [sampleItem("c.csv")] },
  live: sampleCheckpoint(1),
  keep: [sampleKept(1, { liveAt: 2 }), sampleKept(2)],
  scheduled: 0,
  spent: { day: "2026-01-31", dayMs: 60_000, monthMs: 90_000 },
  kind: "round",
  jobMs: 60_000,
  plan: { key: "rounds/0000000002/plan.json", sha256: sha256("plan") },
  result: { key: "rounds/0000000002/result.json", sha256: sha256("result") },
  items: 2,
  rejected: 1,
  metrics: { accuracy: 0.5, "loss.train": 5e-324 },
  liveMetrics: null,
  gate: { passed: false, goesLive: false, because: "worse", reasons: ["accuracy 0.9 -> 0.5"] },
  wasRedo: false,
};

/** By kind; the log entry is a round's. */
export const DOCUMENTS: { readonly [K in DocumentKind]: DocumentOf<K> } = {
  segment: { format: 1, items: [sampleItem("a.csv"), sampleItem("ü/é.csv", { versionId: "v2" })] },
  plan: samplePlan(),
  intent: { format: 1, round: 2, attempt: 1, nonce: "0".repeat(32), jobName: "digits-2-1", retry: false },
  jobRecord: { format: 1, jobId: "job-1" },
  failure: { format: 1, code: "LOSS_NOT_FINITE", message: "loss is NaN", items: ["a.csv"], exit: 70 },
  manifest: {
    format: 1,
    round: 2,
    plan: sha256("plan"),
    code: sha256("code"),
    parent: null,
    attempt: "1.2",
    run: "run",
    step: 7,
    epoch: 3,
    files: [{ name: "weights.safetensors", size: 100, sha256: sha256("weights"), etag: "e" }],
    environment: { backend: "wasm" },
  },
  result: sampleResult(),
  logEntry: roundEntrySample,
  consumed: { format: 1, ids: ["A".repeat(22), "B".repeat(22)] },
  live: { format: 1, seq: 2, live: sampleCheckpoint(2) },
  quarantined: {
    format: 1,
    round: 2,
    rejected: { item: sampleItem("b.csv"), code: "gone", message: "no such key" },
  },
};
