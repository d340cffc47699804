/** Where a tick's notices go: each into the log and the metrics, and some to people. */
import type { PipelineConfig } from "../protocol/config.ts";
import { noticeId } from "../protocol/notices.ts";
import type { Notice, Notify, Tick } from "../protocol/ports.ts";
import type { Log } from "./log.ts";

/** Notices of the budget that this process remembers: one for each day or month. */
const REMEMBERED_MAX = 1_000;

export interface TellingPorts {
  readonly config: PipelineConfig;
  /** to people; null: nobody has asked for them */
  readonly people: Notify | null;
  readonly log: Log;
}

/** Notices of one function, for as long as its process lives. */
export class Telling {
  readonly #ports: TellingPorts;
  readonly #told = new Set<string>();

  constructor(ports: TellingPorts) {
    this.#ports = ports;
  }

  /** What a tick is given. @param seen gets all of its notices */
  of(tick: Tick, seen: Notice[]): Notify {
    return {
      notify: async (notice) => {
        seen.push(notice);
        this.#write(notice);
        await this.#tellPeople(notice, tick);
      },
    };
  }

  #write(notice: Notice): void {
    const { kind, message } = notice;
    const fields = {
      message,
      round: "round" in notice ? notice.round : undefined,
      attempt: "attempt" in notice ? notice.attempt : undefined,
      seq: "seq" in notice ? notice.seq : undefined,
    };
    if (kind === "blocked" || kind === "damaged" || kind === "budget") this.#ports.log.warn(kind, fields);
    else this.#ports.log.info(kind, fields);
  }

  /**
   * What each tick tells again, an alarm says once: blocked and damaged. The budget's is told by the ticks that have to do with it, the net's
   * are too many. A notice that only its own tick tells must not undo what that has done, so its error is only said.
   */
  async #tellPeople(notice: Notice, tick: Tick): Promise<void> {
    const { people, config, log } = this.#ports;
    const { kind } = notice;
    if (people === null || !config.notify.on.includes(kind) || kind === "blocked" || kind === "damaged") return;
    const id = noticeId(notice);
    if (kind === "budget" && (tick.kind === "net" || this.#told.has(id))) return;
    try {
      await people.notify(notice);
    } catch (error) {
      if (kind !== "planned" && kind !== "submitted") throw error;
      log.error("notice-lost", error, { kind });
    }
    if (this.#told.size >= REMEMBERED_MAX) this.#told.clear();
    if (kind === "budget") this.#told.add(id);
  }
}
