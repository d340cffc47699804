/** What computes a training. */

/** native: TensorFlow's own library. wasm and cpu: TensorFlow.js alone; cpu has every operation, and is slow. */
export const BACKENDS = ["native", "wasm", "cpu"] as const;

export type Backend = (typeof BACKENDS)[number];

export function isBackend(text: string): text is Backend {
  return BACKENDS.some((backend) => backend === text);
}
