/**
 * Records what a function does to tensors, operation by operation, as nodes of a TensorFlow graph. tfjs-node runs each operation by
 * binding.executeOp(name, attributes, inputs, outputs), which has all that a node needs: one run with a binding that takes notes gives
 * the graph of forward pass, gradients and update alike, whatever TensorFlow.js code made them.
 */
import type { Binding, NativeBackend, OpAttribute, TensorHandle, TensorValues } from "../native-backend.ts";
import { attribute, TYPE, type Attribute, type GraphNode } from "./protobuf.ts";

/** What the function does can't be a graph: each run would have to do something else, or JavaScript has to see values. */
export class NotRecordable extends Error {
  override readonly name = "NotRecordable";
}

/** A larger constant belongs into the state: each graph would hold it once more. */
const CONSTANT_BYTES_MAX = 2 ** 20;

/** Recurrent layers are unrolled: beyond this TensorFlow takes longer to prepare the graph than it is worth. */
const NODES_MAX = 30_000;

/** They draw from a state that TensorFlow keeps to itself, so that no checkpoint could have it. */
const STATEFUL = /^(Stateful)?(Random|Multinomial|TruncatedNormal)/;

/**
 * TensorFlow's graph rewriter sums in another order, or multiplies smaller tensors first, unless a node bears the marks by which it knows
 * its own work: with them, a graph's bits are those of its operations one by one.
 * @see tensorflow/core/grappler/optimizers/arithmetic_optimizer.cc, AddOpsRewriteStage and MinimizeBroadcasts
 */
const KEPT_AS_IT_IS: Readonly<Record<string, Attribute>> = {
  _grappler_ArithmeticOptimizer_AddOpsRewriteStage: attribute.flag(true),
  _grappler_ArithmeticOptimizer_MinimizeBroadcasts: attribute.flag(true),
};

/**
 * What mixed precision computes in bfloat16: products of matrices and convolutions with their gradients, nearly all of a step's arithmetic.
 * Which inputs are the numbers; the sums within stay float32 on GPUs, and so does everything else. bfloat16 has float32's range, so that no
 * gradient vanishes and the loss needs no scale.
 * @see Kalamkar et al. 2019, A Study of BFLOAT16 for Deep Learning Training; Micikevicius et al. 2018, Mixed Precision Training
 */
const IN_BFLOAT16: Readonly<Record<string, readonly number[]>> = {
  MatMul: [0, 1],
  BatchMatMulV2: [0, 1],
  Conv2D: [0, 1],
  Conv2DBackpropFilter: [0, 2],
  Conv2DBackpropInput: [1, 2],
  DepthwiseConv2dNative: [0, 1],
  DepthwiseConv2dNativeBackpropFilter: [0, 2],
  DepthwiseConv2dNativeBackpropInput: [1, 2],
};

export interface RecorderOptions {
  /** what of a step is nearly all arithmetic, in bfloat16; @default all in float32 */
  readonly bfloat16?: boolean | undefined;
}

interface Known {
  readonly shape: readonly number[];
  readonly type: number;
}

export class Recorder {
  readonly nodes: GraphNode[] = [];
  /** of each node the layer that made it, where one did */
  readonly layers: (string | undefined)[] = [];
  readonly #native: NativeBackend;
  readonly #real: Binding;
  readonly #prefix: string;
  /** tensor's id -> "node" or "node:output" */
  readonly #names = new Map<number, string>();
  /** of tensors that JavaScript has made: a constant only if an operation uses it */
  readonly #made = new Map<number, Known>();
  /** its bytes -> node */
  readonly #constants = new Map<string, string>();
  readonly #within: string[] = [];
  readonly #bfloat16: boolean;
  /** node -> the same in bfloat16 */
  readonly #shortened = new Map<string, string>();

  constructor(native: NativeBackend, prefix: string, { bfloat16 = false }: RecorderOptions = {}) {
    this.#bfloat16 = bfloat16;
    this.#native = native;
    this.#real = native.binding;
    this.#prefix = prefix;
  }

  /** The layer at work, for messages. */
  within<T>(layer: string, work: () => T): T {
    this.#within.push(layer);
    try {
      return work();
    } finally {
      this.#within.pop();
    }
  }

  /** Runs `work` while whatever TensorFlow.js has TensorFlow do is recorded. The backend is as before when it returns or throws. */
  recording<T>(work: () => T): T {
    this.#native.binding = this.#binding();
    try {
      return work();
    } finally {
      this.#native.binding = this.#real;
    }
  }

  /** @returns the node's name */
  add(op: string, inputs: readonly string[], attributes: GraphNode["attributes"], name?: string): string {
    if (this.nodes.length >= NODES_MAX) throw this.#notRecordable(`makes the step more than ${NODES_MAX} operations`);
    const named = `${this.#prefix}/${name ?? `${op}_${this.nodes.length}`}`;
    this.nodes.push({ name: named, op, inputs, attributes });
    this.layers.push(this.#within.at(-1));
    return named;
  }

  /** @param index of the node that waits */
  waitFor(index: number, node: string): void {
    const waiting = this.nodes[index]!;
    this.nodes[index] = { ...waiting, inputs: [...waiting.inputs, `^${node}`] };
  }

  /** From here on the tensor is what this node gives. */
  bind(tensor: object, node: string): void {
    this.#names.set(this.idOf(tensor), node);
  }

  isBound(tensor: object): boolean {
    return this.#names.has(this.idOf(tensor));
  }

  /** The node that gives the tensor. */
  nodeOf(tensor: object): string {
    return this.#nodeOf(this.idOf(tensor));
  }

  idOf(tensor: object): number {
    return this.#native.getInputTensorIds([tensor])[0]!;
  }

  /** A number that each run of the graph has. */
  constant(type: number, shape: readonly number[], values: TensorValues): string {
    const value = attribute.tensor(type, shape, values);
    if (value.length > CONSTANT_BYTES_MAX)
      throw this.#notRecordable(`uses a constant of shape [${shape.join(", ")}] that is no weight`);
    const key = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("latin1");
    const known = this.#constants.get(key);
    if (known !== undefined) return known;
    let node = this.add("Const", [], { dtype: attribute.type(type), value });
    // Behind a placeholder with a default, a constant is nothing that TensorFlow's graph rewriter could work with: it would make
    // x * (1 / c) of x / c, and one factor of two, so that the last bits were others than op by op.
    if (type === TYPE.float32)
      node = this.add("PlaceholderWithDefault", [node], { dtype: attribute.type(type), shape: attribute.shape(shape) });
    this.#constants.set(key, node);
    return node;
  }

  #nodeOf(id: number): string {
    const name = this.#names.get(id);
    if (name !== undefined) return name;
    const { shape, type } = this.#made.get(id) ?? this.#lookedAt(id);
    const node = this.constant(type, shape, this.#real.tensorDataSync(id));
    this.#names.set(id, node);
    return node;
  }

  /** Of a tensor from before the recording the backend keeps shape and type to itself; an operation's result tells. */
  #lookedAt(id: number): Known {
    const [same] = this.#real.executeOp("Identity", [], [id], 1);
    this.#real.deleteTensor(same!.id);
    return { shape: same!.shape, type: same!.dtype };
  }

  /** What tfjs-node's kernels see. The addon's own properties are read-only: it is the prototype. */
  #binding(): Binding {
    const real = this.#real;
    const noting: Pick<Binding, "createTensor" | "executeOp" | "tensorDataSync"> = {
      createTensor: (shape, type, data) => {
        const id = real.createTensor(shape, type, data);
        this.#made.set(id, { shape: [...shape], type });
        return id;
      },
      executeOp: (op, attributes, ids, outputs) => {
        if (STATEFUL.test(op)) throw this.#notRecordable(`draws by ${op}, whose state nothing can save`);
        return this.#noted(op, attributes, ids, () => real.executeOp(op, attributes, ids, outputs));
      },
      tensorDataSync: () => {
        throw this.#notRecordable("reads a tensor back into JavaScript");
      },
    };
    return Object.setPrototypeOf(noting, real) as Binding;
  }

  #noted(
    op: string,
    attributes: readonly OpAttribute[],
    ids: readonly number[],
    run: () => TensorHandle[],
  ): TensorHandle[] {
    const inputs = ids.map((id) => this.#nodeOf(id));
    const encoded = Object.fromEntries(attributes.map((each) => [each.name, this.#encoded(op, each)]));
    const results = run();
    const numbers = this.#bfloat16 && encoded["T"] !== undefined && isFloat(encoded["T"]) ? IN_BFLOAT16[op] : undefined;
    const node =
      numbers === undefined
        ? this.add(op, inputs, { ...encoded, ...KEPT_AS_IT_IS })
        : this.#addShort(op, inputs, numbers, { ...encoded, ...KEPT_AS_IT_IS });
    results.forEach(({ id }, i) => this.#names.set(id, i === 0 ? node : `${node}:${i}`));
    return results;
  }

  /** @returns a node that gives the result in float32 again */
  #addShort(
    op: string,
    inputs: readonly string[],
    numbers: readonly number[],
    attributes: GraphNode["attributes"],
  ): string {
    const short = inputs.map((input, i) => (numbers.includes(i) ? this.#short(input) : input));
    const result = this.add(op, short, { ...attributes, T: attribute.type(TYPE.bfloat16) });
    return this.#cast(result, TYPE.bfloat16, TYPE.float32);
  }

  #short(node: string): string {
    const known = this.#shortened.get(node) ?? this.#cast(node, TYPE.float32, TYPE.bfloat16);
    this.#shortened.set(node, known);
    return known;
  }

  #cast(node: string, from: number, to: number): string {
    return this.add("Cast", [node], {
      SrcT: attribute.type(from),
      DstT: attribute.type(to),
      Truncate: attribute.flag(false),
    });
  }

  #encoded(op: string, { name, type, value }: OpAttribute): Attribute {
    const real = this.#real;
    const list = Array.isArray(value);
    switch (type) {
      case real.TF_ATTR_STRING:
        return attribute.text(value as string);
      case real.TF_ATTR_INT:
        return list ? attribute.integers(value as number[]) : attribute.integer(value as number);
      case real.TF_ATTR_FLOAT:
        return list ? attribute.floats(value as number[]) : attribute.float(value as number);
      case real.TF_ATTR_BOOL:
        return list ? attribute.flags(value as boolean[]) : attribute.flag(value as boolean);
      case real.TF_ATTR_TYPE:
        return list ? attribute.types(value as number[]) : attribute.type(value as number);
      case real.TF_ATTR_SHAPE:
        return attribute.shape(value as number[]);
      default:
        throw this.#notRecordable(`uses ${op}, whose attribute ${name} is of a kind that is not known here`);
    }
  }

  #notRecordable(does: string): NotRecordable {
    return new NotRecordable(`${actor(this.#within.at(-1))} ${does}`);
  }
}

/** @throws {NotRecordable} if two recordings of the same function are not the same */
export function checkSame(one: Recorder, other: Recorder): void {
  const at = one.nodes.findIndex((node, i) => !isSame(node, other.nodes[i]));
  if (at < 0 && one.nodes.length === other.nodes.length) return;
  throw new NotRecordable(
    `${actor(one.layers[at] ?? other.layers[one.nodes.length])} draws random numbers or counts in JavaScript`,
  );
}

const isFloat = (type: Attribute): boolean => Buffer.compare(type, attribute.type(TYPE.float32)) === 0;

const actor = (layer: string | undefined): string => (layer === undefined ? "the step" : `layer ${layer}`);

function isSame(one: GraphNode, other: GraphNode | undefined): boolean {
  if (other === undefined || one.name !== other.name || one.inputs.join() !== other.inputs.join()) return false;
  const keys = Object.keys(one.attributes);
  return (
    keys.length === Object.keys(other.attributes).length &&
    keys.every((key) => {
      const found = other.attributes[key];
      return found !== undefined && Buffer.compare(one.attributes[key]!, found) === 0;
    })
  );
}
