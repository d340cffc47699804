import { mkdir, stat, writeFile } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { Command } from "commander";
import { AccreteError } from "../../protocol/errors.ts";
import { printable } from "../../protocol/printable.ts";
import { refuseStack } from "../compose.ts";
import type { GlobalOptions } from "../pipeline.ts";
import { userFolder } from "../user-folder.ts";
import { CONFIG_TEXT, MODEL_TEXT, sampleCsv } from "../sample.ts";
import { line, printJson } from "../terminal.ts";

const ROWS = 300;

export function initCommand(): Command {
  return new Command("init")
    .summary("write a config, a model and a sample to start from")
    .description(
      "Writes accrete.config.ts with comments, a small model and a sample of made-up data, so that `accrete up` learns something at once. Nothing that is there is overwritten.",
    )
    .argument("[dir]", "the folder, made if it is not there", ".")
    .addHelpText("after", "\nExamples:\n  $ accrete init\n  $ accrete init flowers")
    .action(async (dir: string, _options: unknown, command: Command) => {
      const here = userFolder(process.env);
      const options = command.optsWithGlobals<GlobalOptions>();
      refuseStack(options, "init", "a config is written in a folder, and `npx cdk deploy --all` makes a stack of it");
      const folder = resolve(here, options.dir ?? ".", dir);
      const files = [
        { name: "accrete.config.ts", text: CONFIG_TEXT },
        { name: "model.ts", text: MODEL_TEXT },
        { name: join("sample", "flowers-1.csv"), text: sampleCsv(ROWS, 1) },
        { name: join("sample", "flowers-2.csv"), text: sampleCsv(ROWS, 2) },
      ];
      for (const { name } of files) {
        if (await isThere(join(folder, name)))
          throw new AccreteError("TARGET_EXISTS", `${join(folder, name)} is there already; nothing was written`);
      }
      for (const { name, text } of files) {
        const path = join(folder, name);
        await mkdir(dirname(path), { recursive: true });
        await writeFile(path, text, { flag: "wx" });
      }
      if (options.json === true) return printJson({ folder, files: files.map(({ name }) => name) });
      const below = relative(here, folder);
      line(
        `${printable(folder)} has now:\n  accrete.config.ts     what is learned, how and when, with comments\n  model.ts              the model\n  sample/               two files of ${ROWS} rows of made-up data`,
      );
      line(
        `\nNext:\n${below === "" ? "" : `  cd ${printable(below)}\n`}  accrete add sample/flowers-1.csv\n  accrete up --once`,
      );
    });
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
