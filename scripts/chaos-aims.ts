/** Moments that are worth a kill, told by what lies in the state at that instant: looked at without waiting, as some are short. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import {
  attemptsPrefix,
  checkpointsPrefix,
  INBOX,
  LIVE,
  LOG,
  MANIFEST,
  planKey,
  resultKey,
  seqOfLogKey,
} from "../protocol/keys.ts";
import { parseDocument } from "../protocol/types.ts";
import type { DigitsWorkspace } from "./workspace.ts";

/** In the order in which a round goes through them; training and saving take turns. */
const PHASES = [
  "taking in",
  "planning",
  "submitting",
  "starting the trainer",
  "staging and parsing",
  "training",
  "saving",
  "evaluating",
  "committing",
  "finishing",
  "at rest",
] as const;
export type Phase = (typeof PHASES)[number];

export interface Aim {
  readonly victim: "up" | "ledger" | "trainer";
  readonly when: Phase | "any";
  /** the kill comes so long after that moment, at most */
  readonly delayMsMax: number;
}

export const AIMS: readonly Aim[] = [
  { victim: "up", when: "any", delayMsMax: 1_000 },
  { victim: "up", when: "planning", delayMsMax: 250 },
  { victim: "up", when: "submitting", delayMsMax: 30 },
  { victim: "up", when: "committing", delayMsMax: 10 },
  { victim: "up", when: "finishing", delayMsMax: 10 },
  { victim: "ledger", when: "any", delayMsMax: 1_000 },
  { victim: "ledger", when: "committing", delayMsMax: 20 },
  { victim: "trainer", when: "starting the trainer", delayMsMax: 300 },
  { victim: "trainer", when: "staging and parsing", delayMsMax: 50 },
  { victim: "trainer", when: "staging and parsing", delayMsMax: 50 },
  { victim: "trainer", when: "training", delayMsMax: 5 },
  { victim: "trainer", when: "training", delayMsMax: 400 },
  { victim: "trainer", when: "saving", delayMsMax: 5 },
  { victim: "trainer", when: "saving", delayMsMax: 20 },
  { victim: "trainer", when: "evaluating", delayMsMax: 20 },
  { victim: "trainer", when: "evaluating", delayMsMax: 20 },
];

/** Phases that may pass until an aim's: with more, most of a round would go by without a kill. */
const PHASES_AHEAD = 2;

const order = (of: Phase): number => PHASES.indexOf(of === "saving" ? "training" : of);

/** What may be aimed at in this phase: what has passed does not come again in this round, but for what a killed trainer does anew. */
export function nearAims(phase: Phase): Aim[] {
  const now = order(phase);
  return AIMS.filter(({ when }) => when === "any" || (order(when) >= now && order(when) <= now + PHASES_AHEAD));
}

export class Moments {
  readonly #workspace: DigitsWorkspace;
  readonly #state: string;

  constructor(workspace: DigitsWorkspace) {
    this.#workspace = workspace;
    this.#state = join(workspace.folder, ".accrete/state/digits");
  }

  /** The round's entry is there and followed up. */
  isFinished(round: number): boolean {
    return this.#headSeq() >= round && this.#liveSeq() >= round;
  }

  hasPassed(round: number, aim: Aim): boolean {
    return aim.when !== "any" && order(this.phase(round)) > order(aim.when);
  }

  /** @returns the process to kill, where that is the trainer's; undefined: it is not the moment */
  async look(round: number, aim: Aim): Promise<{ pid: number } | undefined> {
    if (aim.when !== "any" && this.phase(round) !== aim.when) return undefined;
    if (aim.victim !== "trainer") return { pid: 0 };
    const [trainer] = await this.#workspace.trainers();
    return trainer;
  }

  /** What goes on in the round at this instant. */
  phase(round: number): Phase {
    if (this.#headSeq() >= round) return this.#liveSeq() >= round ? "at rest" : "finishing";
    if (existsSync(join(this.#state, resultKey(round)))) return "committing";
    if (!existsSync(join(this.#state, planKey(round)))) return this.#names(INBOX).length > 0 ? "planning" : "taking in";
    if (!this.#names(attemptsPrefix(round)).some((name) => name.endsWith(".job.json"))) return "submitting";
    const log = this.#newestLog();
    if (this.#isSaving(round, log.sinceMs)) return "saving";
    if (/step (\d+)\/\1 |resumes at step (\d+) of \2$/m.test(log.text)) return "evaluating";
    if (/records to train on|resumes at step/.test(log.text)) return "training";
    return log.text.includes("items staged") ? "staging and parsing" : "starting the trainer";
  }

  /** A checkpoint has no manifest yet, and is none that an earlier job has left so. */
  #isSaving(round: number, sinceMs: number): boolean {
    const folder = join(this.#state, checkpointsPrefix(round));
    return this.#names(checkpointsPrefix(round)).some((name) => {
      const stats = statSync(join(folder, name), { throwIfNoEntry: false });
      return stats !== undefined && stats.birthtimeMs > sinceMs && !existsSync(join(folder, name, MANIFEST));
    });
  }

  #names(prefix: string): string[] {
    try {
      return readdirSync(join(this.#state, prefix)).sort();
    } catch {
      return []; // made by the first write, and gone with the last
    }
  }

  #headSeq(): number {
    const [newest] = this.#names(LOG);
    return newest === undefined ? 0 : (seqOfLogKey(LOG + newest) ?? 0);
  }

  #liveSeq(): number {
    try {
      return parseDocument("live", LIVE, readFileSync(join(this.#state, LIVE))).seq;
    } catch {
      return 0; // not there before the first round
    }
  }

  /** Of the job that was started last. */
  #newestLog(): { text: string; sinceMs: number } {
    const { jobs } = this.#workspace;
    try {
      const names = readdirSync(jobs).filter((name) => /^\d/.test(name)); // a job begins with its time
      const newest = join(jobs, names.sort().at(-1)!);
      return { text: this.#workspace.logOf(newest), sinceMs: statSync(newest).birthtimeMs };
    } catch {
      return { text: "", sinceMs: 0 }; // it has no log yet
    }
  }
}
