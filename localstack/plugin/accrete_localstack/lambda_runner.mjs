// One execution environment of a Lambda, as Lambda's own Node runtime behaves. A JSON line for each call comes on standard input, one for each
// outcome goes to the pipe whose number is the argument; what is printed is the log. It ends when its input does.
import { existsSync, writeSync } from "node:fs";
import { resolve } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { format } from "node:util";

const pipe = Number(process.argv[2]);
const env = process.env;
let requestId = "undefined"; // what AWS prints while it initialises

for (const [name, level] of Object.entries({ debug: "DEBUG", log: "INFO", info: "INFO", warn: "WARN", error: "ERROR" }))
  console[name] = (...words) => {
    const text = format(...words).replaceAll("\n", "\r"); // one event of the log, not one for each line
    process.stdout.write(`${new Date().toISOString()}\t${requestId}\t${level}\t${text}\n`);
  };

function answer(outcome) {
  const bytes = Buffer.from(`${JSON.stringify(outcome)}\n`);
  for (let at = 0; at < bytes.length;) at += writeSync(pipe, bytes, at);
}

function failure(thrown, type, heading = "Invoke Error ") {
  const error = thrown instanceof Error ? thrown : { name: typeof thrown, message: String(thrown) };
  const body = {
    errorType: type ?? error.name,
    errorMessage: error.message,
    trace: String(error.stack ?? "").split("\n"),
  };
  console.error(`${heading}\t${JSON.stringify(body)}`);
  return { error: body };
}

// sync, so that the log has it before the platform reads the answer
process.on("unhandledRejection", (thrown) => {
  answer(failure(thrown, "Runtime.UnhandledPromiseRejection", "Unhandled Promise Rejection "));
  process.exit(128);
});

async function load() {
  const [, file, name] = /^(.*)\.([^.]+)$/.exec(env._HANDLER) ?? [];
  const path = [".mjs", ".js", ".cjs"].map((end) => resolve(env.LAMBDA_TASK_ROOT, `${file}${end}`)).find(existsSync);
  if (path === undefined)
    throw Object.assign(new Error(`Cannot find module '${file}'`), { type: "Runtime.ImportModuleError" });
  const module = await import(pathToFileURL(path).href);
  if (typeof module[name] !== "function")
    throw Object.assign(new Error(`${env._HANDLER} is undefined or not exported`), { type: "Runtime.HandlerNotFound" });
  return module[name];
}

let handler;
try {
  handler = await load();
} catch (error) {
  const type = error?.type ?? (error instanceof SyntaxError ? "Runtime.UserCodeSyntaxError" : undefined);
  answer(failure(error, type, "Uncaught Exception "));
  process.exit(1);
}
answer({});

async function call({ id, arn, trace, event, milliseconds }) {
  const end = Date.now() + milliseconds;
  requestId = id;
  env._X_AMZN_TRACE_ID = trace;
  const context = {
    awsRequestId: id,
    functionName: env.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
    invokedFunctionArn: arn,
    memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
    getRemainingTimeInMillis: () => Math.max(0, end - Date.now()),
  };
  try {
    return { result: (await handler(JSON.parse(event), context)) ?? null };
  } catch (error) {
    return failure(error);
  }
}

let memory = 0; // not the system's own maximum: that has LocalStack's in it, of which this process was a copy for a moment
const input = createInterface({ input: process.stdin });
input.on("line", async (line) => {
  const outcome = await call(JSON.parse(line));
  memory = Math.max(memory, process.memoryUsage.rss());
  answer({ ...outcome, memoryMb: Math.ceil(memory / 2 ** 20) });
});
input.on("close", () => process.exit(0));
