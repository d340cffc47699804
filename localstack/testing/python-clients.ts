/** AWS' command line and boto3, as pip installs them: how most people put objects into a bucket. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { installPackages, packagesFolder, PYTHON } from "../../scripts/pip-packages.ts";
import { withoutAws } from "../environment.ts";
import type { CloudOfTests } from "./cloud-of-tests.ts";

const REQUIREMENTS = fileURLToPath(new URL("python-clients-requirements.txt", import.meta.url));

/** @throws {Error} they can't be had */
export async function needPythonClients(): Promise<void> {
  const fault = await installPackages(REQUIREMENTS);
  if (fault !== undefined) throw new Error(fault);
}

type Cloud = Pick<CloudOfTests, "endpoint" | "env" | "folder">;

/** `aws ...`. The endpoint is named each time: version 1 does not heed AWS_ENDPOINT_URL for every service. */
export function aws({ endpoint, ...cloud }: Cloud, args: readonly string[]): Promise<void> {
  return python(cloud, ["-m", "awscli", "--endpoint-url", endpoint, ...args]);
}

/** @param program in Python @param args its sys.argv from 1 on */
export function boto3(cloud: Cloud, program: string, args: readonly string[]): Promise<void> {
  return python(cloud, ["-c", program, ...args]);
}

/** @throws {Error} with what it said */
async function python({ env, folder }: Omit<Cloud, "endpoint">, args: readonly string[]): Promise<void> {
  const child = spawn(PYTHON, args, {
    env: {
      ...withoutAws(process.env),
      ...env,
      HOME: folder, // the command line keeps a cache there
      PYTHONPATH: packagesFolder(REQUIREMENTS),
      PYTHONNOUSERSITE: "1",
      PYTHONDONTWRITEBYTECODE: "1",
      PYTHONUTF8: "1", // names of files, whatever the locale
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (said = (said + text).slice(-4_000)));
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`${args[1]}: ${said}`);
}
