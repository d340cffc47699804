/**
 * The trainer's process. The environment names the plan (ACCRETE_PLAN), the state and data stores (ACCRETE_STATE, ACCRETE_DATA: file:
 * URLs) and the attempt. SIGTERM is listened to before anything that takes time is loaded.
 */
let stopAsked = false;
let training = false;
process.on("SIGTERM", () => {
  stopAsked = true;
  if (!training) process.exit(143); // nothing to save yet
});
process.on("SIGINT", () => {}); // Ctrl-C in the terminal of `accrete up` is its affair: it ends jobs by SIGTERM

const [{ mkdtemp, rm }, { tmpdir }, { join }, { fileURLToPath }, { randomBytes }] = await Promise.all([
  import("node:fs/promises"),
  import("node:os"),
  import("node:path"),
  import("node:url"),
  import("node:crypto"),
]);
const { openDirectoryStore } = await import("../adapters/directory-store.ts");
const { openDirectoryItems } = await import("../adapters/directory-items.ts");
const { AccreteError, EXIT } = await import("../protocol/errors.ts");
const { printable } = await import("../protocol/printable.ts");
const { exitCodeOf, recordFailure } = await import("./failure.ts");
const { readPlan, runTrainer } = await import("./run.ts");

function folderOf(name: string): string {
  const value = process.env[name];
  if (value?.startsWith("file:")) return fileURLToPath(value);
  console.error(`${name} has to be a file: URL${value === undefined ? "" : `, not ${printable(value)}`}`);
  return process.exit(EXIT.usage);
}

const say = (line: string): void => console.log(printable(line));

async function main(): Promise<number> {
  const planKey = process.env["ACCRETE_PLAN"] ?? "";
  const attempt = Number(process.env["ACCRETE_ATTEMPT"] ?? "1");
  const retry = Number(process.env["AWS_BATCH_JOB_ATTEMPT"] ?? "1");
  const store = openDirectoryStore(folderOf("ACCRETE_STATE"));
  const items = openDirectoryItems(folderOf("ACCRETE_DATA"));
  const scratch = await mkdtemp(join(process.env["ACCRETE_SCRATCH"] ?? tmpdir(), "accrete-"));
  try {
    const { plan, sha256 } = await readPlan(store, planKey);
    training = true;
    try {
      const run = randomBytes(8).toString("hex");
      return await runTrainer({ store, items, planKey, attempt, retry, run, scratch, say, stopAsked: () => stopAsked, nowMs: () => performance.now() }, plan, sha256);
    } catch (error) {
      await recordFailure(store, { round: plan.round, attempt }, error);
      throw error;
    }
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  process.exitCode = exitCodeOf(error);
  if (error instanceof AccreteError) console.error(printable(`${error.code}: ${error.message}`), `\nwhat to do: ${error.advice}`);
  else console.error(error);
}
process.exit();
