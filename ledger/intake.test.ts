import { describe, expect, it } from "vitest";
import type { Store, Tick, Written } from "../protocol/ports.ts";
import { sampleItem } from "../test/stored-documents.ts";
import { pipelineConfig } from "../test/stored-documents.ts";
import { memoryStore, storeWith } from "../test/small-states.ts";
import { intake } from "./intake.ts";
import { listInbox, readSegment } from "./read.ts";

interface Asked {
  readonly tick: Tick;
  readonly delayMs: number;
}
function intakeOn(store: Store, asked: Asked[] = []): Parameters<typeof intake>[0] {
  return {
    store,
    config: pipelineConfig({
      data: { format: "csv", suffixes: [".csv"] },
      trigger: { quietPeriod: "7 s", maxBytes: 1_000 },
    }),
    clock: { nowMs: () => 1_700_000_000_000, nonce: () => "0".repeat(32) },
    ticks: { ask: async (tick, delayMs) => void asked.push({ tick, delayMs }) },
  };
}
const [a, b] = [sampleItem("a.csv"), sampleItem("b.csv")];
/** A store whose creates have these outcomes, one after the other; each is tried on the store only if it says "won". */
function storeAnswering(outcomes: Written[], calls: string[]): Store {
  const memory = memoryStore();
  return storeWith(memory, {
    create: async (key, body) => {
      calls.push(key);
      const outcome = outcomes.shift() ?? "won";
      return outcome === "won" ? memory.create(key, body) : outcome;
    },
  });
}

describe("intake", () => {
  it("puts what counts into the inbox, says what does not, and asks for a tick after the quiet period", async () => {
    const store = memoryStore();
    const asked: Asked[] = [];
    const [other, empty] = [sampleItem("readme.md"), sampleItem("c.csv", { size: 0 })];
    const report = await intake(intakeOn(store, asked), [b, other, a, empty, a]);
    expect(report).toMatchObject({
      accepted: 3,
      dropped: [
        { item: other, because: "other-suffix" },
        { item: empty, because: "empty" },
      ],
    });
    const { segments } = await listInbox(store);
    expect(segments.map(({ key }) => key)).toEqual(report.segments);
    expect(await readSegment(store, segments[0]!)).toEqual([a, b]);
    expect(asked).toEqual([{ tick: { kind: "segment", segment: segments[0]!.key }, delayMs: 7_000 }]);
  });

  it("asks for a tick for each segment of a large delivery", async () => {
    const asked: Asked[] = [];
    const large = [sampleItem("a.csv", { size: 900 }), sampleItem("b.csv", { size: 900 })];
    const { segments } = await intake(intakeOn(memoryStore(), asked), large);
    expect(asked.map(({ tick }) => tick)).toEqual(segments.map((segment) => ({ kind: "segment", segment })));
    expect(segments.length).toBe(2);
  });

  it("takes a segment that is there for its own: the same delivery came twice", async () => {
    const store = memoryStore();
    const asked: Asked[] = [];
    const first = await intake(intakeOn(store, asked), [a]);
    const again = await intake(intakeOn(store, asked), [a]);
    expect(again.segments).toEqual(first.segments);
    expect(store.objects.size).toBe(1);
    // the first caller may have died before it asked
    expect(asked.length).toBe(2);
  });

  it.each<[Written[], number]>([
    [["unknown", "won"], 2],
    [["unknown", "unknown", "unknown", "unknown", "won"], 5],
    [["unknown", "lost"], 2],
    [["lost"], 1],
  ])("tries again while the outcome is unknown: %j", async (outcomes, tries) => {
    const calls: string[] = [];
    const asked: Asked[] = [];
    await intake(intakeOn(storeAnswering([...outcomes], calls), asked), [a]);
    expect(calls.length).toBe(tries);
    expect(new Set(calls).size).toBe(1);
    expect(asked.length).toBe(1);
  });

  it("fails after five unknown outcomes, so that the delivery is made again, and asks for no tick", async () => {
    const calls: string[] = [];
    const asked: Asked[] = [];
    const store = storeAnswering(Array<Written>(5).fill("unknown"), calls);
    await expect(intake(intakeOn(store, asked), [a])).rejects.toThrow(/^inbox\/.*not known after 5 tries$/);
    expect([calls.length, asked.length]).toEqual([5, 0]);
  });

  it("writes nothing and asks for nothing if nothing counts", async () => {
    const store = memoryStore();
    const asked: Asked[] = [];
    await intake(intakeOn(store, asked), [sampleItem("x/"), sampleItem("readme.md")]);
    expect([store.objects.size, asked.length]).toEqual([0, 0]);
  });
});
