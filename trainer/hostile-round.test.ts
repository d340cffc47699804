/** A whole round with an item that ends what reads it. */
import { describe, expect, it } from "vitest";
import { CRASHING_READER } from "./testing/reading.ts";
import { csv, newReader, Place } from "./testing/rounds.ts";

describe("a round of five items, one of which crashes its reader", () => {
  it("is trained on the other four, to the bits that they alone give, and names the fifth", async () => {
    const place = new Place();
    for (let i = 0; i < 4; i++) place.put(`${i}.csv`, csv(i * 20, i * 20 + 20));
    await place.plan({ data: { format: "csv" } });
    expect(await place.run()).toMatchObject({ exit: 0 });
    const alone = await place.file((await place.result()).checkpoint, "weights.safetensors");

    const hostile = new Place();
    for (let i = 0; i < 4; i++) hostile.put(`${i}.csv`, csv(i * 20, i * 20 + 20));
    hostile.put("2.crash-abort", csv(500, 520));
    await hostile.plan({ data: { format: "csv" } });
    const ran = await hostile.run({ reader: newReader(CRASHING_READER) });
    expect(ran).toMatchObject({ exit: 0, message: "" });
    const { rejected, checkpoint } = await hostile.result();
    expect(rejected.map(({ item, code }) => [item.key, code])).toEqual([["2.crash-abort", "bad"]]);
    expect(rejected[0]!.message).toMatch(/^2\.crash-abort: reading it ended the reader: SIGABRT/);
    expect(await hostile.file(checkpoint, "weights.safetensors")).toEqual(alone);
  });

  it("fails the attempt, and leaves no failure record, if no reader can be started: that may pass", async () => {
    const place = new Place();
    place.put("0.csv", csv(0, 20));
    await place.plan({ data: { format: "csv" } });
    const { exit, message } = await place.run({ reader: newReader("/nowhere/reader.ts") });
    expect([exit, message]).toEqual([70, expect.stringContaining("the reader can't be started: ")]);
    expect(await place.failure()).toBeUndefined();
  });
});
