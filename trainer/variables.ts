import type { Dtype } from "../protocol/safetensors.ts";
import type { Tf, Variable } from "./tf.ts";

/** Sets a variable's values, and leaves no tensor behind. */
export function assign(tf: Tf, variable: Variable, values: Float32Array | Int32Array | Uint8Array): void {
  tf.tidy(() => variable.assign(tf.tensor(values, variable.shape, variable.dtype as "float32")));
}

/** The type under which a variable is saved. */
export function dtypeOfVariable({ dtype }: Variable): Dtype {
  return dtype === "int32" ? "I32" : dtype === "bool" ? "U8" : "F32";
}
