import { Command } from "commander";
import { inspectAttempts } from "../../ledger/inspect.ts";
import { inParallel } from "../../ledger/ledger.ts";
import { readEntry, readHead } from "../../ledger/read.ts";
import { dollarsOf, runMs, spentAfter } from "../../protocol/budget.ts";
import { jobsOf } from "../../protocol/round.ts";
import type { LogEntry } from "../../protocol/types.ts";
import { openPipelineOf } from "../compose.ts";
import { countOption } from "../options.ts";
import type { GlobalOptions, Pipeline } from "../pipeline.ts";
import { count, dateTime, dollars, duration, table } from "../print.ts";
import { line, printJson } from "../terminal.ts";

interface Spent {
  readonly jobMs: number;
  /** null: no price is known */
  readonly dollars: number | null;
}

interface RoundCost extends Spent {
  readonly round: number;
  /** rollback: it was closed without a commit */
  readonly kind: "round" | "rollback";
  readonly at: number;
  /** that were trained */
  readonly items: number;
}

interface Costs {
  readonly pipeline: string;
  readonly pricePerHour: number | null;
  /** newest first */
  readonly rounds: readonly RoundCost[];
  /** the round that is open, so far; null: none has a job */
  readonly open: (Spent & { readonly round: number }) | null;
  /** all rounds, the open one too; today and this month of UTC */
  readonly sum: Spent;
  readonly today: Spent;
  readonly month: Spent;
}

export function costCommand(): Command {
  return new Command("cost")
    .summary("how long the jobs ran, and what that costs: by the round and in sum")
    .description(
      "Reads the whole log: how long the jobs of each round ran, all attempts, and what that costs at the price that the config has now (budget.pricePerHour). On AWS it is the machines' time alone; docs/cost.md has the rest.",
    )
    .option("--limit <n>", "so many rounds at most; the sums are of all", countOption, 20)
    .addHelpText("after", "\nExamples:\n  $ accrete cost\n  $ accrete cost --json | jq .month.dollars")
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { limit: number }>();
      const costs = await readCosts(await openPipelineOf(options));
      if (options.json === true) return printJson({ ...costs, rounds: costs.rounds.slice(0, options.limit) });
      for (const text of texts(costs, options.limit)) line(text);
    });
}

async function readCosts(pipeline: Pipeline): Promise<Costs> {
  const { store, config } = pipeline;
  const price = config.budget?.pricePerHour;
  const priced = (jobMs: number): Spent => ({
    jobMs,
    dollars: price === undefined ? null : dollarsOf(jobMs, { pricePerHour: price }),
  });
  const { head, nowMs } = await readHead(store);
  const seqs = Array.from({ length: head.seq }, (_, i) => head.seq - i);
  const entries = await inParallel(seqs, async (seq) => (await readEntry(store, seq)).document);
  const rounds = entries.flatMap((entry) => roundOf(entry, priced));
  const facts = await inspectAttempts(pipeline, head.round + 1);
  const jobs = jobsOf(facts);
  const openMs = runMs(jobs, nowMs);
  const { dayMs, monthMs } = spentAfter(head.spent, jobs, nowMs);
  return {
    pipeline: config.name,
    pricePerHour: price ?? null,
    rounds,
    open: jobs.length === 0 ? null : { round: head.round + 1, ...priced(openMs) },
    sum: priced(rounds.reduce((sum, { jobMs }) => sum + jobMs, openMs)),
    today: priced(dayMs),
    month: priced(monthMs),
  };
}

/** Of an entry that closes a round. */
function roundOf(entry: LogEntry, priced: (jobMs: number) => Spent): RoundCost[] {
  const { kind, round, at } = entry;
  if (kind === "promote") return [];
  // a rollback closes a round of its own number, which mostly had no job
  if (kind === "rollback" && entry.jobMs === 0) return [];
  return [{ round, kind, at, items: kind === "round" ? entry.items - entry.rejected : 0, ...priced(entry.jobMs) }];
}

function* texts(costs: Costs, limit: number): Generator<string> {
  const { pipeline, pricePerHour, rounds, open, sum, today, month } = costs;
  if (rounds.length === 0 && open === null) return yield `${pipeline}: no job has run yet`;
  const cells = ({ jobMs, dollars: amount }: Spent): string[] => [
    duration(jobMs),
    ...(amount === null ? [] : [dollars(amount)]),
  ];
  const rows = [
    ...(open === null ? [] : [[String(open.round), "open", "", ...cells(open)]]),
    ...rounds
      .slice(0, limit)
      .map((one) => [
        String(one.round),
        dateTime(one.at),
        one.kind === "rollback" ? "closed by a rollback" : count(one.items, "item"),
        ...cells(one),
      ]),
  ];
  yield table(rows, ["round", "when", "learned", "jobs", ...(pricePerHour === null ? [] : ["cost"])]);
  if (rounds.length > limit) yield `... and ${count(rounds.length - limit, "older round")}: --limit ${rounds.length}`;
  const said = (name: string, of: Spent): string => `${cells(of).join(", ")} ${name}`;
  yield `${said("in all", sum)}; ${said("this month", month)}; ${said("today", today)} (UTC)`;
  if (pricePerHour === null) yield "With budget: { pricePerHour } in accrete.config.ts it says dollars.";
}
