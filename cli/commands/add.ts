import { readdir, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { Command } from "commander";
import { AccreteError } from "../../protocol/errors.ts";
import { dropReason } from "../../protocol/intake.ts";
import { printable } from "../../protocol/printable.ts";
import { isPassedOver, openPipelineOf } from "../compose.ts";
import type { Beside, GlobalOptions, Pipeline } from "../pipeline.ts";
import { bytes, count } from "../print.ts";
import { line, LiveLine, printJson } from "../terminal.ts";
import { userFolder } from "../user-folder.ts";

/** Of a key on S3; folders keep to it too. */
const KEY_BYTES_MAX = 1_024;

interface ToAdd {
  readonly source: string;
  readonly key: string;
  readonly size: number;
  /** what lies under that name now */
  readonly there: Beside;
}

export function addCommand(): Command {
  return new Command("add")
    .summary("put files into the data folder or bucket, whole or not at all")
    .description(
      "Copies files, or folders with all that is in them, into the data folder, with --stack into the data bucket, under the pipeline's data.prefix. Each appears there whole, so that no half of a file is learned. Where another content has the name already, nothing is copied: with --force it is overwritten, and the new content is a new item (what the model has learned from the old one stays learned).",
    )
    .argument("<file...>", "files or folders")
    .option("--force", "overwrite files of the same name")
    .addHelpText(
      "after",
      "\nExamples:\n  $ accrete add day-1.csv day-2.csv\n  $ accrete add photos/               photos/cat/1.png becomes <prefix>photos/cat/1.png\n  $ accrete add corrected.csv --force",
    )
    .action(async (files: string[], _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { force?: boolean }>();
      const pipeline = await openPipelineOf(options);
      const all = await lookAt(
        pipeline,
        files.map((file) => resolve(userFolder(process.env), file)),
      );
      const others = all.filter(({ there }) => there === "other");
      if (others.length > 0 && options.force !== true) {
        throw new AccreteError(
          "TARGET_EXISTS",
          `another content is in the ${pipeline.words.data} already as ${others
            .slice(0, 5)
            .map(({ key }) => key)
            .join(
              ", ",
            )}${others.length > 5 ? `, and ${others.length - 5} more` : ""}; nothing was copied. With --force it is overwritten, and a new item`,
        );
      }
      const toCopy = all.filter(({ there }) => there !== "same");
      const copied = await copy(pipeline, toCopy);
      const same = all.length - toCopy.length;
      if (options.json === true)
        return printJson({
          added: toCopy.map(({ key, size, there }) => ({ key, size, overwritten: there === "other" })),
          same,
          bytes: copied,
        });
      const where = `${printable(pipeline.data.name)}${pipeline.config.data.prefix === "" ? "" : ` under ${printable(pipeline.config.data.prefix)}`}`;
      line(`added ${count(toCopy.length, "file")}, ${bytes(copied)}, to ${where}`);
      if (others.length > 0) line(`${count(others.length, "file was", "files were")} overwritten: a new item each`);
      if (toCopy.length > 0) line(pipeline.words.learns);
      if (same > 0) line(`${count(same, "file is", "files are")} there already with the same content`);
    });
}

/** @returns bytes */
async function copy({ data }: Pipeline, toCopy: readonly ToAdd[]): Promise<number> {
  const total = toCopy.reduce((sum, { size }) => sum + size, 0);
  const live = new LiveLine();
  let copied = 0;
  try {
    for (let i = 0; i < toCopy.length; i += data.together)
      await Promise.all(
        toCopy.slice(i, i + data.together).map(({ key, source, there }) => {
          const onBytes = (more: number): void => {
            copied += more;
            live.set(`${bytes(copied)} of ${bytes(total)}: ${printable(key)}`);
          };
          return data.put(key, source, { overwrite: there === "other", onBytes });
        }),
      );
  } finally {
    live.clear();
  }
  return copied;
}

/** All is checked before anything is copied. */
async function lookAt(pipeline: Pipeline, paths: readonly string[]): Promise<ToAdd[]> {
  const { data } = pipeline.config;
  const found: ToAdd[] = [];
  for (const path of paths) {
    for await (const { source, name } of filesOf(path)) {
      const key = data.prefix + name;
      const { size } = await stat(source);
      // the copy is a new object, however old the file is
      const because = dropReason({ bucket: "data", key, etag: "-", size, modifiedMs: Date.now() }, data);
      if (because !== undefined)
        throw new AccreteError(
          "USAGE",
          `${source}: ${{ empty: "it is empty", "other-suffix": `its name ends with none of data.suffixes: ${data.suffixes.join(", ")}`, "other-prefix": "", "folder-marker": "", "too-old": "data.since is a time that is still to come", "not-an-item": "its name is too long" }[because]}`,
        );
      if (isPassedOver(basename(name)))
        throw new AccreteError("USAGE", `${source}: hidden and temporary names are passed over: give it another one`);
      if (Buffer.byteLength(key) > KEY_BYTES_MAX)
        throw new AccreteError("USAGE", `${source}: its name with its folders has more than ${KEY_BYTES_MAX} bytes`);
      found.push({ source, key, size, there: await pipeline.data.beside(key, { path: source, size }) });
    }
  }
  const twice = found.find(({ key }, i) => found.findIndex((other) => other.key === key) !== i);
  if (twice !== undefined) throw new AccreteError("USAGE", `two of the files would both be ${twice.key}`);
  return found;
}

/** A file by its name, a folder's by the folder's name and the path in it. */
async function* filesOf(path: string, name = basename(path)): AsyncGenerator<{ source: string; name: string }> {
  const found = await stat(path).catch((cause: unknown) => {
    throw new AccreteError("NOT_FOUND", `${path}: there is no such file`, { cause });
  });
  if (found.isFile()) yield { source: path, name };
  else if (!found.isDirectory()) throw new AccreteError("USAGE", `${path}: neither a file nor a folder`);
  else {
    for (const entry of (await readdir(path, { withFileTypes: true })).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (isPassedOver(entry.name) || !(entry.isFile() || entry.isDirectory())) continue;
      yield* filesOf(join(path, entry.name), `${name}/${entry.name}`);
    }
  }
}
