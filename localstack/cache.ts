/** Where LocalStack is installed and runs: in the user's cache folder, and nowhere else. */
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { nativeRoot } from "../adapters/native-library.ts";

/** @param env of the process: XDG_CACHE_HOME, as for TensorFlow's library */
export function localstackRoot(env: NodeJS.ProcessEnv = process.env): string {
  return join(dirname(nativeRoot(env)), "localstack");
}

/** Folders of the runs that go on; each says whose it is. */
export async function runsFolder(root = localstackRoot()): Promise<string> {
  const folder = join(root, "runs");
  await mkdir(folder, { recursive: true });
  return folder;
}
