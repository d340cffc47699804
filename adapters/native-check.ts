/** Whether an installation of TensorFlow's library works on this machine, and whether it sees a GPU. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import * as z from "zod/mini";
import { missingForGpu } from "../protocol/gpu-libraries.ts";
import { unopenedLibraries } from "./native-gpu.ts";
import { TENSORFLOW, type NativeLibrary } from "./native-library.ts";

export type NativeCheck =
  | {
      readonly works: true;
      /** TensorFlow has registered a GPU */
      readonly gpuSeen: boolean;
      /** where a library for GPUs sees none: the library or driver that is missing, else what TensorFlow says */
      readonly whyNoGpu: string | null;
    }
  | { readonly works: false; readonly problem: string };

const EXTENSION = import.meta.url.endsWith(".ts") ? "ts" : "js";
const PROGRAM = join(import.meta.dirname, `native-self-test.${EXTENSION}`);
/** The first start on a GPU compiles for it. */
const LIMIT_MS = 120_000;
const EXPECTED = [321, 654];

const Found = z.object({ tensorflow: z.string(), gpu: z.boolean(), values: z.array(z.number()) });

/** Lets it multiply two matrices, in a process of its own: about 0.4 s. Never throws. */
export async function checkNative({ addon, gpu }: Pick<NativeLibrary, "addon" | "gpu">): Promise<NativeCheck> {
  const { failure, out, said } = await runSelfTest(addon, gpu);
  if (failure !== null) return { works: false, problem: lastWord(said) ?? failure };
  const found = z.safeParse(Found, parseOrNull(out));
  if (!found.success) return { works: false, problem: "it does not say what it has computed" };
  const { tensorflow, values } = found.data;
  if (tensorflow !== TENSORFLOW) return { works: false, problem: `it is TensorFlow ${tensorflow}, not ${TENSORFLOW}` };
  if (values.join() !== EXPECTED.join())
    return { works: false, problem: `a product of matrices is ${values.join()}, not ${EXPECTED.join()}` };
  return {
    works: true,
    gpuSeen: found.data.gpu,
    whyNoGpu: gpu && !found.data.gpu ? await whyNoGpu(addon, said) : null,
  };
}

function runSelfTest(addon: string, gpu: boolean): Promise<{ failure: string | null; out: string; said: string }> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [PROGRAM, addon],
      {
        timeout: LIMIT_MS,
        killSignal: "SIGKILL",
        env: {
          ...process.env,
          NODE_OPTIONS: "",
          TF_CPP_MIN_LOG_LEVEL: gpu ? "0" : "2",
          TF_FORCE_GPU_ALLOW_GROWTH: "true",
        },
      },
      (error, out, said) => {
        const signal = error?.signal ?? undefined;
        const failure =
          error === null
            ? null
            : `its self-test ended with ${signal ?? `exit code ${String(error.code ?? "unknown")}`}`;
        resolve({ failure, out, said });
      },
    );
  });
}

async function whyNoGpu(addon: string, said: string): Promise<string> {
  return missingForGpu(await unopenedLibraries(addon)) ?? ownWords(said);
}

/** TensorFlow's own line on why it sees no GPU. */
function ownWords(said: string): string {
  const lines = said.split("\n").map(withoutStamp);
  const found = ["failed call to cuInit", "Cannot dlopen", "Could not find cuda drivers", "GPU"]
    .map((word) => lines.find((line) => line.includes(word)))
    .find((line) => line !== undefined);
  return found ?? "TensorFlow does not say why";
}

/** `Error: libc.so.6: version ... not found`, or what TensorFlow says before it ends the process. */
function lastWord(said: string): string | undefined {
  const lines = said
    .split("\n")
    .map(withoutStamp)
    .filter((line) => line !== "");
  return (
    lines.find((line) => /^(Error|TypeError): /.test(line))?.replace(/^\w+: /, "") ??
    lines.find((line) => line.includes("AVX")) ??
    undefined
  );
}

/** "E0000 00:00:1795522500.834740   13747 cuda_executor.cc:12] " in front of a line of TensorFlow's. */
function withoutStamp(line: string): string {
  return line.replace(/^[IWEF]\d{4} [^\]]*\] /, "").trim();
}

function parseOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
