import { describe, expect, it } from "vitest";
import { openMemoryStore } from "../adapters/memory-store.ts";
import { itemId } from "../protocol/digest.ts";
import type { Arrival, Items } from "../protocol/ports.ts";
import type { Item } from "../protocol/types.ts";
import { A, A2, B, BAD, D, E, fakeHistory, LEFT, learn, OUT, W } from "../test/fake-history.ts";
import { fakeItem, fakePipeline, type FakePipeline } from "../test/fake-trainer.ts";
import { drop, rollback } from "./commands.ts";
import type { RollbackRequest } from "./rollback.ts";
import { why, whyOf, type Version } from "./why.ts";

const memory = (): ReturnType<typeof openMemoryStore> => {
  let now = 1_700_000_000_000;
  return openMemoryStore({ nowMs: () => (now += 5) });
};
/** A data folder with these files. */
const itemsOf = (present: readonly Arrival[]): Items => ({
  fetch: async () => ({ outcome: "gone" }),
  list: async (prefix) => ({
    items: present.filter(({ key }) => key.startsWith(prefix)).sort((a, b) => (a.key < b.key ? -1 : 1)),
  }),
});

const store = memory();
const { config } = (await fakeHistory(store)).ledger;
const ask = (query: string, present: readonly Item[] = []): Promise<Version[]> =>
  why({ store, config, items: itemsOf(present) }, query);
const now = async (item: Item, present: readonly Item[] = []): Promise<unknown> =>
  (await ask(itemId(item), present))[0]?.now;

describe("why", () => {
  it("names the round that has learned an item", async () => {
    expect(await now(B)).toEqual({ is: "learned", round: 1 });
    expect(await now(D)).toEqual({ is: "learned", round: 4 });
  });

  it("tells each version of an overwritten object", async () => {
    const versions = await ask("a.csv", [A2]);
    expect(versions.map(({ item, present, now }) => [item.etag, present, now])).toEqual([
      [A.etag, false, { is: "learned", round: 1 }],
      [A2.etag, true, { is: "learned", round: 4 }],
    ]);
  });

  it("tells what a rollback has left, and that it was trained", async () => {
    const [version] = await ask("left.csv");
    expect(version).toMatchObject({
      now: { is: "left-by-rollback", rounds: [2] },
      events: [{ what: "trained", round: 2, onLine: false }],
    });
  });

  it("tells what an operator has taken out, and why", async () => {
    const [version] = await ask("out.csv");
    expect(version).toMatchObject({
      now: { is: "taken-out", seq: 3, reason: "OUT is mislabelled" },
      events: [
        { what: "trained", round: 2, onLine: false },
        { what: "taken-out", by: "ada" },
      ],
    });
  });

  it("tells what was rejected and why", async () => {
    expect(await now(BAD)).toEqual({ is: "rejected", round: 1, code: "bad", message: "line 3: 2 columns, 4 expected" });
  });

  it("tells what the open round learns and what waits in the inbox", async () => {
    expect(await now(E)).toEqual({ is: "being-learned", round: 5 });
    expect(await now(W)).toMatchObject({ is: "waiting", segment: expect.stringMatching(/^inbox\//) });
  });

  it("tells what lies in the data folder and was not taken in, or does not count", async () => {
    const there = fakeItem("new.csv");
    const empty = { ...fakeItem("empty.csv"), size: 0 };
    expect(await ask("new.csv", [there, fakeItem("new.csv.other")])).toMatchObject([
      { present: true, now: { is: "not-taken-in" }, events: [] },
    ]);
    expect(await ask("empty.csv", [empty])).toMatchObject([{ now: { is: "ignored", because: "empty" } }]);
  });

  it("tells that an object is older than data.since, but not of one that was taken in before", async () => {
    const since = { ...config, data: { ...config.data, since: 2_000 } };
    const old = { ...fakeItem("old.csv"), modifiedMs: 1_999 };
    const there = itemsOf([{ ...B, modifiedMs: 1_999 }, old]);
    const [version] = await why({ store, config: since, items: there }, "old.csv");
    expect(version).toMatchObject({ item: fakeItem("old.csv"), now: { is: "ignored", because: "too-old" } });
    expect(version?.item).not.toHaveProperty("modifiedMs");
    const [learned] = await why({ store, config: since, items: there }, B.key);
    expect(learned?.now).toEqual({ is: "learned", round: 1 });
  });

  it("knows nothing of what was never there", async () => {
    expect(await ask("nowhere.csv", [fakeItem("nowhere.csv.gz")])).toEqual([]);
  });

  it("tells that an item is to be trained again after a rollback with replay, and then that it was", async () => {
    const other = memory();
    const fake = fakePipeline(other);
    const asked = async (): Promise<Version | undefined> =>
      (await why({ store: other, config, items: itemsOf([]) }, "left.csv"))[0];
    await learn(fake, [A]);
    await learn(fake, [LEFT]);
    await rollback(fake.ledger, { to: 1, replay: true, without: [], with: [], by: "ada", reason: "again" });
    expect((await asked())?.now).toEqual({ is: "to-redo" });
    await learn(fake, []);
    expect(await asked()).toMatchObject({
      now: { is: "learned", round: 4 },
      events: [
        { round: 2, onLine: false },
        { round: 4, onLine: true },
      ],
    });
  });

  it("tells of a round that was given up: its items wait again, and the newest plan has them", async () => {
    const other = memory();
    const fake = fakePipeline(other);
    await learn(fake, [OUT], null);
    await rollback(fake.ledger, { to: "head", replay: false, without: [], with: [], by: "ada", reason: "stuck" });
    const [version] = await why({ store: other, config, items: itemsOf([]) }, "out.csv");
    expect(version).toMatchObject({ now: { is: "waiting" }, events: [{ what: "given-up", round: 1 }] });
  });

  it("tells that an object was taken out, also when the same bytes are put again, and that it was asked for again", async () => {
    const { fake, of } = told();
    await learn(fake, [A]);
    await learn(fake, [OUT]);
    await drop(fake.ledger, { items: [OUT], by: "ada", reason: "mislabelled" });
    expect((await of(OUT))?.now).toEqual({ is: "taken-out", seq: 3, reason: "mislabelled" });
    await learn(fake, [OUT]);
    expect(await of(OUT, [OUT])).toMatchObject({ present: true, now: { is: "taken-out", seq: 3 } });
    await rollback(fake.ledger, { ...again("head"), with: [OUT] });
    expect(await of(OUT)).toMatchObject({
      now: { is: "to-redo" },
      events: [{ what: "trained" }, { what: "taken-out" }, { what: "asked-again", reason: "again" }],
    });
    await learn(fake, [], null);
    expect((await of(OUT))?.now).toEqual({ is: "being-learned", round: 5 });
  });

  it("tells that what was dropped before anybody took it in is taken out", async () => {
    const { fake, of } = told();
    await drop(fake.ledger, { items: [OUT], by: "ada", reason: "never" });
    await learn(fake, [OUT]);
    expect((await of(OUT, [OUT]))?.now).toEqual({ is: "taken-out", seq: 1, reason: "never" });
  });

  it("tells of a dropped item of a blocked round that it was planned, given up and taken out, in this order", async () => {
    const { fake, of } = told();
    await learn(fake, [OUT, B], null);
    await drop(fake.ledger, { items: [OUT], by: "ada", reason: "crashes" });
    const [out, other] = [await of(OUT), await of(B)];
    expect(out).toMatchObject({
      now: { is: "taken-out" },
      events: [
        { what: "given-up", round: 1 },
        { what: "taken-out", seq: 1 },
      ],
    });
    expect(other).toMatchObject({ now: { is: "waiting" }, events: [{ what: "given-up", round: 1 }] });
    await learn(fake, []);
    expect(await of(B)).toMatchObject({ now: { is: "learned", round: 2 } });
    expect((await of(OUT))?.now).toMatchObject({ is: "taken-out" });
  });

  it("tells that a rejected item was asked for again, and then learned", async () => {
    const { fake, of } = told();
    await learn(fake, [A, BAD], { reject: [BAD.key] });
    await rollback(fake.ledger, { ...again("head"), with: [BAD] });
    expect((await of(BAD))?.now).toEqual({ is: "to-redo" });
    await learn(fake, []);
    expect(await of(BAD)).toMatchObject({
      now: { is: "learned", round: 3 },
      events: [{ what: "rejected" }, { what: "asked-again" }, { what: "trained", onLine: true }],
    });
  });

  it("tells that an item asked for again was rejected again", async () => {
    const { fake, of } = told();
    await learn(fake, [A, BAD], { reject: [BAD.key] });
    await rollback(fake.ledger, { ...again("head"), with: [BAD] });
    await learn(fake, [], { reject: [BAD.key] });
    expect((await of(BAD))?.now).toMatchObject({ is: "rejected", round: 3 });
  });

  it("tells what a rollback by two rounds has left, and that what was asked for of it is learned again", async () => {
    const { fake, of } = told();
    for (const item of [A, B, D, E]) await learn(fake, [item]);
    await rollback(fake.ledger, again(2));
    const left = async (): Promise<unknown[]> => [(await of(B))?.now, (await of(D))?.now, (await of(E))?.now];
    expect(await left()).toEqual([
      { is: "learned", round: 2 },
      { is: "left-by-rollback", rounds: [3] },
      { is: "left-by-rollback", rounds: [4] },
    ]);
    await rollback(fake.ledger, { ...again("head"), with: [D] });
    await learn(fake, []);
    expect(await left()).toEqual([
      { is: "learned", round: 2 },
      { is: "learned", round: 7 },
      { is: "left-by-rollback", rounds: [4] },
    ]);
  });

  it("tells several objects in one pass, and which keys are known", async () => {
    const { versions, keys } = await whyOf({ store, config, items: itemsOf([]) }, ["b.csv", "nowhere.csv", itemId(D)]);
    expect(versions.map((found) => found.map(({ item }) => item.key))).toEqual([["b.csv"], [], ["d.csv"]]);
    expect([...keys].sort()).toEqual([
      "a.csv",
      "b.csv",
      "bad.csv",
      "d.csv",
      "e.csv",
      "left.csv",
      "out.csv",
      "waiting.csv",
    ]);
  });
});

/** A pipeline of its own, and what `why` says of an item of it. */
function told(): { fake: FakePipeline; of: (item: Item, present?: readonly Item[]) => Promise<Version | undefined> } {
  const own = memory();
  const fake = fakePipeline(own, { gate: null });
  return {
    fake,
    of: async (item, present = []) => (await why({ store: own, config, items: itemsOf(present) }, itemId(item)))[0],
  };
}

function again(to: number | "head"): RollbackRequest {
  return { to, replay: false, without: [], with: [], by: "ada", reason: "again" };
}
