#!/usr/bin/env node
/** `accrete`: the verbs, what all of them share, and how they end. */
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { fromAws } from "../adapters/aws-errors.ts";
import { EXIT } from "../protocol/errors.ts";
import { addCommand } from "./commands/add.ts";
import { costCommand } from "./commands/cost.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { imageCommand } from "./commands/image.ts";
import { initCommand } from "./commands/init.ts";
import { logCommand } from "./commands/log.ts";
import { logsCommand } from "./commands/logs.ts";
import { nativeCommand } from "./commands/native.ts";
import { pullCommand } from "./commands/pull.ts";
import { retryCommand } from "./commands/retry.ts";
import { showCommand } from "./commands/show.ts";
import { statusCommand } from "./commands/status.ts";
import { tensorboardCommand } from "./commands/tensorboard.ts";
import { trainCommand } from "./commands/train.ts";
import { upCommand } from "./commands/up.ts";
import { verifyCommand } from "./commands/verify.ts";
import { whyCommand } from "./commands/why.ts";
import { dropCommand } from "./commands/drop.ts";
import { promoteCommand } from "./commands/promote.ts";
import { rehearseCommand } from "./commands/rehearse.ts";
import { rollbackCommand } from "./commands/rollback.ts";
import { completeCommand, completionCommand } from "./commands/completion.ts";
import { exitCodeOf, failureText } from "./failure.ts";
import { withStack } from "./words.ts";
import { version } from "../adapters/version.ts";

function program(): Command {
  const root = new Command("accrete")
    .description("Models that keep learning: drop data into a folder, and the newest checkpoint has learned it.")
    .version(version(), "--version", "say the version")
    .option("--dir <dir>", "the folder with accrete.config.ts; else the nearest one from here upwards")
    .option("--pipeline <name>", "which pipeline of the config, if there are several")
    .addOption(
      new Option("--stack <stack>", "a pipeline's stack on AWS (accrete-STAGE-PIPELINE): not this machine")
        .env("ACCRETE_STACK")
        .argParser(stackOption),
    )
    .option("--json", "print JSON, for scripts")
    .option("--no-color", "no colours, as with NO_COLOR in the environment")
    .helpOption("-h, --help", "say how a command is used")
    .configureHelp({ showGlobalOptions: true })
    .addHelpText(
      "after",
      "\nExamples:\n  $ accrete init digits && cd digits    a config, a model and a sample\n  $ accrete up                          learn whatever is put into the data folder\n  $ accrete status --follow             look on from another terminal",
    )
    .showHelpAfterError("what to do: See `accrete --help`.")
    .exitOverride()
    .hook("preAction", (_root, command) => {
      if (command.optsWithGlobals<{ color: boolean }>().color === false) process.env["NO_COLOR"] = "1";
    });
  const verbs = [
    initCommand,
    upCommand,
    addCommand,
    statusCommand,
    logCommand,
    showCommand,
    whyCommand,
    verifyCommand,
    pullCommand,
    tensorboardCommand,
    trainCommand,
    rehearseCommand,
    retryCommand,
    rollbackCommand,
    dropCommand,
    promoteCommand,
    logsCommand,
    costCommand,
    doctorCommand,
    nativeCommand,
    imageCommand,
    completionCommand,
  ];
  for (const make of verbs) {
    const verb = make();
    root.addCommand(
      verb
        .configureHelp({ showGlobalOptions: true })
        .showHelpAfterError(`what to do: See \`accrete ${verb.name()} --help\`.`)
        .exitOverride(),
    );
  }
  root.addCommand(completeCommand(), { hidden: true });
  return root;
}

/** @throws {InvalidArgumentError} */
function stackOption(text: string): string {
  if (!/^[a-zA-Z][-a-zA-Z0-9]{0,127}$/.test(text))
    throw new InvalidArgumentError("a stack's name is letters, digits and -, and starts with a letter.");
  return text;
}

// `accrete log | head`: whoever reads has seen enough
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

// a bug of ours, or of an adapter: said in one form, and never a silent end. What is stored is whole at any moment
for (const event of ["uncaughtException", "unhandledRejection"] as const) {
  process.on(event, (error: unknown) => {
    process.stderr.write(`${failureText(error, process.env["ACCRETE_DEBUG"] !== undefined)}\n`);
    process.exit(exitCodeOf(error));
  });
}

// as if it were not set: commander would take it for a stack's name
if (process.env["ACCRETE_STACK"] === "") delete process.env["ACCRETE_STACK"];

const root = program();
try {
  await root.parseAsync(process.argv);
} catch (thrown) {
  if (thrown instanceof CommanderError) {
    // commander has said it; help and version end with 0
    process.exitCode = thrown.exitCode === 0 ? 0 : EXIT.usage;
  } else {
    const { stack } = root.opts<{ stack?: string }>();
    const error = stack === undefined ? thrown : fromAws(thrown);
    const text = failureText(error, process.env["ACCRETE_DEBUG"] !== undefined);
    // what is told to be typed has to work as it is
    const isTyped = root.getOptionValueSource("stack") === "cli";
    process.stderr.write(`${stack !== undefined && isTyped ? withStack(text, stack) : text}\n`);
    process.exitCode = exitCodeOf(error);
  }
}
