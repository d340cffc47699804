/**
 * Writes a TensorFlow graph as a SavedModel: the one way by which the addon takes a graph. A protobuf writer just as large as that needs.
 * @see tensorflow/core/framework/{graph,node_def,attr_value,tensor,tensor_shape}.proto,
 *   tensorflow/core/protobuf/{saved_model,meta_graph}.proto for the numbers of the fields
 */

/** TensorFlow's numbers of the types. */
export const TYPE = { float32: 1, int32: 3, int64: 9, bool: 10, bfloat16: 14 } as const;

/** The value of an attribute, encoded. */
export type Attribute = Uint8Array;

export interface GraphNode {
  readonly name: string;
  /** of TensorFlow's operations */
  readonly op: string;
  /** "node" or "node:output"; those behind a ^ only have to have run */
  readonly inputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

/** The kinds of fields: how a value follows its number. */
const VARINT = 0;
const LENGTH = 2;
const FIXED32 = 5;

function varint(value: number): number[] {
  let rest = BigInt.asUintN(64, BigInt(value)); // ten bytes for what is negative, as protobuf wants
  const bytes: number[] = [];
  while (rest > 127n) {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return bytes;
}

const tag = (field: number, kind: number): number[] => varint((field << 3) | kind);

const integer = (field: number, value: number): Uint8Array =>
  Uint8Array.from([...tag(field, VARINT), ...varint(value)]);

function bytes(field: number, value: Uint8Array | string): Uint8Array {
  const body = typeof value === "string" ? Buffer.from(value) : value;
  return Buffer.concat([Uint8Array.from([...tag(field, LENGTH), ...varint(body.length)]), body]);
}

const integers = (field: number, values: readonly number[]): Uint8Array =>
  bytes(field, Uint8Array.from(values.flatMap(varint)));

const floatBytes = (values: readonly number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);

const shapeOf = (shape: readonly number[]): Uint8Array =>
  Buffer.concat(shape.map((size) => bytes(2, integer(1, size))));

export const attribute = {
  text: (value: string): Attribute => bytes(2, value),
  integer: (value: number): Attribute => integer(3, value),
  float: (value: number): Attribute => Buffer.concat([Uint8Array.from(tag(4, FIXED32)), floatBytes([value])]),
  flag: (value: boolean): Attribute => integer(5, value ? 1 : 0),
  type: (value: number): Attribute => integer(6, value),
  shape: (value: readonly number[]): Attribute => bytes(7, shapeOf(value)),
  integers: (values: readonly number[]): Attribute => bytes(1, integers(3, values)),
  floats: (values: readonly number[]): Attribute => bytes(1, bytes(4, floatBytes(values))),
  flags: (values: readonly boolean[]): Attribute => bytes(1, integers(5, values.map(Number))),
  types: (values: readonly number[]): Attribute => bytes(1, integers(6, values)),
  tensor: (type: number, shape: readonly number[], values: Float32Array | Int32Array | Uint8Array): Attribute =>
    bytes(8, Buffer.concat([integer(1, type), bytes(2, shapeOf(shape)), tensorValues(type, values)])),
};

/** All of them, or the first alone where all are the same. */
function tensorValues(type: number, values: Float32Array | Int32Array | Uint8Array): Uint8Array {
  const raw = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const width = values.BYTES_PER_ELEMENT;
  const same = type !== TYPE.int64 && values.length > 1 && raw.every((byte, i) => byte === raw[i % width]);
  if (!same) return bytes(4, raw);
  if (type === TYPE.float32) return bytes(5, raw.subarray(0, width));
  return integers(type === TYPE.bool ? 11 : 7, [values[0]!]);
}

function nodeBytes({ name, op, inputs, attributes }: GraphNode): Uint8Array {
  return Buffer.concat([
    bytes(1, name),
    bytes(2, op),
    ...inputs.map((input) => bytes(3, input)),
    ...Object.entries(attributes).map(([key, value]) => bytes(5, Buffer.concat([bytes(1, key), bytes(2, value)]))),
  ]);
}

/** Of GraphDef.versions: the graph needs no consumer newer than what these operations are known by. */
const PRODUCER = 1_000;

/** How a graph is used by who has not made it. All tensors are of 32-bit floats. */
export interface Signature {
  readonly input: { readonly node: string; readonly shape: readonly number[] };
  /** name -> node */
  readonly outputs: Record<string, string>;
  readonly outputShape: readonly number[];
}

const tensorInfo = (node: string, shape: readonly number[]): Uint8Array =>
  Buffer.concat([bytes(1, `${node}:0`), integer(2, TYPE.float32), bytes(3, shapeOf(shape))]);

const entry = (key: string, value: Uint8Array): Uint8Array => Buffer.concat([bytes(1, key), bytes(2, value)]);

function signatureBytes({ input, outputs, outputShape }: Signature): Uint8Array {
  const signature = [
    bytes(1, entry("inputs", tensorInfo(input.node, input.shape))),
    ...Object.entries(outputs).map(([name, node]) => bytes(2, entry(name, tensorInfo(node, outputShape)))),
    bytes(3, "tensorflow/serving/predict"),
  ];
  return bytes(5, entry("serving_default", Buffer.concat(signature)));
}

/** What saved_model.pb holds: a graph, and no values of variables. */
export function savedModel(nodes: readonly GraphNode[], signature?: Signature): Uint8Array {
  const graph = Buffer.concat([...nodes.map((node) => bytes(1, nodeBytes(node))), bytes(4, integer(1, PRODUCER))]);
  const tags = bytes(1, bytes(4, "serve"));
  return Buffer.concat([
    integer(1, 1),
    bytes(2, Buffer.concat([tags, bytes(2, graph), ...(signature === undefined ? [] : [signatureBytes(signature)])])),
  ]);
}
