/** A training that hangs: the real process, with a limit of a second instead of ten minutes. */
import { describe, expect, it } from "vitest";
import { openDirectoryStore } from "../adapters/directory-store.ts";
import { endOf, startTrainer } from "./testing/process.ts";
import { csv, dense, INPUT, newFolder, Place } from "./testing/rounds.ts";
import { evaluationLimitMs, HANG_LEAST_MS, saveLimitMs, stepLimitMs } from "./watchdog.ts";

/** A model whose layer does this each time that it is called; `calls` says how often it was. */
const moduleThat = (does: string): string => `
  let calls = 0;
  export default {
    build({ tf, inputShape, classes }) {
      class Stuck extends tf.layers.Layer {
        static className = "Stuck";
        call(inputs) {
          calls++;
          ${does}
          return Array.isArray(inputs) ? inputs[0] : inputs;
        }
      }
      return tf.sequential({ layers: [${dense("4", "hidden", INPUT)}, new Stuck({ name: "stuck" }), ${dense("classes", "out")}] });
    },
  };`;

async function hang(
  does: string,
  limitMs: number,
): Promise<{ exit: number | null; signal: string | null; output: string; place: Place }> {
  const stateFolder = newFolder();
  const place = new Place(openDirectoryStore(stateFolder));
  place.put("a.csv", csv(0, 60));
  await place.plan({
    module: moduleThat(does),
    data: { format: "csv", holdout: 0 },
    trainer: { epochs: 3, batchSize: 16, saveEverySteps: 1 },
  });
  const { child, output } = startTrainer({
    stateFolder,
    dataFolder: place.dataFolder,
    scratch: newFolder(),
    round: 1,
    attempt: 1,
    // a graph would be recorded once, and never call the layer again
    env: { ACCRETE_HANG_MS: String(limitMs), ACCRETE_BACKEND: "wasm" },
  });
  const exit = await endOf(child);
  return { exit, signal: child.signalCode, output: output(), place };
}

describe.concurrent("a training that hangs", () => {
  it("in a loop that never ends, is ended with 75, and its stack and its step are said", async () => {
    const { exit, output, place } = await hang("if (calls > 8) for (;;);", 1_000);
    expect(exit, output).toBe(75);
    expect(output).toMatch(
      /\nhung: step \d+ has gone on for \d+ s, and 1 s is its limit: this attempt ends\n +at call \(/,
    );
    expect(output).toMatch(/ {4}at call \(.*model\.mjs:9:\d+\)/);
    expect((await place.manifests()).length).toBeGreaterThan(0);
    expect((await place.keys()).filter((key) => key.includes(".failure"))).toEqual([]);
  });

  it("while the model is tried, is ended, too", async () => {
    const { exit, output } = await hang("for (;;);", 1_000);
    expect(exit, output).toBe(75);
    expect(output).toMatch(/\nhung: step 1 has gone on/);
  });

  it("inside native code, is killed, as nothing else ends it", async () => {
    const asleep = 'if (calls > 8) process.getBuiltinModule("node:child_process").execFileSync("sleep", ["20"]);';
    const { signal, output } = await hang(asleep, 1_000);
    expect(signal, output).toBe("SIGKILL");
    expect(output).toMatch(/\nhung: step \d+ has .*\nno stack: .*\nit does not end by itself: SIGKILL\n/);
  });

  it("not: what takes its time, but less than the limit", async () => {
    const slow = "const until = Date.now() + 100; while (Date.now() < until);";
    const { exit, output } = await hang(slow, 20_000);
    expect(exit, output).toBe(0);
    expect(output).not.toContain("hung");
  });
});

describe("the limits", () => {
  it("are 10 minutes for a step, or 20 times the median, and more for the others", () => {
    expect(HANG_LEAST_MS).toBe(600_000);
    expect(stepLimitMs(HANG_LEAST_MS, undefined)).toBe(600_000);
    expect(stepLimitMs(HANG_LEAST_MS, 29_999)).toBe(600_000);
    expect(stepLimitMs(HANG_LEAST_MS, 60_000)).toBe(1_200_000);
    expect(saveLimitMs(HANG_LEAST_MS)).toBe(3_600_000);
    expect(evaluationLimitMs(HANG_LEAST_MS, 1_000, 10)).toBe(3_600_000);
    expect(evaluationLimitMs(HANG_LEAST_MS, 1_000, 1_000)).toBe(20_000_000);
  });
});
