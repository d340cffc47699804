/**
 * The model as a TensorFlow graph for any number of records, its weights as constants, with a signature for serving. It is recorded at two
 * numbers of records: where the two differ, the graph depends on it, and is made to go by its input.
 */
import { attribute, savedModel, TYPE, type GraphNode, type Signature } from "./graph/protobuf.ts";
import { Recorder } from "./graph/recorder.ts";
import type { Model } from "./model.ts";
import { nativeBackendOf, type TensorValues } from "./native-backend.ts";
import type { Tf } from "./tf.ts";

/** Primes that no layer is likely to have as its size: a constant that is the same in both by chance is not one of both. */
const RECORDS = [13, 17] as const;
const PREFIX = "model";
const INPUT = `${PREFIX}/inputs`;

interface Constant {
  readonly type: number;
  readonly shape: readonly number[];
  readonly values: TensorValues;
}

class InferenceRecorder extends Recorder {
  readonly constants = new Map<string, Constant>();

  override constant(type: number, shape: readonly number[], values: TensorValues): string {
    const node = super.constant(type, shape, values);
    this.constants.set(node, { type, shape, values });
    return node;
  }
}

/** @returns what saved_model.pb holds @throws {Error} if the graph can't be one for any number of records */
export function savedModelOf(tf: Tf, model: Model, { probabilities }: { readonly probabilities: boolean }): Uint8Array {
  const [one, other] = RECORDS.map((records) => record(tf, model, records));
  const nodes = forAnyBatch(one!, other!);
  const type = { T: attribute.type(TYPE.float32) };
  const outputs: Signature["outputs"] = { scores: "scores" };
  nodes.push({ name: "scores", op: "Identity", inputs: [one!.output], attributes: type });
  if (probabilities) {
    nodes.push({ name: "probabilities", op: "Softmax", inputs: ["scores"], attributes: type });
    outputs["probabilities"] = "probabilities";
  }
  const shapeOf = (shape: readonly (number | null)[]): number[] => shape.map((size) => size ?? -1);
  const [input, output] = [shapeOf(model.network.inputs[0]!.shape), shapeOf(model.network.outputs[0]!.shape)];
  return savedModel(nodes, { input: { node: INPUT, shape: input }, outputs, outputShape: output });
}

interface Recorded {
  readonly recorder: InferenceRecorder;
  /** of weights, whose values are the same in both */
  readonly weights: readonly GraphNode[];
  readonly output: string;
}

function record(tf: Tf, model: Model, records: number): Recorded {
  const recorder = new InferenceRecorder(nativeBackendOf(tf), PREFIX);
  const weights: GraphNode[] = [];
  const output = tf.tidy(() => {
    for (const { name, variable } of model.weights) {
      const node = `weights/${name.replaceAll(/[^A-Za-z0-9_./-]/g, "_")}_${weights.length}`;
      const type = TYPE[variable.dtype as "float32"];
      const values = variable.dataSync() as TensorValues;
      const value = attribute.tensor(type, variable.shape, values);
      weights.push({ name: node, op: "Const", inputs: [], attributes: { dtype: attribute.type(type), value } });
      recorder.bind(variable, node);
    }
    const shape = model.network.inputs[0]!.shape.slice(1).map((size) => size ?? 1);
    const x = tf.zeros([records, ...shape], "float32");
    const anyBatch = { dtype: attribute.type(TYPE.float32), shape: attribute.shape([-1, ...shape]) };
    recorder.bind(x, recorder.add("Placeholder", [], anyBatch, "inputs"));
    return recorder.recording(() => recorder.nodeOf(model.apply(x, { training: false })));
  });
  return { recorder, weights, output };
}

/** The nodes of the first recording, with what differs in the second replaced. */
function forAnyBatch(one: Recorded, other: Recorded): GraphNode[] {
  const [nodes, others] = [one.recorder.nodes, other.recorder.nodes];
  const differs = (node?: GraphNode): Error =>
    new Error(`what it does depends on the number of records${node === undefined ? "" : `, in ${node.op}`}`);
  if (nodes.length !== others.length) throw differs();
  const made = [...one.weights, ...batchNodes()];
  for (const [i, node] of nodes.entries()) {
    const twin = others[i]!;
    if (node.op !== twin.op || node.name !== twin.name || node.inputs.join() !== twin.inputs.join())
      throw differs(node);
    if (sameAttributes(node, twin)) {
      made.push(node);
      continue;
    }
    // a number is behind a placeholder with a default, see Recorder: it is the one that is known
    const behind = nodes[i + 1]?.op === "PlaceholderWithDefault" ? nodes[i + 1]!.name : node.name;
    const [a, b] = [one, other].map(
      ({ recorder }) => recorder.constants.get(behind) ?? recorder.constants.get(node.name),
    );
    const more = replaced(node, a, b, nodes);
    if (more === undefined) throw differs(node);
    made.push(...more);
  }
  return made;
}

function sameAttributes(node: GraphNode, twin: GraphNode): boolean {
  return Object.keys(node.attributes).every((key) => {
    const found = twin.attributes[key];
    return found !== undefined && Buffer.compare(node.attributes[key]!, found) === 0;
  });
}

const INT32 = attribute.type(TYPE.int32);
const BATCH = "batch";

const integers = (name: string, shape: readonly number[], values: readonly number[]): GraphNode => ({
  name,
  op: "Const",
  inputs: [],
  attributes: { dtype: INT32, value: attribute.tensor(TYPE.int32, shape, Int32Array.from(values)) },
});

/** How many records there are. */
function batchNodes(): GraphNode[] {
  const masks = ["begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask"].map((mask) => [
    mask,
    attribute.integer(0),
  ]);
  return [
    {
      name: "batch/of",
      op: "Shape",
      inputs: [INPUT],
      attributes: { T: attribute.type(TYPE.float32), out_type: INT32 },
    },
    integers("batch/0", [1], [0]),
    integers("batch/1", [1], [1]),
    {
      name: BATCH,
      op: "StridedSlice",
      inputs: ["batch/of", "batch/0", "batch/1", "batch/1"],
      attributes: { T: INT32, Index: INT32, ...Object.fromEntries(masks), shrink_axis_mask: attribute.integer(1) },
    },
  ];
}

/** What goes by the number of records: integers that do so linearly, or the same number over and over. @returns undefined for anything else */
function replaced(
  node: GraphNode,
  a: Constant | undefined,
  b: Constant | undefined,
  nodes: readonly GraphNode[],
): GraphNode[] | undefined {
  if (a === undefined || b === undefined) return undefined;
  if (node.op === "PlaceholderWithDefault")
    return [{ name: node.name, op: "Identity", inputs: node.inputs, attributes: { T: node.attributes["dtype"]! } }];
  if (node.op !== "Const") return undefined;
  if (a.shape.join() === b.shape.join()) {
    if (a.type !== TYPE.int32) return undefined;
    const users = nodes.filter(({ inputs }) => inputs.includes(node.name));
    const rest = users.every(({ op, inputs }) => op === "Reshape" && inputs[1] === node.name)
      ? restOf(node, a, b)
      : undefined;
    return rest ?? linear(node.name, a.shape, [...a.values], [...b.values]);
  }
  if (a.shape.length !== b.shape.length || [...a.values, ...b.values].some((value) => value !== a.values[0]))
    return undefined;
  const dims = linear(`${node.name}/dims`, [a.shape.length], a.shape, b.shape);
  if (dims === undefined) return undefined;
  const T = attribute.type(a.type);
  const value = attribute.tensor(a.type, [], a.values.slice(0, 1));
  return [
    ...dims,
    { name: `${node.name}/value`, op: "Const", inputs: [], attributes: { dtype: T, value } },
    {
      name: node.name,
      op: "Fill",
      inputs: [`${node.name}/dims`, `${node.name}/value`],
      attributes: { T, index_type: INT32 },
    },
  ];
}

/** For a Reshape: the one size that differs is whatever is left, so that TensorFlow still knows the others beforehand. */
function restOf(node: GraphNode, a: Constant, b: Constant): GraphNode[] | undefined {
  const varying = [...a.values].flatMap((value, at) => (value === b.values[at] ? [] : [at]));
  if (varying.length !== 1 || a.values.includes(-1)) return undefined;
  return [
    integers(
      node.name,
      a.shape,
      [...a.values].map((value, at) => (at === varying[0] ? -1 : value)),
    ),
  ];
}

/** base + each * number of records, as both recordings say. */
function linear(
  name: string,
  shape: readonly number[],
  a: readonly number[],
  b: readonly number[],
): GraphNode[] | undefined {
  const each = a.map((value, at) => (b[at]! - value) / (RECORDS[1] - RECORDS[0]));
  const base = a.map((value, at) => value - each[at]! * RECORDS[0]);
  if (!each.every(Number.isInteger)) return undefined;
  return [
    integers(`${name}/base`, shape, base),
    integers(`${name}/each`, shape, each),
    { name: `${name}/all`, op: "Mul", inputs: [`${name}/each`, BATCH], attributes: { T: INT32 } },
    { name, op: "AddV2", inputs: [`${name}/base`, `${name}/all`], attributes: { T: INT32 } },
  ];
}
