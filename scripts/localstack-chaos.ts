/**
 * node scripts/localstack-chaos.ts: rounds of real digits on the deployed stack, while functions, trainers, hosts and the Batch server are killed and
 * calls go wrong. At the end each round's checkpoint is that of an undisturbed run on a directory, each item was consumed once,
 * `verify` is clean, and there is no dead letter without an alarm.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { listInbox, readCommitted, readEntry, readHead } from "../ledger/read.ts";
import { startCloud, type Cloud } from "../localstack/cloud.ts";
import { deploy } from "../localstack/deploy.ts";
import type { Endpoints } from "../localstack/environment.ts";
import { openFaultProxy, type FaultProxy } from "../localstack/faults/proxy.ts";
import { Phases } from "../localstack/phases.ts";
import { ROOT } from "../localstack/root.ts";
import { itemId } from "../protocol/digest.ts";
import { messageOf } from "../protocol/errors.ts";
import { Random } from "../test/simulation/random.ts";
import { changed, digestsOf, FILES_A_ROUND, undisturbed } from "./localstack-chaos-data.ts";
import { Chaos } from "./localstack-chaos-run.ts";
import { DigitsWorkspace } from "./workspace.ts";

const { values } = parseArgs({
  options: {
    faults: { type: "string", default: "30" },
    rounds: { type: "string", default: "4" },
    seed: { type: "string", default: String(1 + Math.floor(Math.random() * 999_999)) },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(
    "node scripts/localstack-chaos.ts [--faults 30] [--rounds 4] [--seed N]\n\nThe seed gives the order of the faults and their moments; what a moment meets depends on the machine. There are more rounds if the faults need them.",
  );
  process.exit(0);
}
const COUNT = Number(values.faults);
const ROUNDS = Number(values.rounds);
/** What found nothing to hit in the last round gets others. */
const ROUNDS_MAX = 3 * ROUNDS;
const random = new Random(Number(values.seed));
const phases = new Phases();
const began = performance.now();
const say = (text: string): void =>
  console.log(`${((performance.now() - began) / 1_000).toFixed(1).padStart(6)} s  ${text}`);

async function verify(cloud: Cloud, config: string, stack: string): Promise<string | undefined> {
  const args = [join(ROOT, "cli/main.ts"), "--dir", config, "--stack", stack, "verify"];
  const child = spawn(process.execPath, args, {
    env: { ...process.env, ...cloud.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (said += text));
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  return code === 0 ? undefined : said;
}

/** What is not as it has to be. */
async function faultsOf(chaos: Chaos, rounds: number, expected: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  const consumed: string[] = [];
  const { head } = await readHead(chaos.store);
  if (head.seq !== rounds) found.push(`${head.seq} entries: ${rounds} were expected`);
  for (let seq = 1; seq <= head.seq; seq++) {
    const { document: entry } = await readEntry(chaos.store, seq);
    if (entry.kind !== "round") found.push(`entry ${seq} is a ${entry.kind}`);
    else consumed.push(...(await readCommitted(chaos.store, entry)).plan.items.map(itemId));
  }
  const [items, different] = [rounds * FILES_A_ROUND, new Set(consumed).size];
  if (consumed.length !== items || different !== items)
    found.push(`${consumed.length} items were consumed, ${different} of them different: ${items} were put there`);
  for (const [i, digest] of (await digestsOf(chaos.store)).entries())
    if (digest !== expected[i])
      found.push(`round ${i + 1}: weights, optimizer and position are ${digest}, undisturbed they are ${expected[i]}`);
  const { depth, alarm } = await chaos.deadLetters();
  if (alarm === undefined) found.push("no alarm looks at the dead letters");
  if (depth > 0 && alarm !== "ALARM") found.push(`${depth} dead letters, and the alarm says ${alarm}`);
  say(`${depth} dead letters, the alarm on them says ${alarm}`);
  const { segments } = await listInbox(chaos.store);
  if (segments.length > 1) found.push(`${segments.length} segments are in the inbox still`); // an event that came twice
  return found;
}

async function main(folder: string): Promise<string[]> {
  const workspace = new DigitsWorkspace(folder, changed);
  let proxy: FaultProxy | undefined;
  const between = async (servers: Endpoints): Promise<FaultProxy> => (proxy = await openFaultProxy(servers));
  const cloud = await startCloud({ phases, graceSeconds: 5, between });
  try {
    const { pipelines } = await deploy({ cloud, phases, config: folder });
    if (proxy === undefined || pipelines[0] === undefined) throw new Error("there is a proxy and a pipeline");
    const chaos = new Chaos({
      cloud,
      proxy,
      pipeline: pipelines[0],
      random,
      faults: COUNT,
      rounds: ROUNDS,
      say,
    });
    await chaos.prepare();
    say(`seed ${values.seed}: ${COUNT} faults in ${ROUNDS} rounds`);
    let round = 0;
    while (round < ROUNDS || (chaos.left > 0 && round < ROUNDS_MAX)) await chaos.round(++round);
    say(`${chaos.hits} faults in ${round} rounds; now the same rounds undisturbed`);
    const expected = await undisturbed(workspace, round);
    const found = await faultsOf(chaos, round, expected);
    const problems = await verify(cloud, folder, pipelines[0].stack.name);
    if (problems !== undefined) found.push(`accrete verify: ${problems}`);
    if (chaos.left > 0) found.push(`${chaos.left} faults have hit nothing in ${round} rounds`);
    say(`met: ${[...chaos.met].map(([what, times]) => `${what} ${times}`).join(", ")}`);
    say(
      `${chaos.hits} faults in ${round} rounds of ${FILES_A_ROUND} items: ${found.length === 0 ? "the same weights in each round, each item once, verify clean" : "FAILED"}`,
    );
    chaos.close();
    return found;
  } catch (error) {
    return [messageOf(error)];
  } finally {
    await cloud.stop();
  }
}

const folder = mkdtempSync(join(tmpdir(), "accrete-localstack-chaos-"));
const found = await main(folder);
for (const fault of found) console.error(`FAILED: ${fault} (seed ${values.seed})`);
rmSync(folder, { recursive: true, force: true });
process.exitCode = found.length === 0 ? 0 : 1;
