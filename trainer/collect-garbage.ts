/** What JavaScript holds no more is given back now: arrays of a gigabyte would stay until V8 finds its own small heap worth a look. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

export function collectGarbage(): void {
  setFlagsFromString("--expose-gc"); // only contexts that are made from here on have it
  const collect: unknown = runInNewContext("gc");
  if (typeof collect === "function") Reflect.apply(collect, undefined, []);
}

/** An array that nobody uses any more. At once: a heap that is small itself is looked through late, and large arrays with it. */
export function free({ buffer }: ArrayBufferView): void {
  if (buffer instanceof ArrayBuffer) buffer.transfer(0);
}
