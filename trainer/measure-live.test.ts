/** Live's figures are those of live's own model, whatever the round's own is by now. */
import { describe, expect, it } from "vitest";
import { codeKey, MANIFEST } from "../protocol/keys.ts";
import type { Checkpoint, Metrics } from "../protocol/types.ts";
import { dense, INPUT, jsonl, LINEAR, moduleOf, Place, tableRows, type PlanInput } from "./testing/rounds.ts";

const network = (activation: string, hidden = "4"): string =>
  moduleOf(`${dense(hidden, "hidden", `activation: "${activation}", ${INPUT}`)}, ${dense("classes", "out")}`);
/** Layers without names: TensorFlow.js counts on in the process, and only the order says which weight is which. */
const nameless = (activation: string): string =>
  moduleOf(`tf.layers.dense({ units: 4, activation: "${activation}", ${INPUT} }), tf.layers.dense({ units: classes })`);

async function trained(module: string, more: PlanInput = {}): Promise<{ place: Place; live: Checkpoint }> {
  const place = new Place();
  place.put("a.jsonl", jsonl(tableRows(0, 80)));
  const { checkpoint } = await place.train({ module, data: { holdout: 0.3 }, ...more });
  return { place, live: checkpoint };
}

/** A round without parent on no data but live's holdout would have another holdout: it goes on from live, on one record more. */
async function roundAfter(
  { place, live }: { place: Place; live: Checkpoint },
  input: PlanInput,
): Promise<{ said: readonly string[]; liveMetrics: Metrics | null; bits: Record<string, string> }> {
  place.put("b.jsonl", jsonl(tableRows(80, 110)));
  const items = (await place.items.list("")).items.filter(({ key }) => key === "b.jsonl");
  await place.plan({ round: 2, parent: live, live, items, data: { holdout: 0.3 }, ...input });
  const { exit, said, message } = await place.run({ round: 2 });
  expect({ exit, message }).toEqual({ exit: 0, message: "" });
  return { said, liveMetrics: (await place.result(2)).liveMetrics, bits: await place.bits(2) };
}

const ofRound1 = (metrics: Metrics | null): number | undefined => metrics?.["accuracy.round1"];

describe("live is measured in its own model", () => {
  it.each<[why: string, before: string, after: string, same?: string]>([
    ["the code is the same", network("relu"), network("relu")],
    ["only an activation was changed, so that the shapes still fit", network("relu"), network("tanh")],
    ["the shapes were changed", network("relu"), network("relu", "7")],
    ["the layers have no names", nameless("relu"), nameless("tanh"), network("relu")],
  ])("if %s", async (_, before, after, same = before) => {
    const round1 = await trained(before);
    const expected = (await round1.place.result(1)).metrics;
    const { liveMetrics, said } = await roundAfter(round1, { module: after, trainer: { onModelChange: "fresh" } });
    expect(said.filter((line) => line.includes("can't be measured"))).toEqual([]);
    expect(ofRound1(liveMetrics)).toBe(expected["accuracy"]);
    // the same figures as without a change of the model, down to the last bit
    const unchanged = await trained(same);
    expect(liveMetrics).toEqual((await roundAfter(unchanged, { module: same })).liveMetrics);
  });

  it("and that changes no bit of the round's own result", async () => {
    const change = { module: network("tanh", "5"), trainer: { onModelChange: "fresh" } } as const;
    const measured = await roundAfter(await trained(network("relu")), change);
    const alone = await roundAfter(await trained(network("relu")), { ...change, live: null });
    expect(measured.liveMetrics).not.toBeNull();
    const { "state.json": _, ...bits } = measured.bits;
    expect(alone.bits).toMatchObject(bits);
  });

  it("with plain JavaScript if it needs what wasm lacks", async () => {
    const lacking = `export default { build: ({ tf, inputShape, classes }) => {
      class Scale extends tf.layers.Layer {
        static className = "Scale";
        computeOutputShape(shape) { return shape; }
        call(x) { return tf.einsum("bi,i->bi", [x].flat()[0], tf.ones([...inputShape])); }
      }
      return tf.sequential({ layers: [new Scale({ name: "scale", ${INPUT} }), ${dense("classes", "out")}] });
    } };`;
    const round1 = await trained(lacking);
    const { liveMetrics, said } = await roundAfter(round1, { module: LINEAR });
    expect(said).toContain("live is measured with plain JavaScript, as wasm lacks Einsum");
    expect(ofRound1(liveMetrics)).toBe((await round1.place.result(1)).metrics["accuracy"]);
  });
});

describe("live is not measured, and that is said, if", () => {
  it.each<[string, RegExp, (place: Place, live: Checkpoint) => Promise<void>]>([
    [
      "it is damaged",
      /weights.safetensors is not what/,
      (place, live) => place.damage(`${live.manifest.slice(0, -MANIFEST.length)}weights.safetensors`),
    ],
    [
      "its code is gone",
      /code\/\w+\.mjs is not there/,
      async (place, live) => place.store.delete(codeKey((await place.manifest(live.manifest)).code)),
    ],
    [
      "its code is damaged",
      /code\/\w+\.mjs is not what its name says/,
      async (place, live) => place.damage(codeKey((await place.manifest(live.manifest)).code)),
    ],
  ])("%s", async (_, why, damage) => {
    const { place, live } = await trained(network("relu"));
    await damage(place, live);
    const { said, liveMetrics } = await roundAfter({ place, live }, { module: LINEAR, parent: null });
    expect(said).toContainEqual(expect.stringMatching(/^live \(round 1\) can't be measured: /));
    expect(said.join("\n")).toMatch(why);
    expect(liveMetrics).toBeNull();
  });

  it("another schema is that of its data", async () => {
    const { place, live } = await trained(LINEAR, { data: { holdout: 0.3, features: ["a", "b"] } });
    const { said, liveMetrics } = await roundAfter({ place, live }, { module: LINEAR, parent: null });
    expect(said).toContain("live (round 1) can't be measured: it was trained on data of another schema");
    expect(liveMetrics).toBeNull();
  });

  it("its own model throws by now", async () => {
    const module = `export default { build: ({ tf, inputShape, classes }) => {
      const network = tf.sequential({ layers: [${dense("classes", "out", INPUT)}] });
      const apply = network.apply.bind(network);
      network.apply = (...given) => { if (globalThis.accreteIsOdd) throw new Error("an odd day"); return apply(...given); };
      return network;
    } };`;
    const { place, live } = await trained(module);
    Reflect.set(globalThis, "accreteIsOdd", true);
    try {
      const { said, liveMetrics } = await roundAfter({ place, live }, { module: LINEAR });
      expect(said).toContainEqual(
        expect.stringMatching(
          /^live \(round 1\) can't be measured: the model throws on \d+ records of .*: an odd day$/,
        ),
      );
      expect(liveMetrics).toBeNull();
    } finally {
      Reflect.deleteProperty(globalThis, "accreteIsOdd");
    }
  });
});
