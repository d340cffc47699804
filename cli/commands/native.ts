import { Command, Option } from "commander";
import { AccreteError } from "../../protocol/errors.ts";
import { printable } from "../../protocol/printable.ts";
import { openNative, type Native } from "../compose-native.ts";
import { refuseStack } from "../compose.ts";
import type { GlobalOptions } from "../pipeline.ts";
import { duration } from "../print.ts";
import { line, printJson } from "../terminal.ts";

interface NativeOptions extends GlobalOptions {
  readonly gpu?: boolean;
  readonly cpu?: boolean;
  readonly check?: boolean;
  readonly remove?: boolean;
}

export function nativeCommand(): Command {
  return new Command("native")
    .summary("put TensorFlow's own library on this machine, for faster trainings and for GPUs")
    .description(
      "Fetches the wheel that TensorFlow publishes by pip, checks its sha256, keeps its C library (0.6 GB; 4.3 GB for GPUs) in the user's cache folder or in ACCRETE_NATIVE_DIR, and compiles Node's addon for it. It needs python3 with pip and a C++ compiler (PYTHON and CXX name others), while it is built and not later. All trainings on this machine use it from then on. If it is there and works nothing is done.",
    )
    .addOption(
      new Option(
        "--gpu",
        "for GPUs of NVIDIA's, with CUDA's libraries: 2.9 GB to fetch (default where there is such a GPU)",
      ).conflicts(["cpu", "check", "remove"]),
    )
    .addOption(new Option("--cpu", "for processors: 0.3 GB to fetch").conflicts(["gpu", "check", "remove"]))
    .addOption(new Option("--check", "try what is there, and do nothing else").conflicts("remove"))
    .option("--remove", "take it away again")
    .addHelpText("after", "\nExamples:\n  $ accrete native\n  $ accrete native --check\n  $ accrete native --cpu")
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<NativeOptions>();
      refuseStack(options, "native", "the trainer's image has TensorFlow's library in it");
      const native = openNative();
      if (options.check === true) return check(native, options.json === true);
      if (options.remove === true) {
        const folders = await native.remove();
        if (options.json === true) return printJson({ removed: folders });
        line(
          folders.length === 0 ? `nothing is in ${printable(native.root)}` : printable(`removed ${folders.join(", ")}`),
        );
        return;
      }
      await install(native, options);
    });
}

async function install(native: Native, { gpu, cpu, json }: NativeOptions): Promise<void> {
  const began = performance.now();
  const say = (text: string): void => {
    if (json !== true) line(`${((performance.now() - began) / 1_000).toFixed(1).padStart(6)} s  ${printable(text)}`);
  };
  const stopped = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () =>
      stopped.abort(new AccreteError("NATIVE_NOT_BUILT", `${signal} has come before the end`)),
    );
  const wanted = gpu === true ? true : cpu === true ? false : undefined;
  const { library, check: found, built } = await native.install({ gpu: wanted, say, signal: stopped.signal });
  const { folder, tensorflow } = library;
  if (json === true)
    return printJson({ tensorflow, folder, gpu: library.gpu, gpuSeen: found.gpuSeen, whyNoGpu: found.whyNoGpu, built });
  const text = `TensorFlow ${tensorflow}${library.gpu ? " for GPUs" : ""} works, in ${folder}`;
  line(printable(built ? `${text}: made in ${duration(performance.now() - began)}` : `${text}: it was there`));
  if (library.gpu)
    line(
      printable(found.gpuSeen ? "it sees a GPU" : `but it sees no GPU, and trains on the processor: ${found.whyNoGpu}`),
    );
}

/** @throws {AccreteError} NATIVE_NOT_BUILT if none is there, or the one that a training would take does not work */
async function check(native: Native, json: boolean): Promise<void> {
  const found = await native.check();
  const list = found.map(({ library, check: of }) => ({
    tensorflow: library.tensorflow,
    folder: library.folder,
    gpu: library.gpu,
    ...of,
  }));
  if (json) printJson(list);
  for (const { library, check: of } of json ? [] : found) {
    const state = of.works
      ? `works${library.gpu ? (of.gpuSeen ? ", and sees a GPU" : `, but sees no GPU: ${of.whyNoGpu}`) : ""}`
      : `does not work: ${of.problem}`;
    line(printable(`TensorFlow ${library.tensorflow}${library.gpu ? " for GPUs" : ""} in ${library.folder} ${state}`));
  }
  const first = found[0];
  if (first === undefined) throw new AccreteError("NATIVE_NOT_BUILT", `there is none in ${native.root}`);
  if (!first.check.works)
    throw new AccreteError("NATIVE_NOT_BUILT", `what a training would use does not work: ${first.check.problem}`);
}
