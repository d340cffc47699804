/**
 * What a user gets: the package is built, packed, installed into an empty project, and used there from plain JavaScript and from
 * TypeScript; `accrete init`, `add` and `up --once` really train with the bundled trainer.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "accrete-package-"));
let passed = 0;

function run(cwd: string, command: string, ...args: string[]): string {
  // nothing of the clone but its Node: the project has to bring the rest
  const node = join(folder, "node");
  mkdirSync(node, { recursive: true });
  if (!existsSync(join(node, "node"))) copyFileSync(process.execPath, join(node, "node"));
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("npm_") && name !== "INIT_CWD");
  const env = {
    ...Object.fromEntries(inherited),
    PATH: `${node}${delimiter}${(process.env["PATH"] ?? "")
      .split(delimiter)
      .filter((entry) => !entry.includes("node_modules"))
      .join(delimiter)}`,
  };
  return execFileSync(command, args, { cwd, env, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
}

function check(what: string, holds: boolean): void {
  if (!holds) throw new Error(`not so: ${what}`);
  passed++;
  console.log(`  ${what}`);
}

try {
  execFileSync(process.execPath, [join(ROOT, "scripts/build.ts")], { stdio: "inherit" });
  const packed = JSON.parse(run(ROOT, "npm", "pack", "--json", "--pack-destination", folder)) as {
    filename: string;
    size: number;
    files: { path: string }[];
  }[];
  const { filename, size, files } = packed[0]!;
  check(
    `packs ${files.length} files, ${(size / 1e6).toFixed(1)} MB, no sources and no tests`,
    !files.some(({ path }) => /(?<!\.d)\.ts$|\.test\./.test(path)),
  );

  const project = join(folder, "project");
  mkdirSync(project);
  const typescript = (
    JSON.parse(readFileSync(join(ROOT, "node_modules/typescript/package.json"), "utf8")) as { version: string }
  ).version;
  writeFileSync(join(project, "package.json"), JSON.stringify({ private: true, type: "module" }));
  run(
    project,
    "npm",
    "install",
    "--ignore-scripts",
    "--no-audit",
    "--no-fund",
    "--loglevel=error",
    join(folder, filename),
    `typescript@${typescript}`,
  );
  const accrete = (...args: string[]): string => run(project, join(project, "node_modules/.bin/accrete"), ...args);
  const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string };
  check(`the command is there: accrete ${version}`, accrete("--version").trim() === version);

  writeFileSync(
    join(project, "plain.js"),
    'import { defineConfig, defineModel, definePipeline } from "@accrete/pipeline";\nconsole.log(typeof defineConfig, typeof defineModel, typeof definePipeline);\n',
  );
  check("plain JavaScript imports it", run(project, "node", "plain.js").trim() === "function function function");

  accrete("init", "toy");
  const toy = join(project, "toy");
  // skipLibCheck: the declarations of TensorFlow.js itself do not pass TypeScript's checks
  writeFileSync(
    join(project, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: { strict: true, module: "nodenext", noEmit: true, types: [], skipLibCheck: true },
      include: ["toy/*.ts"],
    }),
  );
  run(project, "node", "node_modules/typescript/bin/tsc", "-p", ".");
  check("its config and model are type-checked in TypeScript", true);
  writeFileSync(
    join(toy, "wrong.ts"),
    'import { defineConfig } from "@accrete/pipeline";\nexport default defineConfig({ pipelines: [{ nome: "x" }] });\n',
  );
  let refused = false;
  try {
    execFileSync("node", ["node_modules/typescript/bin/tsc", "-p", "."], { cwd: project, stdio: "ignore" });
  } catch {
    refused = true;
  }
  rmSync(join(toy, "wrong.ts"));
  check("a misspelt name is refused by the types", refused);

  accrete("--dir", "toy", "add", "toy/sample/flowers-1.csv");
  accrete("--dir", "toy", "up", "--once");
  const status = JSON.parse(accrete("--dir", "toy", "--json", "status")) as {
    round: number;
    metrics: { accuracy?: number } | null;
  };
  check(
    `it has trained: round ${status.round}, accuracy ${status.metrics?.accuracy?.toFixed(3)}`,
    status.round === 1 && (status.metrics?.accuracy ?? 0) > 0.5,
  );
  accrete("--dir", "toy", "verify");
  check("and what it has stored is whole", true);
  console.log(`${passed} passed, 0 failed`);
} catch (error) {
  const { stdout } = error as { stdout?: unknown };
  console.error(
    error instanceof Error ? error.message : error,
    typeof stdout === "string" ? stdout.slice(0, 2_000) : "",
  );
  process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
