/** What the commands that change history share: they show what they will do, ask, do it, and say what comes next. */
import { userInfo } from "node:os";
import { Command, InvalidArgumentError } from "commander";
import { rollback } from "../../ledger/commands.ts";
import {
  previewRollback,
  type PromotePreview,
  type RollbackPreview,
  type RollbackRequest,
} from "../../ledger/rollback.ts";
import { readStatus } from "../../ledger/status.ts";
import { itemId } from "../../protocol/digest.ts";
import { AccreteError } from "../../protocol/errors.ts";
import { printable } from "../../protocol/printable.ts";
import type { Item, LogEntry } from "../../protocol/types.ts";
import { isConfirmed } from "../confirm.ts";
import { consumedOf, once, type NamedObject } from "../objects.ts";
import type { GlobalOptions, Operator, Pipeline } from "../pipeline.ts";
import { bytes, checkpoint, count, table } from "../print.ts";
import { Progress } from "../progress.ts";
import { line, printJson, style } from "../terminal.ts";
import { stepText } from "./status.ts";
import { plainWhereText } from "./why.ts";

export interface ChangeOptions extends GlobalOptions {
  readonly yes?: boolean;
  readonly reason?: string;
}

const REASON_LENGTH_MAX = 4_000;
const NAME_LENGTH_MAX = 256;
const ITEMS_SHOWN = 10;

/** A command that shows what it will do and asks. */
export function changeCommand(name: string): Command {
  return new Command(name)
    .option("--reason <text>", "why, kept in the log; else what was typed", reasonOption)
    .option("-y, --yes", "do it without a question");
}

function reasonOption(text: string): string {
  if (text.length > REASON_LENGTH_MAX)
    throw new InvalidArgumentError(`at most ${REASON_LENGTH_MAX} characters were expected.`);
  return text;
}

/** Who does what a command says, and says what happens. */
export function openOperatorOf(pipeline: Pipeline, options: GlobalOptions): Promise<Operator> {
  const { config, store } = pipeline;
  const notify = options.json === true ? { notify: async () => undefined } : new Progress([config.name]).notify(store);
  return pipeline.openOperator(notify);
}

type Wish = Pick<RollbackRequest, "to" | "replay" | "without" | "with">;

/** Shows what a rollback will do, asks, does it, and makes a tick: what is to be trained again becomes a plan, and its job starts. */
export async function changeHistory(
  pipeline: Pipeline,
  options: ChangeOptions,
  how: { wish: Wish; typed: string; notes?: readonly string[] },
): Promise<void> {
  const { wish, typed, notes = [] } = how;
  const preview = await previewRollback(pipeline, wish);
  const missing = options.json === true ? [] : await pipeline.items.missing(preview.again);
  const show = (): void => {
    if (options.json === true) return printJson(preview);
    line(rollbackText(pipeline, preview, missing));
    for (const note of notes) line(`  ${note}`);
  };
  if (!(await isConfirmed(options, show))) return nothingChanged();
  const operator = await openOperatorOf(pipeline, options);
  const entry = await rollback(operator.ledger, { ...wish, ...said(options, typed), seq: preview.seq });
  await goOn(pipeline, operator, options, entry);
}

export function nothingChanged(): void {
  line("nothing was changed");
  process.exitCode = 1;
}

/** Who gives a command and why, for the log. */
export function said({ reason }: ChangeOptions, typed: string): { by: string; reason: string } {
  return { by: operatorName(), reason: reason ?? typed.slice(0, REASON_LENGTH_MAX) };
}

/** Not every user has a name: a container may run as a bare number. */
export function operatorName(user: () => { username: string } = userInfo): string {
  try {
    return user().username.slice(0, NAME_LENGTH_MAX) || "operator";
  } catch {
    return "operator";
  }
}

/** After the entry: one tick, and what comes next. */
export async function goOn(
  pipeline: Pipeline,
  operator: Operator,
  options: GlobalOptions,
  entry: LogEntry,
): Promise<void> {
  await operator.tick({ kind: "plain" });
  if (options.json === true) return printJson(entry);
  const { words } = pipeline;
  const after = await readStatus(pipeline);
  const round = after.open === null ? "" : `round ${after.open.round}: `;
  line(`${pipeline.config.name}: entry ${entry.seq} is written; ${round}${stepText(after.next, after, words)}`);
  if ("advice" in after.next) line(`what to do: ${words.typed(printable(after.next.advice))}`);
  if (after.next.is === "training" || after.next.is === "looking") line(words.runsOn);
}

/**
 * Of each object the version to train again: the one that is present now, else the newest. Those that need it not are said in `notes`.
 * @throws {AccreteError} NOT_FOUND (never consumed), NOTHING_TO_RETRY, USAGE (named twice), and what the rollback itself would throw
 */
export async function toTrainAgain(
  pipeline: Pipeline,
  objects: readonly NamedObject[],
  wish: Wish,
): Promise<{ items: Item[]; notes: string[] }> {
  const { words } = pipeline;
  const candidates = objects.map((object) => {
    const consumed = consumedOf(object);
    if (consumed.length === 0)
      throw new AccreteError(
        "NOT_FOUND",
        `${object.name} was not consumed by any round, so it can't be trained again: ${plainWhereText(object.versions.at(-1)!.now, words)}`,
      );
    return { object, consumed };
  });
  const all = new Map(candidates.flatMap(({ consumed }) => consumed.map((one) => [one.itemId, one.item] as const)));
  const { asked } = await previewRollback(pipeline, { ...wish, without: [], with: [...all.values()] });
  const untrained = new Set(asked.map(itemId));
  const notes: string[] = [];
  const chosen = candidates.flatMap(({ object, consumed }) => {
    const left = consumed.filter((one) => untrained.has(one.itemId));
    const here = object.versions.find(({ present }) => present);
    const one = left.find(({ present }) => present) ?? left.at(-1);
    // its old bytes are gone: a round would only reject them
    if (one !== undefined && here !== undefined && !one.present) {
      notes.push(
        `${printable(object.name)} has other content now: ${plainWhereText(here.now, words)}. What it had before is asked for by its id, ${one.itemId}, once it is back in the ${words.data}`,
      );
      return [];
    }
    if (one === undefined) {
      notes.push(`${printable(object.name)} need not be trained again: ${plainWhereText(consumed.at(-1)!.now, words)}`);
      return [];
    }
    if (object.versions.length > 1 || !one.present)
      notes.push(
        `of ${printable(object.name)} the version ${one.itemId} (${bytes(one.item.size)}), ${one.present ? `which is in the ${words.data} now` : `which is not in the ${words.data} now: put it back, or it is rejected`}`,
      );
    return [one];
  });
  if (chosen.length === 0) throw new AccreteError("NOTHING_TO_RETRY", notes.join("; "));
  return { items: once(chosen), notes };
}

// ------------------------------------------------------------------------------------------------ what will be done

/** @param missing of what is trained again, what is not in the data any more */
function rollbackText({ config, words }: Pipeline, preview: RollbackPreview, missing: readonly Item[]): string {
  const { leaves, again, asked, unlearned, out, stillLearned, ends, live } = preview;
  const rows: [string, string][] = [["goes on from", checkpoint(preview.checkpoint)]];
  if (leaves.length > 0) rows.push(["leaves", `${leaves.length === 1 ? "round" : "rounds"} ${leaves.join(", ")}`]);
  if (again.length > 0) rows.push(["trains again", itemsText(again)]);
  if (missing.length > 0) {
    const [is, it] = missing.length === 1 ? ["is", "it"] : ["are", "them"];
    const text = `${itemsText(missing)} ${is} not in the ${words.data} now: put ${it} back first, or the model will not know ${it}`;
    rows.push(["", style("yellow", text)]);
  }
  if (asked.length > 0 && asked.length < again.length) rows.push(["asked for", itemsText(asked)]);
  if (unlearned.length > 0)
    rows.push([
      "unlearned",
      `${itemsText(unlearned)}; consumed for good, and not in the model${preview.replay ? "" : ": --replay would train them again"}`,
    ]);
  if (out.length > 0)
    rows.push(["takes out", `${itemsText(out)}; not trained any more, and left in the ${words.data} as they are`]);
  if (stillLearned.length > 0)
    rows.push([
      "",
      style(
        "yellow",
        `${itemsText(stillLearned)} stay${stillLearned.length === 1 ? "s" : ""} in the model, which goes on from a round that has learned ${stillLearned.length === 1 ? "it" : "them"}: \`accrete drop\` goes back before it`,
      ),
    ]);
  if (ends !== null)
    rows.push([
      "ends",
      `round ${ends.round}, which is open (${count(ends.items.length, "item")})${ends.running ? ": its job is running, and is ended" : ""}; what it has of the inbox waits again`,
    ]);
  if (live !== null && live.manifest !== preview.checkpoint?.manifest)
    rows.push([
      "live",
      `stays ${checkpoint(live)}, until a round passes the gate${preview.to === 0 ? "" : ` or \`accrete promote ${preview.to}\` moves it`}`,
    ]);
  return previewText(config.name, rows);
}

export function promoteText(pipeline: string, { from, to, open }: PromotePreview): string {
  const rows: [string, string][] = [
    ["live", `${from === null ? "nothing" : checkpoint(from)} -> ${to === null ? "nothing" : checkpoint(to)}`],
    ["model", "stays as it is: the next round that passes the gate moves live again"],
  ];
  if (open !== null) rows.push(["goes on", `round ${open.round}, which is open${open.running ? ", and its job" : ""}`]);
  return previewText(pipeline, rows);
}

function previewText(pipeline: string, rows: readonly (readonly [string, string])[]): string {
  return `${style("bold", pipeline)}\n${table(rows.map(([name, text]) => [`  ${style("dim", name)}`, text]))}`;
}

function itemsText(items: readonly Item[]): string {
  const versions = [...Map.groupBy(items, ({ key }) => key)];
  const names = versions
    .slice(0, ITEMS_SHOWN)
    .map(([key, of]) => `${printable(key)}${of.length > 1 ? ` (${of.length} versions)` : ""}`);
  const more = versions.length > ITEMS_SHOWN ? `, and ${count(versions.length - ITEMS_SHOWN, "more", "more")}` : "";
  return `${count(items.length, "item")} (${bytes(items.reduce((sum, { size }) => sum + size, 0))}): ${names.join(", ")}${more}`;
}
