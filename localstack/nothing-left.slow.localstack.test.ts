/** What a user starts is gone when it is over: `npm run localstack` after Ctrl-C, a test run that fails. All of it is told of one folder. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { until } from "../scripts/workspace.ts";
import { localstackRoot } from "./cache.ts";
import { ROOT } from "./root.ts";
import { cloudOfTests } from "./testing/cloud-of-tests.ts";
import { listenersOfProcesses, processesToldOf } from "./testing/listeners.ts";

const first = cloudOfTests();
const LONG = { timeout: 300_000 };
const START_MS_MAX = 200_000;
const SOON_MS = 15_000;

let folder: string;
let child: ChildProcess;
let said: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "accrete-nothing-left-"));
  for (const name of ["home", "tmp", "cache/accrete/localstack"]) mkdirSync(join(folder, name), { recursive: true });
  // what is installed is not installed anew: a cache of its own otherwise
  for (const name of readdirSync(localstackRoot()))
    if (name.startsWith("venv-"))
      symlinkSync(join(localstackRoot(), name), join(folder, "cache/accrete/localstack", name));
});
afterEach(() => {
  for (const { pid } of processesToldOf(folder)) process.kill(pid, "SIGKILL"); // of a test that has failed
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});

/** As a terminal does: a process group of its own, which Ctrl-C is sent to. */
function start(args: readonly string[]): Promise<unknown> {
  said = "";
  child = spawn(process.execPath, [...args], {
    cwd: ROOT,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: process.env["PATH"],
      HOME: join(folder, "home"),
      TMPDIR: join(folder, "tmp"),
      XDG_CACHE_HOME: join(folder, "cache"),
    },
  });
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding("utf8").on("data", (text: string) => (said += text));
  return once(child, "close");
}

/** Paths below a folder, sorted. */
const filesIn = (path: string): string[] => readdirSync(path, { recursive: true, encoding: "utf8" }).sort();

/** Where LocalStack, CDK and npm would write by themselves. */
const ELSEWHERE = [
  "/tmp/localstack",
  "/var/lib/localstack",
  "/etc/localstack",
  ...[".localstack", ".aws", ".cdk", ".cache/localstack", "cdk.out"].map((name) => join(homedir(), name)),
  ...["cdk.out", "cdk.context.json"].map((name) => join(ROOT, name)),
];
const elsewhere = (): string[] => ELSEWHERE.filter((path) => existsSync(path));

async function expectNothingLeft(before: readonly string[], ports: readonly string[]): Promise<void> {
  await until("the end of all processes", SOON_MS, async () =>
    processesToldOf(folder).length === 0 ? true : undefined,
  );
  for (const address of ports) await expect(fetch(`http://${address}`)).rejects.toThrow("fetch failed");
  // vitest's own token
  expect(
    filesIn(join(folder, "home")).filter((path) => !".local/share/vitest/.vitest-secret-token".startsWith(path)),
  ).toEqual([]);
  expect(filesIn(join(folder, "tmp"))).toEqual([]);
  const cache = readdirSync(join(folder, "cache/accrete/localstack"));
  expect(cache.filter((name) => !name.startsWith("venv-") && name !== "last-logs")).toEqual(["runs"]);
  expect(readdirSync(join(folder, "cache/accrete/localstack/runs"))).toEqual([]);
  expect(elsewhere()).toEqual(before);
}

it.each(["SIGINT", "SIGTERM"] as const)(
  "npm run localstack beside another one, ended by %s while it runs",
  LONG,
  async (how) => {
    const before = elsewhere();
    const closed = start(["scripts/localstack.ts"]);
    await until("its start", START_MS_MAX, async () => {
      if (child.exitCode !== null) throw new Error(said);
      return said.includes("Ctrl-C ends it.") ? true : undefined;
    });
    const exported = Object.fromEntries(
      [...said.matchAll(/^export (\w+)=(\S+)$/gm)].map(([, name, value]) => [name!, value!]),
    );
    expect(Object.keys(exported).sort()).toEqual(Object.keys(first.env).sort());
    expect(exported["AWS_ENDPOINT_URL"]).not.toBe(first.endpoint);
    const ports = listenersOfProcesses(processesToldOf(folder).map(({ pid }) => pid));
    expect(ports).toEqual(
      expect.arrayContaining(
        [exported["AWS_ENDPOINT_URL"]!, exported["AWS_ENDPOINT_URL_BATCH"]!].map((url) => new URL(url).host),
      ),
    );
    expect(ports.filter((address) => !address.startsWith("127.0.0.1:"))).toEqual([]);
    expect((await fetch(`${first.endpoint}/_localstack/health`)).ok).toBe(true);
    process.kill(-child.pid!, how);
    await closed;
    expect(child.exitCode).toBe(0);
    await expectNothingLeft(before, ports);
    expect((await fetch(`${first.endpoint}/_localstack/health`)).ok).toBe(true);
  },
);

it("npm run localstack, ended by Ctrl-C while cdk deploys", LONG, async () => {
  const before = elsewhere();
  const closed = start(["scripts/localstack.ts"]);
  await until("its deploy", START_MS_MAX, async () => {
    if (child.exitCode !== null) throw new Error(said);
    return processesToldOf(folder).some(({ command }) => / deploy --all /.test(command)) ? true : undefined;
  });
  const ports = listenersOfProcesses(processesToldOf(folder).map(({ pid }) => pid));
  process.kill(-child.pid!, "SIGINT");
  await closed;
  await expectNothingLeft(before, ports);
});

it("a test run that fails", LONG, async () => {
  const before = elsewhere();
  const project = join(folder, "project");
  mkdirSync(project);
  writeFileSync(join(project, "fails.test.js"), `it("fails", () => { throw new Error("as it has to"); });`);
  const test = {
    globals: true,
    include: ["*.test.js"],
    globalSetup: [join(ROOT, "localstack/testing/global-setup.ts")],
  };
  writeFileSync(join(project, "vitest.config.js"), `export default ${JSON.stringify({ test })};`);
  const closed = start([join(ROOT, "node_modules/vitest/vitest.mjs"), "run", "--root", project]);
  await closed;
  expect(said).toContain("as it has to");
  expect(said).toMatch(/ stop\n/);
  expect(child.exitCode).toBe(1);
  await expectNothingLeft(before, []);
});
