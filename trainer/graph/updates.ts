/** Updates of variables in place, and their order: it decides how much memory a run takes. */
import { attribute, TYPE } from "./protobuf.ts";
import type { Recorder } from "./recorder.ts";

export interface Update {
  readonly op: string;
  readonly from: readonly string[];
  /** of these, the one with the gradient */
  readonly gradient: string;
  /** nodes that have read the variables that it changes */
  readonly reading: readonly string[];
  /** of the variables that it changes */
  readonly bytes: number;
  readonly flags: Readonly<Record<string, boolean>>;
}

/** Of smaller variables the order is left to TensorFlow. */
const ORDERED_FROM_BYTES = 2 ** 24;

/** Their results share the memory of their first input. */
const VIEWS: ReadonlySet<string> = new Set(["Reshape", "ExpandDims", "Squeeze", "Identity"]);

/**
 * An update waits for whoever uses the values from before: it would have to copy them otherwise, which costs time, and as much memory as
 * the variable has. And the gradient of a large variable is computed when the update by the one before it is made, so that not all
 * gradients are there at once.
 * @returns the updates' nodes
 */
export function recordUpdates(recorder: Recorder, updates: readonly Update[]): string[] {
  const graph = new Recorded(recorder);
  const made = updates.map(({ op, from, gradient, reading, bytes, flags }) => {
    const before = graph.before(from);
    const waitsFor = [...reading, ...reading.flatMap((node) => graph.users(node))].filter((node) => !before.has(node));
    const attributes = Object.fromEntries(Object.entries(flags).map(([flag, value]) => [flag, attribute.flag(value)]));
    const inputs = [...from, ...waitsFor.map((node) => `^${node}`)];
    const node = recorder.add(op, inputs, { T: attribute.type(TYPE.float32), ...attributes });
    return { node, inputs, bytes, gradient: graph.indexOf(gradient) };
  });
  const large = made.filter(({ bytes }) => bytes >= ORDERED_FROM_BYTES).sort((a, b) => a.gradient - b.gradient);
  const before = new Set<string>(); // of all that are made by then: what they need can't wait for them
  large.slice(1).forEach(({ gradient }, i) => {
    const { node, inputs } = large[i]!;
    for (const name of graph.before(inputs)) before.add(name);
    const first = graph.beginningOf(gradient);
    if (!before.has(recorder.nodes[first]!.name)) recorder.waitFor(first, node);
  });
  return made.map(({ node }) => node);
}

class Recorded {
  readonly #recorder: Recorder;
  readonly #at: ReadonlyMap<string, number>;
  readonly #users = new Map<string, string[]>();

  constructor(recorder: Recorder) {
    this.#recorder = recorder;
    this.#at = new Map(recorder.nodes.map(({ name }, index) => [name, index]));
    for (const { name, inputs } of recorder.nodes) {
      for (const input of inputs.map(nodeName)) {
        const users = this.#users.get(input);
        if (users === undefined) this.#users.set(input, [name]);
        else users.push(name);
      }
    }
  }

  /** Those that use its values: a view of them is used in its turn. */
  users(node: string): readonly string[] {
    return (this.#users.get(node) ?? []).flatMap((user) => {
      const { op } = this.#recorder.nodes[this.#at.get(user)!]!;
      return VIEWS.has(op) ? [user, ...this.users(user)] : [user];
    });
  }

  /** All nodes that have to have run before these inputs are there. */
  before(inputs: readonly string[]): ReadonlySet<string> {
    const before = new Set<string>();
    const open = inputs.map(nodeName);
    for (let name = open.pop(); name !== undefined; name = open.pop()) {
      if (before.has(name)) continue;
      before.add(name);
      open.push(...(this.#recorder.nodes[this.#at.get(name) ?? -1]?.inputs ?? []).map(nodeName));
    }
    return before;
  }

  indexOf(node: string): number {
    return this.#at.get(nodeName(node))!;
  }

  /** Index of the operation that a node only gives another form: a product, say, that is then reshaped. */
  beginningOf(index: number): number {
    const { nodes } = this.#recorder;
    const inputs = nodes[index]!.inputs.flatMap((input) => this.#at.get(nodeName(input)) ?? []);
    const [only, ...more] = inputs.filter((input) => nodes[input]!.op !== "Const");
    if (only === undefined || more.length > 0 || this.#users.get(nodes[only]!.name)!.length > 1) return index;
    return this.beginningOf(only);
  }
}

/** Of an input: without the number of the output, or the ^ of one that only has to have run. */
const nodeName = (input: string): string => input.replace(/^\^|:\d+$/g, "");
