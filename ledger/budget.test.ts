import { describe, expect, it } from "vitest";
import { openMemoryStore } from "../adapters/memory-store.ts";
import { manifestKey, resultKey } from "../protocol/keys.ts";
import type { Job, JobRequest, Tick } from "../protocol/ports.ts";
import type { PipelineConfig } from "../protocol/config.ts";
import { DOCUMENTS } from "../test/stored-documents.ts";
import { documentBytes } from "../protocol/types.ts";
import { parseMoment } from "../protocol/units.ts";
import { A, B } from "../test/fake-history.ts";
import { fakePipeline, fakeTrain } from "../test/fake-trainer.ts";
import { rollback } from "./commands.ts";
import { intake } from "./intake.ts";
import { LATE_MS, type Ledger } from "./ledger.ts";
import { readHead } from "./read.ts";
import { readStatus } from "./status.ts";
import { tick } from "./tick.ts";
import { verify } from "./verify.ts";

const HOUR = 3_600_000;
const MORNING = parseMoment("2026-03-10T08:00Z")!;
const PLAIN: Tick = { kind: "plain" };

/** Jobs that wait until the test lets them run, on the store's clock. */
function place(config: Partial<Pick<PipelineConfig, "budget">> & { jobs?: Partial<PipelineConfig["jobs"]> } = {}) {
  let nowMs = MORNING;
  const store = openMemoryStore({ nowMs: () => nowMs });
  const fake = fakePipeline(store, config);
  const jobs: Job[] = [];
  const requests: JobRequest[] = [];
  const asked: { why: Tick; delayMs: number }[] = [];
  const set = (part: Partial<Job>): void => void (jobs[jobs.length - 1] = { ...jobs.at(-1)!, ...part });
  const ledger: Ledger = {
    ...fake.ledger,
    ticks: { ask: async (why, delayMs) => void asked.push({ why, delayMs }) },
    jobs: {
      lookupLagMs: 0,
      submit: async (request) => {
        requests.push(request);
        const id = `job-${jobs.length}`;
        jobs.push({ id, name: request.name, state: "waiting", createdMs: nowMs });
        return { outcome: "submitted", id };
      },
      describe: async (ids) => jobs.filter(({ id }) => ids.includes(id)),
      findByName: async (name) => jobs.filter((job) => job.name === name),
      terminate: async (id, reason) => {
        const at = jobs.findIndex((job) => job.id === id);
        jobs[at] = { ...jobs[at]!, state: "failed", stoppedMs: nowMs, reason };
      },
    },
  };
  return {
    store,
    ledger,
    jobs,
    requests,
    asked,
    notices: fake.notices,
    pass: (ms: number) => void (nowMs += ms),
    begin: () => set({ state: "running", startedMs: nowMs }),
    /** its time limit is over, or it was killed */
    end: (reason: string) => set({ state: "failed", stoppedMs: nowMs, reason, exitCode: 143 }),
    async finish(round: number) {
      const { planKey, attempt } = requests.at(-1)!;
      await fakeTrain(store, planKey, attempt, {});
      expect(await store.head(resultKey(round))).toBeDefined();
      set({ state: "succeeded", stoppedMs: nowMs, exitCode: 0 });
    },
    /** a checkpoint of the open round, as the trainer saves at its time limit */
    save: (round: number, step: number) => {
      const key = manifestKey({ round, step, run: "saved" });
      return store.create(key, documentBytes("manifest", key, { ...DOCUMENTS.manifest, round, step }));
    },
  };
}

describe("what jobs took is in the log", () => {
  it("of a round all attempts, of a rollback those of the round that it closes, of a promote none", async () => {
    const at = place();
    await intake(at.ledger, [A]);
    await tick(at.ledger, PLAIN);
    at.pass(HOUR); // waits for a machine: costs nothing
    at.begin();
    at.pass(HOUR);
    at.end("killed by SIGKILL");
    await tick(at.ledger, PLAIN);
    at.begin();
    at.pass(2 * HOUR);
    await at.finish(1);
    at.pass(HOUR);
    await tick(at.ledger, PLAIN);
    const sums = { day: "2026-03-10", dayMs: 3 * HOUR, monthMs: 3 * HOUR };
    expect((await readHead(at.store)).head.entry).toMatchObject({ kind: "round", jobMs: 3 * HOUR, spent: sums });

    await intake(at.ledger, [B]);
    await tick(at.ledger, PLAIN);
    at.begin();
    at.pass(HOUR / 2);
    await rollback(at.ledger, { to: "head", replay: false, without: [], with: [], by: "ada", reason: "why" });
    const { head } = await readHead(at.store);
    expect(head.entry).toMatchObject({
      kind: "rollback",
      jobMs: HOUR / 2,
      spent: { ...sums, dayMs: 3.5 * HOUR, monthMs: 3.5 * HOUR },
    });
    const findings: string[] = [];
    const digestOf = async (key: string): Promise<string | undefined> => at.store.objects.get(key)?.etag;
    await verify(at.store, {
      digestOf,
      onFinding: ({ severity, message }) => void (severity === "damage" && findings.push(message)),
    });
    expect(findings).toEqual([]);
  });
});

describe("a budget", () => {
  const budget = { perDay: 4, perMonth: 100, pricePerHour: 2 };

  it("that is used up makes no tick of many ask for another: there would be more of them each day", async () => {
    const at = place({ budget });
    await intake(at.ledger, [A]);
    await tick(at.ledger, PLAIN);
    at.begin();
    at.pass(2 * HOUR);
    at.end("time limit of 7200 s");
    await tick(at.ledger, PLAIN); // the job's end: whoever makes the round wait asks
    expect(at.asked.filter(({ why }) => why.kind === "plain")).toHaveLength(1);
    at.asked.length = 0;
    for (let more = 0; more < 3; more++) {
      const { segments } = await intake(at.ledger, [{ ...B, key: `more-${more}.csv` }]);
      at.asked.length = 0; // intake's own
      for (const segment of segments) await tick(at.ledger, { kind: "segment", segment });
      await tick(at.ledger, { kind: "net" });
      expect(at.asked).toEqual([]);
    }
    await tick(at.ledger, PLAIN); // the one that was asked for, come early
    expect(at.asked).toHaveLength(1);
  });

  it("caps each attempt by what is left, and is used up: nothing is submitted until the day ends", async () => {
    const at = place({ budget });
    await intake(at.ledger, [A]);
    await tick(at.ledger, PLAIN);
    expect(at.requests[0]).toMatchObject({ timeLimitMs: 2 * HOUR, mayRestart: false });
    at.begin();
    at.pass(0.5 * HOUR);
    at.end("killed by SIGKILL");
    await tick(at.ledger, PLAIN);
    expect(at.requests[1]!.timeLimitMs).toBe(1.5 * HOUR);
    at.begin();
    at.pass(1.5 * HOUR + 18_000);
    at.end("time limit of 5400 s");

    for (let again = 0; again < 2; again++) await tick(at.ledger, PLAIN);
    expect(at.requests).toHaveLength(2);
    const midnight = parseMoment("2026-03-11")!;
    const message =
      "round 1 waits: the budget of $4 a day is used up ($4.01 spent); it goes on at 2026-03-11 00:00 UTC";
    expect(at.notices.filter(({ kind }) => kind === "budget")).toEqual(
      Array.from({ length: 2 }, () => ({ kind: "budget", pipeline: "fake", round: 1, untilMs: midnight, message })),
    );
    expect(at.asked.at(-1)).toEqual({ why: PLAIN, delayMs: midnight - (MORNING + 2 * HOUR + 18_000) + LATE_MS });
    const status = await readStatus(at.ledger);
    expect(status.next).toEqual({
      is: "waiting",
      for: "budget",
      untilMs: midnight,
      per: "day",
      limit: 4,
      spent: expect.closeTo(4.01),
    });
    expect(status.spent).toEqual({ day: expect.closeTo(4.01), month: expect.closeTo(4.01) });

    at.pass(midnight - (MORNING + 2 * HOUR + 18_000));
    await tick(at.ledger, PLAIN);
    expect(at.requests[2]!.timeLimitMs).toBe(2 * HOUR);
  });

  it("that is raised lets the round go on at once", async () => {
    const at = place({ budget: { ...budget, perDay: 2 } });
    await intake(at.ledger, [A]);
    await tick(at.ledger, PLAIN);
    at.begin();
    at.pass(HOUR);
    at.end("time limit of 3600 s");
    await tick(at.ledger, PLAIN);
    expect(at.requests).toHaveLength(1);
    await tick({ ...at.ledger, config: { ...at.ledger.config, budget } }, PLAIN);
    expect(at.requests[1]!.timeLimitMs).toBe(HOUR);
  });

  it("counts the rounds before, and not those of yesterday but in the month", async () => {
    const at = place({ budget: { ...budget, perMonth: 5 } });
    await intake(at.ledger, [A]);
    await tick(at.ledger, PLAIN);
    at.begin();
    at.pass(1.75 * HOUR);
    await at.finish(1);
    await tick(at.ledger, PLAIN);
    await intake(at.ledger, [B]);
    await tick(at.ledger, PLAIN);
    expect(at.requests[1]!.timeLimitMs).toBe(0.25 * HOUR);
    at.begin();
    at.pass(0.25 * HOUR);
    await at.finish(2);
    at.pass(24 * HOUR);
    await tick(at.ledger, PLAIN);
    await intake(at.ledger, [{ ...A, key: "c.csv" }]);
    await tick(at.ledger, PLAIN);
    expect(at.requests[2]!.timeLimitMs).toBe(0.5 * HOUR); // of the month
  });

  it("does not block a round that saves whenever it is ended by it", async () => {
    const at = place({ budget, jobs: { attempts: 1 } });
    await intake(at.ledger, [A]);
    for (let day = 1; day <= 4; day++) {
      await tick(at.ledger, PLAIN);
      expect(at.requests).toHaveLength(day);
      at.begin();
      at.pass(2 * HOUR);
      await at.save(1, day);
      at.end("time limit of 7200 s");
      await tick(at.ledger, PLAIN);
      expect((await readStatus(at.ledger)).next).toMatchObject({ is: "waiting", for: "budget" });
      at.pass(22 * HOUR);
    }
  });
});

describe("a retry that the budget has no room for", () => {
  it("is refused, and promises nothing: it would not be remembered", async () => {
    const at = place({ budget: { perDay: 2, perMonth: 100, pricePerHour: 2 }, jobs: { attempts: 1 } });
    await intake(at.ledger, [A]);
    await tick(at.ledger, PLAIN);
    at.begin();
    at.pass(HOUR);
    at.end("time limit of 3600 s");
    const { next, seq } = await readStatus(at.ledger);
    expect(next).toMatchObject({ is: "blocked", attempt: 1 });
    const retry: Tick = { kind: "retry", seq, round: 1, attempt: 1 };
    const notices = at.notices.length;
    expect(await tick(at.ledger, retry)).toBe(
      "round 1 stays blocked, as the budget of $2 a day is used up ($2.00 spent): retry it from 2026-03-11 00:00 UTC on, or raise budget first",
    );
    expect(at.notices).toHaveLength(notices);
    at.pass(24 * HOUR);
    await tick(at.ledger, retry);
    expect(at.requests).toHaveLength(2);
  });
});

describe("maxWait", () => {
  it("ends a job that waits longer for a machine, says so, and tries again; it counts as an attempt", async () => {
    const at = place({ jobs: { maxWait: HOUR, attempts: 2 } });
    await intake(at.ledger, [A]);
    await tick(at.ledger, PLAIN);
    expect(at.requests[0]!.mayRestart).toBe(true); // no budget
    expect((await readStatus(at.ledger)).next).toMatchObject({ is: "training", job: { state: "waiting" } });
    at.pass(HOUR + 1);
    expect(await tick(at.ledger, PLAIN)).toBe("round 1 waited too long for a machine: its job is ended");
    expect((await readStatus(at.ledger)).open?.attempts[0]?.job).toMatchObject({
      state: "failed",
      reason: "waited longer than 3600000 ms for a machine",
    });
    await tick(at.ledger, PLAIN);
    expect(at.requests).toHaveLength(2);
    at.begin(); // one that runs is not ended by it
    at.pass(5 * HOUR);
    expect(await tick(at.ledger, PLAIN)).toBe("round 1 is being trained");
    at.end("killed by SIGKILL");
    await tick(at.ledger, PLAIN);
    expect((await readStatus(at.ledger)).next).toMatchObject({ is: "blocked", code: "ATTEMPTS_USED_UP" });
  });
});
