/**
 * Several recorded functions over the same variables, in one session of TensorFlow: variables belong to a session, and two sessions
 * share none.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../../protocol/errors.ts";
import { free } from "../collect-garbage.ts";
import {
  nativeBackendOf,
  type Binding,
  type NativeBackend,
  type TensorHandle,
  type TensorValues,
} from "../native-backend.ts";
import type { Tensor, Tf } from "../tf.ts";
import { attribute, savedModel, TYPE, type GraphNode } from "./protobuf.ts";
import { bytesOf, handleOf, recordEntry, type Entry, type Input, type StateVariable } from "./record-entry.ts";
import { checkSame, NotRecordable, type RecorderOptions } from "./recorder.ts";

/** Of what is copied into the session at once. */
const PART_BYTES_MAX = 2 ** 26;

export interface ProgramOptions extends RecorderOptions {
  /** folder for what is on its way to TensorFlow */
  readonly scratch: string;
}

interface Compiled {
  readonly inputs: readonly (readonly [string, Input])[];
  /** names of nodes, as the addon takes them */
  readonly feeds: string;
  readonly fetch: string;
}

export class GraphProgram {
  readonly #binding: Binding;
  readonly #native: NativeBackend;
  readonly #state: readonly StateVariable[];
  readonly #entries: ReadonlyMap<string, Compiled>;
  readonly #session: number;

  /**
   * Records each function twice, from the variables' values, which are as before afterwards. The session's have no values before `fill`
   * and `take` were called.
   * @param entries by a name of letters and digits
   * @throws {NotRecordable}; what a function throws; the system's error if there is no room in the folder
   */
  constructor(tf: Tf, state: readonly StateVariable[], entries: ReadonlyMap<string, Entry>, options: ProgramOptions) {
    this.#native = nativeBackendOf(tf);
    this.#binding = this.#native.binding;
    this.#state = state;
    const nodes = state.flatMap(variableNodes);
    nodes.push(...fillNodes(state));
    const compiled = new Map<string, Compiled>();
    for (const [name, entry] of entries) {
      const recorder = recordEntry(tf, name, entry, state, options);
      checkSame(recorder, recordEntry(tf, name, entry, state, options));
      nodes.push(...recorder.nodes);
      const inputs = [...entry.inputs];
      const feeds = inputs.map(([input]) => `${name}/in/${input}:0`).join(",");
      compiled.set(name, { inputs, feeds, fetch: `${name}/out:0` });
    }
    this.#entries = compiled;
    this.#session = load(this.#binding, nodes, options.scratch);
  }

  /** Runs one function. @returns its result, which is a tensor of one value */
  run(name: string, values: ReadonlyMap<string, TensorValues>): number {
    const { inputs, feeds, fetch } = this.#entries.get(name)!;
    const ids = inputs.map(([input, { shape, type }]) =>
      this.#binding.createTensor(shape, TYPE[type], values.get(input)!),
    );
    try {
      const [result] = this.#binding.runSavedModel(this.#session, ids, feeds, fetch);
      return this.read(result!)[0]!;
    } finally {
      for (const id of ids) this.#binding.deleteTensor(id);
    }
  }

  /** Gives its start to each variable that has one, in parts: all at once TensorFlow would have them twice for a moment. */
  fill(): void {
    for (const part of this.parts([...this.#state.keys()].filter((index) => this.#state[index]!.start !== null)))
      for (const done of this.#binding.runSavedModel(this.#session, [], "", namesOf("fill/done", part)))
        this.drop(done);
  }

  /** Indexes of the state in their order, in parts of which each can be copied at once without much memory. Each part takes a while by itself. */
  parts(indexes: readonly number[]): number[][] {
    const parts: number[][] = [];
    let bytes = Infinity;
    for (const index of indexes) {
      const own = bytesOf(this.#state[index]!);
      if (bytes + own > PART_BYTES_MAX) {
        parts.push([]);
        bytes = 0;
      }
      parts.at(-1)!.push(index);
      bytes += own;
    }
    return parts;
  }

  /** Copies tensors' values into variables. @param tensors by index */
  take(tensors: ReadonlyMap<number, Tensor>): void {
    this.#write([...tensors.keys()], this.#native.getInputTensorIds([...tensors.values()]));
  }

  /** Copies values into variables. @param values asked for each index once; they are gone afterwards */
  write(indexes: readonly number[], values: (index: number) => TensorValues): void {
    const fed = indexes.map(values);
    const ids = indexes.map((index, i) => {
      const { shape, type } = this.#state[index]!;
      return this.#binding.createTensor(shape, TYPE[type], fed[i]!);
    });
    try {
      this.#write(indexes, ids);
    } finally {
      for (const id of ids) this.#binding.deleteTensor(id);
    }
    fed.forEach(free); // not before: a tensor has the array's own memory
  }

  /** The variables' values as of now, not copied: later runs write elsewhere while they are held. Each is to be read, dropped or wrapped. */
  held(indexes: readonly number[]): TensorHandle[] {
    if (indexes.length === 0) return [];
    return this.#binding.runSavedModel(this.#session, [], "", namesOf("get", indexes));
  }

  read({ id }: TensorHandle): TensorValues {
    const values = this.#binding.tensorDataSync(id);
    this.#binding.deleteTensor(id);
    return values;
  }

  drop({ id }: TensorHandle): void {
    this.#binding.deleteTensor(id);
  }

  /** What is held, as a tensor that owns it. */
  wrap(held: TensorHandle): Tensor {
    return this.#native.createOutputTensor(held) as Tensor;
  }

  dispose(): void {
    this.#binding.deleteSavedModel(this.#session);
  }

  #write(indexes: readonly number[], ids: readonly number[]): void {
    const [fed, fetched] = [namesOf("set", indexes), namesOf("set/done", indexes)];
    for (const done of this.#binding.runSavedModel(this.#session, ids, fed, fetched)) this.drop(done);
  }
}

/** Of one output of each, as the addon takes them. */
const namesOf = (prefix: string, indexes: readonly number[]): string =>
  indexes.map((index) => `${prefix}/${index}:0`).join(",");

/** A variable, how it is read, and how it is set. */
function variableNodes({ shape, type }: StateVariable, index: number): GraphNode[] {
  const dtype = attribute.type(TYPE[type]);
  const typed = { dtype, shape: attribute.shape(shape) };
  return [
    {
      name: handleOf(index),
      op: "VarHandleOp",
      inputs: [],
      attributes: { ...typed, shared_name: attribute.text(handleOf(index)) },
    },
    { name: `get/${index}`, op: "ReadVariableOp", inputs: [handleOf(index)], attributes: { dtype } },
    { name: `set/${index}`, op: "Placeholder", inputs: [], attributes: typed },
    // a guard: should the variable ever be the memory of who fed it, an update in place would change that (it was not seen without)
    { name: `set/copy/${index}`, op: "DeepCopy", inputs: [`set/${index}`], attributes: { T: dtype } },
    {
      name: `set/assign/${index}`,
      op: "AssignVariableOp",
      inputs: [handleOf(index), `set/copy/${index}`],
      attributes: { dtype },
    },
    doneNode(`set/done/${index}`, [`set/assign/${index}`]),
  ];
}

/** Something to fetch, whose price is that the others have run. */
const doneNode = (name: string, after: readonly string[]): GraphNode => ({
  name,
  op: "Const",
  inputs: after.map((node) => `^${node}`),
  attributes: { dtype: attribute.type(TYPE.int32), value: attribute.tensor(TYPE.int32, [], Int32Array.of(0)) },
});

/**
 * Made in the session, not fed: slots are twice as large as the weights with Adam. Each has memory of its own from the start: what several
 * share, as TensorFlow makes equal constants one, is copied within the first step, and leaves holes that no large tensor fits into.
 */
function fillNodes(state: readonly StateVariable[]): GraphNode[] {
  const [dtype, int32] = [attribute.type(TYPE.float32), attribute.type(TYPE.int32)];
  return state.flatMap(({ shape, start }, index): GraphNode[] => {
    if (start === null) return [];
    const dims = attribute.tensor(TYPE.int32, [shape.length], Int32Array.from(shape));
    const value = attribute.tensor(TYPE.float32, [], Float32Array.of(start));
    return [
      { name: `fill/shape/${index}`, op: "Const", inputs: [], attributes: { dtype: int32, value: dims } },
      { name: `fill/const/${index}`, op: "Const", inputs: [], attributes: { dtype, value } },
      {
        name: `fill/value/${index}`,
        op: "PlaceholderWithDefault",
        inputs: [`fill/const/${index}`],
        attributes: { dtype, shape: attribute.shape([]) },
      },
      {
        name: `fill/${index}`,
        op: "Fill",
        inputs: [`fill/shape/${index}`, `fill/value/${index}`],
        attributes: { T: dtype, index_type: int32 },
      },
      {
        name: `fill/assign/${index}`,
        op: "AssignVariableOp",
        inputs: [handleOf(index), `fill/${index}`],
        attributes: { dtype },
      },
      doneNode(`fill/done/${index}`, [`fill/assign/${index}`]),
    ];
  });
}

function load(binding: Binding, nodes: readonly GraphNode[], scratch: string): number {
  const folder = mkdtempSync(join(scratch, "accrete-graph-"));
  try {
    writeFileSync(join(folder, "saved_model.pb"), savedModel(nodes)); // a full disk is not the graph's fault
    try {
      return binding.loadSavedModel(folder, "serve");
    } catch (cause) {
      throw new NotRecordable(`TensorFlow does not take the graph: ${messageOf(cause)}`, { cause });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
