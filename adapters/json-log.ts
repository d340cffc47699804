/** The log of a function: one JSON object a line, which CloudWatch keeps; metrics in the embedded format that it reads from there. */
import { AccreteError, messageOf } from "../protocol/errors.ts";
import { printableJson } from "../protocol/printable.ts";

type Fields = Readonly<Record<string, unknown>>;

export interface JsonLogOptions {
  readonly pipeline: string;
  /** value of the metrics' one dimension, `pipeline`: two stages may have a pipeline of the same name */
  readonly metrics: string;
  readonly nowMs: () => number;
  /** a line, without its end */
  readonly write: (line: string) => void;
}

export interface JsonLog {
  info(event: string, fields?: Fields): void;
  warn(event: string, fields?: Fields): void;
  /** Its code and message, and of a cause the message. */
  error(event: string, error: unknown, fields?: Fields): void;
  /** undefined values are left out */
  metrics(values: Readonly<Record<string, number | undefined>>): void;
}

const NAMESPACE = "Accrete";
/** Of what is no count. */
const UNITS: ReadonlyMap<string, string> = new Map([
  ["seconds", "Seconds"],
  ["oldestPendingSeconds", "Seconds"],
  ["examplesPerSecond", "Count/Second"],
  ["cost", "None"],
]);
/** What a line may have of a text: a message may name many things. */
const TEXT_MAX = 4_096;

export function openJsonLog({ pipeline, metrics: dimension, nowMs, write }: JsonLogOptions): JsonLog {
  const say = (level: "info" | "warn" | "error", event: string, fields: Fields = {}): void => {
    const time = new Date(nowMs()).toISOString();
    const cut = Object.entries(fields).map(([name, value]) => [
      name,
      typeof value === "string" ? value.slice(0, TEXT_MAX) : value,
    ]);
    write(printableJson({ time, level, pipeline, event, ...Object.fromEntries(cut) }));
  };
  return {
    info: (event, fields) => say("info", event, fields),
    warn: (event, fields) => say("warn", event, fields),
    error: (event, error, fields) =>
      say("error", event, {
        ...fields,
        code: error instanceof AccreteError ? error.code : undefined,
        message: messageOf(error),
        cause: error instanceof Error && error.cause !== undefined ? messageOf(error.cause) : undefined,
        // of a mistake of the program's: where it is
        stack: error instanceof Error && !(error instanceof AccreteError) ? error.stack : undefined,
      }),
    metrics(values) {
      const known = Object.entries(values).filter(([, value]) => value !== undefined);
      const metrics = known.map(([name]) => ({ Name: name, Unit: UNITS.get(name) ?? "Count" }));
      const embedded = {
        Timestamp: nowMs(),
        CloudWatchMetrics: [{ Namespace: NAMESPACE, Dimensions: [["pipeline"]], Metrics: metrics }],
      };
      write(printableJson({ _aws: embedded, pipeline: dimension, ...Object.fromEntries(known) }));
    },
  };
}
