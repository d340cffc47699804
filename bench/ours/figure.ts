/** How a contestant measures itself and says what it found: one line of JSON, the last of its output. */
import { readFileSync } from "node:fs";

const WARMUP = 20;

export function printFigure(value: number): void {
  console.log(JSON.stringify({ figure: value }));
}

/** Milliseconds of CPU, of this process with all its threads, that one call takes; after some to warm up. */
export function cpuMsPerCall(call: (i: number) => void, calls: number): number {
  for (let i = 0; i < WARMUP; i++) call(i);
  const began = process.cpuUsage();
  for (let i = 0; i < calls; i++) call(i);
  const { user, system } = process.cpuUsage(began);
  return (user + system) / 1_000 / calls;
}

/** Seconds of CPU of the processes that this one has started and that have ended, with theirs. Linux only. */
export function childrenCpuSeconds(): number {
  // the name, in brackets, may have spaces in it: cutime and cstime are the 14th and 15th field after it
  const fields = readFileSync("/proc/self/stat", "utf8").split(") ").at(-1)!.split(" ");
  return (Number(fields[13]) + Number(fields[14])) / 100;
}
