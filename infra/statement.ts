/** What policies are made of: statements as plain JSON, and patterns of the state bucket's keys. Every part may be one of CDK's tokens. */
import { CONSUMED, LIVE, ROUNDS } from "../protocol/keys.ts";

/** As in a policy document. */
export interface Statement {
  readonly Sid: string;
  readonly Effect: "Allow" | "Deny";
  readonly Action: readonly string[];
  readonly Resource: readonly string[];
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>;
}

/** Of a policy that is attached to a resource. */
export interface ResourceStatement extends Statement {
  readonly Principal: "*" | { readonly AWS: readonly string[] };
}

// Ten digits of a round or an attempt: a "*" would match a slash as well.
export const NUMBER = "??????????";
export const ATTEMPTS = `${ROUNDS}${NUMBER}/attempts/`;
export const CHECKPOINTS = `${ROUNDS}${NUMBER}/checkpoints/*`;
export const RESULT = `${ROUNDS}${NUMBER}/result.json`;
export const PLAN = `${ROUNDS}${NUMBER}/plan.json`;
export const REPLACED = [`${CONSUMED}*`, LIVE] as const;

/** Wildcards and variables of policies, as what they are. */
export const literal = (text: string): string => text.replaceAll(/[*?$]/g, (one) => `\${${one}}`);

export const stateKeys = (names: { stateBucket: string; pipeline: string }, pattern: string): string =>
  `${names.stateBucket}/${names.pipeline}/${pattern}`;
export const dataObjects = (names: { dataBucket: string; dataPrefix: string }): string =>
  `${names.dataBucket}/${literal(names.dataPrefix)}*`;

export function allow(
  Sid: string,
  Action: readonly string[],
  Resource: readonly string[],
  Condition?: Statement["Condition"],
): Statement {
  return { Sid, Effect: "Allow", Action, Resource, ...(Condition === undefined ? {} : { Condition }) };
}
