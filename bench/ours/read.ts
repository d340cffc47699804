/**
 * Reads a table as a round does, to packed rows of batches, or a peer's script does: format, rows, columns; of a peer: program and arguments
 * before them. The second of two readings counts, by the first one's schema, as in a round after the first. Microseconds of CPU a row, of this process and its reader.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DataConfig } from "../../protocol/data-config.ts";
import { sha256 } from "../../protocol/digest.ts";
import { cpuSeconds } from "../../scripts/processes.ts";
import { Reader } from "../../trainer/reader-process.ts";
import { readRecords } from "../../trainer/records.ts";
import type { Schema } from "../../trainer/schema.ts";
import { printFigure } from "./figure.ts";
import { writeTable } from "./table.ts";

const [format, rowsText, columnsText] = process.argv.slice(-3);
const [rows, columns] = [Number(rowsText), Number(columnsText)];
const command = process.argv.slice(2, -3);
if (format !== "csv" && format !== "jsonl") throw new Error(`no format ${format}`);
const folder = mkdtempSync(join(tmpdir(), "accrete-bench-"));
const items = join(folder, "items");
mkdirSync(items);
const path = join(items, `table.${format}`);
try {
  await writeTable(path, { format, rows, columns });
  if (command.length > 0) {
    const [program, ...args] = command;
    const { stdout, status, stderr } = spawnSync(program!, [...args, format, path], { encoding: "utf8" });
    if (status !== 0) throw new Error(stderr);
    process.stdout.write(stdout);
  } else printFigure(await ours(format));
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function ours(of: "csv" | "jsonl"): Promise<number> {
  const body = readFileSync(path);
  const item = { bucket: "data", key: "table", etag: sha256(body), size: statSync(path).size };
  await using reader = new Reader({ scratch: join(folder, "reader"), memory: 4 * 2 ** 30 });
  const data = DataConfig.parse({ format: of, holdout: 0 });
  const read = async (to: string, schema: Schema | null): Promise<Schema> => {
    const { records, schema: found } = await readRecords([{ item, path }], {
      data,
      schema,
      reader,
      packed: join(folder, to),
      known: new Set(),
    });
    if (records.count !== rows || found === null) throw new Error(`${records.count} of ${rows} rows`);
    return found;
  };
  const schema = await read("first", null);
  const [began, childBegan] = [process.cpuUsage(), cpuSeconds(reader.pid!)];
  await read("second", schema);
  const { user, system } = process.cpuUsage(began);
  return (user + system + 1e6 * (cpuSeconds(reader.pid!) - childBegan)) / rows;
}
