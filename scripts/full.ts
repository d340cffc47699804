/**
 * npm run full: what takes too long for each change. It goes on after a failure, prints what each part found as a table, and exits with 0
 * only if all of them passed.
 */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs, stripVTControlCharacters } from "node:util";
import { duration } from "../cli/print.ts";

interface Part {
  readonly name: string;
  /** arguments of Node */
  readonly run: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** lines of its output that go into the table */
  readonly figures: RegExp;
}

const PARTS: readonly Part[] = [
  {
    name: "chaos, 200 kills",
    run: ["scripts/chaos.ts", "--kills", "200"],
    figures: /^ *[\d.]+ s +(met while: .*|\d+ kills \(.*)$/,
  },
  {
    name: "kill matrix, every cell, 100 kills or more",
    run: ["scripts/kill-matrix.ts", "--kills", "100"],
    figures: /^ *[\d.]+ s +(seed .*|\d+ rounds of \d+ cells, .*)$/,
  },
  {
    name: "scale, 10,000 files",
    run: ["scripts/scale.ts"],
    figures: /^ *[\d.]+ s +((?:planned|committed|requests:|peak|the same files|up has started|an item:|after) ?.*)$/,
  },
  { name: "idle, 10 minutes", run: ["scripts/idle.ts"], figures: /^(idle for .*)$/ },
  {
    name: "simulation, 20,000 histories",
    run: ["test/simulation/simulate.ts"],
    env: { SIM_SEEDS: "1-20000" },
    figures: /^(\d.*histories.*)$/,
  },
  {
    name: "image-gpu, built and run without a GPU",
    run: ["scripts/test-image.ts", "--gpu"],
    figures: /^ *((?:the GPU image|Tests) +.*)$/,
  },
  {
    name: "localstack, slow ones too",
    run: ["scripts/test-localstack.ts"],
    env: { ACCRETE_SLOW: "1" },
    figures: /^ *((?:Tests +|[\d.]+ s +in all).*)$/,
  },
  {
    name: "localstack, latency",
    run: ["scripts/localstack-latency.ts"],
    figures: /^(?:\| )?((?:object put|end of the quiet|SubmitJob|result|idle for).*)$/,
  },
  {
    name: "localstack chaos, 30 faults",
    run: ["scripts/localstack-chaos.ts", "--faults", "30"],
    figures: /^ *[\d.]+ s +(seed .*|\d+ dead letters.*|met: .*|\d+ faults in \d+ rounds of .*)$/,
  },
  {
    name: "slow tests",
    run: ["node_modules/vitest/vitest.mjs", "run", "--passWithNoTests", ".slow.test"],
    env: { ACCRETE_SLOW: "1" },
    figures: /^ *(Tests +.*)$/,
  },
];

const { values } = parseArgs({
  options: { only: { type: "string", multiple: true }, help: { type: "boolean", default: false } },
});
if (values.help) {
  console.log(
    `npm run full -- [--only PART]...\n\nAbout half an hour. Parts, by the beginning of their names:\n${PARTS.map(({ name }) => `  ${name}`).join("\n")}`,
  );
  process.exit(0);
}

interface Outcome {
  readonly name: string;
  readonly ok: boolean;
  readonly ms: number;
  readonly figures: readonly string[];
}

async function run({ name, run: args, env, figures }: Part): Promise<Outcome> {
  console.log(`\n== ${name}`);
  const began = performance.now();
  const child = spawn(process.execPath, args, {
    cwd: fileURLToPath(new URL("../", import.meta.url)),
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
    process.stdout.write(text);
  });
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  const found = stripVTControlCharacters(output)
    .split("\n")
    .flatMap((line) => figures.exec(line)?.[1] ?? []);
  return { name, ok: code === 0, ms: performance.now() - began, figures: found };
}

const chosen = PARTS.filter(({ name }) => values.only?.some((only) => name.startsWith(only)) ?? true);
const outcomes: Outcome[] = [];
for (const part of chosen) outcomes.push(await run(part));

console.log("\n| part | | time | figures |\n| --- | --- | --- | --- |");
for (const { name, ok, ms, figures } of outcomes)
  console.log(`| ${name} | ${ok ? "ok" : "FAILED"} | ${duration(ms)} | ${figures.join("<br>")} |`);
process.exitCode = chosen.length > 0 && outcomes.every(({ ok }) => ok) ? 0 : 1;
