/** What NVIDIA's own program says of a GPU: TensorFlow's addon for Node tells neither its model nor the memory that it takes. */
import { execFileSync } from "node:child_process";

const LIMIT_MS = 10_000;

export interface NvidiaGpu {
  readonly model: string;
  readonly driver: string;
  /** what its architecture can do: 7.5 (T4), 8.0 (A100), 9.0 (H100); undefined: an old driver does not tell */
  readonly computeCapability?: number | undefined;
  /** of its memory, by all processes */
  readonly usedBytes: number;
}

/** The first GPU that CUDA shows to this process. @returns undefined where that can't be told */
export function readNvidiaGpu(env: NodeJS.ProcessEnv = process.env): NvidiaGpu | undefined {
  const [first = ""] = (env["CUDA_VISIBLE_DEVICES"] ?? "").split(",");
  try {
    const text = execFileSync(
      "nvidia-smi",
      [
        "--query-gpu=name,driver_version,memory.used,compute_cap",
        "--format=csv,noheader,nounits",
        ...(first === "" ? [] : ["-i", first]),
      ],
      { encoding: "utf8", timeout: LIMIT_MS, stdio: ["ignore", "pipe", "ignore"], env },
    );
    const [model, driver, mib, capability] = text
      .split("\n")[0]!
      .split(",")
      .map((field) => field.trim());
    if (!model || !driver || !/^\d+$/.test(mib ?? "")) return undefined;
    const computeCapability = /^\d+\.\d+$/.test(capability ?? "") ? Number(capability) : undefined;
    return { model, driver, usedBytes: Number(mib) * 2 ** 20, computeCapability };
  } catch {
    return undefined; // not there, no driver, or it does not answer
  }
}
