/** One function of a program, recorded while it runs: what it is, and its nodes. */
import { nativeBackendOf, type TensorValues } from "../native-backend.ts";
import type { Tensor, Tf, Variable } from "../tf.ts";
import { attribute, TYPE } from "./protobuf.ts";
import { Recorder, type RecorderOptions } from "./recorder.ts";
import { recordUpdates, type Update } from "./updates.ts";

export type ProgramType = "float32" | "int32" | "bool";

export interface StateVariable {
  readonly shape: readonly number[];
  readonly type: ProgramType;
  /** what the functions know it by; null: only kernels use it */
  readonly variable: Variable | null;
  /** what each of its values is at first; null: as those of `variable` */
  readonly start: number | null;
  /** layers assign to it: that is copied, as they may keep what they were fed, whose memory others use again after the run */
  readonly ofLayers: boolean;
}

export interface Input {
  readonly shape: readonly number[];
  readonly type: ProgramType;
  /** any values that a run may have: the function is run on them while it is recorded */
  readonly example: TensorValues;
}

/** A function of named inputs. It reads and assigns the state's variables as it likes. */
export interface Entry {
  readonly inputs: ReadonlyMap<string, Input>;
  run(inputs: ReadonlyMap<string, Tensor>, step: Recording): Tensor;
}

export interface Recording {
  readonly recorder: Recorder;
  /** Records an operation that changes variables in place. It has no form outside of a graph, so nothing is changed while recording. */
  update(op: string, inputs: readonly UpdateInput[], flags: Readonly<Record<string, boolean>>): void;
  /** What the state variable was assigned last is no layer's: it is not copied. */
  assigned(index: number): void;
}

/** Index of a state variable, a tensor of the function, or a number. Each update has one gradient. */
export type UpdateInput =
  | { readonly state: number }
  | { readonly gradient: Tensor }
  | { readonly tensor: Tensor }
  | { readonly constant: number };

/** The name of a variable's node. @param index in the state */
export const handleOf = (index: number): string => `variable/${index}`;

export const bytesOf = ({ shape }: StateVariable): number => 4 * shape.reduce((product, size) => product * size, 1);

/** Runs the function once, as it would be run op by op, with notes taken. The variables have their values again afterwards. */
export function recordEntry(
  tf: Tf,
  name: string,
  entry: Entry,
  state: readonly StateVariable[],
  options: RecorderOptions,
): Recorder {
  const recorder = new Recorder(nativeBackendOf(tf), name, options);
  const before = new Map<Variable, Tensor>();
  try {
    tf.tidy(() => {
      const reads = state.map(({ variable, type }, index) => {
        if (variable === null) return undefined;
        // two variables that share their values could not be told apart
        if (recorder.isBound(variable)) variable.assign(tf.tensor(variable.dataSync(), variable.shape, variable.dtype));
        before.set(variable, tf.keep(variable.clone())); // a clone shares the values
        const dtype = attribute.type(TYPE[type]);
        const read = recorder.add("ReadVariableOp", [handleOf(index)], { dtype }, `read/${index}`);
        recorder.bind(variable, read);
        return read;
      });
      const inputs = new Map([...entry.inputs].map(([input, spec]) => [input, boundInput(tf, recorder, input, spec)]));
      recorder.recording(() => recordRun(recorder, entry, inputs, { state, reads }));
    });
  } catch (error) {
    letTapeGo(tf);
    throw error;
  } finally {
    for (const [variable, values] of before) {
      variable.assign(values);
      values.dispose();
    }
  }
  return recorder;
}

/** What a forward pass has saved for its gradient TensorFlow.js lets go once that is computed; where something throws, never. */
function letTapeGo(tf: Tf): void {
  const { state } = tf.engine();
  for (const { saved = [] } of state.activeTape ?? []) saved.forEach((tensor) => tensor.dispose());
  state.activeTape = [];
}

function boundInput(tf: Tf, recorder: Recorder, name: string, { shape, type, example }: Input): Tensor {
  const tensor = tf.tensor(example, [...shape], type);
  const attributes = { dtype: attribute.type(TYPE[type]), shape: attribute.shape(shape) };
  recorder.bind(tensor, recorder.add("Placeholder", [], attributes, `in/${name}`));
  return tensor;
}

function recordRun(
  recorder: Recorder,
  entry: Entry,
  inputs: ReadonlyMap<string, Tensor>,
  { state, reads }: { state: readonly StateVariable[]; reads: readonly (string | undefined)[] },
): void {
  const updates: Update[] = [];
  const inPlace = new Set<number>();
  const notOfLayers = new Set<number>();
  const result = entry.run(inputs, {
    recorder,
    update: (op, updateInputs, flags) => {
      const from = updateInputs.map((input) => {
        if ("state" in input) return handleOf(input.state);
        if ("constant" in input) return recorder.constant(TYPE.float32, [], Float32Array.of(input.constant));
        return recorder.nodeOf("gradient" in input ? input.gradient : input.tensor);
      });
      const gradient = from[updateInputs.findIndex((input) => "gradient" in input)]!;
      const changed = updateInputs.flatMap((input) => ("state" in input ? [input.state] : []));
      const reading = changed.flatMap((index) => reads[index] ?? []);
      const bytes = changed.reduce((sum, index) => sum + bytesOf(state[index]!), 0);
      updates.push({ op, from, gradient, reading, bytes, flags });
      for (const index of changed) inPlace.add(index);
    },
    assigned: (index) => notOfLayers.add(index),
  });
  const changes = recordUpdates(recorder, updates);
  state.forEach(({ variable, type, ofLayers }, index) => {
    if (variable === null || inPlace.has(index)) return;
    const assigned = recorder.nodeOf(variable);
    if (assigned === reads[index]) return;
    const dtype = attribute.type(TYPE[type]);
    const value = ofLayers && !notOfLayers.has(index) ? recorder.add("DeepCopy", [assigned], { T: dtype }) : assigned;
    changes.push(recorder.add("AssignVariableOp", [handleOf(index), value, `^${reads[index]}`], { dtype }));
  });
  // who fetches the result has all the updates made
  const after = changes.map((node) => `^${node}`);
  recorder.add("Identity", [recorder.nodeOf(result), ...after], { T: attribute.type(TYPE.float32) }, "out");
}
