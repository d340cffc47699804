/** What is measured, and what it has to be at most. */
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

function stepContest(python: string, model: ModelName, size: number): Contest {
  const args = [model, size, STEPS[`${model} ${size}`]!] as const;
  const fit: Contestant = { ...ours("fit", ...args), name: "TensorFlow.js fit" };
  return {
    name: `step ${model} b${size}`,
    unit: "ms of CPU a step",
    ours: ours("step", ...args),
    peers: [peer("Keras fit", python, "keras_step", ...args), peer("torch eager", python, "torch_step", ...args), fit],
    goals: [
      { peer: "Keras fit", atMost: 1 },
      ...(model === "cnn-bn" ? [] : [{ peer: "torch eager", atMost: 1.1 }]),
      ...(model === "mlp" ? [{ peer: "TensorFlow.js fit", atMost: 0.3 }] : []),
    ],
    core: 0,
  };
}

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
      goals: [{ peer: "Keras and tf.data", atMost: 1 }],
      core: 0,
    },
  ];
}
