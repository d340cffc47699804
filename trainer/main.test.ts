/** The trainer's process: what its environment has to name, its exit codes, and that a signal ends it at any time. */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import { openDirectoryStore } from "../adapters/directory-store.ts";
import { planKey, resultKey } from "../protocol/keys.ts";
import { nativeRoot } from "../adapters/native-library.ts";
import { WITH_NATIVE } from "./testing/backends.ts";
import { csv, dense, INPUT, moduleOf, newFolder, Place, type PlanInput } from "./testing/rounds.ts";

interface Started {
  readonly place: Place;
  readonly env: Record<string, string>;
  readonly scratch: string;
}

async function started(plan: PlanInput = {}): Promise<Started> {
  const [state, scratch] = [newFolder(), newFolder()];
  const place = new Place(openDirectoryStore(state));
  place.put("a.csv", csv(0, 40));
  await place.plan({ data: { format: "csv" }, ...plan });
  const env = { ACCRETE_PLAN: planKey(1), ACCRETE_ATTEMPT: "2", ACCRETE_SCRATCH: scratch };
  return {
    place,
    scratch,
    env: { ...env, ACCRETE_STATE: pathToFileURL(state).href, ACCRETE_DATA: pathToFileURL(place.dataFolder).href },
  };
}

const CAN_MOUNT = process.getuid?.() === 0 && spawnSync("unshare", ["--mount", "true"]).status === 0;

const compiled = newFolder(); // many short processes: each has the others' compiled code

/** @param onOutput told of all output so far, and how to send a signal */
async function main(
  env: Record<string, string>,
  onOutput?: (output: string, kill: (signal: NodeJS.Signals) => void) => void,
): Promise<{ exit: number | null; output: string }> {
  const { ACCRETE_PLAN: _p, ACCRETE_STATE: _s, ACCRETE_DATA: _d, ...inherited } = process.env;
  const child = spawn(process.execPath, [join(import.meta.dirname, "main.ts")], {
    env: { ...inherited, NODE_COMPILE_CACHE: compiled, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  const hear = (chunk: Buffer): void => {
    output += chunk.toString();
    onOutput?.(output, (signal) => child.kill(signal));
  };
  child.stdout.on("data", hear);
  child.stderr.on("data", hear);
  await once(child, "close");
  return { exit: child.exitCode, output };
}

describe.concurrent("the trainer's process", () => {
  it("exits 64 if the environment does not name a plan and its stores, and says which", async () => {
    const { env, place } = await started();
    const without = (name: string): Record<string, string> =>
      Object.fromEntries(Object.entries(env).filter(([key]) => key !== name));
    const cases: [Record<string, string>, string][] = [
      [without("ACCRETE_STATE"), "ACCRETE_STATE has to be a file: URL, or s3://bucket/prefix"],
      [
        { ...env, ACCRETE_DATA: "s3://Bucket" },
        "ACCRETE_DATA has to be a file: URL, or s3://bucket/prefix, not s3://Bucket",
      ],
      [{ ...env, ACCRETE_DATA: "s3://bucket" }, "ACCRETE_DATA_ACCOUNT has to be the 12 digits of the account"],
      [{ ...env, ACCRETE_STATE: "s3://bucket/a", ACCRETE_ACCOUNT: "1234" }, "ACCRETE_ACCOUNT has to be the 12 digits"],
      [without("ACCRETE_PLAN"), "ACCRETE_PLAN"],
      [{ ...env, ACCRETE_PLAN: "rounds/../plan.json" }, "ACCRETE_PLAN"],
      [{ ...env, ACCRETE_PLAN: planKey(7) }, `${planKey(7)} is not in the state store`],
      [{ ...env, ACCRETE_ATTEMPT: "first" }, "ACCRETE_ATTEMPT"],
      [{ ...env, AWS_BATCH_JOB_ATTEMPT: "-1" }, "AWS_BATCH_JOB_ATTEMPT"],
      [{ ...env, ACCRETE_BACKEND: "tpu" }, "ACCRETE_BACKEND has to be one of native, wasm, cpu, not tpu"],
      [{ ...env, ACCRETE_THREADS: "0" }, "ACCRETE_THREADS has to be from 1 to 1024, not 0"],
      [{ ...env, ACCRETE_THREADS: "many" }, "ACCRETE_THREADS has to be a whole number, not many"],
      [{ ...env, ACCRETE_GPUS: "one" }, "ACCRETE_GPUS has to be a whole number, not one"],
    ];
    const before = await place.keys();
    for (const [names, why] of cases) {
      const { exit, output } = await main(names);
      expect(output).toContain(why);
      expect(exit, output).toBe(64);
    }
    expect(await place.keys()).toEqual(before);
  });

  it("exits 0 with a result under the attempt that it was told, and leaves its scratch folder empty", async () => {
    const { env, place, scratch } = await started();
    const { exit, output } = await main({ ...env, AWS_BATCH_JOB_ATTEMPT: "3" });
    expect(exit, output).toBe(0);
    expect(output.trim().split("\n").at(-1)).toBe("round 1: done");
    const about =
      /^accrete \d[^ ]*, node 24[\d.]*, TensorFlow.*, no GPU, \d+ threads?, memory [\d.]+ GiB, scratch .* free in (.*)\n/;
    expect(about.exec(output)?.[1], output).toBe(scratch);
    expect((await place.result()).attempt).toBe("2.3");
    expect(readdirSync(scratch)).toEqual([]);
    const again = await main(env);
    expect([again.exit, again.output]).toEqual([0, "nothing to do: round 1 has its result\n"]);
  });

  it("exits 78 with a failure record for a model that does not fit, and says what to do", async () => {
    const { env, place, scratch } = await started({ module: moduleOf(dense("9", "out", INPUT)) });
    const { exit, output } = await main(env);
    expect(exit).toBe(78);
    expect(output).toMatch(/MODEL_INVALID: the model's output is \[batch, 9\].*\nwhat to do: /);
    expect(await place.failure(2)).toMatchObject({ code: "MODEL_INVALID", exit: 78 });
    expect(readdirSync(scratch)).toEqual([]);
  });

  it("exits 75 at once on a signal while it reads, however much there is, and has written nothing", async () => {
    const { env, place, scratch } = await started();
    for (let i = 0; i < 1_000; i++) place.put(`bad${i}.csv`, '"'); // read to the end, they would be too many: 65
    await place.store.delete(planKey(1));
    await place.plan({ data: { format: "csv" } });
    let sent = false;
    const { exit, output } = await main(env, (all, kill) => {
      if (!sent && all.includes("items staged")) kill("SIGTERM");
      sent ||= all.includes("items staged");
    });
    expect(exit, output).toBe(75);
    expect((await place.keys("rounds/")).map((key) => key.split("/").at(-1))).toEqual(["plan.json"]);
    expect(readdirSync(scratch)).toEqual([]);
  });

  it("takes no notice of SIGINT: Ctrl-C is for the process that started it", async () => {
    const { env, place } = await started({ trainer: { epochs: 20 } });
    let sent = false;
    const { exit } = await main(env, (output, kill) => {
      if (!sent && output.includes("records to train on")) kill("SIGINT");
      sent ||= output.includes("records to train on");
    });
    expect([sent, exit]).toEqual([true, 0]);
    expect(await place.keys(resultKey(1))).toHaveLength(1);
  });

  it("writes control characters of a module's message as escapes", async () => {
    const { env } = await started({ module: `throw new Error("\\u001b[2J\\u202eevil");` });
    const { exit, output } = await main(env);
    expect(exit).toBe(78);
    expect(output).toContain("\\x1b[2J");
    expect(output).not.toContain("\u001b");
    expect(output).not.toContain("\u202e");
  });

  it("exits 69 with a failure record if the backend that is asked for can't be had, and says what to do", async () => {
    const { env, place } = await started();
    const { exit, output } = await main({ ...env, ACCRETE_BACKEND: "native", ACCRETE_NATIVE_DIR: newFolder() });
    expect(exit, output).toBe(69);
    expect(output).toMatch(
      /BACKEND_NOT_USABLE: ACCRETE_BACKEND=native can't be used: TensorFlow's library is not installed \nwhat to do: .*accrete native/,
    );
    expect(await place.failure(2)).toMatchObject({ code: "BACKEND_NOT_USABLE", exit: 69 });
  });

  it("exits 69 with a failure record before it reads anything if a GPU is promised and not used", async () => {
    const { env, place } = await started();
    const { exit, output } = await main({ ...env, ACCRETE_BACKEND: "wasm", ACCRETE_GPUS: "1" });
    expect(exit, output).toBe(69);
    expect(output).toMatch(
      /GPU_NOT_SEEN: ACCRETE_BACKEND=wasm never uses one; the job's definition promises 1 GPU \nwhat to do: /,
    );
    expect(output).not.toContain("items staged");
    expect(await place.failure(2)).toMatchObject({ code: "GPU_NOT_SEEN", exit: 69 });
  });

  it("exits 69 with a failure record if its scratch folder can't be written, and says whose it is to be", async () => {
    const { env, place } = await started();
    const { exit, output } = await main({ ...env, ACCRETE_SCRATCH: join(newFolder(), "none") });
    expect(exit, output).toBe(69);
    expect(output).toMatch(
      /SCRATCH_NOT_WRITABLE: the trainer \(user \d+\) can't make a folder .*ENOENT.*\nwhat to do: .*`chown 10001`/,
    );
    expect(await place.failure(2)).toMatchObject({ code: "SCRATCH_NOT_WRITABLE", exit: 69 });
  });

  it.skipIf(!CAN_MOUNT)(
    "exits 70 with OUT_OF_DISK if its scratch folder is full (needs the right to mount one)",
    async () => {
      const { env, scratch } = await started({
        module: moduleOf(`${dense("20000", "wide", INPUT)}, ${dense("classes", "out")}`),
      });
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=200k", "tmpfs", scratch]);
      try {
        const { exit, output } = await main(env);
        expect(exit, output).toBe(70);
        expect(output).toMatch(/OUT_OF_DISK: .*ENOSPC: .*\(in .*save\) \nwhat to do: /);
        expect(readdirSync(scratch)).toEqual([]);
      } finally {
        execFileSync("umount", [scratch]);
      }
    },
  );

  it.each(["wasm", "cpu"])("trains on %s if that is asked for", async (backend) => {
    const { env, place } = await started();
    const { exit, output } = await main({ ...env, ACCRETE_BACKEND: backend });
    expect(exit, output).toBe(0);
    const { environment } = await place.manifest((await place.result()).checkpoint.manifest);
    expect(environment).toMatchObject({ backend, threads: "1" });
  });

  it.skipIf(WITH_NATIVE === undefined)(
    "trains on TensorFlow's library where it is, which says nothing in the log",
    async () => {
      const { env, place } = await started();
      const asked = { ACCRETE_NATIVE_DIR: nativeRoot(), ACCRETE_BACKEND: "native", ACCRETE_THREADS: "1" };
      const { exit, output } = await main({ ...env, ...asked });
      expect(exit, output).toBe(0);
      for (const line of output.trim().split("\n"))
        expect(line).toMatch(/^(accrete |round 1|backend: TensorFlow sees no GPU)/);
      const { environment } = await place.manifest((await place.result()).checkpoint.manifest);
      expect(environment).toMatchObject({ backend: "native", threads: "1", tensorflow: expect.stringMatching(/^2\./) });
    },
  );
});

describe("SIGTERM", () => {
  /** Says when the process begins to listen, so that a test need not guess how long a start takes. */
  const LISTENING = `const on = process.on;
process.on = function (name, ...more) {
  const result = on.call(this, name, ...more);
  if (name === "SIGTERM") console.log("listening");
  return result;
};`;

  it.each([0, 5, 20, 100, 300, 1_000])("%d ms after it listens ends it with 75", async (afterMs) => {
    const { env, scratch } = await started({ trainer: { epochs: 100_000 } });
    const preload = `--import=data:text/javascript,${encodeURIComponent(LISTENING)}`;
    let sent = false;
    const { exit, output } = await main({ ...env, NODE_OPTIONS: preload }, (all, kill) => {
      if (sent || !all.includes("listening")) return;
      sent = true;
      setTimeout(() => kill("SIGTERM"), afterMs);
    });
    expect(exit, output).toBe(75);
    expect(readdirSync(scratch)).toEqual([]);
  });

  it("is listened to before anything but Node's own modules is loaded", async () => {
    const source = await readFile(join(import.meta.dirname, "main.ts"), "utf8");
    const before = source.slice(0, source.indexOf('process.on("SIGTERM"'));
    const loaded = [...source.matchAll(/^import (?!type\b).*from "([^"]+)"/gm)].map(([, name]) => name);
    expect(loaded).toEqual(["node:fs"]);
    expect(before).not.toMatch(/\bawait\b/);
  });

  /** It takes its time over each batch of the holdout, and says so. */
  const SLOW_TO_MEASURE = `
export default { build({ tf, inputShape, classes }) {
  class Slow extends tf.layers.Layer {
    static className = "Slow";
    computeOutputShape(shape) { return shape; }
    call(inputs, { training }) {
      if (training === false) {
        console.log("measuring");
        for (const began = performance.now(); performance.now() - began < 300; );
      }
      return Array.isArray(inputs) ? inputs[0] : inputs;
    }
  }
  return tf.sequential({ layers: [${dense("classes", "out", INPUT)}, new Slow({})] });
} };`;

  it("while the last figures are measured does not wait for all of the holdout, and the next run has the same result", async () => {
    const { env, place } = await started({ trainer: { epochs: 1 } });
    for (let i = 1; i < 100; i++) place.put(`${i}.csv`, csv(40 * i, 40 * (i + 1)));
    await place.store.delete(planKey(1));
    await place.plan({ data: { format: "csv", holdout: 0.9 }, trainer: { epochs: 1 }, module: SLOW_TO_MEASURE });
    let sent = false;
    const wasm = { ...env, ACCRETE_BACKEND: "wasm" };
    const { exit, output } = await main(wasm, (all, kill) => {
      if (!sent && all.includes("measuring")) kill("SIGTERM");
      sent ||= all.includes("measuring");
    });
    expect(exit, output).toBe(75);
    const again = await main(wasm);
    expect(again.exit, again.output).toBe(0);
    expect(again.output).toMatch(/resumes at step (\d+) of \1\n/);
    const batches = (text: string): number => text.split("measuring").length - 1;
    expect(batches(output)).toBeLessThan(batches(again.output) / 2);
  });
});
