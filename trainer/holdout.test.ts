import { describe, expect, it } from "vitest";
import { HoldoutConfig } from "../protocol/data-config.ts";
import { holdoutRule } from "../protocol/holdout-part.ts";
import { HoldoutChooser, isHoldout } from "./holdout.ts";
import {
  emptyHoldout,
  extendHoldout,
  holdoutTensors,
  knownContents,
  holdoutOf,
  type Holdout,
} from "./holdout-state.ts";
import type { RecordsOfItem } from "./item-records.ts";
import { packed, packedPath } from "./testing/packing.ts";
import { readSafetensors, writeSafetensors } from "./safetensors.ts";

const item = (values: readonly number[], more: Partial<RecordsOfItem> = {}): RecordsOfItem => ({
  count: values.length,
  shape: [1],
  features: Float32Array.from(values),
  labels: new Int32Array(values.length),
  names: [{ name: "a", record: 0 }],
  ...more,
});

function chosen(
  holdout: HoldoutConfig,
  items: readonly { records: RecordsOfItem; key?: string }[],
  known: ReadonlySet<number> = new Set(),
): number[] {
  const chooser = new HoldoutChooser(holdoutRule(HoldoutConfig.parse(holdout)), known);
  for (const { records, key = "some/key" } of items) chooser.add(records, key);
  return [...chooser.done()];
}

const SCHEMA = { task: "classification", classes: ["b", "a"] } as const;
const many = Array.from({ length: 1_000 }, (_, i) => i);
const sum = (flags: readonly number[]): number => flags.reduce((total, flag) => total + flag, 0);

describe("the holdout by content", () => {
  it("is that of a number, and the same of bytes as of the floats they stand for", () => {
    const flags = chosen(0.3, [{ records: item(many) }]);
    expect(chosen({ by: "content", part: 0.3 }, [{ records: item(many) }])).toEqual(flags);
    expect(flags).toEqual(many.map((value) => (isHoldout(Float32Array.of(value), "a", 0.3) ? 1 : 0)));
    const bytes = Uint8Array.from({ length: 250 }, (_, i) => i);
    const asBytes = chosen(0.3, [{ records: item([...bytes], { features: bytes }) }]);
    expect(asBytes).toEqual(chosen(0.3, [{ records: item([...bytes].map((byte) => byte / 255)) }]));
    expect(sum(asBytes)).toBeGreaterThan(40);
  });

  it("is nothing for 0", () => {
    expect(sum(chosen(0, [{ records: item(many) }]))).toBe(0);
    expect(holdoutRule(0)).toBeNull();
  });
});

describe("the holdout by group", () => {
  const groups = Float64Array.from(many, (i) => i % 50);

  it("never splits a group, in whatever item and round its records come; as many groups as asked for", () => {
    const config = { by: "group", column: "g", part: 0.4 } as const;
    const flags = chosen(config, [{ records: item(many, { marks: groups }) }]);
    const held = new Set(many.filter((i) => flags[i] === 1).map((i) => i % 50));
    expect(flags).toEqual(many.map((i) => (held.has(i % 50) ? 1 : 0)));
    expect(held.size).toBeGreaterThan(10);
    expect(held.size).toBeLessThan(30);
    const later = item(
      many.map((i) => i + 5_000),
      { marks: groups },
    );
    expect(chosen(config, [{ records: later }])).toEqual(flags);
  });

  it("takes along a record that is equal to one of the holdout, as it would be learned otherwise", () => {
    const config = { by: "group", column: "g", part: 0.5 } as const;
    const alone = Array.from(
      { length: 20 },
      (_, group) => chosen(config, [{ records: item([1], { marks: Float64Array.of(group) }) }])[0]!,
    );
    const [inside, outside] = [alone.indexOf(1), alone.indexOf(0)];
    const marks = Float64Array.of(outside, inside, outside);
    expect(chosen(config, [{ records: item([7, 7, 8], { marks }) }])).toEqual([1, 1, 0]);
  });
});

describe("the holdout by time", () => {
  const config = (part: number): HoldoutConfig => ({ by: "time", column: "t", part });
  const at = (...times: number[]): { records: RecordsOfItem } => ({
    records: item(
      times.map((_, i) => i + times[0]! * 1_000),
      { marks: Float64Array.from(times) },
    ),
  });

  it("is the newest part of the round's records, whatever their order and their item", () => {
    expect(chosen(config(0.5), [at(5, 1, 4), at(2, 9, 3)])).toEqual([1, 0, 1, 0, 1, 0]);
    expect(chosen(config(0.2), [at(5, 1, 4, 2, 3)])).toEqual([1, 0, 0, 0, 0]);
  });

  it("is rounded to whole records; of equal times it takes the later ones; a record without a time is the oldest", () => {
    expect(chosen(config(0.2), [at(1)])).toEqual([0]);
    expect(chosen(config(0.5), [at(1)])).toEqual([1]);
    expect(chosen(config(0.5), [at(3, 3, 3, 3)])).toEqual([0, 0, 1, 1]);
    expect(chosen(config(0.5), [at(3, 7, 3, 3)])).toEqual([0, 1, 0, 1]);
    expect(chosen(config(0.5), [at(3, NaN, 4, 2)])).toEqual([1, 0, 1, 0]);
  });

  it("begins anew after a reset", () => {
    const chooser = new HoldoutChooser(holdoutRule(config(0.5)), new Set());
    chooser.add(at(100, 200).records, "");
    chooser.reset();
    chooser.add(at(1, 2).records, "");
    expect([...chooser.done()]).toEqual([0, 1]);
  });
});

describe("the holdout by prefix", () => {
  it("is all of the items whose key starts so", () => {
    const items = ["test/a", "train/test/b", "tes", "test/"].map((key, i) => ({ key, records: item([i, i + 10]) }));
    expect(chosen({ by: "prefix", prefix: "test/" }, items)).toEqual([1, 1, 0, 0, 0, 0, 1, 1]);
    const twice = [
      { key: "train/a", records: item([1, 2]) },
      { key: "test/a", records: item([2]) },
    ];
    expect(chosen({ by: "prefix", prefix: "test/" }, twice)).toEqual([0, 1, 1]);
  });
});

it.each(["group", "time"] as const)("by %s of data without a column is CONFIG_INVALID", (by) => {
  expect(() => chosen({ by, column: "c", part: 0.5 }, [{ records: item([1]) }])).toThrow(
    expect.objectContaining({ code: "CONFIG_INVALID" }),
  );
});

describe("the holdout of all rounds", () => {
  const round1 = extendHoldout(
    emptyHoldout(1, "classification"),
    packed(item([1, 2, 3]), { classes: ["b", "a"], holdout: [0, 2] }),
    1,
  );

  it("is never trained on later, whatever chose it then and chooses now", () => {
    const known = knownContents(round1, 2, SCHEMA);
    for (const config of [0, { by: "prefix", prefix: "test/" }] as const)
      expect(chosen(config, [{ records: item([3, 2, 1, 4]) }], known)).toEqual([1, 0, 1, 0]);
    // another label, another record
    expect(chosen(0, [{ records: item([3], { names: [{ name: "b", record: 0 }] }) }], known)).toEqual([0]);
    // what this very round has put there is chosen anew, as at the round's beginning
    expect(knownContents(round1, 1, SCHEMA).size).toBe(0);
    expect(knownContents(null, 1, null).size).toBe(0);
  });

  const bytes = packed(item([9, 255], { features: Uint8Array.of(9, 255) }), { classes: ["b", "a"], holdout: [0, 1] });

  it("keeps bytes as bytes, there and back; with numbers of another round they become floats", async () => {
    const first = extendHoldout(emptyHoldout(1, "classification"), bytes, 1);
    expect(first.features).toEqual(Uint8Array.of(9, 255));
    const path = packedPath();
    await writeSafetensors(path, holdoutTensors(first), ({ data }) => data);
    const again: Holdout = holdoutOf(readSafetensors(path, "it"), "it");
    expect(again).toEqual(first);
    expect(extendHoldout(again, bytes, 2).features).toEqual(Uint8Array.of(9, 255, 9, 255));
    const mixed = extendHoldout(again, packed(item([5]), { classes: ["b", "a"], holdout: [0] }), 2);
    expect(mixed).toMatchObject({ count: 3, rounds: Int32Array.of(1, 1, 2), labels: Int32Array.of(1, 1, 1) });
    expect(mixed.features).toEqual(Float32Array.of(Math.fround(9 / 255), 1, 5));
    // equal records are known again, however they are held
    expect(knownContents(mixed, 3, SCHEMA)).toContain([...knownContents(first, 3, SCHEMA)][0]);
    expect(extendHoldout(round1, bytes, 2).features).toBeInstanceOf(Float32Array);
  });
});

describe("the holdout of records of several classes", () => {
  const own = [[0, 1], [2], [], [0, 1, 2], [1]] as const;
  const classes = ["a", "b", "c"];
  /** The same records, whatever order the item's names came in. */
  const ofClasses = (order: readonly number[]): RecordsOfItem => {
    const labels = own.map((of) => of.map((label) => order.indexOf(label)).sort());
    return item([1, 2, 3, 4, 5], {
      labels: Int32Array.from(labels.flat()),
      offsets: Int32Array.of(0, 2, 3, 3, 6, 7),
      names: order.map((label) => ({ name: classes[label]!, record: 0 })),
    });
  };
  const schema = { task: "multi-label", classes: ["c", "a", "b"] } as const;

  it("does not depend on the order in which its classes came, and is known again in later rounds", () => {
    for (const part of [0.2, 0.5, 0.8])
      expect(chosen(part, [{ records: ofClasses([2, 0, 1]) }])).toEqual(
        chosen(part, [{ records: ofClasses([0, 1, 2]) }]),
      );
    const records = packed(ofClasses([0, 1, 2]), { classes: schema.classes, holdout: [0, 2, 3] });
    const holdout = extendHoldout(emptyHoldout(1, "multi-label"), records, 1);
    expect([...holdout.labels]).toEqual([0, 1, 1, 0, 0, 0, 1, 1, 1]);
    const known = knownContents(holdout, 2, schema);
    expect(chosen(0, [{ records: ofClasses([1, 2, 0]) }], known)).toEqual([1, 0, 1, 1, 0]);
  });

  it("that are token ids are known by them", () => {
    const tokens = item([1, 2, 3], { features: Int32Array.of(4, 5, 6) });
    const held = extendHoldout(
      emptyHoldout(1, "classification"),
      packed(tokens, { classes: ["b", "a"], holdout: [1] }),
      1,
    );
    expect(held.features).toEqual(Int32Array.of(5));
    expect(chosen(0, [{ records: tokens }], knownContents(held, 2, SCHEMA))).toEqual([0, 1, 0]);
    expect(chosen(0.5, [{ records: tokens }])).toEqual(
      [4, 5, 6].map((id) => (isHoldout(Int32Array.of(id), "a", 0.5) ? 1 : 0)),
    );
  });
});
