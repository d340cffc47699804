import { findNative } from "../../adapters/native-library.ts";
import { loadTf, type Loaded } from "../../trainer/tf.ts";

/** @throws {Error} without TensorFlow's library: nothing would be measured that is meant */
export async function loadNative(threads: number): Promise<Loaded> {
  const addon = findNative()?.addon;
  if (addon === undefined) throw new Error("TensorFlow's library is not there: npm run native");
  const loaded = await loadTf({ addon, threads, say: (line) => console.error(line) });
  if (loaded.backend !== "native") throw new Error(`the backend is ${loaded.backend}`);
  return loaded;
}
