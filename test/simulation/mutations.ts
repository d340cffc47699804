/**
 * Rules of the protocol, each broken on purpose in one place of the sources. The simulation has to catch every one: so it
 * looks at what it says it looks at. `profile` makes the histories such that the rule matters often.
 */
import { fileURLToPath } from "node:url";
import { readFile } from "node:fs/promises";
import { build } from "esbuild";
import type { Profile, UnderTest } from "./world.ts";

export interface Mutation {
  readonly name: string;
  readonly breaks: string;
  readonly file: string;
  /** stands there exactly once */
  readonly find: string;
  readonly replace: string;
  readonly profile?: Partial<Profile>;
}

const CALM_GATE = { refuse: 0, poison: 0 } as const;
const COMMANDS = { ...CALM_GATE, commands: 0.04, onFail: "hold" } as const;
const REFUSALS = { refuse: 0.6, poison: 0.3, onFail: "rollback", schedules: 0.02, commands: 0.02 } as const;
const FAILURES = { failureRate: 0.5, jobFaults: 0.04, commands: 0.05, attempts: 2 } as const;
const RETRIES = {
  failureRate: 0.8,
  deliveries: 0.01,
  jobFaults: 0,
  faults: 0,
  attempts: 1,
  commands: 0.1,
  commandKinds: ["retry"],
} as const;
const SLEEPY = {
  ...CALM_GATE,
  sweeps: 0,
  silent: 0,
  schedules: 0,
  janitors: 0,
  items: 8,
  faults: 0,
  jobFaults: 0,
  failureRate: 0,
  sleeps: 0.04,
  deliveries: 0.1,
  maxItems: 2,
  savesHalf: false,
} as const;
/** a round that went live only for a while is the parent of a refused one */
const PROMOTED: Partial<Profile> = {
  refuse: 0.5,
  bad: 0,
  poison: 0,
  onFail: "rollback",
  keepRounds: 1,
  commands: 0.03,
  commandKinds: ["promote"],
  schedules: 0,
  janitors: 0,
  items: 8,
  maxItems: 1,
  minItems: 1,
  minInterval: 0,
  deliveries: 0.04,
  steps: 900,
  sleeps: 0,
  faults: 0,
  jobFaults: 0,
  failureRate: 0,
  savesHalf: false,
  attempts: 3,
};
const BUDGET = {
  ...CALM_GATE,
  budget: { per: "day", ms: 500 },
  failureRate: 0,
  deliveries: 0.08,
  schedules: 0,
} as const;
const SCHEDULES = { ...CALM_GATE, schedules: 0.04, commands: 0.02 } as const;

export const MUTATIONS: readonly Mutation[] = [
  {
    name: "no-subtract",
    breaks: "the planner subtracts consumed/",
    file: "ledger/start.ts",
    find: ".filter((id) => !consumed.has(id)));\n  if (left.size === 0)",
    replace: ");\n  consumed.clear();\n  if (left.size === 0)",
  },
  {
    name: "delete-at-plan",
    breaks: "segments are deleted after the commit",
    file: "ledger/start.ts",
    find: 'if (written === "won") {',
    replace: 'if (written === "won") { for (const one of work.segments) await store.delete(one);',
  },
  {
    name: "split-segment",
    breaks: "a plan takes whole segments",
    file: "protocol/plan.ts",
    find: "for (const [id, item] of added) chosen.set(id, item);",
    replace: "for (const [id, item] of [...added].slice(0, 1)) chosen.set(id, item);",
  },
  {
    name: "same-key",
    breaks: "the digest is in the segment's key",
    file: "protocol/intake.ts",
    find: "segmentKey({ ms, count: items.length, bytes, sha256: sha256(body) })",
    replace: 'segmentKey({ ms: 0, count: 0, bytes: 0, sha256: "0".repeat(64) })',
  },
  {
    name: "rejected-forgotten",
    breaks: "rejected items are consumed",
    file: "ledger/finish.ts",
    find: "await fold(store, plan.items);",
    replace:
      "await fold(store, plan.items.filter((item) => !result.rejected.some((one) => itemId(one.item) === itemId(item))));",
    profile: { bad: 0.5 },
  },
  {
    name: "keep-duplicates",
    breaks: "segments with nothing but duplicates are deleted",
    file: "ledger/start.ts",
    find: "await inParallel(segments, ({ key }) => store.delete(key));",
    replace: "return { stopped: 'left' };",
  },
  {
    name: "plan-overwrite",
    breaks: "a plan is never replaced",
    file: "ledger/start.ts",
    find: 'const written = await store.create(key, documentBytes("plan", key, plan));',
    replace: 'await store.delete(key); const written = await store.create(key, documentBytes("plan", key, plan));',
  },
  {
    name: "log-overwrite",
    breaks: "an entry is never replaced",
    file: "ledger/tick.ts",
    find: 'await ledger.store.create(key, documentBytes("logEntry", key, entry));',
    replace: 'await ledger.store.delete(key); await ledger.store.create(key, documentBytes("logEntry", key, entry));',
    profile: COMMANDS,
  },
  {
    name: "fold-blind",
    breaks: "a shard is replaced only as it was read",
    file: "ledger/finish.ts",
    find: 'if ((await store.replace(key, body, read?.etag ?? null)) === "won") return;',
    replace: 'if ((await store.replace(key, body, (await store.head(key))?.etag ?? null)) === "won") return;',
    profile: SLEEPY,
  },
  {
    name: "mark-first",
    breaks: "live.json is written last",
    file: "ledger/finish.ts",
    find: "  const { entry } = head;\n",
    replace:
      '  const { entry } = head;\n  await store.replace(LIVE, documentBytes("live", LIVE, { format: 1, seq: head.seq, live: head.live }), before.etag);\n',
  },
  {
    name: "mark-blind",
    breaks: "live.json is replaced only as it was read",
    file: "ledger/finish.ts",
    find: "const written = await store.replace(LIVE, body, before.etag);",
    replace: "const written = await store.replace(LIVE, body, (await store.head(LIVE))?.etag ?? null);",
    profile: { ...SLEEPY, commands: 0.05, commandKinds: ["promote"] },
  },
  {
    name: "winner-finishes",
    breaks: "any tick finishes the head",
    file: "ledger/tick.ts",
    find: "const finished = await finishHead(ledger, head);",
    replace: 'const finished = passes === 0 ? ("finished" as const) : await finishHead(ledger, head);',
  },
  {
    name: "cmd-unfinished",
    breaks: "a command finishes the head first",
    file: "ledger/commands.ts",
    find: 'if ((await finishHead(ledger, head)) === "again") continue;',
    replace: "",
    profile: COMMANDS,
  },
  {
    name: "same-round",
    breaks: "a rollback closes the open round",
    file: "protocol/entry.ts",
    find: "round: head.round + 1, // so the open plan dies",
    replace: "round: head.round,",
    profile: COMMANDS,
  },
  {
    name: "replay-all",
    breaks: "a replay leaves out what the target has trained",
    file: "protocol/history.ts",
    find: "const base = minus(union(sets.targetRedo, sets.replayed), sets.targetTrained);",
    replace: "const base = union(sets.targetRedo, sets.replayed);",
    profile: COMMANDS,
  },
  {
    name: "replay-forgets-redo",
    breaks: "a replay also has what the head was to redo",
    file: "ledger/line.ts",
    find: "items: union(line.trained, redo.items)",
    replace: "items: union(line.trained)",
    profile: COMMANDS,
  },
  {
    name: "without-redone",
    breaks: "what is taken out is in no redo",
    file: "protocol/history.ts",
    find: "sets.without);",
    replace: "new Map());",
    profile: COMMANDS,
  },
  {
    name: "without-unconsumed",
    breaks: "what is taken out is consumed",
    file: "ledger/finish.ts",
    find: "await fold(store, entry.without);",
    replace: "",
    profile: COMMANDS,
  },
  {
    name: "with-unchecked",
    breaks: "what is asked for again is looked up in the target's line",
    file: "protocol/history.ts",
    find: "minus(sets.with, sets.targetTrained)",
    replace: "sets.with",
    profile: COMMANDS,
  },
  {
    name: "with-head-line",
    breaks: "it is the target's line, not the head's",
    file: "ledger/rollback.ts",
    find: "const targetLine = await readLine(store, target.seq);",
    replace: "const targetLine = await readLine(store, head.seq);",
    profile: COMMANDS,
  },
  {
    name: "with-unconsumed",
    breaks: "only consumed items are asked for again",
    file: "ledger/rollback.ts",
    find: "const consumed = await readConsumed(store, request.with.map(itemId));",
    replace: "const consumed = new Set(request.with.map(itemId));",
    profile: COMMANDS,
  },
  {
    name: "janitor-open",
    breaks: "the janitor leaves the open round alone",
    file: "ledger/janitor.ts",
    find: "file.round > head.round",
    replace: "file.round > head.round + 1",
    profile: { janitors: 0.05 },
  },
  {
    name: "janitor-blind",
    breaks: "the janitor leaves what is kept",
    file: "ledger/janitor.ts",
    find: "kept.has(manifest)",
    replace: "false",
    profile: { janitors: 0.05 },
  },
  {
    name: "gate-ignored",
    breaks: "a refused round does not go live",
    file: "protocol/entry.ts",
    find: "const live = gate.goesLive ? result.checkpoint : head.live;",
    replace: "const live = result.checkpoint;",
    profile: { refuse: 0.5 },
  },
  {
    name: "live-changed-ignored",
    breaks: "a round measured against another live does not go live",
    file: "protocol/gate.ts",
    find: "if (!sameCheckpoint(plan.live, head.live))",
    replace: "if (false)",
    profile: {
      ...COMMANDS,
      commands: 0.1,
      commandKinds: ["promote"],
      keepRounds: 3,
      deliveries: 0.1,
      items: 6,
      maxItems: 2,
      sleeps: 0,
      sweeps: 0,
      silent: 0,
      faults: 0,
      failureRate: 0,
    },
  },
  {
    name: "wait-for-intent",
    breaks: "an intent without a record is not waited for",
    file: "protocol/round.ts",
    find: "if (record === undefined) return intentMs + facts.lookupLagMs;",
    replace: "if (record === undefined) return facts.nowMs + facts.lookupLagMs;",
  },
  {
    name: "failure-ignored",
    breaks: "after a failure record nothing is tried again by itself",
    file: "protocol/round.ts",
    find: 'facts.newestHasFailure ? "failure-record"',
    replace: 'false ? "failure-record"',
    profile: FAILURES,
  },
  {
    name: "limit-ignored",
    breaks: "attempts without progress are limited",
    file: "protocol/round.ts",
    find: "counted >= facts.limit",
    replace: "counted > facts.limit",
    profile: { ...FAILURES, savesHalf: false, jobFaults: 0.1 },
  },
  {
    name: "retry-any",
    breaks: "a retry says which attempt it follows",
    file: "protocol/round.ts",
    find: "facts.retryOf === newest",
    replace: "facts.retryOf !== undefined",
    profile: RETRIES,
  },
  {
    name: "retry-any-seq",
    breaks: "a retry says which head it was meant for",
    file: "ledger/tick.ts",
    find: "why.round === round && isMeantFor(why, head)",
    replace: "why.round === round",
    profile: { ...RETRIES, commandKinds: ["retry", "promote"] },
  },
  {
    name: "scheduled-dropped",
    breaks: "an entry takes over the time of its plan",
    file: "protocol/entry.ts",
    find: "scheduled: Math.max(head.scheduled, plan.scheduled),",
    replace: "scheduled: head.scheduled,",
    profile: SCHEDULES,
  },
  {
    name: "scheduled-rehearse-only",
    breaks: "a plan with items carries its schedule's time, too",
    file: "ledger/start.ts",
    find: 'createPlan(ledger, head, { kind: "extend", ...chosen, scheduled })',
    replace: 'createPlan(ledger, head, { kind: "extend", ...chosen, scheduled: 0 })',
    profile: { ...SCHEDULES, deliveries: 0.1 },
  },
  {
    name: "schedule-unchecked",
    breaks: "a schedule's time is compared with the head's",
    file: "ledger/tick.ts",
    find: 'why.kind === "schedule" && why.timeMs > head.scheduled ? why : undefined',
    replace: 'why.kind === "schedule" ? why : undefined',
    profile: SCHEDULES,
  },
  {
    name: "scheduled-target",
    breaks: "a rollback keeps the head's time",
    file: "protocol/entry.ts",
    find: "scheduled: Math.max(head.scheduled, work.scheduled),",
    replace: "scheduled: work.scheduled,",
    profile: { ...SCHEDULES, commands: 0.05 },
  },
  {
    name: "given-up-again",
    breaks: "a rollback takes over the time of the plan it ends",
    file: "ledger/commands.ts",
    find: "scheduled: openPlan?.scheduled ?? 0,",
    replace: "scheduled: 0,",
    profile: { ...SCHEDULES, commands: 0.08, schedules: 0.06 },
  },
  {
    name: "full-untimed",
    breaks: "a full retraining carries its schedule's time",
    file: "ledger/tick.ts",
    find: "scheduled: timeMs,",
    replace: "scheduled: head.scheduled,",
    profile: SCHEDULES,
  },
  {
    name: "full-forgets",
    breaks: "a full retraining trains all that the line has trained",
    file: "ledger/line.ts",
    find: "items: union(line.trained, redo.items)",
    replace: "items: redo.items",
    profile: SCHEDULES,
  },
  {
    name: "pause-schedule",
    breaks: "a schedule does not end a pause",
    file: "ledger/tick.ts",
    find: "if (isRefused(head)) {",
    replace: "if (isRefused(head) && schedule === undefined) {",
    profile: { ...REFUSALS, onFail: "pause" },
  },
  {
    name: "auto-redo",
    breaks: "a refused replay waits for an operator",
    file: "ledger/tick.ts",
    find: '(onFail === "rollback" && wasRedo)',
    replace: "false",
    profile: { ...REFUSALS, commands: 0.05 },
  },
  {
    name: "auto-twice",
    breaks: "a refused round is taken back by one entry",
    file: "ledger/tick.ts",
    find: "const seq = head.seq - 1;",
    replace: "const seq = Math.max(0, head.seq - 2);",
    profile: REFUSALS,
  },
  {
    name: "parent-unkept",
    breaks: "the parent of a refused round is kept",
    file: "protocol/entry.ts",
    find: "refusedParent: gate.passed ? null : plan.parent",
    replace: "refusedParent: null",
    profile: PROMOTED,
  },
  {
    name: "live-unkept",
    breaks: "live is kept",
    file: "protocol/entry.ts",
    find: "lives.slice(0, LIVES_KEPT + 1)]);\n  return all.filter(\n    (one) =>\n      kept.has(one) ||\n      sameCheckpoint(one.checkpoint, own.checkpoint) ||\n      sameCheckpoint(one.checkpoint, options.live) ||",
    replace:
      "[]]);\n  return all.filter(\n    (one) =>\n      kept.has(one as never) ||\n      sameCheckpoint(one.checkpoint, own.checkpoint) ||",
    profile: { refuse: 0.6, keepRounds: 1, onFail: "hold" },
  },
  {
    name: "sweep-blind",
    breaks: "a sweep takes in what no news told of",
    file: "ledger/sweep.ts",
    find: "wanted.filter((item) => !consumed.has(itemId(item))),",
    replace: "wanted.filter(() => consumed.size < 0),",
    profile: { sweeps: 0.02, silent: 0.02 },
  },
  {
    name: "redo-dropped",
    breaks: "a redo comes before what waits",
    file: "ledger/tick.ts",
    find: "if (head.redo !== null) return",
    replace: "if (false) return",
    profile: COMMANDS,
  },
  {
    name: "unchained",
    breaks: "an entry names the digest of the one before",
    file: "protocol/entry.ts",
    find: "    parent: head.sha256,\n    at: options.at,",
    replace: "    parent: null,\n    at: options.at,",
  },
  {
    name: "interval-unasked",
    breaks: "who finished the head asks for the segments that met the open round",
    file: "ledger/start.ts",
    find: "trigger.finishedByMe || ",
    replace: "",
    profile: {
      ...CALM_GATE,
      failureRate: 0,
      bad: 0,
      minItems: 1,
      minInterval: 60_000,
      faults: 0,
      jobFaults: 0,
      commands: 0,
      schedules: 0,
      plainTicks: false,
      sweeps: 0,
      silent: 0,
    },
  },
  {
    name: "rehearse-blind",
    breaks: "a rehearsal needs a memory",
    file: "ledger/start.ts",
    find: "if (!(await hasMemory(store, head.checkpoint)))",
    replace: "if (false)",
    profile: { ...SCHEDULES, memory: false },
  },
  {
    name: "budget-ignored",
    breaks: "nothing is submitted once the budget is used up",
    file: "ledger/tick.ts",
    find: 'if (budget.do === "stop") return waitForBudget',
    replace: "if (false) return waitForBudget",
    profile: BUDGET,
  },
  {
    name: "budget-of-head",
    breaks: "the jobs of the open round count, too",
    file: "ledger/tick.ts",
    find: "decideBudget(ledger.config.budget, spentAfter(head.spent, jobsOf(facts), facts.nowMs))",
    replace: "decideBudget(ledger.config.budget, spentAfter(head.spent, [], facts.nowMs))",
    profile: { ...BUDGET, jobFaults: 0.2, attempts: 3 },
  },
  {
    name: "budget-unasked",
    breaks: "a used-up budget asks for a tick when the day ends",
    file: "ledger/tick.ts",
    find: 'if (plannedByMe || !isOneOfMany) await ledger.ticks.ask({ kind: "plain" }, laterMs);',
    replace: "",
    profile: { ...BUDGET, plainTicks: false, faults: 0, sweeps: 0, silent: 0, commands: 0, minItems: 1 },
  },
  {
    name: "budget-planner-silent",
    breaks: "the tick that planned a round which the budget keeps waiting asks for one when the day ends",
    file: "ledger/tick.ts",
    find: "if (plannedByMe || !isOneOfMany)",
    replace: "if (!isOneOfMany)",
    profile: { ...BUDGET, plainTicks: false, faults: 0, sweeps: 0, silent: 0, commands: 0, minItems: 1 },
  },
  {
    name: "cost-dropped",
    breaks: "a round's entry says how long its jobs ran",
    file: "ledger/tick.ts",
    find: "cost: costOf(head, jobsOf(facts), facts.nowMs),",
    replace: "cost: noCost(head),",
    profile: BUDGET,
  },
  {
    name: "one-pass",
    breaks: "the state after a commit is asked for anew",
    file: "ledger/tick.ts",
    find: 'if (pass !== "again") return pass.stopped;',
    replace: 'return pass === "again" ? "once" : pass.stopped;',
    profile: {
      ...CALM_GATE,
      failureRate: 0,
      faults: 0,
      jobFaults: 0,
      commands: 0,
      schedules: 0,
      plainTicks: false,
      sweeps: 0,
      silent: 0,
    },
  },
];

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** The code under test with the mutation's one place changed. @throws if its text is not there exactly once */
export async function mutated(mutation: Mutation): Promise<UnderTest> {
  let applied = 0;
  const bundle = await build({
    entryPoints: [`${ROOT}test/simulation/under-test.ts`],
    bundle: true,
    write: false,
    format: "esm",
    platform: "node",
    logLevel: "silent",
    plugins: [
      {
        name: "mutate",
        setup: (plugin) => {
          plugin.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
            const source = await readFile(path, "utf8");
            if (path !== ROOT + mutation.file) return { contents: source, loader: "ts" };
            applied = source.split(mutation.find).length - 1;
            return { contents: source.replace(mutation.find, () => mutation.replace), loader: "ts" };
          });
        },
      },
    ],
  });
  if (applied !== 1) throw new Error(`mutation ${mutation.name}: its text stands ${applied} times in ${mutation.file}`);
  const url = `data:text/javascript;base64,${Buffer.from(bundle.outputFiles[0]!.contents).toString("base64")}`;
  return (await import(url)) as UnderTest;
}
