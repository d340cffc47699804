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
  const differs = (): Error => new Error("what it does depends on the number of records");
  if (nodes.length !== others.length) throw differs();
  const made: GraphNode[] = [...one.weights];
  for (const [i, node] of nodes.entries()) {
    const twin = others[i]!;
    if (node.op !== twin.op || node.name !== twin.name || node.inputs.join() !== twin.inputs.join()) throw differs();
    const same = Object.keys(node.attributes).every((key) => {
      const found = twin.attributes[key];
      return found !== undefined && Buffer.compare(node.attributes[key]!, found) === 0;
    });
    if (same) made.push(node);
    else
      made.push(
        ...replaced(
          node,
          [one, other].map(({ recorder }) => recorder.constants.get(node.name)),
          nodes,
        ),
      );
  }
  return made;
}

/** A constant that goes by the number of records: sizes for a Reshape, or the same number over and over for each record. */
function replaced(
  node: GraphNode,
  constants: readonly (Constant | undefined)[],
  nodes: readonly GraphNode[],
): GraphNode[] {
  const [a, b] = constants;
  const depends = (): Error => new Error(`its ${node.op} (${node.name}) depends on the number of records`);
  if (node.op !== "Const" || a === undefined || b === undefined || a.shape.join() !== b.shape.join()) throw depends();
  const users = nodes.filter(({ inputs }) => inputs.includes(node.name));
  const varying = [...a.values].flatMap((value, at) => (value === b.values[at] ? [] : [at]));
  const byBatch = varying.every((at) => a.values[at]! / RECORDS[0] === b.values[at]! / RECORDS[1]);
  const sizes = a.type === TYPE.int32 && byBatch && varying.length === 1 && !a.values.includes(-1);
  if (!sizes || !users.every(({ op, inputs }) => op === "Reshape" && inputs[1] === node.name)) throw depends();
  const values = Int32Array.from(a.values, (value, at) => (at === varying[0] ? -1 : value));
  return [{ ...node, attributes: { ...node.attributes, value: attribute.tensor(TYPE.int32, a.shape, values) } }];
}
