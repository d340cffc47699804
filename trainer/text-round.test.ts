/** Rounds on text: token ids go into an embedding, and the vocabulary of round 1 is part of each checkpoint. */
import { describe, expect, it } from "vitest";
import { TrainerConfig } from "../protocol/trainer-config.ts";
import { parseSchema } from "./schema.ts";
import { WITH_NATIVE, WITHOUT_NATIVE } from "./testing/backends.ts";
import { dense, moduleOf, Place } from "./testing/rounds.ts";

const module = moduleOf(`
  tf.layers.embedding({ inputDim: 50, outputDim: 4, inputLength: inputShape[0], name: "words" }),
  tf.layers.globalAveragePooling1d({ name: "mean" }),
  ${dense("classes", "out")}`);
const words = ["free", "prize", "win", "now", "lunch", "home", "later", "ok"];
const lines = (from: number, to: number): string =>
  Array.from({ length: to - from }, (_, i) => {
    const spam = (from + i) % 2;
    return `${spam === 1 ? "spam" : "ham"}\t${words[4 * (1 - spam) + (i % 4)]} ${words[4 * (1 - spam) + ((i >> 2) % 4)]} ${from + i}`;
  }).join("\n");
const data = { format: "text", tokens: 3, vocabulary: 50, holdout: 0.2 } as const;
const trainer = TrainerConfig.parse({
  model: "./model.ts",
  epochs: 6,
  batchSize: 8,
  optimizer: { name: "adam", learningRate: 0.05 },
});

describe.each([
  ["without TensorFlow's library", WITHOUT_NATIVE],
  ["with TensorFlow's library", WITH_NATIVE],
])("text %s", (_, backend) => {
  it.skipIf(backend === undefined)("is learned, over two rounds", async () => {
    const place = new Place();
    place.put("a.txt", lines(0, 120));
    await place.plan({ module, data, trainer });
    expect(await place.run({ backend })).toMatchObject({ exit: 0, message: "" });
    const first = await place.result();
    expect(first.metrics["accuracy"]).toBeGreaterThan(0.9);
    const schema = parseSchema(Buffer.from(await place.file(first.checkpoint, "schema.json")).toString());
    expect([schema.vocabulary?.length, schema.vocabulary?.slice(0, 8).sort()]).toEqual([48, words.slice().sort()]);
    place.remove("a.txt");
    place.put("b.txt", lines(120, 160));
    await place.plan({ round: 2, parent: first.checkpoint, module, data, trainer });
    expect(await place.run({ round: 2, backend })).toMatchObject({ exit: 0, message: "" });
    const second = await place.result(2);
    expect(second.metrics["accuracy"]).toBeGreaterThan(0.9);
    expect(await place.file(second.checkpoint, "schema.json")).toEqual(
      await place.file(first.checkpoint, "schema.json"),
    );
  });
});
