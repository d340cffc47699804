/**
 * What a user gets: the package is built, packed, installed into an empty project, and used there from plain JavaScript and from
 * TypeScript; `accrete init`, `add` and `up --once` really train with the bundled trainer, on wasm and on TensorFlow's library. That is made
 * by the package's own `accrete native` (ACCRETE_NATIVE_REQUIRED=1), or it is the one of this machine.
 */
import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findNative } from "../adapters/native-library.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const required = process.env["ACCRETE_NATIVE_REQUIRED"] === "1";
const folder = mkdtempSync(join(tmpdir(), "accrete-package-"));
let passed = 0;

/** where the package's own `accrete native` puts it; empty at first */
const ownNative = join(folder, "native");
let nativeRoot = ownNative;

function run(cwd: string, command: string, ...args: string[]): string {
  // nothing of the clone but its Node: the project has to bring the rest
  const node = join(folder, "node");
  mkdirSync(node, { recursive: true });
  if (!existsSync(join(node, "node"))) copyFileSync(process.execPath, join(node, "node"));
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("npm_") && name !== "INIT_CWD");
  const env = {
    ...Object.fromEntries(inherited),
    ACCRETE_NATIVE_DIR: nativeRoot,
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

  const inputs = (image: string): string =>
    run(
      project,
      "node",
      "-p",
      `import(${JSON.stringify(image)}).then((one) => one.imageDigest({ gpu: false })).then(console.log), ""`,
    );
  check(
    "the trainer's image has the name that a clone's has",
    inputs(join(project, "node_modules/@accrete/pipeline/dist/image/digest.js")) ===
      inputs(join(ROOT, "image/digest.ts")),
  );

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

  // aws-cdk-lib is the user's: that of the clone will do
  for (const name of ["aws-cdk-lib", "constructs"])
    symlinkSync(join(ROOT, "node_modules", name), join(project, "node_modules", name));
  writeFileSync(
    join(toy, "app.ts"),
    `import { App, Stack } from "aws-cdk-lib";
import { IncrementalTrainingPipeline, pipelineCode, trainerImage, TrainingPlatform } from "@accrete/pipeline/cdk";
const pipeline = { name: "toy", data: { prefix: "toy/", format: "csv", label: "kind" }, trainer: { model: "./model.ts", epochs: 1, batchSize: 8 } } as const;
const app = new App({ outdir: "cdk.out" });
const image = await trainerImage({ pipelines: [pipeline] });
new TrainingPlatform(new Stack(app, "Machines"), "Platform", { pipelines: [pipeline], image });
new IncrementalTrainingPipeline(new Stack(app, "Toy"), "Toy", { pipeline, code: await pipelineCode({ pipeline, folder: "toy" }), image });
app.synth();
`,
  );
  run(project, "node", "node_modules/typescript/bin/tsc", "-p", ".");
  run(project, "node", "toy/app.ts");
  check("a CDK app of one's own has its two constructs", existsSync(join(project, "cdk.out/Toy.template.json")));
  const [, builder = ""] =
    /"([^"]*image[^"]*build\.[jt]s)"/.exec(readFileSync(join(project, "cdk.out/Toy.assets.json"), "utf8")) ?? [];
  check("what builds its image is in the package", builder.endsWith("dist/image/build.js") && existsSync(builder));

  accrete("--dir", "toy", "add", "toy/sample/flowers-1.csv");
  const onWasm = accrete("--dir", "toy", "up", "--once");
  check("without TensorFlow's library it trains on wasm", onWasm.includes("backend wasm"));
  const status = JSON.parse(accrete("--dir", "toy", "--json", "status")) as {
    round: number;
    metrics: { accuracy?: number } | null;
  };
  check(
    `it has trained: round ${status.round}, accuracy ${status.metrics?.accuracy?.toFixed(3)}`,
    status.round === 1 && (status.metrics?.accuracy ?? 0) > 0.5,
  );
  accrete("--dir", "toy", "pull", "toy/model");
  check(
    "a model is pulled out of it",
    existsSync(join(project, "toy/model/model.json")) || existsSync(join(toy, "toy/model/model.json")),
  );
  accrete("--dir", "toy", "verify");
  check("and what it has stored is whole", true);

  const there = findNative();
  if (required) accrete("native", "--cpu");
  else if (there !== undefined) nativeRoot = dirname(there.folder);
  if (required || there !== undefined) {
    const tried = JSON.parse(accrete("native", "--check", "--json")) as { works: boolean; tensorflow: string }[];
    check(`TensorFlow ${tried[0]?.tensorflow}${required ? ", by its own accrete native," : ""} works`, tried[0]!.works);
    accrete("--dir", "toy", "add", "toy/sample/flowers-2.csv");
    const onNative = accrete("--dir", "toy", "up", "--once");
    check("and then it trains on that", onNative.includes("backend native"));
  } else console.log("  SKIPPED: training on TensorFlow's library, which is not on this machine (npm run native)");
  check("nothing of tfjs-node is installed", !existsSync(join(project, "node_modules/@tensorflow/tfjs-node-gpu")));
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
