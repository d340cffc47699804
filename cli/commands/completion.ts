import { basename } from "node:path";
import { Argument, Command } from "commander";
import { readEntry, readHead } from "../../ledger/read.ts";
import { isPassedOver, openPipelineOf, openPipelinesOf } from "../compose.ts";
import { complete, type Candidate, type Completion, type Known, type Where } from "../completion.ts";
import { dateTime, MAIN_METRICS, metrics } from "../print.ts";
import { COMPLETION_SCRIPTS } from "../shell-scripts.ts";
import { shellWords } from "../shell-words.ts";
import { line } from "../terminal.ts";

const SHELLS = ["bash", "zsh", "fish"] as const;
type Shell = (typeof SHELLS)[number];

export function completionCommand(): Command {
  return new Command("completion")
    .summary("print a script for tab completion in bash, zsh or fish")
    .description(
      "Prints a script that completes commands, options, rounds, pipelines and the keys of the data folder. It writes nothing: where it goes is yours to say.",
    )
    .addArgument(new Argument("<shell>", "which shell").choices(SHELLS))
    .addHelpText(
      "after",
      "\nExamples:\n  $ echo 'source <(accrete completion bash)' >> ~/.bashrc\n  $ echo 'source <(accrete completion zsh)' >> ~/.zshrc      after compinit\n  $ accrete completion fish > ~/.config/fish/completions/accrete.fish",
    )
    .action((shell: Shell) => void process.stdout.write(COMPLETION_SCRIPTS[shell]));
}

/** What the scripts call at each TAB. Hidden, as nobody types it. */
export function completeCommand(): Command {
  return new Command("complete")
    .summary("what may come next on a command line: what the completion scripts call")
    .addArgument(new Argument("<shell>", "which shell asks").choices(SHELLS))
    .argument("[words...]", "the words up to the cursor; of bash the line up to the cursor")
    .action(async (shell: Shell, typed: string[], _options: unknown, command: Command) => {
      try {
        const { words, kept } = wordsOf(shell, typed);
        print(shell, await complete(command.parent!, words, KNOWN), kept);
      } catch {
        // no config, or a state that can't be read: a TAB is no place to say so
      }
    });
}

function wordsOf(shell: Shell, typed: readonly string[]): { words: readonly string[]; kept: number } {
  if (shell === "bash") {
    const { words, kept } = shellWords(typed[0] ?? "");
    return { words: words.slice(1), kept };
  }
  // zsh and fish hand on words; fish leaves that at the cursor as it was typed
  const current = typed.at(-1) ?? "";
  return { words: [...typed.slice(0, -1), shell === "fish" ? shellWords(current).words.at(-1)! : current], kept: 0 };
}

/** A line that says what kind of words come, then a word a line: its value, a tab, what it is. */
function print(shell: Shell, completion: Completion, kept: number): void {
  line(completion.kind);
  if (completion.kind === "files") return;
  for (const { value, help } of completion.candidates)
    line(shell === "bash" ? value.slice(kept) : `${value}\t${help.replaceAll(/\s+/g, " ")}`);
}

const ROUNDS_SHOWN = 50;

/** What a command that is typed so far would be about: --stack may come from the environment. */
function meant(at: Where): Where {
  const stack = at.stack ?? process.env["ACCRETE_STACK"];
  return { ...at, ...(stack === undefined ? {} : { stack }) };
}

const KNOWN: Known = {
  async rounds(command, at) {
    const { store } = await openPipelineOf(meant(at), () => undefined);
    const { head } = await readHead(store);
    if (command === "show") {
      const open = head.round + 1;
      const count = Math.min(open, ROUNDS_SHOWN);
      return Array.from({ length: count }, (_, i) => ({ value: String(open - i), help: "" }));
    }
    const kept: Candidate[] = [];
    for (const { checkpoint, seq } of head.keep.toReversed().slice(0, ROUNDS_SHOWN)) {
      const entry = (await readEntry(store, seq)).document;
      const measured = entry.kind === "round" ? metrics(entry.metrics, MAIN_METRICS) : "";
      kept.push({ value: String(checkpoint.round), help: `${dateTime(entry.at)} ${measured}` });
    }
    const newest = command === "rollback" ? [{ value: "head", help: "the newest entry: gives up the open round" }] : [];
    return [...newest, ...kept, { value: "0", help: "nothing trained" }];
  },

  // a look at one folder, as a shell does: reading all of the data would take its time
  async objects(start, at) {
    const [pipeline] = await openPipelinesOf(meant(at), () => undefined);
    const folder = start.slice(0, start.lastIndexOf("/") + 1);
    const keys = (await pipeline?.data.look(folder)) ?? [];
    return keys
      .filter((key) => !isPassedOver(basename(key)))
      .map((value) => ({ value, help: "" }))
      .sort((a, b) => (a.value < b.value ? -1 : 1));
  },

  async pipelines(at) {
    return (await openPipelinesOf({ ...meant(at), pipeline: undefined }, () => undefined)).map(({ config }) => ({
      value: config.name,
      help: "",
    }));
  },
};
