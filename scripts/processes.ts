/** What /proc says of processes: their memory and the time they took. Linux only. */
import { readFileSync } from "node:fs";

/** Once so often the memory of processes is looked at that may end at any time. */
const LOOK_MS = 200;
/** Of the clock that /proc counts by: it is so on every Linux that Node runs on. */
const TICKS_A_SECOND = 100;

/** A field of /proc/<pid>/status in MB (VmRSS: now, VmHWM: the most so far); undefined if there is no such process. */
export function memoryMb(pid: number, field: "VmRSS" | "VmHWM"): number | undefined {
  try {
    const [, kib] = new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
    return kib === undefined ? undefined : (Number(kib) * 1_024) / 1_000_000;
  } catch {
    return undefined;
  }
}

/** Seconds of a core that a process has taken so far. */
export function cpuSeconds(pid: number): number {
  // the name, in brackets, may have spaces in it: utime and stime are the 12th and 13th field after it
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND;
}

/** The most memory that processes had, by name. */
export class PeakMemory {
  readonly #peaks = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;

  /** @param pids of the processes that run now */
  constructor(pids: () => Promise<Readonly<Record<string, number>>>) {
    this.#timer = setInterval(() => void this.#look(pids), LOOK_MS);
  }

  async #look(pids: () => Promise<Readonly<Record<string, number>>>): Promise<void> {
    for (const [name, pid] of Object.entries(await pids()))
      this.#peaks.set(name, Math.max(this.#peaks.get(name) ?? 0, memoryMb(pid, "VmHWM") ?? 0));
  }

  text(): string {
    return [...this.#peaks].map(([name, mb]) => `${name} ${Math.round(mb)} MB`).join(", ");
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
