/** `node localstack/batch/main.ts --help` */
import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import * as z from "zod/mini";
import { messageOf } from "../../protocol/errors.ts";
import { printable } from "../../protocol/printable.ts";
import { dockerFault, openDockerRunner } from "./docker-runner.ts";
import { openProcessRunner } from "./process-runner.ts";
import type { Runner } from "./runner.ts";
import { openBatch } from "./server.ts";

const HELP = `usage: node localstack/batch/main.ts [options]

A small AWS Batch on 127.0.0.1. Prints its address, and ends its jobs when it is ended.

  --port N              default: one that is free
  --state FOLDER        what is known; a server that finds one goes on from there. Default: a folder that is removed at the end
  --endpoint URL        of EventBridge and CloudWatch Logs. Default: nobody is told, and logs stay in the folder
  --region NAME         default: AWS_REGION, or us-east-1
  --runner NAME         processes (the default) or docker
  --entrypoint JSON     processes: the command in the place of every image's ENTRYPOINT: '["node","trainer/main.ts"]'
  --image NAME=JSON     processes: the same of one image; may be given more than once
  --scratch FOLDER      processes: each attempt gets a folder in it, named by ACCRETE_SCRATCH
  --env NAME=VALUE      of every job; may be given more than once. AWS_* are handed on from here
  --vcpus N --memory MIB --gpus N
                        what this machine has for jobs; default: as much as is asked for
  --grace SECONDS       between SIGTERM and SIGKILL; default: 30
  --calls FILE          each call that was answered is appended to it, with the key that it was signed with: a line of JSON
  --second-ms N         how long a second of time-outs lasts, for tests; default: 1000
`;

const Command = z.array(z.string()).check(z.minLength(1));

try {
  await main();
} catch (error) {
  console.error(printable(messageOf(error)));
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const text = { type: "string" } as const;
  const texts = { type: "string", multiple: true, default: [] as string[] } as const;
  const { values } = parseArgs({
    options: {
      help: { type: "boolean" },
      port: text,
      state: text,
      endpoint: text,
      region: text,
      runner: text,
      entrypoint: text,
      image: texts,
      scratch: text,
      env: texts,
      vcpus: text,
      memory: text,
      gpus: text,
      grace: text,
      "second-ms": text,
      calls: text,
    },
  });
  if (values.help === true) {
    console.log(HELP);
    return;
  }
  const number = (name: "vcpus" | "memory" | "gpus" | "grace" | "second-ms", otherwise: number): number => {
    const value = Number(values[name] ?? otherwise);
    if (!(value >= 0)) throw new Error(`--${name}: expected a number`);
    return value;
  };
  const aws = Object.entries(process.env).flatMap(([name, value]) =>
    name.startsWith("AWS_") && value !== undefined ? [[name, value] as const] : [],
  );
  const folder = values.state ?? mkdtempSync(join(tmpdir(), "accrete-batch-"));
  const { calls } = values;
  const server = await openBatch({
    runner: await runnerOf(values),
    folder: resolve(folder),
    port: Number(values.port ?? 0),
    endpoint: values.endpoint,
    region: values.region ?? process.env["AWS_REGION"] ?? "us-east-1",
    env: { ...Object.fromEntries(aws), ...Object.fromEntries(values.env.map((one) => pairOf("--env", one))) },
    host: { vcpus: number("vcpus", Infinity), memoryMiB: number("memory", Infinity), gpus: number("gpus", Infinity) },
    graceMs: number("grace", 30) * 1_000,
    secondMs: number("second-ms", 1_000),
    ...(calls === undefined
      ? {}
      : { onCall: (call) => appendFileSync(calls, `${JSON.stringify({ ms: Date.now(), ...call })}\n`) }),
    onFault: (message) => console.error(printable(message)),
  });
  console.log(server.url);
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => {
      void server.close().then(() => {
        if (values.state === undefined) rmSync(folder, { recursive: true, force: true });
        process.exit(0);
      });
    });
}

interface RunnerValues {
  readonly runner?: string | undefined;
  readonly entrypoint?: string | undefined;
  readonly image: readonly string[];
  readonly scratch?: string | undefined;
}

async function runnerOf({ runner = "processes", entrypoint, image, scratch }: RunnerValues): Promise<Runner> {
  if (runner === "docker") {
    const fault = await dockerFault();
    if (fault !== undefined) throw new Error(fault);
    return openDockerRunner();
  }
  if (runner !== "processes") throw new Error(`--runner: ${runner}: expected processes or docker`);
  const everyImage = entrypoint === undefined ? undefined : commandOf("--entrypoint", entrypoint);
  const images = new Map(
    image.map((one) => {
      const [name, command] = pairOf("--image", one);
      return [name, commandOf("--image", command)];
    }),
  );
  return openProcessRunner({
    entrypointOf: (name) => images.get(name) ?? everyImage,
    env: process.env,
    scratch: scratch === undefined ? undefined : resolve(scratch),
  });
}

function commandOf(option: string, json: string): readonly string[] {
  try {
    return Command.parse(JSON.parse(json));
  } catch {
    throw new Error(`${option}: ${json}: expected a list as ["node","trainer/main.ts"]`);
  }
}

function pairOf(option: string, text: string): readonly [string, string] {
  const at = text.indexOf("=");
  if (at < 1) throw new Error(`${option}: ${text}: expected NAME=...`);
  return [text.slice(0, at), text.slice(at + 1)];
}
