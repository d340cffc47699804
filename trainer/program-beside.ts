/**
 * A program of the trainer's own, for a worker or a process: both it and who starts it are compiled, or none is.
 * @param from the starting module's import.meta.url
 * @param name without an ending
 */
export function programBeside(from: string, name: string): URL {
  return new URL(`./${name}${from.endsWith(".ts") ? ".ts" : ".js"}`, from);
}
