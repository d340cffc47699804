/** TensorFlow's library really put here, several times, into folders of its own: a GB to fetch, with ACCRETE_SLOW=1. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, expect, it } from "vitest";
import { checkNative } from "./native-check.ts";
import { installNative } from "./native-install.ts";
import { nativeAt } from "./native-library.ts";

const temporary = await mkdtemp(join(tmpdir(), "accrete-native-"));
afterAll(() => rm(temporary, { recursive: true, force: true }));
const LIMIT_MS = 600_000;
const MAIN = fileURLToPath(new URL("../cli/main.ts", import.meta.url));

function install(root: string): { child: ChildProcess; out: () => string } {
  const child = spawn(process.execPath, [MAIN, "native", "--cpu"], {
    env: { ...process.env, ACCRETE_NATIVE_DIR: root },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  let out = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (out += text));
  return { child, out: () => out };
}

async function sizeOf(folder: string): Promise<number> {
  let size = 0;
  for (const name of await readdir(folder, { recursive: true })) size += (await stat(join(folder, name))).size;
  return size;
}

it(
  "works, takes at most 650 MB, and nothing is done a second time; a broken one is made anew",
  async () => {
    const root = join(temporary, "one");
    const said: string[] = [];
    const options = { gpu: false, root, say: (line: string): void => void said.push(line) };
    const first = await installNative(options);
    expect(first).toMatchObject({ built: true, check: { works: true, gpuSeen: false } });
    expect(said.at(-1)).toBe("try it");
    // its layer of the image would be another one in each clone, and tell where that lies
    expect((await readFile(first.library.addon)).includes("@tensorflow/tfjs-node-gpu")).toBe(false);
    if (process.platform === "linux") expect(await sizeOf(first.library.folder)).toBeLessThan(650e6);
    expect(await readdir(root)).toHaveLength(1);

    said.length = 0;
    expect(await installNative(options)).toMatchObject({ built: false, library: first.library });
    expect(said).toEqual([]);

    await writeFile(first.library.addon, "broken");
    expect(await checkNative(first.library)).toMatchObject({ works: false, problem: expect.stringMatching(/\S/) });
    expect(await installNative(options)).toMatchObject({ built: true, check: { works: true } });
    expect(said[0]).toMatch(/does not work: /);
    expect(await readdir(root)).toHaveLength(1);
  },
  LIMIT_MS,
);

it(
  "killed at any moment and with others beside it: what is there is whole or not there, and a retry works",
  async () => {
    const root = join(temporary, "killed");
    // in the fetch, while it is unpacked, compiled and tried
    for (const afterMs of [300, 1_500, 4_000, 8_000, 11_000]) {
      const { child } = install(root);
      const ended = once(child, "exit");
      await Promise.race([sleep(afterMs), ended]);
      try {
        process.kill(-child.pid!, "SIGKILL");
      } catch {
        // it was quicker
      }
      await ended;
      const there = nativeAt({ gpu: false }, root);
      if (there === undefined) continue;
      expect(await checkNative(there)).toMatchObject({ works: true });
      await rm(there.folder, { recursive: true });
    }
    const both = [install(root), install(root)];
    const codes = await Promise.all(both.map(async ({ child }) => (await once(child, "exit"))[0] as unknown));
    expect(codes, both.map(({ out }) => out()).join()).toEqual([0, 0]);
    expect(await checkNative(nativeAt({ gpu: false }, root)!)).toMatchObject({ works: true });
    expect(await readdir(root)).toHaveLength(1);
  },
  LIMIT_MS,
);
