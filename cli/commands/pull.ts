import { randomUUID } from "node:crypto";
import { mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { Command, Option } from "commander";
import { chooseCheckpoint, type WhichCheckpoint } from "../../ledger/checkpoints.ts";
import { sha256 } from "../../protocol/digest.ts";
import { AccreteError } from "../../protocol/errors.ts";
import { MANIFEST } from "../../protocol/keys.ts";
import type { Store } from "../../protocol/ports.ts";
import { parseDocument } from "../../protocol/types.ts";
import { openPipelineOf, userFolder, type GlobalOptions } from "../compose.ts";
import { countOption } from "../options.ts";
import { bytes, count } from "../print.ts";
import { line, LiveLine, printJson } from "../terminal.ts";
import { printable } from "../../protocol/printable.ts";

interface PullOptions extends GlobalOptions {
  readonly live?: boolean;
  readonly round?: number;
  readonly epoch?: number;
  readonly force?: boolean;
}

export function pullCommand(): Command {
  return new Command("pull")
    .summary("copy a checkpoint out, its digests checked")
    .description(
      "Copies the files of a checkpoint to a folder, each checked by its digest. Without a choice it is the live one. The folder appears whole or not at all.\n\nweights.safetensors has the weights by the names of the layers, for any program that reads safetensors; `trainer.start.from` begins another pipeline with it. schema.json names the features and the classes in their order.",
    )
    .argument("<dir>", "a folder that is not there yet, or is empty")
    .addOption(
      new Option("--live", "the checkpoint that users of the model load (default)").conflicts(["round", "epoch"]),
    )
    .addOption(new Option("--round <n>", "the result of this round").argParser(countOption).conflicts("epoch"))
    .addOption(
      new Option("--epoch <n>", "the newest checkpoint after so many epochs, also one saved within a round").argParser(
        countOption,
      ),
    )
    .option("--force", "replace the checkpoint that was pulled into the folder before")
    .addHelpText(
      "after",
      "\nExamples:\n  $ accrete pull model\n  $ accrete pull --round 3 model-3\n  $ accrete pull --epoch 12 model-12 --force",
    )
    .action(async (dir: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<PullOptions>();
      const { store } = await openPipelineOf(options);
      const target = resolve(userFolder(process.env), dir);
      await refuseFull(target, options.force === true);
      const which: WhichCheckpoint =
        options.round !== undefined
          ? { by: "round", number: options.round }
          : options.epoch !== undefined
            ? { by: "epoch", number: options.epoch }
            : { by: "live" };
      const chosen = await chooseCheckpoint(store, which);
      const files = await pull(store, chosen, target);
      const total = files.reduce((sum, { size }) => sum + size, 0);
      if (options.json === true) return printJson({ ...chosen, folder: target, files });
      line(
        `round ${chosen.round}, epoch ${chosen.epoch}, step ${chosen.step}${chosen.live ? ", live" : ""}: ${count(files.length, "file")}, ${bytes(total)} in ${printable(target)}`,
      );
    });
}

async function refuseFull(target: string, force: boolean): Promise<void> {
  try {
    const names = await readdir(target);
    if (names.length === 0) return;
    if (!force)
      throw new AccreteError(
        "TARGET_EXISTS",
        `${target} has ${count(names.length, "file or folder", "files or folders")} in it`,
      );
    if (!names.includes(MANIFEST))
      throw new AccreteError(
        "TARGET_EXISTS",
        `${target} has files in it that are no checkpoint: --force replaces only what was pulled before`,
      );
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOTDIR") throw new AccreteError("TARGET_EXISTS", `${target} is a file`, { cause: error });
    if (code !== "ENOENT") throw error;
  }
}

interface Pulled {
  readonly name: string;
  readonly size: number;
  readonly sha256: string;
}

/** Into a folder beside it, which gets the name once all is there and right. */
async function pull(
  store: Store,
  chosen: { manifest: string; sha256: string | undefined },
  target: string,
): Promise<Pulled[]> {
  const part = join(dirname(target), `.accrete-pull-${randomUUID()}`);
  await mkdir(part, { recursive: true });
  const live = new LiveLine();
  try {
    const stored = await store.get(chosen.manifest);
    if (stored === undefined) throw new AccreteError("NOT_KEPT", `${chosen.manifest} is not there any more`);
    const digest = sha256(stored.body);
    if (chosen.sha256 !== undefined && digest !== chosen.sha256)
      throw new AccreteError("STORED_NOT_READABLE", `${chosen.manifest} is not the manifest that the log names`);
    const manifest = parseDocument("manifest", chosen.manifest, stored.body);
    const prefix = chosen.manifest.slice(0, -MANIFEST.length);
    for (const file of manifest.files) {
      live.set(`${file.name}, ${bytes(file.size)}`);
      const path = join(part, file.name);
      const read = await store.readToFile(prefix + file.name, path);
      if (read === undefined)
        throw new AccreteError("STATE_MISSING", `${prefix}${file.name} is not there, but its manifest names it`);
      if (read.sha256 !== file.sha256)
        throw new AccreteError("STORED_NOT_READABLE", `${prefix}${file.name} is not what its manifest names`);
    }
    await writeFile(join(part, MANIFEST), stored.body, { flush: true });
    await putInPlace(part, target);
    return [
      ...manifest.files.map(({ name, size, sha256: of }) => ({ name, size, sha256: of })),
      { name: MANIFEST, size: stored.body.byteLength, sha256: digest },
    ];
  } finally {
    live.clear();
    await rm(part, { recursive: true, force: true });
  }
}

/** What was there goes aside first and is deleted last, so that a kill loses neither. */
async function putInPlace(part: string, target: string): Promise<void> {
  try {
    await rename(part, target); // an empty folder is replaced
    return;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code !== "ENOTEMPTY" && code !== "EEXIST") throw error;
  }
  const old = `${part}-old`;
  await rename(target, old);
  await rename(part, target);
  await rm(old, { recursive: true, force: true });
}
