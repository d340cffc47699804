/**
 * A program of its own, as a library may do anything as it is opened: `node native-open.ts FOLDER NAME...`. Tries each library as TensorFlow
 * would find it, in the folder or where the system looks, and prints as JSON which ones can't be opened, and why.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";

/** dlopen's own words; undefined: it was opened. Then Node misses an addon in it, and closes it again. */
function whyNot(path: string): string | undefined {
  try {
    process.dlopen({ exports: {} }, path);
    return undefined;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return why.startsWith("Module did not self-register") ? undefined : why;
  }
}

const [folder = "", ...names] = process.argv.slice(2);
const unopened = names.flatMap((name) => {
  const path = join(folder, name);
  const why = whyNot(existsSync(path) ? path : name);
  return why === undefined ? [] : [{ name, why }];
});
console.log(JSON.stringify(unopened));
