/**
 * Processes that make one call of the outside at a time; which process's call comes next, and what becomes of it, is drawn from
 * one seed. A killed process is never answered again.
 */
export interface Process {
  readonly name: string;
  alive: boolean;
  /** sleeps until the scheduler's clock of steps says so: the zombie */
  sleepsUntil: number;
  /** what the checks remember of what this process has read */
  readonly seen: {
    headSeq: number;
    failures: ReadonlySet<string>;
    /** key of a plan that was not there when it looked */
    noPlan?: string;
    /** what the recorded jobs of a round had run when its attempts were listed, in all, on that day and in that month */
    paid?: { round: number; nowMs: number; jobMs: number; dayMs: number; monthMs: number };
    /** time of the schedule whose tick this is */
    scheduleMs?: number;
  };
}

interface Call {
  readonly process: Process;
  readonly label: string;
  readonly write: boolean;
  /** makes the call take effect */
  readonly effect: () => Promise<unknown>;
  readonly answer: (value: unknown) => void;
  readonly fail: (error: Error) => void;
}

export class Scheduler {
  readonly #calls: Call[] = [];
  #running = 0;
  /** thrown by a process: a fault of the code under test, unless it was told to fail */
  readonly crashes: { name: string; error: unknown }[] = [];

  /** Runs `body` as a process; its calls wait to be drawn. */
  start(name: string, body: (process: Process) => Promise<void>): Process {
    const process: Process = { name, alive: true, sleepsUntil: 0, seen: { headSeq: 0, failures: new Set() } };
    this.#running++;
    void body(process)
      .catch((error: unknown) => {
        if (process.alive && !(error instanceof InjectedError)) this.crashes.push({ name, error });
      })
      .finally(() => {
        if (process.alive) this.#running--;
        process.alive = false;
      });
    return process;
  }

  kill(process: Process): void {
    if (!process.alive) return;
    process.alive = false;
    this.#running--;
    for (let i = this.#calls.length - 1; i >= 0; i--) if (this.#calls[i]!.process === process) this.#calls.splice(i, 1);
  }

  call<T>(process: Process, label: string, write: boolean, effect: () => Promise<T>): Promise<T> {
    if (!process.alive) return new Promise(() => {});
    return new Promise<T>((answer, fail) => {
      this.#calls.push({ process, label, write, effect, answer: answer as (value: unknown) => void, fail });
    });
  }

  get waiting(): number {
    return this.#calls.length;
  }

  /** Indexes of the calls of those that are awake. */
  awake(step: number): number[] {
    return this.#calls.flatMap(({ process }, i) => (process.sleepsUntil <= step ? [i] : []));
  }

  get running(): number {
    return this.#running;
  }

  processOf(index: number): Process {
    return this.#calls[index]!.process;
  }

  /** Takes one waiting call out, to be handled by the caller. */
  take(index: number): Call {
    return this.#calls.splice(index, 1)[0]!;
  }

  /** Until every process waits for a call or has ended. */
  settle(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }
}

/** What a read is told when the outside fails: the process ends, as after a crash. */
export class InjectedError extends Error {}
