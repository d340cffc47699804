/** The Python peers: from pip into a folder of the bench, or another Python by ACCRETE_PYTHON that has them already. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const FOLDER = fileURLToPath(new URL("./.peers/", import.meta.url));
const REQUIREMENTS = fileURLToPath(new URL("./peers/requirements.txt", import.meta.url));

/** Path of the Python to run peers with; it installs them once: some 3 GB, as torch brings CUDA's libraries along. */
export function peersPython(say: (line: string) => void): string {
  const given = process.env["ACCRETE_PYTHON"];
  if (given !== undefined) return given;
  const python = join(FOLDER, "bin/python");
  const stamp = join(FOLDER, "requirements.txt");
  const wanted = readFileSync(REQUIREMENTS, "utf8");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return python;
  say("installing the Python peers (once, some minutes)");
  execFileSync("python3", ["-m", "venv", FOLDER], { stdio: "inherit" });
  execFileSync(python, ["-m", "pip", "install", "-q", "-r", REQUIREMENTS], { stdio: "inherit" });
  writeFileSync(stamp, wanted);
  return python;
}

export interface Versions {
  readonly [name: string]: string;
}

export function versionsOf(python: string): Versions {
  const script =
    "import importlib.metadata as m, json, platform; print(json.dumps({'python': platform.python_version(), **{n: m.version(n) for n in ['keras', 'tensorflow-cpu', 'torch', 'polars', 'safetensors']}}))";
  return JSON.parse(execFileSync(python, ["-c", script], { encoding: "utf8" })) as Versions;
}
