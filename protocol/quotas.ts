/** Which quotas of an AWS account a pipeline's machines count for. */
import { gpusOf, type ComputeConfig } from "./aws-config.ts";

export interface Quota {
  /** of Service Quotas */
  readonly service: "ec2" | "fargate";
  readonly code: string;
  /** as AWS calls it */
  readonly name: string;
}

/**
 * By an instance type's family: quotas of spot and on demand, each in vCPUs. Codes are those of Service Quotas; null: which one AWS counts by
 * is not known for sure, and a wrong one would say that no job starts, or that all is well.
 */
const FAMILIES: readonly {
  readonly family: RegExp;
  readonly of: string;
  readonly spot: string | null;
  readonly onDemand: string;
}[] = [
  { family: /^(g|gr|vt)\d/, of: "G and VT", spot: "L-3819A6DF", onDemand: "L-DB2E81BA" },
  // all of them are one quota on demand, but not on spot
  { family: /^p[2-4]\D/, of: "P", spot: "L-7212CCBC", onDemand: "L-417A185B" },
  { family: /^p5/, of: "P", spot: "L-C4BD4855", onDemand: "L-417A185B" },
  { family: /^p6/, of: "P", spot: null, onDemand: "L-417A185B" },
  {
    // not inf, dl, trn, hpc or mac, which begin with the same letters
    family: /^([acdhimrtz]|im|is)\d/,
    of: "standard (A, C, D, H, I, M, R, T, Z)",
    spot: "L-34B43A08",
    onDemand: "L-1216C47A",
  },
];

const DEFAULT_TYPES = { gpu: ["g4dn.xlarge"], cpu: ["c7i.xlarge", "m7i.xlarge"] } as const;

/** Those that have to be at least `compute.vcpus`, or no job ever starts; `instanceTypes` of other families have none here. */
export function quotasOf(compute: ComputeConfig): Quota[] {
  if (compute.platform === "fargate") {
    const onDemand: Quota = { service: "fargate", code: "L-3032A538", name: "Fargate On-Demand vCPU resource count" };
    const spot: Quota = { service: "fargate", code: "L-36FBB829", name: "Fargate Spot vCPU resource count" };
    return compute.spot ? [spot, onDemand] : [onDemand];
  }
  const types = compute.instanceTypes ?? DEFAULT_TYPES[gpusOf(compute) > 0 ? "gpu" : "cpu"];
  const families = FAMILIES.filter(({ family }) => types.some((type) => family.test(type)));
  const found = families.flatMap(({ of, spot, onDemand }) => [
    ...(compute.spot && spot !== null ? [{ service: "ec2", code: spot, name: `${of} spot instances` } as const] : []),
    { service: "ec2", code: onDemand, name: `${of} on-demand instances` } as const,
  ]);
  return [...new Map(found.map((quota) => [quota.code, quota])).values()];
}
