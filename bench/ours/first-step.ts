/**
 * From the start of a process to the first step of training, on the same small CSV file: "accrete" is the trainer as it is published, otherwise
 * the program and arguments of a peer that says "first step". Wall-clock milliseconds.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { printFigure } from "./figure.ts";
import { makePlace, moduleOf } from "./place.ts";
import { writeTable } from "./table.ts";

const TRAINER = fileURLToPath(new URL("../../dist/trainer/main.js", import.meta.url));

const folder = mkdtempSync(join(tmpdir(), "accrete-bench-"));
const path = join(folder, "table.csv");
try {
  await writeTable(path, { format: "csv", rows: 40, columns: 4 });
  const [who, ...args] = process.argv.slice(2);
  if (who === "accrete") {
    if (!existsSync(TRAINER)) throw new Error("dist/ is not there: npm run build");
    const trainer = { epochs: 1, batchSize: 64 };
    using place = await makePlace(folder, { module: moduleOf(32), data: {}, trainer });
    printFigure(await msTo(/step 1\/1/, process.execPath, [TRAINER], place.env));
  } else printFigure(await msTo(/first step/, who!, [...args, path], {}));
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** @throws {Error} if the line never comes */
async function msTo(
  line: RegExp,
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<number> {
  const began = performance.now();
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, ...env } });
  let output = "";
  let figure: number | undefined;
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
    if (figure === undefined && line.test(output)) figure = performance.now() - began;
  });
  await new Promise((resolve) => child.on("close", resolve));
  if (figure === undefined) throw new Error(`${program} has not said ${line}:\n${output}`);
  return figure;
}
