/** Whether recorded calls are allowed, and by which statements. */
import type { PipelineNames, Role } from "../../infra/policies.ts";
import type { ResourceStatement } from "../../infra/statement.ts";
import { askedFor, type AwsCall, type Surroundings } from "./aws-calls.ts";
import type { Deployed } from "./deployed.ts";
import { decide, type Asked } from "./evaluate.ts";
import type { Recorded } from "./memory-aws.ts";
import { ACCOUNT, bucketPoliciesOf, callersOf, NAMES, policyFor, REGION, TICKS_URL } from "./place.ts";

export const ARRIVALS_URL = TICKS_URL.replace("ticks", "arrivals");
export const AROUND: Surroundings = {
  partition: "aws",
  region: REGION,
  account: ACCOUNT,
  owners: {},
  keys: {},
  messageKey: null,
  queues: { [TICKS_URL]: NAMES.ticksQueue, [ARRIVALS_URL]: NAMES.arrivalsQueue },
};

export interface Place extends Deployed {
  readonly around: Surroundings;
}

/** By the statements alone. @param more policies of resources, by their ARN */
export function placeOf(
  names: PipelineNames,
  around: Surroundings = AROUND,
  more: readonly (readonly [string, readonly ResourceStatement[]])[] = [],
): Place {
  const resources = bucketPoliciesOf(names, { repairer: true });
  return { callers: callersOf(names), around, resources: new Map([...resources, ...more]) };
}

export class Judge {
  /** "role Sid action resource": of the statements what a call was allowed by */
  readonly #used = new Set<string>();

  /** What of these calls is refused, each once: who, what, on what, and why. */
  async refused(
    calls: readonly Recorded[],
    { callers, around, resources }: Place,
    only: (one: Asked) => boolean = () => true,
  ): Promise<string[]> {
    const asked = new Map<string, { by: Role; one: Asked }>();
    for (const call of calls)
      for (const one of askedFor(call, around).filter(only))
        asked.set(`${call.by} ${JSON.stringify(one)}`, { by: call.by as Role, one });
    const found: string[] = [];
    for (const { by, one } of asked.values()) {
      const { result, refusedBy, allowedBy } = await decide(callers[by], one, policyFor(resources, one.resource));
      for (const match of allowedBy) this.#used.add(`${by} ${match}`);
      if (result !== "Allowed")
        found.push(`${by} ${one.action} ${one.resource} ${JSON.stringify(one.context)} ${result} ${refusedBy.join()}`);
    }
    return found;
  }

  /** What a role is allowed, and no call so far has asked for: "Sid action resource". */
  unused(role: Role, { callers }: Place): string[] {
    // Lambda's own, and what people ask for by other programs
    const others = /^(WriteLogs|TailLogs) /;
    return callers[role].statements
      .flatMap(({ Sid, Action, Resource }) =>
        Action.flatMap((action) => Resource.map((resource) => `${Sid} ${action} ${resource}`)),
      )
      .filter((one) => !this.#used.has(`${role} ${one}`) && !others.test(one));
  }
}

/** Which calls were made by whom, each once. */
export function kindsOf(calls: readonly Recorded[]): Record<string, string[]> {
  const kinds = new Map<string, Set<string>>();
  for (const { by, service, command } of calls)
    kinds.set(by, (kinds.get(by) ?? new Set()).add(`${service}.${command}`));
  return Object.fromEntries([...kinds].toSorted().map(([by, all]) => [by, [...all].toSorted()]));
}

export const call = (by: Role, service: string, command: string, input: AwsCall["input"]): Recorded => ({
  by,
  service,
  command,
  input,
});
