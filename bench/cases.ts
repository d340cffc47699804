/** What is measured, and what it has to be at most. */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Contest, Contestant } from "./contest.ts";
import type { ModelName } from "./ours/models.ts";

const NODE = process.execPath;
const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

const ONE_THREAD = { TF_NUM_INTRAOP_THREADS: "1", OMP_NUM_THREADS: "1", POLARS_MAX_THREADS: "1" };

export function ours(script: string, ...args: readonly (string | number)[]): Contestant {
  return { name: "accrete", command: [NODE, path(`ours/${script}.ts`), ...args.map(String)], env: ONE_THREAD };
}

export function peer(name: string, python: string, script: string, ...args: readonly (string | number)[]): Contestant {
  return { name, command: [python, path(`peers/${script}.py`), ...args.map(String)], env: ONE_THREAD };
}

/** Steps that are measured in each process: some seconds for each. */
const STEPS: Readonly<Record<string, number>> = {
  "mlp 32": 600,
  "mlp 256": 150,
  "cnn 32": 150,
  "cnn 256": 25,
  "cnn-bn 32": 120,
  "cnn-bn 256": 20,
};

const GOALS: Readonly<Record<ModelName, Contest["goals"]>> = {
  mlp: [
    { peer: "Keras fit", atMost: 1 },
    { peer: "torch eager", atMost: 1.1 },
    { peer: "TensorFlow.js fit", atMost: 0.2 },
  ],
  cnn: [
    { peer: "Keras fit", atMost: 1 },
    { peer: "torch eager", atMost: 1.1 },
  ],
  "cnn-bn": [{ peer: "Keras fit", atMost: 1 }],
};

function stepContest(python: string, model: ModelName, size: number): Contest {
  const args = [model, size, STEPS[`${model} ${size}`]!] as const;
  const fit: Contestant = { ...ours("fit", ...args), name: "TensorFlow.js fit" };
  return {
    name: `step ${model} b${size}`,
    unit: "ms of CPU a step",
    ours: ours("step", ...args),
    peers: [peer("Keras fit", python, "keras_step", ...args), peer("torch eager", python, "torch_step", ...args), fit],
    // larger batches are shown, and have no goal
    goals: size === 32 ? GOALS[model] : [],
    core: 0,
  };
}

/** Checkpoints of about 210 MB, what they cost the steps, and memory. On all cores: a save has a thread of its own. */
function stateContests(python: string): Contest[] {
  const of = (name: string, script: string, ...args: readonly string[]): Contestant => ({
    ...ours(script, ...args),
    name,
    env: {},
  });
  const file = join(tmpdir(), `accrete-bench-${process.pid}.safetensors`);
  const theirs = (what: string): Contestant => ({
    ...peer("Python's safetensors", python, "safetensors_io", what, file, 210),
    env: {},
  });
  return [
    {
      name: "save 210 MB",
      unit: "ms",
      ours: of("accrete", "save", "save"),
      peers: [of("raw write with sha256", "save", "raw-write"), theirs("save")],
      goals: [{ peer: "raw write with sha256", atMost: 1.5 }],
      core: null,
    },
    {
      name: "restore 210 MB",
      unit: "ms",
      ours: of("accrete", "save", "restore"),
      peers: [of("raw read with sha256", "save", "raw-read"), theirs("load")],
      goals: [{ peer: "raw read with sha256", atMost: 2 }],
      core: null,
    },
    {
      name: "stall by 10 checkpoints in 60 s",
      unit: "% of the time",
      ours: of("accrete", "stall", "percent", "60"),
      peers: [],
      goals: [{ peer: null, atMost: 1 }],
      core: null,
    },
    {
      name: "wait for one checkpoint",
      unit: "copies of its bytes",
      ours: of("accrete", "stall", "memcpy", "10"),
      peers: [],
      goals: [{ peer: null, atMost: 2 }],
      core: null,
    },
    {
      name: "peak memory, Adam, 100 M parameters",
      unit: "times the parameters",
      ours: of("accrete", "memory", "steps"),
      peers: [of("with a checkpoint", "memory", "saving")],
      goals: [{ peer: null, atMost: 5 }],
      core: null,
    },
  ];
}

/** rows, columns */
const TABLE = { csv: [1_000_000, 10], jsonl: [300_000, 10] } as const;

/** rows, columns, epochs, batch size */
const EPOCHS = [100_000, 20, 5, 256] as const;

export function contests(python: string): Contest[] {
  return [
    stepContest(python, "mlp", 32),
    stepContest(python, "mlp", 256),
    stepContest(python, "cnn", 32),
    stepContest(python, "cnn", 256),
    stepContest(python, "cnn-bn", 32),
    stepContest(python, "cnn-bn", 256),
    {
      name: "first step",
      unit: "ms from the start of the process",
      ours: ours("first-step", "accrete"),
      peers: [{ ...ours("first-step", python, path("peers/keras_start.py")), name: "Keras" }],
      goals: [{ peer: "Keras", atMost: 0.5 }],
      core: null,
    },
    {
      name: "epochs from CSV",
      unit: "µs of CPU a record and epoch",
      ours: ours("epochs", ...EPOCHS),
      peers: [
        { ...ours("epochs", python, path("peers/keras_epochs.py"), ...EPOCHS), name: "Keras and tf.data" },
        { ...ours("epochs", python, path("peers/torch_epochs.py"), ...EPOCHS), name: "torch DataLoader" },
      ],
      goals: [],
      core: 0,
    },
    ...(["csv", "jsonl"] as const).map((format): Contest => ({
      name: `${format} to packed rows`,
      unit: "µs of CPU a row of 10 numbers",
      ours: ours("read", format, ...TABLE[format]),
      peers: [{ ...ours("read", python, path("peers/polars_read.py"), format, ...TABLE[format]), name: "polars" }],
      goals: [{ peer: "polars", atMost: 1.25 }], // 0.8 of its rows a second
      core: 0,
    })),
    {
      name: "the whole loop",
      unit: "ms a step",
      ours: { ...ours("harness", "loop"), env: {} },
      peers: [{ ...ours("harness", "bare"), name: "the step alone, data in memory", env: {} }],
      goals: [{ peer: "the step alone, data in memory", atMost: 1.05 }],
      core: null,
    },
    ...stateContests(python),
  ];
}
