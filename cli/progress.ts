/** What `up` says while it runs: a line for each thing that happens, and on a terminal a live line for the job that runs. */
import { readEntry } from "../ledger/read.ts";
import { AccreteError, messageOf } from "../protocol/errors.ts";
import type { Notice, Notify, Store } from "../protocol/ports.ts";
import { printable } from "../protocol/printable.ts";
import { isProgress, shorterProgress } from "../protocol/training-progress.ts";
import { clockTime, MAIN_METRICS, metrics } from "./print.ts";
import { isTerminal, line, LiveLine, style, type Style } from "./terminal.ts";

const STYLES: Readonly<Record<string, Style>> = {
  committed: "green",
  held: "yellow",
  budget: "yellow",
  blocked: "red",
  damaged: "red",
  error: "red",
  warning: "yellow",
};

/** Of steps of a training that come faster, a log gets one in this time, and the last. */
const STEPS_MS = 1_000;

export class Progress {
  readonly #live = new LiveLine();
  /** what was said last of a thing that comes again with each tick */
  readonly #said = new Map<string, string>();
  readonly #widths = { pipeline: 0, what: 9 };
  /** by pipeline: when a step was said last, and the newest one that was not */
  readonly #steps = new Map<string, { saidMs: number; left?: () => void }>();

  constructor(pipelines: readonly string[]) {
    this.#widths.pipeline = Math.max(0, ...pipelines.map((name) => name.length));
  }

  say(pipeline: string, what: string, message: string): void {
    this.#sayLeftStep(pipeline);
    this.#live.clear();
    const time = style("dim", clockTime(Date.now()));
    line(
      `${time}  ${pipeline.padEnd(this.#widths.pipeline)}  ${style(STYLES[what] ?? "cyan", what.padEnd(this.#widths.what))}  ${printable(message)}`,
    );
  }

  /** Only if it is not what was said of this last. */
  sayOnce(pipeline: string, what: string, of: string, message: string): void {
    const about = `${pipeline}\0${what}\0${of}`;
    if (this.#said.get(about) === message) return;
    this.#said.set(about, message);
    this.say(pipeline, what, message);
  }

  /** A later one of the same is news again. */
  forget(pipeline: string, what: string, of: string): void {
    this.#said.delete(`${pipeline}\0${what}\0${of}`);
  }

  error(pipeline: string, error: unknown): void {
    const advice =
      error instanceof AccreteError ? `${error.code}: ${error.message} - ${error.advice}` : messageOf(error);
    if (process.env["ACCRETE_DEBUG"] !== undefined && error instanceof Error)
      line(printable(error.stack ?? "").replaceAll("\\n", "\n"));
    this.sayOnce(pipeline, "error", "", advice);
  }

  /** A line of a job's log. */
  job(pipeline: string, round: number, line: string): void {
    const text = line.replace(new RegExp(`^round ${round}:? +`), ""); // it is said in front
    if (isTerminal()) {
      const before = `${clockTime(Date.now())}  ${pipeline.padEnd(this.#widths.pipeline)}  ${`round ${round}`.padEnd(this.#widths.what)}  `;
      const inFront = (form: string): string => before + printable(form);
      this.#live.set(inFront(text), ...shorterProgress(text).map(inFront));
    } else this.#sayJob(pipeline, `round ${round}`, text);
  }

  #sayJob(pipeline: string, what: string, text: string): void {
    const step = this.#steps.get(pipeline);
    const nowMs = performance.now();
    if (!isProgress(text)) this.say(pipeline, what, text);
    else if (step !== undefined && nowMs - step.saidMs < STEPS_MS) step.left = () => this.say(pipeline, what, text);
    else {
      this.#steps.delete(pipeline); // this one is newer
      this.say(pipeline, what, text);
      this.#steps.set(pipeline, { saidMs: nowMs });
    }
  }

  #sayLeftStep(pipeline: string): void {
    const left = this.#steps.get(pipeline)?.left;
    this.#steps.delete(pipeline);
    left?.();
  }

  jobEnded(): void {
    for (const pipeline of this.#steps.keys()) this.#sayLeftStep(pipeline);
    this.#live.clear();
  }

  /** @param store to say a committed round's metrics */
  notify(store: Store): Notify {
    return {
      notify: async (notice: Notice) => {
        const { kind, pipeline, message } = notice;
        if (kind === "blocked") return this.sayOnce(pipeline, "blocked", String(notice.round), message);
        if (kind === "budget") return this.sayOnce(pipeline, "budget", String(notice.round), message);
        if (kind === "damaged") return this.sayOnce(pipeline, "damaged", notice.key, message);
        const measured = kind === "committed" || kind === "held" ? await measuredBy(store, notice.seq, message) : "";
        // said at least once: by each start of a process that finds the entry unfinished
        if ("seq" in notice)
          this.sayOnce(
            pipeline,
            kind,
            String(notice.seq),
            [message, measured].filter((text) => text !== "").join("; "),
          );
        else this.say(pipeline, kind, message);
      },
    };
  }
}

/** The round's metrics but for those that the notice's message has said. */
async function measuredBy(store: Store, seq: number, message: string): Promise<string> {
  const { document } = await readEntry(store, seq);
  const names = MAIN_METRICS.filter((name) => !message.includes(`${name} `));
  return document.kind === "round" ? metrics(document.metrics, names) : "";
}
