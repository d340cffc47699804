/**
 * Whole epochs from a CSV file by the trainer's process as it is, everything included: staging, reading, training, saving, evaluating; or by a
 * peer's script on the same file. rows, columns, epochs, batch size; of a peer: program and arguments before them. Microseconds of CPU a record
 * and epoch.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { childrenCpuSeconds, printFigure } from "./figure.ts";
import { makePlace, moduleOf } from "./place.ts";
import { writeTable } from "./table.ts";

const folder = mkdtempSync(join(tmpdir(), "accrete-bench-"));
const path = join(folder, "table.csv");
const [rows, columns, epochs, batchSize] = process.argv.slice(-4).map(Number) as [number, number, number, number];
const command = process.argv.slice(2, -4);
try {
  await writeTable(path, { format: "csv", rows, columns });
  if (command.length > 0) {
    const [program, ...args] = command;
    const { stdout, status, stderr } = spawnSync(
      program!,
      [...args, path, String(columns), String(epochs), String(batchSize)],
      {
        encoding: "utf8",
      },
    );
    if (status !== 0) throw new Error(stderr);
    process.stdout.write(stdout);
  } else {
    using place = await makePlace(folder, {
      module: moduleOf(64, 64),
      data: { holdout: 0 },
      trainer: { epochs, batchSize },
    });
    const trainer = fileURLToPath(new URL("../../dist/trainer/main.js", import.meta.url));
    const before = childrenCpuSeconds();
    const { status, stderr } = spawnSync(process.execPath, [trainer], {
      encoding: "utf8",
      env: { ...process.env, ...place.env, ACCRETE_THREADS: "1" },
    });
    if (status !== 0) throw new Error(stderr);
    printFigure(((childrenCpuSeconds() - before) * 1e6) / (rows * epochs));
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
