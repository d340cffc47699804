/** What SIGTERM has to wait for, if that takes long: else a checkpoint that comes too late is a surprise. */

/** With less, nobody who stops a job notices. */
const SLOW_MS = 5_000;

/** Says of each kind of work once that it is slow, and again only when it takes twice as long. */
export class SlowWork {
  readonly #say: (line: string) => void;
  /** by what it is: the least that is said of it next */
  readonly #leastMs = new Map<string, number>();

  constructor(say: (line: string) => void) {
    this.#say = say;
  }

  /** @param what "a step" */
  took(what: string, ms: number): void {
    if (ms < (this.#leastMs.get(what) ?? SLOW_MS)) return;
    this.#leastMs.set(what, 2 * ms);
    this.#say(`${what} takes ${(ms / 1_000).toFixed(1)} s: SIGTERM waits for it, and Batch kills after 30 s`);
  }
}
