/** Reads a line as a shell does, as far as completion needs it: words, quotes and backslashes. Nothing is expanded. */

export interface ShellWords {
  /** the last one is that at the cursor, empty if nothing of it is typed */
  readonly words: readonly string[];
  /** bash replaces only what comes after the last unquoted : or = of the word at the cursor; this much comes before */
  readonly kept: number;
}

export function shellWords(line: string): ShellWords {
  const words: string[] = [];
  let word = "";
  let kept = 0;
  let quote: '"' | "'" | undefined;
  for (let i = 0; i < line.length; i++) {
    const character = line[i]!;
    if (character === "\\" && quote !== "'") {
      word += line[++i] ?? "";
    } else if (quote !== undefined) {
      if (character === quote) quote = undefined;
      else word += character;
    } else if (character === '"' || character === "'") {
      quote = character;
    } else if (character === " " || character === "\t") {
      if (i > 0 && line[i - 1] !== " " && line[i - 1] !== "\t") words.push(word);
      word = "";
      kept = 0;
    } else {
      word += character;
      if (character === ":" || character === "=") kept = word.length;
    }
  }
  return { words: [...words, word], kept };
}
