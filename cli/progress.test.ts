import { stripVTControlCharacters } from "node:util";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { openMemoryStore } from "../adapters/memory-store.ts";
import { AccreteError } from "../protocol/errors.ts";
import { learn } from "../test/fake-history.ts";
import { fakeItem, fakePipeline } from "../test/fake-trainer.ts";
import { Progress } from "./progress.ts";

let said: string[];
beforeEach(() => {
  said = [];
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    // the time in front is not compared
    said.push(
      stripVTControlCharacters(String(text))
        .replace(/^\d\d:\d\d:\d\d {2}/, "")
        .trimEnd(),
    );
    return true;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
});

describe("what up says", () => {
  const blocked = {
    kind: "blocked",
    pipeline: "cats",
    round: 3,
    attempt: 1,
    message: "round 3 is blocked: it is NaN",
  } as const;

  it("that a round is blocked, once for each reason, however many ticks meet it", async () => {
    const { notify } = new Progress(["cats"]).notify(openMemoryStore({ nowMs: () => 0 }));
    for (const message of [blocked.message, blocked.message, "round 3 is blocked: its file is gone", blocked.message])
      await notify({ ...blocked, message });
    expect(said).toEqual([
      "cats  blocked    round 3 is blocked: it is NaN",
      "cats  blocked    round 3 is blocked: its file is gone",
      "cats  blocked    round 3 is blocked: it is NaN",
    ]);
  });

  it("a commit with those metrics that its message has not said", async () => {
    let now = 0;
    const store = openMemoryStore({ nowMs: () => ++now });
    const fake = fakePipeline(store);
    await learn(fake, [fakeItem("a.csv")], { metrics: { accuracy: 0.5, loss: 0.25, seconds: 3 } });
    const { notify } = new Progress(["fake"]).notify(store);
    await notify({
      kind: "committed",
      pipeline: "fake",
      seq: 1,
      round: 1,
      metrics: { accuracy: 0.5, loss: 0.25, seconds: 3 },
      message: "round 1 has learned 1 item; accuracy 0.4000 -> 0.5000",
    });
    expect(said.join()).toMatch(/round 1 has learned 1 item; accuracy 0\.4000 -> 0\.5000; loss 0\.2500$/);
  });

  it("an error with what to do, again once it had gone away; nothing that moves a cursor", () => {
    const progress = new Progress(["cats"]);
    const error = new AccreteError("STORE_UNREADABLE", "disk \u001b[2J is gone");
    progress.error("cats", error);
    progress.error("cats", error);
    progress.forget("cats", "error", "");
    progress.error("cats", error);
    expect(said).toHaveLength(2);
    expect(said[0]).toContain("STORE_UNREADABLE: disk \\x1b[2J is gone - Check that the state folder exists");
  });

  it("of steps that come at once the first and the last, before what comes after them", () => {
    const progress = new Progress(["cats"]);
    for (const epoch of [1, 2, 3, 4]) progress.job("cats", 3, `round 3 epoch ${epoch}/9 step ${epoch}/9 loss 0.5`);
    progress.job("cats", 3, "round 3: done");
    for (const epoch of [5, 6]) progress.job("cats", 3, `round 3 epoch ${epoch}/9 step ${epoch}/9 loss 0.5`);
    progress.jobEnded();
    progress.jobEnded();
    expect(said.map((text) => text.replace(/^cats {2}round 3 +| step.*/g, ""))).toEqual([
      "epoch 1/9",
      "epoch 4/9",
      "done",
      "epoch 5/9",
      "epoch 6/9",
    ]);
  });

  it("a job's line without what is said in front of it", () => {
    new Progress(["cats"]).job("cats", 3, "round 3 epoch 1/5 loss 0.5");
    expect(said.join()).toBe("cats  round 3    epoch 1/5 loss 0.5");
  });
});
