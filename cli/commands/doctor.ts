import { access, constants, stat, statfs } from "node:fs/promises";
import { availableParallelism, homedir, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { Command } from "commander";
import { AccreteError, messageOf } from "../../protocol/errors.ts";
import { noticeBody } from "../../protocol/notices.ts";
import { printable } from "../../protocol/printable.ts";
import { openDoctorOf } from "../compose.ts";
import { noticeChannels, openWorkspace, type Workspace } from "../compose-local.ts";
import type { GlobalOptions } from "../pipeline.ts";
import { userFolder } from "../user-folder.ts";
import { bytes, count } from "../print.ts";
import { backendChecks } from "./doctor-backend.ts";
import { outputOf, type Check } from "./doctor-check.ts";
import { printNotification, stackChecks } from "./doctor-stack.ts";
import { line, printJson, style } from "../terminal.ts";

const NODE_MAJOR = 24;
const DISK_MIN_BYTES = 1e9;

export function doctorCommand(): Command {
  return new Command("doctor")
    .summary("what this machine can do, and what to do about what is missing")
    .description(
      "Looks at Node, TensorFlow, GPU, Docker, AWS credentials (names only), the config, disk space and folders. With --stack it asks AWS instead: who you are, the stack, its config and image, the quotas for its machines, whether the data bucket tells of what comes. Nothing is changed and nothing is sent anywhere, but by --notify. Exit code 1 only if what is needed to train on this machine is missing, or if a test notice is not taken.",
    )
    .option("--notify", "send a test notice by each webhook and command of the config, and say what came back")
    .option(
      "--print-notification",
      "with --stack: print the command that switches a data bucket's events on, and nothing else",
    )
    .addHelpText(
      "after",
      "\nExamples:\n  $ accrete doctor\n  $ accrete doctor --json\n  $ accrete doctor --notify\n  $ accrete doctor --stack accrete-prod-digits",
    )
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<DoctorOptions>();
      if (options.stack !== undefined) return doctorStack(options, options.stack);
      if (options.printNotification === true)
        throw new AccreteError("USAGE", "--print-notification is about a stack's data bucket: name it with --stack");
      const workspace = await openWorkspace(options).catch((error: unknown) =>
        error instanceof Error ? error : new Error(String(error)),
      );
      const folder = workspace instanceof Error ? userFolder(process.env) : workspace.folder;
      const checks = await Promise.all([
        node(),
        ...backendChecks(process.env),
        docker(),
        aws(),
        config(workspace),
        ...foldersOf(workspace).map(writable),
        disk(folder),
        ...notices(workspace, options.notify === true),
      ]);
      sayChecks(checks, options);
    });
}

interface DoctorOptions extends GlobalOptions {
  readonly notify?: boolean;
  readonly printNotification?: boolean;
}

async function doctorStack(options: DoctorOptions, stack: string): Promise<void> {
  if (options.notify === true)
    throw new AccreteError("USAGE", "--notify is about webhooks and commands of this machine: a stack tells by SNS");
  const doctor = await openDoctorOf(options, stack);
  if (options.printNotification === true) return line(await printNotification(doctor));
  sayChecks(await stackChecks(doctor), options);
}

function sayChecks(checks: readonly Check[], { json }: GlobalOptions): void {
  if (json === true) printJson(checks);
  else for (const check of checks) line(textOf(check));
  if (checks.some(({ state, needed }) => state === "missing" && needed === true)) process.exitCode = 1;
}

function textOf({ name, state, found, advice }: Check): string {
  const mark = { ok: style("green", "ok     "), missing: style("yellow", "missing"), info: style("dim", "info   ") }[
    state
  ];
  return `${mark}  ${name.padEnd(16)}  ${printable(found)}${advice === undefined ? "" : `\n${" ".repeat(27)}${style("dim", `what to do: ${printable(advice)}`)}`}`;
}

async function node(): Promise<Check> {
  const major = Number(process.versions.node.split(".")[0]);
  const found = `${process.version} on ${process.platform} ${process.arch}, ${count(availableParallelism(), "core")}, ${bytes(totalmem())} of memory`;
  if (major >= NODE_MAJOR) return { name: "Node", state: "ok", found };
  return {
    name: "Node",
    state: "missing",
    found,
    needed: true,
    advice: `install Node ${NODE_MAJOR} or newer, or the npm package \`node\``,
  };
}

async function docker(): Promise<Check> {
  const found = await outputOf("docker", ["version", "--format", "{{.Client.Version}} {{.Server.Version}}"]);
  if ("text" in found) return { name: "Docker", state: "ok", found: `client and engine ${found.text}` };
  return {
    name: "Docker",
    state: "missing",
    found: `docker ${found.failed}`,
    advice: "nothing: this version does not use it",
  };
}

/** Which credentials there are, never what is in them. */
async function aws(): Promise<Check> {
  const variables = [
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
  ].filter((name) => process.env[name] !== undefined);
  const candidates = [
    process.env["AWS_SHARED_CREDENTIALS_FILE"] ?? join(homedir(), ".aws", "credentials"),
    process.env["AWS_CONFIG_FILE"] ?? join(homedir(), ".aws", "config"),
  ];
  const files: string[] = [];
  for (const path of candidates)
    if (
      await stat(path).then(
        (found) => found.isFile(),
        () => false,
      )
    )
      files.push(path);
  const found = [...variables, ...files];
  if (found.length > 0) return { name: "AWS credentials", state: "ok", found: `there is ${found.join(", ")}` };
  return {
    name: "AWS credentials",
    state: "missing",
    found: "none in the environment, none in ~/.aws",
    advice: "nothing, unless you deploy to AWS or use --stack: `aws sso login` or `aws configure`",
  };
}

async function config(workspace: Workspace | Error): Promise<Check> {
  if (workspace instanceof Error)
    return {
      name: "config",
      state: "missing",
      found: workspace.message,
      advice: "advice" in workspace && typeof workspace.advice === "string" ? workspace.advice : "run `accrete init`",
    };
  return {
    name: "config",
    state: "ok",
    found: `${workspace.file}: ${workspace.config.pipelines.map(({ name }) => name).join(", ")}`,
  };
}

/** Where notices go, and with `test` what became of one that is sent there. */
function notices(workspace: Workspace | Error, test: boolean): Promise<Check>[] {
  if (workspace instanceof Error) return [];
  return workspace.config.pipelines.flatMap((pipeline) =>
    noticeChannels(workspace, pipeline).map(async (channel): Promise<Check> => {
      const { on } = pipeline.notify;
      const found = `${pipeline.name}: ${channel.name} ${channel.where}`;
      if (!test) return { name: "notices", state: "info", found: `${found}, on ${on.join(", ")}` };
      const notice = { kind: "test", pipeline: pipeline.name, message: "a test by accrete doctor" } as const;
      const body = noticeBody(notice, new Date().toISOString());
      const sent = await channel.send({ ...notice, body });
      if (sent.outcome === "delivered") return { name: "notices", state: "ok", found: `${found} took a test notice` };
      return {
        name: "notices",
        state: "missing",
        found: `${found} did not take a test notice: ${sent.error}`,
        advice: `correct notify.${channel.name} in ${workspace.file}, or what it leads to`,
        needed: true,
      };
    }),
  );
}

function foldersOf(workspace: Workspace | Error): { name: string; path: string }[] {
  if (workspace instanceof Error) return [];
  return [
    { name: "state folder", path: workspace.stateFolder },
    { name: "data folder", path: workspace.dataFolder },
  ];
}

/** One that is not there yet has to be possible in the nearest folder above. */
async function writable({ name, path }: { name: string; path: string }): Promise<Check> {
  for (let folder = path; ; folder = dirname(folder)) {
    try {
      await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
      return { name, state: "ok", found: folder === path ? path : `${path}, made when it is needed` };
    } catch (error) {
      const missing = error instanceof Error && "code" in error && error.code === "ENOENT";
      if (!missing || folder === dirname(folder))
        return {
          name,
          state: "missing",
          found: messageOf(error),
          needed: true,
          advice: `let this user read and write ${folder}`,
        };
    }
  }
}

async function disk(folder: string): Promise<Check> {
  try {
    const { bavail, bsize } = await statfs(folder);
    const free = bavail * bsize;
    const found = `${bytes(free)} free in ${folder}`;
    if (free >= DISK_MIN_BYTES) return { name: "disk", state: "ok", found };
    return {
      name: "disk",
      state: "missing",
      found,
      advice: "free some: a checkpoint is about three times as large as the model's weights",
    };
  } catch (error) {
    return { name: "disk", state: "missing", found: messageOf(error) };
  }
}
