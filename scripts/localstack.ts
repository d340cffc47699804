/** npm run localstack: the whole stack on this machine, until Ctrl-C. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { parseArgs, styleText } from "node:util";
import { startCloud, type Cloud } from "../localstack/cloud.ts";
import { deploy, DEMO, type Deployed } from "../localstack/deploy.ts";
import { Phases } from "../localstack/phases.ts";
import { messageOf } from "../protocol/errors.ts";
import { printable } from "../protocol/printable.ts";
import { allDigits, idxFile } from "./digits.ts";

const FUNCTIONS = ["intake", "ledger"];

const HELP = `npm run localstack [-- OPTIONS]

Starts an AWS on this machine (LocalStack, and a small AWS Batch whose jobs are processes), deploys the stacks of an accrete.config.ts there by
CDK as on AWS, and prints how to use it. Needs Python 3.11 to 3.13; no account, no token, no Docker. Ctrl-C ends all that it has started.
The first time 60 MB are fetched into the user's cache folder; afterwards nothing is.

  --config PATH     an accrete.config.ts, or its folder; default: ${shown(DEMO)}, handwritten digits
  --endpoint URL    of a LocalStack of your own: deploys there, and starts only what it lacks
  --batch URL       where that LocalStack was told that AWS Batch is (AWS_ENDPOINT_URL_BATCH); started there if nobody answers
  --inspect NAME    ${FUNCTIONS.join(" or ")}: that function's process waits for a debugger on 127.0.0.1:9229, and has no time-out
  --keep            goes on after a deploy that failed, so that it can be looked at; else everything is ended
  --help
`;

const { values } = parseArgs({
  options: {
    config: { type: "string", default: DEMO },
    endpoint: { type: "string" },
    batch: { type: "string" },
    inspect: { type: "string" },
    keep: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
if (values.help) console.log(HELP);
else process.exitCode = await main();

async function main(): Promise<number> {
  const ended = new AbortController();
  const end = new Promise<void>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
      process.on(signal, () => {
        ended.abort();
        resolve();
      });
  });
  const phases = new Phases();
  let cloud: Cloud | undefined;
  try {
    const { endpoint, batch, inspect } = values;
    if (inspect !== undefined && !FUNCTIONS.includes(inspect))
      throw new Error(`--inspect ${inspect}: expected ${FUNCTIONS.join(" or ")}`);
    if (inspect !== undefined && endpoint !== undefined)
      throw new Error("--inspect is for the LocalStack that is started here: start yours with ACCRETE_LAMBDA_INSPECT");
    cloud = await startCloud({ phases, endpoint, batch, inspect, signal: ended.signal });
    const deployed = await tryDeploy(cloud, phases, ended.signal);
    if (deployed !== undefined) report(cloud, deployed);
    phases.total("in all");
    console.log(styleText("bold", "\nCtrl-C ends it."));
    await end;
    return 0;
  } catch (error) {
    if (ended.signal.aborted) return 0;
    console.error(printable(messageOf(error)));
    return 1;
  } finally {
    if (cloud !== undefined) await phases.time("stop", cloud.stop);
  }
}

async function tryDeploy(cloud: Cloud, phases: Phases, signal: AbortSignal): Promise<Deployed | undefined> {
  try {
    return await deploy({ cloud, phases, config: values.config, signal });
  } catch (error) {
    if (!values.keep || signal.aborted) throw error;
    console.error(printable(messageOf(error)));
    return undefined;
  }
}

function report(cloud: Cloud, { pipelines }: Deployed): void {
  const lines = [`endpoint ${cloud.endpoint}, AWS Batch ${cloud.batch}, logs in ${join(cloud.folder, "logs")}`, ""];
  for (const [name, value] of Object.entries(cloud.env)) lines.push(`export ${name}=${value}`);
  const isDemo = values.config === DEMO;
  const file = isDemo ? writeDigits(join(cloud.folder, "digits")) : "FILE";
  if (values.inspect !== undefined)
    lines.push(
      "",
      `at its first call the ${values.inspect} waits for a debugger: node inspect 127.0.0.1:9229, chrome://inspect, or attach with an editor;`,
      "where that port is taken, localstack.log in that folder says which one it is",
    );
  for (const { stack, prefix } of pipelines) {
    const accrete = `npm run -s accrete -- --dir ${shown(values.config)} --stack ${stack.name}`;
    const put = `aws s3 cp ${file} ${stack.outputs.DataUrl}/${prefix}`;
    const next = [
      `${put}    # or any S3 client, or:`,
      `${accrete} add ${file}`,
      `${accrete} status --follow`,
      `${accrete} log`,
    ];
    lines.push("", `${stack.name}: with these exported, in another terminal`, ...next.map((line) => `  ${line}`));
  }
  console.log(`\n${lines.join("\n")}\n`);
}

/** Three deliveries, as in `npm run demo`. @returns the first */
function writeDigits(folder: string): string {
  mkdirSync(folder);
  const digits = allDigits();
  const names = [500, 3_000, 10_000].map((to, i, ends) => {
    const name = join(folder, `digits-${i + 1}.idx`);
    writeFileSync(name, idxFile(digits.slice(ends[i - 1] ?? 0, to)));
    return name;
  });
  return names[0]!;
}

function shown(path: string): string {
  return relative(process.cwd(), path) || ".";
}
