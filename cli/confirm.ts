/** Asking before something is changed. */
import { createInterface } from "node:readline/promises";
import { AccreteError } from "../protocol/errors.ts";

export interface Asking {
  readonly yes?: boolean;
  readonly json?: boolean;
}

interface Terminal {
  readonly input: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly output: NodeJS.WritableStream;
}

/**
 * Whether to go on: --yes says so, else who sits at the terminal.
 * @param show says what will be done
 * @throws {AccreteError} CONFIRMATION_NEEDED, once it is shown, if there is nobody to ask
 */
export async function isConfirmed(
  { yes, json }: Asking,
  show: () => void,
  terminal: Terminal = { input: process.stdin, output: process.stdout },
): Promise<boolean> {
  if (yes === true) {
    if (json !== true) show();
    return true;
  }
  show();
  if (json === true || terminal.input.isTTY !== true)
    throw new AccreteError("CONFIRMATION_NEEDED", "nothing was changed: this is only done with --yes");
  return isYes(await ask(terminal, "Go on? [y/N] "));
}

function isYes(answer: string): boolean {
  return /^\s*y(es)?\s*$/i.test(answer);
}

/** The end of the input (Ctrl-D) and Ctrl-C are no answer, so no. */
async function ask({ input, output }: Terminal, question: string): Promise<string> {
  const lines = createInterface({ input, output, terminal: false });
  try {
    const ended = new Promise<string>((resolve) => lines.once("close", () => resolve("")));
    return await Promise.race([lines.question(question), ended]);
  } finally {
    lines.close();
  }
}
