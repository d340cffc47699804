/** What is wrong with a config, in words: the place, what was found, what is expected, the nearest known name. */
import { nearestName } from "./nearest-name.ts";

/** As zod gives it; a union has the issues of each of its branches. */
export interface Issue {
  readonly code?: string | undefined;
  readonly message: string;
  readonly path: readonly PropertyKey[];
  readonly keys?: readonly string[] | undefined;
  readonly expected?: string | undefined;
  readonly values?: readonly unknown[] | undefined;
  readonly minimum?: number | bigint | undefined;
  readonly maximum?: number | bigint | undefined;
  readonly inclusive?: boolean | undefined;
  readonly origin?: string | undefined;
  readonly errors?: readonly (readonly Issue[])[] | undefined;
  readonly options?: readonly unknown[] | undefined;
}

/** What many write a plain value for, as in other libraries; by its place. */
const EXAMPLES: Readonly<Record<string, string>> = {
  "trainer.optimizer": '{ name: "adam" }',
  "trainer.schedule": '{ name: "one-cycle" }',
  "trainer.clip": "{ norm: 1 }",
  "trainer.earlyStopping": "{ patience: 5 }",
  "trainer.start": '{ from: "model.json" }',
};

/** What zod says where no words were given. */
const NO_WORDS = "Invalid input";

/**
 * @param value what was checked, as a whole
 * @param known all names of the config
 */
export function describeIssue(issue: Issue, value: unknown, known: readonly string[]): string {
  return describeAt(issue, { value, known, path: issue.path });
}

interface At {
  readonly value: unknown;
  readonly known: readonly string[];
  readonly path: readonly PropertyKey[];
}

function describeAt(issue: Issue, at: At): string {
  if (issue.code === "invalid_union" && issue.errors !== undefined && issue.errors.length > 0)
    return describeUnion(issue.errors, at);
  return `${placeOf(at.path)}: ${wordsOf(issue, at)}`;
}

function placeOf(path: readonly PropertyKey[]): string {
  const parts = path.map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`));
  return parts.length === 0 ? "config" : parts.join("").replace(/^\./, "");
}

function wordsOf(issue: Issue, { value, path, known }: At): string {
  if (issue.code === "unrecognized_keys" && issue.keys !== undefined) return unknownNames(issue.keys, known);
  if (issue.message !== NO_WORDS) return issue.message;
  const found = valueAt(value, path);
  if (found === undefined) return "it is missing";
  const allowed = issue.values ?? issue.options;
  if (allowed !== undefined) return noneOf(found, allowed);
  if (issue.expected !== undefined)
    return `${articleOf(issue.expected)} is expected, not ${shown(found)}${exampleOf(issue.expected, path)}`;
  const of = issue.origin === "array" ? " of them" : issue.origin === "string" ? " characters" : "";
  if (issue.minimum !== undefined)
    return `${shown(found)}: ${issue.inclusive === false ? "more than" : "at least"} ${issue.minimum}${of} is expected`;
  if (issue.maximum !== undefined)
    return `${shown(found)}: ${issue.inclusive === false ? "less than" : "at most"} ${issue.maximum}${of} is expected`;
  return `${shown(found)} is not allowed here`;
}

function exampleOf(expected: string, path: readonly PropertyKey[]): string {
  const example = EXAMPLES[path.slice(-2).join(".")];
  return expected !== "object" || example === undefined ? "" : `: such as ${example}`;
}

/** The branch that was meant: the one with the fewest faults. */
function describeUnion(branches: readonly (readonly Issue[])[], at: At): string {
  const fitting = branches.filter(
    (issues) => !issues.some(({ code, path }) => code === "invalid_type" && path.length === 0),
  );
  if (fitting.length === 0) {
    const found = valueAt(at.value, at.path);
    if (found === undefined) return `${placeOf(at.path)}: it is missing`;
    const expected = new Set(branches.flat().flatMap((issue) => issue.expected ?? []));
    return `${placeOf(at.path)}: ${[...expected].map(articleOf).join(" or ")} is expected, not ${shown(found)}`;
  }
  const unknown = fitting.map((issues) => new Set(issues.flatMap(({ keys }) => keys ?? [])));
  const nowhere = [...(unknown[0] ?? [])].filter((key) => unknown.every((keys) => keys.has(key)));
  if (nowhere.length > 0) return `${placeOf(at.path)}: ${unknownNames(nowhere, at.known)}`;

  const fewest = Math.min(...fitting.map((issues) => issues.length));
  const best = fitting.filter((issues) => issues.length === fewest);
  const missing = best.map(([first]) => first!.path);
  if (fewest === 1 && missing.every((path) => valueAt(at.value, [...at.path, ...path]) === undefined))
    return `${placeOf(at.path)}: ${missing.map((path) => String(path.at(-1))).join(" or ")} is missing`;
  return best[0]!.map((issue) => describeAt(issue, { ...at, path: [...at.path, ...issue.path] })).join("; ");
}

function unknownNames(names: readonly string[], known: readonly string[]): string {
  return names
    .map((name) => {
      if (known.includes(name)) return `"${name}" does not belong here`;
      const near = nearestName(name, known) ?? known.find((one) => initialsOf(one) === name);
      return near === undefined ? `"${name}" is not known` : `"${name}" is not known: did you mean "${near}"?`;
    })
    .join("; ");
}

/** "lr" of "learningRate" */
function initialsOf(name: string): string {
  const words = name.split(/(?=[A-Z])/);
  return words.length === 1 ? "" : words.map((word) => word[0]!.toLowerCase()).join("");
}

function noneOf(found: unknown, allowed: readonly unknown[]): string {
  const near = typeof found === "string" ? nearestName(found, allowed.map(String)) : undefined;
  const list = allowed.map(shown).join(", ");
  return near === undefined
    ? `${shown(found)} is none of ${list}`
    : `${shown(found)} is none of ${list}: did you mean ${shown(near)}?`;
}

function articleOf(expected: string): string {
  const name = expected === "int" ? "whole number" : expected === "record" ? "object" : expected;
  return `${/^[aeiou]/.test(name) ? "an" : "a"} ${name}`;
}

function shown(value: unknown): string {
  if (typeof value === "string") return value.length > 60 ? `"${value.slice(0, 60)}..."` : `"${value}"`;
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" && value !== null ? "an object" : String(value);
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let at = value;
  for (const part of path) {
    if (typeof at !== "object" || at === null) return undefined;
    at = Reflect.get(at, part);
  }
  return at;
}
