import { resolve } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { AccreteError } from "../../protocol/errors.ts";
import { printable } from "../../protocol/printable.ts";
import { openImages, type ImageKind, type Images } from "../compose-image.ts";
import { refuseStack } from "../compose.ts";
import type { GlobalOptions } from "../pipeline.ts";
import { bytes, duration } from "../print.ts";
import { line, printJson } from "../terminal.ts";
import { userFolder } from "../user-folder.ts";

interface ImageOptions extends GlobalOptions {
  readonly gpu?: boolean;
  readonly base?: string;
  readonly context?: string;
  readonly tag?: string;
}

export function imageCommand(): Command {
  return new Command("image")
    .summary("make the trainer's image, which AWS Batch or any Docker runs")
    .description(
      "Prepares all that is in the image (Node, TensorFlow's library as `accrete native` makes it, the trainer) on this machine, a Linux on x64, and builds it with Docker. Its name says what it was made of, so one that is there already is not made again. `npx cdk deploy` does the same by itself where the config names no image.",
    )
    .option("--gpu", "for GPUs of NVIDIA's, with CUDA's libraries: 4.5 GB")
    .option("--base <image>", "what it is built on: any with glibc and libstdc++; else Debian", imageOption)
    .option(
      "--context <dir>",
      "prepare what Docker builds it from in this folder, and do nothing else: needs no Docker",
    )
    .option("--tag <name>", "one more name for it", imageOption)
    .addHelpText(
      "after",
      "\nExamples:\n  $ accrete image\n  $ accrete image --gpu --tag trainer:latest\n  $ accrete image --context build/image",
    )
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<ImageOptions>();
      refuseStack(options, "image", "`npx cdk deploy` builds the image of a stack");
      if (options.context !== undefined && options.tag !== undefined)
        throw new AccreteError("USAGE", "--tag names a built image, and --context builds none");
      const kind = { gpu: options.gpu === true };
      const progress = { say: sayer(options.json === true), signal: stopSignal() };
      const images = openImages();
      if (options.context === undefined) return make(images, kind, options, progress);
      return prepare(images, kind, options, { ...progress, out: resolve(userFolder(process.env), options.context) });
    });
}

interface Progress {
  readonly say: (text: string) => void;
  readonly signal: AbortSignal;
}

async function make(images: Images, kind: ImageKind, options: ImageOptions, progress: Progress): Promise<void> {
  const { base = images.base, tag } = options;
  const { name, digest, image, took } = await images.make({ kind, base, tag, ...progress });
  if (options.json === true)
    return printJson({ name, digest, gpu: kind.gpu, base, ...image, tag: tag ?? null, built: took !== null, took });
  const how =
    took === null ? "it was there" : `prepared in ${duration(took.prepareMs)}, built in ${duration(took.buildMs)}`;
  line(printable(`${name}, ${bytes(image.size)}: ${how}`));
  line(`inputs  ${digest}`);
  if (tag !== undefined) line(printable(`tagged  ${tag}`));
  line("what to do next:");
  const called = printable(tag ?? name);
  const deploy = `npx cdk deploy --all${base === images.base ? "" : ` -c base=${printable(base)}`}`;
  const rows = [
    ["on AWS", `nothing: \`${deploy}\` takes it; or push it, and name it in \`aws.image\` of the config`],
    ["try it here", `docker run --rm --entrypoint /opt/accrete/bin/node ${called} --version`],
    ["in an image of your own", `COPY --from=${called} /opt/accrete /opt/accrete (docs/image.md has the rest)`],
  ] as const;
  for (const [what, how] of rows) line(`  ${what.padEnd(23)}  ${how}`);
}

async function prepare(
  images: Images,
  kind: ImageKind,
  { base = images.base, json }: ImageOptions,
  progress: Progress & { readonly out: string },
): Promise<void> {
  const began = performance.now();
  const context = await images.prepare({ kind, base, ...progress });
  if (json === true) return printJson({ ...context, gpu: kind.gpu, base, name: context.name });
  const size = Object.values(context.sizes).reduce((sum, one) => sum + one, 0);
  const how = context.prepared ? `prepared in ${duration(performance.now() - began)}` : "it was there";
  line(printable(`${context.folder}, ${bytes(size)}: ${how}`));
  for (const [layer, of] of Object.entries(context.sizes)) if (of > 0) line(`  ${layer.padEnd(10)}  ${bytes(of)}`);
  line(`inputs  ${context.digest}`);
  const { folder, name } = context;
  line(printable(`to build it: docker ${images.buildArguments({ context: folder, base, name }).join(" ")}`));
}

/** Progress with the seconds that have gone. */
function sayer(silent: boolean): (text: string) => void {
  const began = performance.now();
  return (text) => {
    if (!silent) line(`${((performance.now() - began) / 1_000).toFixed(1).padStart(6)} s  ${printable(text)}`);
  };
}

function stopSignal(): AbortSignal {
  const stopped = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => stopped.abort(new AccreteError("IMAGE_NOT_BUILT", `${signal} has come before the end`)));
  return stopped.signal;
}

/** As Docker reads it; what is wrong is said before anything is made. @throws {InvalidArgumentError} */
function imageOption(text: string): string {
  const name = /^(?:[\w.-]+(?::\d+)?\/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*(?::\w[\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$/;
  if (!name.test(text)) throw new InvalidArgumentError("an image's name was expected, such as trainer:latest.");
  return text;
}
