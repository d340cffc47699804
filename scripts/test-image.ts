/**
 * npm run test:image [-- --gpu]: builds the trainer's image, for processors or for GPUs, on the stand-in base and runs it, locked down, by the
 * tests of test/image. It starts a Docker engine where none runs, and ends that one afterwards. Where none can be started each test is skipped with the reason; with
 * ACCRETE_IMAGE_REQUIRED=1 that is a failure.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { messageOf } from "../protocol/errors.ts";
import { BASE_TAG, makeBase } from "./base-image.ts";
import { dockerEnv, startEngine, stopEngine, type Engine } from "./engine.ts";

const GPU = process.argv.includes("--gpu");
/** for vitest: names of files */
const CHOSEN = process.argv.slice(2).filter((argument) => argument !== "--gpu");
const ROOT = fileURLToPath(new URL("../", import.meta.url));
const VITEST = ["node_modules/vitest/vitest.mjs", "run", "--config", "vitest.image.config.ts"];

const OF_KIND: Readonly<Record<string, string>> = GPU ? { ACCRETE_IMAGE_GPU: "1" } : {};

const began = performance.now();
const say = (line: string): void =>
  console.log(`${((performance.now() - began) / 1_000).toFixed(1).padStart(6)} s  ${line}`);

/** @returns the exit code, and stdout if it is wanted */
async function node(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  stdout: "inherit" | "pipe" = "inherit",
): Promise<{ readonly code: number; readonly out: string }> {
  const child = spawn(process.execPath, args, {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ["ignore", stdout, "inherit"],
  });
  let out = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => (out += text));
  const [code]: (number | null)[] = await once(child, "close");
  return { code: code ?? 1, out: out.trim() };
}

/** An engine, or why there is none. */
async function engineOrFault(): Promise<Engine | string> {
  try {
    return await startEngine(say);
  } catch (error) {
    return messageOf(error);
  }
}

async function test(engine: Engine): Promise<number> {
  await makeBase(BASE_TAG, engine, say);
  say(`the base ${BASE_TAG} is there`);
  const built = await node(
    ["image/build.ts", "--base", BASE_TAG, ...(GPU ? ["--gpu"] : [])],
    dockerEnv(engine),
    "pipe",
  );
  if (built.code !== 0) return built.code;
  say(`the image ${built.out} is there`);
  const env = {
    ...dockerEnv(engine),
    ACCRETE_IMAGE: built.out,
    ACCRETE_IMAGE_BASE: BASE_TAG,
    ACCRETE_TEST_IMAGE: BASE_TAG,
    ...OF_KIND,
  };
  return (await node([...VITEST, ...CHOSEN], env)).code;
}

const engine = await engineOrFault();
if (typeof engine === "string") {
  say(engine);
  // they name it, each of them
  const { code } = await node([...VITEST, ...CHOSEN], { ACCRETE_IMAGE_FAULT: engine, ...OF_KIND });
  process.exitCode = process.env["ACCRETE_IMAGE_REQUIRED"] === "1" ? 1 : code;
} else {
  say(engine.started ? "a Docker engine was started" : "a Docker engine runs");
  // Ctrl-C reaches the tests, too: they end, and then the engine does
  process.on("SIGINT", () => {});
  try {
    process.exitCode = await test(engine);
  } catch (error) {
    console.error(messageOf(error));
    process.exitCode = 1;
  } finally {
    if (engine.started) await stopEngine();
  }
  say(engine.started ? "done; the engine was stopped" : "done");
}
