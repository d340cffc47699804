/** npm run test:localstack: skipped with a sentence where LocalStack can't be had; --offline runs it where there is no network but this machine's own. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findPython } from "../localstack/python.ts";
import { needVenv } from "../localstack/venv.ts";
import { messageOf } from "../protocol/errors.ts";
import { printable } from "../protocol/printable.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const VITEST = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");
const HELP = `npm run test:localstack [-- [--offline] ARGUMENTS OF VITEST]

The tests of the deployed stack, on a LocalStack that is started for them. Skipped where there is no Python 3.11 to 3.13, but with
ACCRETE_LOCALSTACK_REQUIRED=1. ACCRETE_SLOW=1 runs what takes minutes, too.

  --offline    in a network namespace that has only the loopback device (Linux, unshare and ip); what is missing is fetched before
`;
/** What is run has its own arguments from here: nothing of them is read by the shell. */
const LOOPBACK_ONLY = ["sh", "-c", 'ip link set lo up && exec "$@"', "sh"];

const args = process.argv.slice(2);
if (args.includes("--help")) console.log(HELP);
else process.exitCode = await main();

async function main(): Promise<number> {
  try {
    await findPython();
  } catch (error) {
    const isRequired = process.env["ACCRETE_LOCALSTACK_REQUIRED"] !== undefined;
    console.error(`${isRequired ? "" : "skipped: "}${printable(messageOf(error))}`);
    return isRequired ? 1 : 0;
  }
  const isOffline = args.includes("--offline");
  const words = args.filter((word) => word !== "--offline");
  const vitest = [process.execPath, VITEST, "run", "--config", "vitest.localstack.config.ts", ...words];
  if (!isOffline) return await run(vitest);
  await needVenv({ say: console.log });
  // without root a namespace of users has to come with that of the network
  const unshare = ["unshare", process.getuid?.() === 0 ? "-n" : "-rn"];
  return await run([...unshare, ...LOOPBACK_ONLY, ...vitest]);
}

async function run([program = "", ...rest]: readonly string[]): Promise<number> {
  const child = spawn(program, rest, { cwd: ROOT, stdio: "inherit" });
  // Ctrl-C reaches it, too: it stops the cloud, and then we end
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => child.kill(signal));
  const [code] = (await once(child, "exit")) as [number | null];
  return code ?? 1;
}
