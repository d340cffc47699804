/** Each kind of data once in the container: the reader is a process of its own there too, and pictures need sharp's library. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { csv, dense, moduleOf, newFolder, type Place, type PlanInput } from "../../trainer/testing/rounds.ts";
import { SKIPPED, WHY, start, stored } from "./container.ts";

const PICTURES = moduleOf(`
  tf.layers.conv2d({ name: "conv", filters: 4, kernelSize: 3, activation: "relu", inputShape: [...inputShape] }),
  tf.layers.flatten({ name: "flat" }), ${dense("classes", "out")}`);

interface Case {
  readonly name: string;
  readonly plan: PlanInput;
  readonly fill: (place: Place) => Promise<void>;
}

/** Squares of two colours, in a folder for each. */
async function pictures(place: Place): Promise<void> {
  for (const [label, background] of [
    ["dark", "#203040"],
    ["light", "#d0e0f0"],
  ] as const)
    for (let i = 0; i < 8; i++) {
      const picture = sharp({ create: { width: 8 + i, height: 8, channels: 3, background } });
      place.put(
        `${label}/${i}.${i % 2 === 0 ? "png" : "jpg"}`,
        await picture[i % 2 === 0 ? "png" : "jpeg"]().toBuffer(),
      );
    }
}

/** The CSV's rows, as DuckDB writes them: with dictionaries, compressed. */
async function parquet(place: Place): Promise<void> {
  const [table, made] = [join(newFolder(), "a.csv"), join(place.dataFolder, "a.parquet")];
  writeFileSync(table, csv(0, 60));
  const instance = await DuckDBInstance.create(":memory:", { threads: "1" });
  const connection = await instance.connect();
  await connection.run(`COPY (FROM read_csv('${table}')) TO '${made}' (FORMAT parquet)`);
  connection.closeSync();
  instance.closeSync();
}

const CASES: readonly Case[] = [
  { name: "CSV", plan: { data: { format: "csv" } }, fill: async (place) => place.put("a.csv", csv(0, 60)) },
  { name: "Parquet", plan: { data: { format: "parquet" } }, fill: parquet },
  {
    name: "pictures, PNG and JPEG",
    plan: { data: { format: "images", imageShape: [8, 8, 3] }, module: PICTURES },
    fill: pictures,
  },
];

describe.skipIf(SKIPPED)(`in the container${WHY}`, () => {
  it.concurrent.for(CASES)("$name: read by a process of its own, and learned", async ({ plan, fill }) => {
    const at = await stored(plan, fill);
    const { exit, log } = await (await start(at)).ended();
    expect(exit, log).toBe(0);
    const { metrics, rejected } = await at.place.result();
    expect(rejected).toEqual([]);
    expect(metrics["trainRecords"]).toBeGreaterThan(0);
    const { environment } = await at.place.manifest((await at.place.result()).checkpoint.manifest);
    expect(environment).toMatchObject({ backend: "native", threads: "2" });
  });
});
