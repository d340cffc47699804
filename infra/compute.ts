/** What a pipeline's jobs need, as AWS Batch is told it: defaults filled in, and what AWS would refuse refused before. */
import { gpusOf, type ComputeConfig } from "../protocol/aws-config.ts";
import type { PipelineConfig } from "../protocol/config.ts";
import { AccreteError } from "../protocol/errors.ts";

const MiB = 1_048_576;
const GiB = 1_073_741_824;
/** Fargate's: vCPUs -> memory in GiB from, to, in steps of */
const FARGATE_MEMORY: Readonly<Record<number, readonly [number, number, number]>> = {
  1: [2, 8, 1],
  2: [4, 16, 1],
  4: [8, 30, 1],
  8: [16, 60, 4],
  16: [32, 120, 8],
};
const FARGATE_SCRATCH_GIB = { from: 21, to: 200 } as const;
/** of one EBS volume of type gp3 */
const SCRATCH_GIB_MAX = 65_536;

export interface Compute {
  readonly fargate: boolean;
  readonly gpus: number;
  readonly vcpus: number;
  readonly memoryMiB: number;
  readonly scratchGiB: number;
  readonly sharedMemoryMiB: number;
  /** none on Fargate */
  readonly instanceTypes: readonly string[];
  readonly spot: boolean;
  readonly maxVcpus: number;
}

/** @throws {AccreteError} CONFIG_INVALID, with the range and what was found */
export function computeOf({ name, compute }: Pick<PipelineConfig, "name" | "compute">): Compute {
  const fargate = compute.platform === "fargate";
  const wrong = fargate
    ? fargateFault(compute)
    : compute.scratch > SCRATCH_GIB_MAX * GiB
      ? tooLarge(compute)
      : undefined;
  const fault = wrong ?? (compute.maxVcpus < compute.vcpus ? tooFew(compute) : undefined);
  if (fault !== undefined) throw new AccreteError("CONFIG_INVALID", `${name}: compute.${fault}`);
  const scratchGiB = Math.ceil(compute.scratch / GiB);
  return {
    fargate,
    gpus: gpusOf(compute),
    vcpus: compute.vcpus,
    memoryMiB: Math.floor((compute.memory ?? defaultMemory(compute)) / MiB),
    scratchGiB: fargate ? Math.max(FARGATE_SCRATCH_GIB.from, scratchGiB) : scratchGiB,
    sharedMemoryMiB: Math.ceil(compute.sharedMemory / MiB),
    instanceTypes: fargate ? [] : (compute.instanceTypes ?? defaultTypes(compute)),
    spot: compute.spot,
    maxVcpus: compute.maxVcpus,
  };
}

/** A machine's own system takes some: 14 of g4dn.xlarge's 16 GiB, 6 of c7i.xlarge's 8. */
function defaultMemory(compute: ComputeConfig): number {
  const least = FARGATE_MEMORY[compute.vcpus]?.[0] ?? 0;
  if (compute.platform === "fargate") return Math.max(least, 6) * GiB;
  return (gpusOf(compute) > 0 ? 14 : 6) * GiB;
}

const defaultTypes = (compute: ComputeConfig): readonly string[] =>
  gpusOf(compute) > 0 ? ["g4dn.xlarge"] : ["c7i.xlarge", "m7i.xlarge"];

function fargateFault({ vcpus, memory, scratch }: ComputeConfig): string | undefined {
  const range = FARGATE_MEMORY[vcpus];
  if (range === undefined) return `vcpus: ${vcpus}: fargate has ${Object.keys(FARGATE_MEMORY).join(", ")}`;
  const [from, to, step] = range;
  const asked = (memory ?? Math.max(from, 6) * GiB) / GiB;
  if (asked < from || asked > to || (asked - from) % step !== 0)
    return `memory: ${Number(asked.toFixed(2))} GiB: with ${vcpus} vcpus fargate has ${from} to ${to} GiB in steps of ${step}`;
  if (scratch > FARGATE_SCRATCH_GIB.to * GiB)
    return `scratch: ${scratch / GiB} GiB: fargate has at most ${FARGATE_SCRATCH_GIB.to} GiB`;
  return undefined;
}

const tooLarge = ({ scratch }: ComputeConfig): string =>
  `scratch: ${scratch / GiB} GiB: a disk has at most ${SCRATCH_GIB_MAX} GiB`;
const tooFew = ({ maxVcpus, vcpus }: ComputeConfig): string =>
  `maxVcpus: ${maxVcpus} is less than the ${vcpus} vcpus of a job: none would ever start`;
