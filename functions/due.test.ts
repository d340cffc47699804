import { describe, expect, it } from "vitest";
import type { Tick } from "../protocol/ports.ts";
import { dueTicks, type Wish } from "./due.ts";

const NOW = 1_700_000_000_000;
const wishes = (...ticks: (Tick | [Tick, number])[]): Wish[] =>
  ticks.map((one, i) => {
    const [tick, inMs] = Array.isArray(one) ? one : [one, 0];
    return { tick, dueMs: NOW + inMs, messages: [`m${i}`] };
  });
const PLAIN: Tick = { kind: "plain" };
const NET: Tick = { kind: "net" };
const segment = (name: string): Tick => ({ kind: "segment", segment: `inbox/${name}` });
const schedule = (timeMs: number): Tick => ({ kind: "schedule", timeMs, retrain: "pending" });

describe("ticks that are due", () => {
  it.each<[string, Tick[], Tick[]]>([
    ["nothing", [], []],
    ["equal ones", [PLAIN, PLAIN, NET, PLAIN], [PLAIN]],
    ["the net's alone", [NET, NET], [NET]],
    ["segments, of which the newest speaks for all", [segment("2"), segment("3"), segment("1")], [segment("3")]],
    [
      "a segment's and a plain one, as each asks for something of its own",
      [PLAIN, segment("1"), NET],
      [PLAIN, segment("1")],
    ],
    ["schedules, of which the newest stands for all", [schedule(5), schedule(9), schedule(7)], [schedule(9)]],
    [
      "operators', each in its turn",
      [
        { kind: "train", seq: 1 },
        PLAIN,
        { kind: "rehearse", seq: 1 },
        { kind: "train", seq: 2 },
        { kind: "train", seq: 1 },
      ],
      [{ kind: "train", seq: 1 }, PLAIN, { kind: "rehearse", seq: 1 }, { kind: "train", seq: 2 }],
    ],
  ])("are as few as say the same: %s", (_what, asked, expected) => {
    const { now, later } = dueTicks(wishes(...asked), NOW);
    expect(now.map(({ tick }) => tick)).toEqual(expected);
    expect(later).toEqual([]);
    // each message's fate is that of its tick
    const messages = now.flatMap((wish) => wish.messages);
    expect(messages.sort()).toEqual(asked.map((_tick, i) => `m${i}`));
  });

  it("are told from those that came too early, of which none is lost", () => {
    const asked = wishes([PLAIN, 600_000], [PLAIN, 86_400_000], [PLAIN, 600_000], [PLAIN, 900], [NET, -5]);
    const { now, later } = dueTicks(asked, NOW);
    expect(now).toEqual([{ tick: PLAIN, dueMs: NOW + 900, messages: ["m3", "m4"] }]);
    expect(later).toEqual([
      { tick: PLAIN, dueMs: NOW + 600_000, messages: ["m0", "m2"] },
      { tick: PLAIN, dueMs: NOW + 86_400_000, messages: ["m1"] },
    ]);
  });

  it("are asked for again once for all segments that came too early", () => {
    const { now, later } = dueTicks(wishes([segment("2"), 2_000_000], [segment("1"), 1_000_000]), NOW);
    expect(now).toEqual([]);
    expect(later).toEqual([{ tick: segment("2"), dueMs: NOW + 2_000_000, messages: ["m0", "m1"] }]);
  });
});
