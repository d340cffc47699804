import { describe, expect, it } from "vitest";
import { intake } from "../ledger/intake.ts";
import { readStatus } from "../ledger/status.ts";
import { tick } from "../ledger/tick.ts";
import type { Tick } from "../protocol/ports.ts";
import { fakeItem, fakePipeline } from "../test/fake-trainer.ts";
import { memoryStore } from "../test/small-states.ts";
import { askAndLook } from "./await-ledger.ts";

/** A ledger that makes its ticks some looks after they were asked for. */
function slowLedger(afterMs: number) {
  const fake = fakePipeline(memoryStore());
  const asked: Tick[] = [];
  const ask = async (why: Tick): Promise<void> => {
    asked.push(why);
    setTimeout(() => void tick(fake.ledger, why), afterMs).unref();
  };
  return { fake, asked, ports: { ...fake.ledger, ticks: { ask } } };
}

describe("a tick that is made elsewhere", () => {
  it("has come to something when this settles", async () => {
    const { fake, ports, asked } = slowLedger(60);
    fake.training = null;
    await intake(fake.ledger, [fakeItem("a.csv")]);
    await askAndLook(ports, { kind: "train", seq: 0 }, { everyMs: 10 });
    expect(asked).toEqual([{ kind: "train", seq: 0 }]);
    expect((await readStatus(ports)).next).toMatchObject({ is: "training", attempt: 1 });
  });

  it("is not waited for where nothing is due: the entry's own tick was quicker", async () => {
    const { ports, asked } = slowLedger(1_000_000);
    await askAndLook(ports, { kind: "plain" }, { everyMs: 1_000_000 });
    expect(asked).toHaveLength(1);
  });

  it("is not waited for longer than a minute", async () => {
    const { ports } = slowLedger(1_000_000);
    await askAndLook(ports, { kind: "rehearse", seq: 0 }, { everyMs: 1 });
  });
});
