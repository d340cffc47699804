/** The server as a program: killed, started again, ended; jobs are processes that outlive it. */
import { TerminateJobCommand, type BatchClient } from "@aws-sdk/client-batch";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";
import { identityOf, kill } from "../../adapters/process-alive.ts";
import { openAwsEndpoint, type AwsEndpoint } from "./testing/aws-endpoint.ts";
import { around, clientOf, define, makeQueue } from "./testing/batch.ts";

const MAIN = fileURLToPath(new URL("main.ts", import.meta.url));
const ENTRYPOINT = JSON.stringify([process.execPath, "-e"]);

let folder: string;
let aws: AwsEndpoint;
const started: ChildProcess[] = [];
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "accrete-batch-"));
  aws = await openAwsEndpoint();
});
afterEach(async () => {
  for (const pid of keepers()) kill(-pid, "SIGKILL");
  for (const child of started.splice(0)) await killed(child);
  await aws.close();
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});

interface Started extends ReturnType<typeof around> {
  readonly child: ChildProcess;
  readonly client: BatchClient;
  readonly url: string;
  said(): string;
}

async function start(...more: string[]): Promise<Started> {
  const options = ["--entrypoint", ENTRYPOINT, "--endpoint", aws.url, "--region", "eu-central-1", "--grace", "1"];
  const child = spawn(process.execPath, [MAIN, "--state", join(folder, "state"), ...options, ...more], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, TMPDIR: folder, AWS_ENDPOINT_URL: aws.url },
  });
  started.push(child);
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (said += text));
  await expect.poll(() => said || child.exitCode, { timeout: 20_000 }).toBeTruthy();
  const url = /^http:\/\/127\.0\.0\.1:\d+$/m.exec(said)?.[0] ?? "";
  const client = clientOf(url);
  return { child, client, url, said: () => said, ...around(client) };
}
async function startWithQueue(): Promise<Started> {
  const server = await start();
  await makeQueue(server.client);
  await define(server.client);
  return server;
}
async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}
async function exitOf(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  return child.exitCode;
}
const journal = (): string => join(folder, "state", "journal.jsonl");
/** Of the jobs that the journal has, those that may still run. */
function keepers(): number[] {
  if (!existsSync(journal())) return [];
  return [...readFileSync(journal(), "utf8").matchAll(/"process":\{"pid":(\d+)/g)].map(([, pid]) => Number(pid));
}
const attemptFiles = (name: string): number =>
  readdirSync(join(folder, "state", "attempts"), { recursive: true, encoding: "utf8" }).filter((path) =>
    path.endsWith(`/${name}`),
  ).length;
const linesOfAll = (): string[] => [...aws.lines.values()].flat();

it("goes on with what runs, after it was killed, and knows how it ended", async () => {
  const first = await startWithQueue();
  const told = `process.on("SIGTERM", () => process.exit(75)); console.log("there"); setInterval(() => {}, 1000);`;
  const untilFile = (name: string): string =>
    `console.log("there"); setInterval(() => require("fs").existsSync(${JSON.stringify(join(folder, name))}) && (console.log("done"), process.exit(3)), 20)`;
  const ids = [
    await first.submit(told),
    await first.submit(untilFile("later")),
    await first.submit(untilFile("meanwhile")),
  ];
  const waiting = await first.submit("console.log('waited')", {
    containerOverrides: { resourceRequirements: [{ type: "VCPU", value: "2" }] },
  });
  for (const id of ids) await first.job(id, ({ status }) => status === "RUNNING");
  // noted, too: a line that was sent just before a kill may be sent again
  await expect.poll(() => attemptFiles("log.txt.sent"), { timeout: 20_000 }).toBe(3);
  expect(linesOfAll()).toEqual(["there", "there", "there"]);
  await killed(first.child);
  appendFileSync(join(folder, "meanwhile"), "");
  await expect.poll(() => attemptFiles("exit.json"), { timeout: 20_000 }).toBe(1);

  const second = await start();
  const [stopped = "", later = "", meanwhile = ""] = ids;
  expect(await second.ended(meanwhile)).toMatchObject({ status: "FAILED", attempts: [{ container: { exitCode: 3 } }] });
  expect(await second.job(later)).toMatchObject({ status: "RUNNING" });
  appendFileSync(join(folder, "later"), "");
  expect(await second.ended(later)).toMatchObject({ status: "FAILED", attempts: [{ container: { exitCode: 3 } }] });
  await second.client.send(new TerminateJobCommand({ jobId: stopped, reason: "enough" }));
  expect(await second.ended(stopped)).toMatchObject({
    statusReason: "enough",
    attempts: [{ container: { exitCode: 75 } }],
  });
  expect((await second.ended(waiting)).status).toBe("SUCCEEDED");
  // each line once, whichever server sent it
  await expect
    .poll(() => linesOfAll().sort(), { timeout: 20_000 })
    .toEqual(["done", "done", "there", "there", "there", "waited"]);
  expect(second.said()).toBe(`${second.url}\n`);
});

it("takes the machine for lost, where a job is gone and nobody knows how", async () => {
  const first = await startWithQueue();
  const script = `if (process.env.AWS_BATCH_JOB_ATTEMPT === "1") setInterval(() => {}, 1000)`;
  const id = await first.submit(script, { retryStrategy: { attempts: 2 } });
  await first.job(id, ({ status }) => status === "RUNNING");
  await killed(first.child);
  const [pid = 0] = keepers();
  kill(-pid, "SIGKILL");
  // what was being written when it was killed
  appendFileSync(journal(), '["jobs","half');
  const second = await start();
  const job = await second.ended(id);
  expect(job.status).toBe("SUCCEEDED");
  expect(job.attempts?.map(({ container, statusReason }) => [container?.exitCode, statusReason])).toEqual([
    [undefined, expect.stringMatching(/^Host EC2 \(instance i-[0-9a-f]{17}\) terminated\.$/)],
    [0, "Essential container in task exited"],
  ]);
});

it("leaves no process when it is ended, and lets no second one have its folder", async () => {
  const first = await startWithQueue();
  const id = await first.submit("setInterval(() => {}, 1000)");
  await first.job(id, ({ status }) => status === "RUNNING");
  const second = await start();
  expect(await exitOf(second.child)).toBe(1);
  expect(second.said()).toMatch(/another server has it$/m);
  const [pid = 0] = keepers();
  expect(await identityOf(pid)).toBeDefined();
  first.child.kill("SIGINT");
  expect(await exitOf(first.child)).toBe(0);
  expect(await identityOf(pid)).toBeUndefined();
});

it("does nothing while nothing runs", { timeout: 90_000 }, async () => {
  const server = await startWithQueue();
  await server.ended(await server.submit("console.log('there')"));
  server.client.destroy();
  const ticks = (): number => {
    const stat = readFileSync(`/proc/${server.child.pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return Number(fields[11]) + Number(fields[12]);
  };
  await sleep(2_000);
  const before = ticks();
  await sleep(3_000);
  // of 300 of one processor
  expect(ticks() - before).toBeLessThanOrEqual(3);
});

it.each([
  [["--runner", "vm"], /--runner: vm: expected processes or docker/],
  [["--entrypoint", "node"], /--entrypoint: node: expected a list/],
  [["--env", "A"], /--env: A: expected NAME=/],
  [["--vcpus", "two"], /--vcpus: expected a number/],
  [["--none"], /Unknown option '--none'/],
])("says what it can't be told: %j", async (words, message) => {
  const { child, said } = await start(...words);
  expect(await exitOf(child)).toBe(1);
  expect(said()).toMatch(message);
  expect(said()).not.toContain("    at ");
});

it("says what it can be told", async () => {
  const { said, child } = await start("--help");
  expect(await exitOf(child)).toBe(0);
  expect(said()).toMatch(/^usage: /);
  expect(said()).toContain(`--scratch FOLDER`);
});
