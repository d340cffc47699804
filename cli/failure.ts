/** How a command's failure is said, and the exit code that follows. */
import { AccreteError, EXIT, messageOf, type ErrorCode } from "../protocol/errors.ts";
import { printable } from "../protocol/printable.ts";

/** The pipeline can't go on as things are. The code may be one of a trainer of the user's own. */
export class Obstructed extends Error {
  readonly code: string;
  readonly advice: string;

  constructor(message: string, obstacle: { code: string; advice: string }) {
    super(message);
    this.code = obstacle.code;
    this.advice = obstacle.advice;
  }
}

const EXIT_CODES: Partial<Record<ErrorCode, number>> = {
  USAGE: EXIT.usage,
  PIPELINE_UNKNOWN: EXIT.usage,
  CONFIRMATION_NEEDED: EXIT.usage,
  CONFIG_NOT_FOUND: EXIT.config,
  CONFIG_NOT_LOADABLE: EXIT.config,
  CONFIG_INVALID: EXIT.config,
  MODEL_NOT_LOADABLE: EXIT.config,
  MODEL_INVALID: EXIT.config,
  START_NOT_READABLE: EXIT.config,
  START_NOT_MATCHING: EXIT.config,
};

/** 64 for a wrong command line, 78 for a wrong config, 70 for a bug, else 1. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof Obstructed) return 1;
  if (error instanceof AccreteError) return EXIT_CODES[error.code] ?? 1;
  return isSystemError(error) ? 1 : EXIT.bug;
}

/** What goes to stderr, without a newline at its end. */
export function failureText(error: unknown, debug: boolean): string {
  const stack = debug && error instanceof Error && error.stack !== undefined ? `\n${error.stack}` : "";
  if (error instanceof AccreteError || error instanceof Obstructed) {
    return `error ${printable(error.code)}: ${printable(error.message)}\nwhat to do: ${printable(error.advice)}${stack}`;
  }
  const where = isSystemError(error) ? "" : "\nThis was not expected. With ACCRETE_DEBUG=1 it says where it happened.";
  return `error: ${printable(messageOf(error))}${debug ? stack : where}`;
}

/** Of the operating system: ENOENT, EACCES, ENOSPC. */
function isSystemError(error: unknown): boolean {
  return error instanceof Error && "syscall" in error && "code" in error;
}
