/**
 * The trainer's process. The environment names the plan (ACCRETE_PLAN), the state and data stores (ACCRETE_STATE, ACCRETE_DATA: file: or
 * s3: URLs, with the buckets' accounts in ACCRETE_ACCOUNT, ACCRETE_DATA_ACCOUNT) and the attempt. SIGTERM is listened to before anything that takes time is loaded.
 */
import { mkdtempSync, rmSync } from "node:fs";
import type { PlaceAt } from "../adapters/open-place.ts";
import type { Backend } from "../protocol/backend.ts";

let stopAsked = false;
let unsaved = false;
let scratch: string | undefined;
process.on("SIGTERM", () => {
  stopAsked = true;
  if (unsaved) return;
  process.exit(75); // EXIT.interrupted: with nothing to save, however long the data takes to be read, this is the end
});
// after the reader, which ends on exit before this, for it writes there too
process.on("exit", () => {
  try {
    if (scratch !== undefined) rmSync(scratch, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
  } catch {
    // the exit code says more than a folder that is left
  }
});
process.on("SIGINT", () => {}); // Ctrl-C in the terminal of `accrete up` is its affair: it ends jobs by SIGTERM

const [{ rm, statfs }, { tmpdir, totalmem }, { join }, { randomBytes }] = await Promise.all([
  import("node:fs/promises"),
  import("node:os"),
  import("node:path"),
  import("node:crypto"),
]);
const { usableProcessors } = await import("../adapters/cgroup.ts");
const { countRequests, requestsText } = await import("../adapters/counted-store.ts");
const { openItems, openStore, placeFault } = await import("../adapters/open-place.ts");
const { checkNative } = await import("../adapters/native-check.ts");
const { unopenedLibraries } = await import("../adapters/native-gpu.ts");
const { findNative } = await import("../adapters/native-library.ts");
const { readNvidiaGpu } = await import("../adapters/nvidia-smi.ts");
const { version } = await import("../adapters/version.ts");
const { errorCode, fileError } = await import("../adapters/file-errors.ts");
const { BACKENDS, isBackend } = await import("../protocol/backend.ts");
const { AccreteError, EXIT, messageOf } = await import("../protocol/errors.ts");
const { isPlanKey } = await import("../protocol/keys.ts");
const { printable } = await import("../protocol/printable.ts");
const { aboutMachine } = await import("./about-machine.ts");
const { exitCodeOf, recordFailure } = await import("./failure.ts");
const { readPlan, runTrainer } = await import("./run.ts");
const { startWatchdog } = await import("./watchdog.ts");
const { SaveThread } = await import("./save-thread.ts");

function wrongUsage(name: string, expected: string): never {
  const value = process.env[name];
  console.error(`${name} has to be ${expected}${value === undefined ? "" : `, not ${printable(value)}`}`);
  return process.exit(EXIT.usage);
}

function placeOf(name: string, accountName: string): PlaceAt {
  const at = { url: process.env[name] ?? "", account: process.env[accountName] };
  const fault = placeFault(at);
  return fault === undefined ? at : wrongUsage(fault.in === "url" ? name : accountName, fault.expected);
}

function countOf(name: string, otherwise = 1): number {
  const value = process.env[name] ?? String(otherwise);
  return /^\d{1,10}$/.test(value) ? Number(value) : wrongUsage(name, "a whole number");
}

/** More than any machine has: TensorFlow would start them all. */
const THREADS_MAX = 1_024;

/** Of one of TensorFlow's operations: the bits depend on it. A job of Batch is told its vCPUs: on EC2 they are no quota, only a share. */
function threads(): number {
  const count = countOf("ACCRETE_THREADS", usableProcessors());
  return count >= 1 && count <= THREADS_MAX ? count : wrongUsage("ACCRETE_THREADS", `from 1 to ${THREADS_MAX}`);
}

function backend(): Backend | undefined {
  const value = process.env["ACCRETE_BACKEND"];
  if (value === undefined || isBackend(value)) return value;
  return wrongUsage("ACCRETE_BACKEND", `one of ${BACKENDS.join(", ")}`);
}

/** What TensorFlow says of a GPU that it does not see, tried in a process of its own. */
async function saysWhy(addon: string): Promise<string> {
  const check = await checkNative({ addon, gpu: true });
  return check.works ? (check.whyNoGpu ?? "TensorFlow saw none, but does now") : check.problem;
}

/** Of the container, else of the machine. Without a limit the kernel's word for none is a number, too. */
function memoryBytes(): number {
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}

/** A folder that is mounted into a container belongs to whom it does outside. */
function scratchError(thrown: unknown): unknown {
  if (!["EACCES", "EPERM", "EROFS", "ENOENT", "ENOTDIR"].includes(errorCode(thrown) ?? "")) return thrown;
  const who = process.getuid === undefined ? "" : ` (user ${process.getuid()})`;
  const message = `the trainer${who} can't make a folder in its scratch folder: ${messageOf(thrown)}`;
  return new AccreteError("SCRATCH_NOT_WRITABLE", message, { cause: thrown });
}

async function freeBytes(folder: string): Promise<number | undefined> {
  return statfs(folder).then(
    ({ bavail, bsize }) => bavail * bsize,
    () => undefined,
  );
}

const say = (line: string): void => console.log(printable(line));

async function main(): Promise<number> {
  const planKey = process.env["ACCRETE_PLAN"] ?? "";
  if (!isPlanKey(planKey)) wrongUsage("ACCRETE_PLAN", "the key of a plan");
  const [attempt, retry] = [countOf("ACCRETE_ATTEMPT"), countOf("AWS_BATCH_JOB_ATTEMPT")];
  const native = findNative();
  const computing = {
    addon: native?.addon ?? null,
    gpu: native?.gpu ?? false,
    threads: threads(),
    backend: backend(),
  };
  const gpus = countOf("ACCRETE_GPUS", 0);
  const hangLeastMs = countOf("ACCRETE_HANG_MS", 0); // for tests: 0 is what it is elsewhere
  const state = placeOf("ACCRETE_STATE", "ACCRETE_ACCOUNT");
  const data = { ...placeOf("ACCRETE_DATA", "ACCRETE_DATA_ACCOUNT"), region: process.env["ACCRETE_DATA_REGION"] };
  const { store, requests } = countRequests(await openStore(state));
  const items = await openItems(data);
  const scratchRoot = process.env["ACCRETE_SCRATCH"] ?? tmpdir();
  const { plan, sha256 } = await readPlan(store, planKey);
  const at = { round: plan.round, attempt };
  try {
    scratch = mkdtempSync(join(scratchRoot, "accrete-")); // at once: a signal in between would leave the folder
  } catch (thrown) {
    const error = scratchError(thrown);
    await recordFailure(store, at, error);
    throw error;
  }
  const usesNative = native !== undefined && (computing.backend ?? "native") === "native";
  const facts = {
    version: version(),
    node: process.version,
    backend: usesNative ? `TensorFlow ${native.tensorflow} native` : `TensorFlow.js on ${computing.backend ?? "wasm"}`,
    threads: usesNative ? computing.threads : 1,
    memoryBytes: memoryBytes(),
    scratchFreeBytes: await freeBytes(scratchRoot),
    scratch: scratchRoot,
  };
  const writer = new SaveThread({ state, folder: join(scratch, "save") });
  try {
    try {
      const run = randomBytes(8).toString("hex");
      return await runTrainer(
        {
          store,
          items,
          attempt,
          retry,
          run,
          scratch,
          say,
          stopAsked: () => stopAsked,
          unsaved: (is) => void (unsaved = is),
          nowMs: () => performance.now(),
          ...computing,
          watchdog: startWatchdog(say),
          hangLeastMs: hangLeastMs === 0 ? undefined : hangLeastMs,
          readGpu: readNvidiaGpu,
          aboutMachine: () => aboutMachine({ ...facts, gpu: usesNative && native.gpu ? readNvidiaGpu() : undefined }),
          promised: gpus === 0 ? undefined : { count: gpus, unopened: unopenedLibraries, saysWhy },
          writer,
        },
        plan,
        sha256,
      );
    } catch (error) {
      await recordFailure(store, at, error);
      throw error;
    }
  } finally {
    await writer.close();
    await rm(scratch, { recursive: true, force: true });
    const [own, saves] = [requests(), writer.requests];
    if (process.env["ACCRETE_DEBUG"] !== undefined)
      say(requestsText({ writes: own.writes + saves.writes, reads: own.reads + saves.reads }));
  }
}

try {
  process.exitCode = await main();
} catch (thrown) {
  const error = fileError(thrown, "the trainer's own files", scratch);
  process.exitCode = exitCodeOf(error);
  if (error instanceof AccreteError)
    console.error(printable(`${error.code}: ${error.message}`), `\nwhat to do: ${error.advice}`);
  else console.error(error);
}
process.exit();
