/** What may come next on a command line: from commander's own tree of commands, and for rounds, objects and pipelines from the state. */
import type { Command, Option } from "commander";
import { printable } from "../protocol/printable.ts";

export interface Candidate {
  readonly value: string;
  /** shown beside it, by shells that can */
  readonly help: string;
}

/** files: the shell's own completion of paths. objects: keys, which a shell quotes as it does paths. */
export type Completion =
  | { readonly kind: "files" }
  | { readonly kind: "words" | "objects"; readonly candidates: readonly Candidate[] };

/** What only the state knows. */
export interface Known {
  /** of the command that it is for */
  rounds(command: string, at: Where): Promise<readonly Candidate[]>;
  /** those that start so; a folder ends with a slash */
  objects(start: string, at: Where): Promise<readonly Candidate[]>;
  pipelines(at: Where): Promise<readonly Candidate[]>;
}

/** The global options that were typed so far. */
export interface Where {
  readonly dir?: string;
  readonly pipeline?: string;
  readonly stack?: string;
}

/** Where the cursor is. */
interface Place {
  readonly command: Command;
  /** this option's value comes next */
  readonly option: Option | undefined;
  /** or could go on, as it takes several */
  readonly several: Option | undefined;
  readonly positionals: number;
  readonly onlyPositionals: boolean;
  readonly at: Where;
}

/** @param words without the program's own name; the last one is that at the cursor, empty if nothing of it is typed */
export async function complete(root: Command, words: readonly string[], known: Known): Promise<Completion> {
  const current = words.at(-1) ?? "";
  const place = walk(root, words.slice(0, -1));
  const { command, option, several, onlyPositionals } = place;
  const isOption = current.startsWith("-") && !onlyPositionals;
  if (option !== undefined) return valuesOf(place, placeholder(option.flags), current, known);
  const assigned = /^(--[^=]+)=(.*)$/s.exec(current);
  if (isOption && assigned !== null) {
    const [, flag = "", start = ""] = assigned;
    const named = optionOf(command, flag);
    const found = named === undefined ? onlyWords([]) : await valuesOf(place, placeholder(named.flags), start, known);
    if (found.kind === "files") return found;
    return { ...found, candidates: found.candidates.map((one) => ({ ...one, value: `${flag}=${one.value}` })) };
  }
  if (isOption) return startingWith(current, optionsOf(command));
  if (several !== undefined) return valuesOf(place, placeholder(several.flags), current, known);
  if (command.commands.length > 0) {
    const visible = command.createHelp().visibleCommands(command);
    return startingWith(
      current,
      visible.map((sub) => ({ value: sub.name(), help: sub.summary() || sub.description() })),
    );
  }
  const { registeredArguments } = command;
  const argument = registeredArguments[place.positionals] ?? registeredArguments.findLast(({ variadic }) => variadic);
  if (argument === undefined) return onlyWords([]);
  if (argument.argChoices !== undefined)
    return startingWith(
      current,
      argument.argChoices.map((value) => ({ value, help: "" })),
    );
  return valuesOf(place, argument.name(), current, known);
}

function walk(root: Command, before: readonly string[]): Place {
  let command = root;
  let [option, several]: (Option | undefined)[] = [];
  let positionals = 0;
  let onlyPositionals = false;
  const at: { dir?: string; pipeline?: string; stack?: string } = {};
  const note = ({ long }: Option, value: string): void => {
    if (long === "--dir") at.dir = value;
    if (long === "--pipeline") at.pipeline = value;
    if (long === "--stack") at.stack = value;
  };
  for (const word of before) {
    if (option !== undefined) {
      note(option, word);
      several = option.variadic ? option : undefined;
      option = undefined;
    } else if (word === "--" && !onlyPositionals) {
      onlyPositionals = true;
      several = undefined;
    } else if (word.startsWith("-") && !onlyPositionals) {
      several = undefined;
      const [flag = "", ...value] = word.split("=");
      const named = optionOf(command, flag);
      if (named === undefined || !(named.required || named.optional)) continue;
      if (value.length === 0) option = named;
      else note(named, value.join("="));
    } else if (several === undefined) {
      const sub = command.commands.find((one) => one.name() === word || one.aliases().includes(word));
      if (sub === undefined) positionals++;
      else command = sub;
    }
  }
  return { command, option, several, positionals, onlyPositionals, at };
}

function optionOf(command: Command, flag: string): Option | undefined {
  for (let of: Command | null = command; of !== null; of = of.parent) {
    const found = of.options.find(({ short, long }) => short === flag || long === flag);
    if (found !== undefined) return found;
  }
  return undefined;
}

function optionsOf(command: Command): Candidate[] {
  const help = command.createHelp();
  help.showGlobalOptions = true;
  return [...help.visibleOptions(command), ...help.visibleGlobalOptions(command)].map(
    ({ long, short, description }) => ({
      value: long ?? short ?? "",
      help: description,
    }),
  );
}

/** `<round>` of "--to <round>". */
function placeholder(flags: string): string {
  return /[<[]([a-z-]+)/.exec(flags)?.[1] ?? "";
}

async function valuesOf({ command, at }: Place, what: string, start: string, known: Known): Promise<Completion> {
  switch (what) {
    case "dir":
    case "file":
      return { kind: "files" };
    case "object":
      // a path, not a key
      if (/^[./~]/.test(start)) return { kind: "files" };
      return { ...startingWith(start, await known.objects(start, at)), kind: "objects" };
    case "round":
      return startingWith(start, await known.rounds(command.name(), at));
    case "name":
      return startingWith(start, await known.pipelines(at));
    default:
      return onlyWords([]);
  }
}

const onlyWords = (candidates: readonly Candidate[]): { kind: "words"; candidates: readonly Candidate[] } => ({
  kind: "words",
  candidates,
});

/** A name with control characters can't be typed, and must not be shown as it is. */
function startingWith(start: string, all: readonly Candidate[]): ReturnType<typeof onlyWords> {
  return onlyWords(all.filter(({ value }) => value.startsWith(start) && printable(value) === value));
}
