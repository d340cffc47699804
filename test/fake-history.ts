/** A short history with everything in it that can be stored: for `verify`, `why`, `status` and `show`. */
import { promote, rollback } from "../ledger/commands.ts";
import { intake } from "../ledger/intake.ts";
import { tick } from "../ledger/tick.ts";
import { failureKey } from "../protocol/keys.ts";
import type { Store } from "../protocol/ports.ts";
import { documentBytes, type Item } from "../protocol/types.ts";
import { fakeItem, fakePipeline, fakeStart, type FakePipeline, type FakeTraining } from "./fake-trainer.ts";

/** Takes the items in and runs a round on them; null: its job writes nothing. */
export async function learn(
  fake: FakePipeline,
  items: readonly Item[],
  training: FakeTraining | null = {},
): Promise<void> {
  fake.training = training;
  await intake(fake.ledger, items);
  await tick(fake.ledger, { kind: "plain" });
}

export const A = fakeItem("a.csv");
export const B = fakeItem("b.csv");
/** can't be read */
export const BAD = fakeItem("bad.csv");
/** in round 2, which is left by the rollback */
export const LEFT = fakeItem("left.csv");
/** taken out by the rollback */
export const OUT = fakeItem("out.csv");
/** in round 4, after the rollback */
export const D = fakeItem("d.csv");
/** another content of a.csv */
export const A2 = fakeItem("a.csv", "another content");
/** in the open round 5 */
export const E = fakeItem("e.csv");
/** in the inbox */
export const W = fakeItem("waiting.csv");

/**
 * Entry 1: round 1 (A, B, BAD rejected), a warm start. 2: round 2 (LEFT, OUT), refused by the gate. 3: back to round 1 without OUT, which closes
 * round 3. 4: round 4 (D, A2). 5: promote of round 2. Open: round 5 (E), its first attempt failed. In the inbox: W.
 */
export async function fakeHistory(store: Store): Promise<FakePipeline> {
  const made = fakePipeline(store, { jobs: { attempts: 1 } });
  const ledger = { ...made.ledger, start: fakeStart(new TextEncoder().encode("weights from elsewhere")) };
  const fake = Object.assign(made, { ledger });
  await learn(fake, [A, B, BAD], { reject: ["bad.csv"], withLeftovers: true });
  await learn(fake, [LEFT, OUT], { metrics: { accuracy: 0.5 }, withLeftovers: true });
  await rollback(ledger, { to: 1, replay: false, without: [OUT], with: [], by: "ada", reason: "OUT is mislabelled" });
  await learn(fake, [D, A2]);
  await promote(ledger, { round: 2, by: "ada", reason: "it is better on what matters" });
  fake.ends = "failed";
  await learn(fake, [E], null);
  const key = failureKey(5, 1);
  await store.create(
    key,
    documentBytes("failure", key, {
      format: 1,
      code: "LOSS_NOT_FINITE",
      message: "loss is NaN at step 7",
      items: ["e.csv"],
      exit: 70,
    }),
  );
  await tick(ledger, { kind: "plain" });
  await learn(fake, [W], null);
  return fake;
}
