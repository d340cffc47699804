/** SIGTERM at any moment after the container's start, as a spot notice sends it; and a limit of memory. */
import { describe, expect, it } from "vitest";
import { FORGETFUL } from "../../trainer/testing/rounds.ts";
import { SKIPPED, WHY, start, stored, type Container, type Ended, type Stored } from "./container.ts";

/** Longer than any of these tests. */
const LONG = { module: FORGETFUL, trainer: { epochs: 100_000 } } as const;
/** A few hundred steps, saved often. */
const SHORT = { module: FORGETFUL, trainer: { epochs: 60, saveEverySteps: 5 } } as const;
const SECONDS = [0, 0.02, 0.1, 0.3, 1, 3] as const;
/** Batch's grace is 30 s. */
const OUT_WITHIN_MS = 10_000;
const AGAIN_MS = 3_000;
/** SIGTERM's default action: what a process has until it listens. */
const BY_DEFAULT = 143;
const SAVED = 75;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

interface Terminated extends Ended {
  readonly ms: number;
  /** the first SIGTERM came before the trainer had said anything */
  readonly early: boolean;
}

/**
 * Sends SIGTERM; without an init once more if the first one came too early: the kernel drops a signal that a process with number 1 does not
 * listen to yet, and Node takes some 40 ms to its first line of code.
 */
async function terminate(container: Container, init = false): Promise<Terminated> {
  const atMs = Date.now();
  const from = performance.now();
  await container.signal("TERM");
  const isEarly = async (): Promise<boolean> => atMs < ((await container.saidFirstMs()) ?? Infinity);
  const signalled = (signal: "TERM" | "KILL") => container.signal(signal).catch(() => undefined); // it may have ended
  const again = setTimeout(async () => !init && (await isEarly()) && (await signalled("TERM")), AGAIN_MS);
  const late = setTimeout(() => void signalled("KILL"), 2 * OUT_WITHIN_MS);
  try {
    const ended = await container.ended();
    return { ...ended, ms: performance.now() - from, early: await isEarly() };
  } finally {
    clearTimeout(again);
    clearTimeout(late);
  }
}

/** The highest step that is saved whole; 0: none. */
async function savedStep({ place }: Stored): Promise<number> {
  const manifests = await place.manifests();
  const steps = await Promise.all(manifests.map(async (key) => (await place.manifest(key)).step));
  return Math.max(0, ...steps);
}

describe.skipIf(SKIPPED)(`SIGTERM${WHY}`, () => {
  it.concurrent.for([true, false].flatMap((init) => SECONDS.map((seconds) => ({ seconds, init }))))(
    "$seconds s after the start, init: $init: it is out with 75, and the next run goes on at the saved step",
    async ({ seconds, init }) => {
      const at = await stored(LONG);
      const args = init ? ["--init"] : [];
      const container = await start(at, { args });
      await sleep(seconds * 1_000);
      const { exit, ms, log, early } = await terminate(container, init);
      const seen = `exit ${exit} after ${Math.round(ms)} ms, ${early ? "early" : "late"}\n${log.slice(-500)}`;
      expect(ms, seen).toBeLessThan(OUT_WITHIN_MS);
      // while Node itself starts nothing is begun: the init ends it at once, the kernel drops the signal
      if (early && init) expect([SAVED, BY_DEFAULT], seen).toContain(exit);
      else expect(exit, seen).toBe(SAVED);
      const saved = await savedStep(at);
      if (log.includes("saved at step")) expect(log).toContain(`saved at step ${saved} of`);

      const next = await start(at, { args, env: { ACCRETE_ATTEMPT: "2" } });
      const said = await next.says(/ epoch \d+\//);
      expect(/resumes at step (\d+) of/.exec(said)?.[1]).toBe(saved === 0 ? undefined : String(saved));
      expect(await terminate(next, init)).toMatchObject({ exit: SAVED });
      expect(await savedStep(at)).toBeGreaterThan(saved);
    },
  );

  it("in the middle of a training: the next run ends with the bits of an undisturbed one", async () => {
    const [disturbed, undisturbed] = [await stored(SHORT), await stored(SHORT)];
    const first = await start(disturbed);
    await first.says(/ epoch 1\//);
    expect(await terminate(first)).toMatchObject({ exit: SAVED });
    const saved = await savedStep(disturbed);
    expect(saved).toBeGreaterThan(0);
    const [second, whole] = [await start(disturbed, { env: { ACCRETE_ATTEMPT: "2" } }), await start(undisturbed)];
    expect((await second.ended()).log).toContain(`resumes at step ${saved} of`);
    expect(await whole.ended()).toMatchObject({ exit: 0 });
    expect(await disturbed.place.bits()).toEqual(await undisturbed.place.bits());
  });
});

describe.skipIf(SKIPPED)(`a limit of memory${WHY}`, () => {
  it("that is too low ends the container with 137, and the engine says that it was memory", async () => {
    const container = await start(await stored(), { args: ["--memory=64m", "--memory-swap=64m"] });
    expect(await container.ended()).toMatchObject({ exit: 137, outOfMemory: true });
  });
});
