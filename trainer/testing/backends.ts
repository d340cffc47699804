/** The backends that tests run on. What needs the native one skips where `npm run native` was not run. */
import { findNative } from "../../adapters/native-library.ts";
import type { LoadOptions } from "../tf.ts";

/** Without TensorFlow's library, also where there is one. */
export const WITHOUT_NATIVE: LoadOptions = { addon: null, threads: 1, say: () => undefined };

/** On TensorFlow's library; undefined: it is not there. */
export const WITH_NATIVE: LoadOptions | undefined = nativeOptions();

function nativeOptions(): LoadOptions | undefined {
  const addon = findNative()?.addon;
  if (addon === undefined && process.env["ACCRETE_NATIVE_REQUIRED"] === "1")
    throw new Error("ACCRETE_NATIVE_REQUIRED=1, but TensorFlow's library is not there: npm run native");
  return addon === undefined ? undefined : { addon, threads: 2, say: () => undefined };
}
