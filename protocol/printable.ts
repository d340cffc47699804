/** C0, DEL, C1; lone surrogates; line and paragraph separators; marks that turn the direction of the text. */
const NOT_PRINTABLE = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu;

/**
 * Text that a terminal shows on one line and as it is: a key or a message may come from anybody who may write data, and
 * an escape sequence in it could move the cursor, change what is shown or answer for the user.
 * What is not shown as itself becomes a visible escape: `\n`, `\r`, `\t`, `\x1b`, `\u{202e}`.
 */
export function printable(text: string): string {
  return text.replace(NOT_PRINTABLE, escaped);
}

/** The same of JSON, which allows them all but C0 as they are; read back, it is as it was. */
export function printableJson(value: unknown, indent = 0): string {
  return JSON.stringify(value, null, indent).replace(
    /[\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}\u007f-\u009f]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function escaped(character: string): string {
  if (character === "\n") return "\\n";
  if (character === "\r") return "\\r";
  if (character === "\t") return "\\t";
  const code = character.codePointAt(0) ?? 0;
  return code <= 0xff ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16).padStart(4, "0")}}`;
}
