/** The invariants of docs/protocol.md over the stored state, computed apart from the code that keeps them. */
import { itemId } from "../../protocol/digest.ts";
import { CONSUMED, LIVE, logKey, MANIFEST, parseSegmentKey, planKey, resultKey } from "../../protocol/keys.ts";
import {
  parseDocument,
  type Checkpoint,
  type DocumentKind,
  type DocumentOf,
  type LogEntry,
  type Redo,
  type RoundEntry,
} from "../../protocol/types.ts";
import type { MemoryStore } from "../../adapters/memory-store.ts";
import { trainedText } from "./trainer.ts";

export class Violation extends Error {}

export function violate(what: string): never {
  throw new Violation(what);
}

/** What the log says after each entry; index 0: nothing trained. */
interface Account {
  readonly entry: LogEntry | null;
  readonly sha256: string | null;
  /** on the line of this entry */
  readonly trained: ReadonlySet<string>;
  readonly weights: string;
  /** by this and all entries before it */
  readonly consumed: ReadonlySet<string>;
  readonly redo: ReadonlySet<string>;
  /** consumed and not trained because the trainer, the operator or the gate said so */
  readonly left: ReadonlySet<string>;
}

const EMPTY: Account = {
  entry: null,
  sha256: null,
  trained: new Set(),
  weights: "0",
  consumed: new Set(),
  redo: new Set(),
  left: new Set(),
};

export class Books {
  readonly accounts: Account[] = [EMPTY];
  readonly #memory: MemoryStore;
  readonly #parsed = new Map<string, unknown>();
  #liveSeq = 0;

  constructor(memory: MemoryStore) {
    this.#memory = memory;
  }

  get head(): Account {
    return this.accounts.at(-1)!;
  }

  read<K extends DocumentKind>(kind: K, key: string): DocumentOf<K> | undefined {
    const stored = this.#memory.objects.get(key);
    if (stored === undefined) return undefined;
    // the same bytes are looked at after each step of a history: parsed once
    const name = `${kind} ${key} ${stored.etag}`;
    const known = this.#parsed.get(name) ?? parseDocument(kind, key, stored.body);
    this.#parsed.set(name, known);
    return known as DocumentOf<K>;
  }

  /** Takes up entries that are new, and checks each against the one before. */
  update(): void {
    for (;;) {
      const seq = this.accounts.length;
      const stored = this.#memory.objects.get(logKey(seq));
      if (stored === undefined) break;
      this.accounts.push(this.#account(this.read("logEntry", logKey(seq))!, stored.etag));
    }
    const known = [...this.#memory.objects.keys()].filter((key) => key.startsWith("log/")).length;
    if (known !== this.accounts.length - 1) violate("I3 the log has a gap");
    this.accounts.forEach(({ sha256: digest }, seq) => {
      if (seq > 0 && this.#memory.objects.get(logKey(seq))!.etag !== digest) violate(`I3 entry ${seq} was replaced`);
    });
  }

  #account(entry: LogEntry, digest: string): Account {
    const before = this.head;
    const last = before.entry;
    if (entry.seq !== this.accounts.length) violate("I3 an entry has another seq than its key");
    if (entry.parent !== before.sha256) violate("I3 an entry's parent is not the entry before it");
    if (entry.scheduled < (last?.scheduled ?? 0)) violate("S1 scheduled goes back");
    this.#checkSpent(entry, last);
    const account =
      entry.kind === "round"
        ? this.#round(entry, before)
        : entry.kind === "rollback"
          ? this.#rollback(entry, before)
          : {
              trained: before.trained,
              weights: before.weights,
              consumed: before.consumed,
              redo: this.#redo(entry.redo),
              left: before.left,
            };
    const { trained, consumed, redo } = account;
    const left = new Set([...account.left].filter((id) => !redo.has(id) && !trained.has(id)));
    for (const id of redo) if (trained.has(id)) violate("I1 an item is to be trained twice on the line of the head");
    for (const id of consumed)
      if (!trained.has(id) && !redo.has(id) && !left.has(id))
        violate("I2 a consumed item is neither trained, nor to be replayed, nor left on purpose");
    this.#checkKeep(entry, last);
    return { ...account, left, entry, sha256: digest };
  }

  /** Sums begin anew with a day and a month, and grow by what ran of the jobs that the entry counts. */
  #checkSpent({ spent, ...entry }: LogEntry, last: LogEntry | null): void {
    const before = last?.spent ?? { day: "1970-01-01", dayMs: 0, monthMs: 0 };
    const jobMs = entry.kind === "promote" ? 0 : entry.jobMs;
    const day = spent.day === before.day ? before.dayMs : 0;
    const month = spent.day.slice(0, 7) === before.day.slice(0, 7) ? before.monthMs : 0;
    if (spent.day < before.day) violate("B4 the day of an entry goes back");
    if (spent.dayMs < day || spent.dayMs > day + jobMs)
      violate("B4 an entry's day does not follow from the one before");
    if (spent.monthMs < month + (spent.dayMs - day) || spent.monthMs > month + jobMs)
      violate("B4 an entry's month does not follow from the one before");
  }

  #round(entry: RoundEntry, before: Account): Omit<Account, "entry" | "sha256"> {
    const round = (before.entry?.round ?? 0) + 1;
    if (entry.round !== round) violate("I3 a round out of turn");
    const plan = this.read("plan", planKey(round)) ?? violate(`I4 no plan of round ${round}`);
    const result = this.read("result", resultKey(round)) ?? violate(`I4 no result of round ${round}`);
    if (this.#memory.objects.get(planKey(round))!.etag !== entry.plan.sha256)
      violate("I4 the plan is not the one that was committed");
    if (entry.scheduled < plan.scheduled) violate("S1 an entry does not take over the time of its plan");
    const rejected = new Set(result.rejected.map(({ item }) => itemId(item)));
    const items = plan.items.map(itemId);
    const trainedNow = items.filter((id) => !rejected.has(id));
    for (const id of trainedNow)
      if (before.trained.has(id)) violate("I1 an item is trained twice on the line of the head");
    const weights = trainedText(before.weights, round, trainedNow);
    if (entry.checkpoint === null || this.weightsOf(entry.checkpoint) !== weights)
      violate(
        `I4/I5 the checkpoint is ${entry.checkpoint && this.weightsOf(entry.checkpoint)}, the books say ${weights}`,
      );
    if (plan.kind === "redo" && [...before.redo].sort().join() !== [...items].sort().join())
      violate("I2 a redo trains other items than those it has to");
    if (plan.kind !== "redo" && before.redo.size > 0) violate("I2 a round is planned although a redo is to be trained");
    this.#checkLive(entry, before, plan.live);
    return {
      trained: new Set([...before.trained, ...trainedNow]),
      weights,
      consumed: new Set([...before.consumed, ...items]),
      redo: new Set(),
      left: new Set([...before.left, ...rejected]),
    };
  }

  /** The gate, computed again: passed unless measurably worse than the plan's live, and live moves only if it is still that one. */
  #checkLive(entry: RoundEntry, before: Account, plansLive: Checkpoint | null): void {
    const live = before.entry?.live ?? null;
    const result = this.read("result", resultKey(entry.round))!;
    const worse = plansLive !== null && result.metrics["accuracy"]! < result.liveMetrics!["accuracy"]! - 0.02;
    const changed = plansLive?.manifest !== live?.manifest;
    const expected = changed || worse ? live : entry.checkpoint;
    if (entry.live?.manifest !== expected?.manifest)
      violate(
        `I6 live is ${entry.live?.manifest}, ${changed ? "it was changed meanwhile" : worse ? "the gate refuses" : "the gate passes"}`,
      );
    if (entry.gate.passed !== (changed || !worse)) violate("I6 the gate's decision is not what its figures say");
  }

  #rollback(entry: Extract<LogEntry, { kind: "rollback" }>, before: Account): Omit<Account, "entry" | "sha256"> {
    const target = this.accounts[entry.to];
    if (target === undefined || entry.to >= entry.seq)
      return violate("I3 a rollback to an entry that is not before it");
    if (entry.checkpoint?.manifest !== target.entry?.checkpoint?.manifest)
      violate("I4 a rollback names another checkpoint than its target's");
    if (entry.round <= (before.entry?.round ?? 0)) violate("I3 a rollback leaves the open round open");
    const without = entry.without.map(itemId);
    const redo = this.#redo(entry.redo);
    const consumed = new Set([...before.consumed, ...without]);
    for (const id of redo) if (!consumed.has(id)) violate("I7 a redo names an item that was not consumed");
    for (const id of without) if (redo.has(id)) violate("I2 what an operator takes out is to be trained again");
    if (entry.replay) {
      for (const id of [...before.trained, ...before.redo]) {
        if (!target.trained.has(id) && !redo.has(id) && !without.includes(id)) violate("I2 a replay forgets an item");
      }
    }
    if (entry.cause === "auto") this.#checkAuto(entry, before);
    const left = new Set(
      entry.replay
        ? [...before.left, ...without]
        : [...consumed].filter((id) => !target.trained.has(id) && !redo.has(id)),
    );
    return { trained: target.trained, weights: target.weights, consumed, redo, left };
  }

  #checkAuto(entry: Extract<LogEntry, { kind: "rollback" }>, before: Account): void {
    const refused = before.entry?.kind === "round" && !before.entry.gate.passed;
    if (!refused || entry.to !== entry.seq - 2) violate("G2 a refused round is taken back twice, or another one is");
    if (before.entry?.kind === "round" && before.entry.wasRedo) violate("G3 a refused replay is taken back by itself");
  }

  #redo(redo: Redo | null): Set<string> {
    const ids = new Set((redo?.rounds ?? []).flatMap((round) => this.read("plan", planKey(round))!.items.map(itemId)));
    for (const id of redo?.less ?? []) ids.delete(id);
    for (const item of redo?.plus ?? []) ids.add(itemId(item));
    return ids;
  }

  #checkKeep(entry: LogEntry, last: LogEntry | null): void {
    const names = (keep: LogEntry["keep"]): string[] => keep.map(({ checkpoint }) => checkpoint.manifest);
    const kept = names(entry.keep);
    for (const [what, checkpoint] of [
      ["the head's", entry.checkpoint],
      ["live", entry.live],
    ] as const) {
      if (checkpoint !== null && !kept.includes(checkpoint.manifest)) violate(`I8 keep misses ${what} checkpoint`);
    }
    const allowed = new Set([
      ...names(last?.keep ?? []),
      ...(entry.kind === "round" ? [entry.checkpoint!.manifest] : []),
    ]);
    for (const name of kept) if (!allowed.has(name)) violate("I8 a dropped checkpoint is named again");
    const committed = new Set(
      this.accounts.flatMap(({ entry: one }) => (one?.kind === "round" ? [one.checkpoint!.manifest] : [])),
    );
    if (entry.kind === "round") committed.add(entry.checkpoint!.manifest);
    if (entry.live !== null && !committed.has(entry.live.manifest))
      violate("I6 live names a checkpoint that was never committed");
  }

  /** The text of a checkpoint's weights; undefined if it is not whole. */
  weightsOf(checkpoint: Checkpoint): string | undefined {
    const manifest = this.read("manifest", checkpoint.manifest);
    if (manifest === undefined || this.#memory.objects.get(checkpoint.manifest)!.etag !== checkpoint.sha256)
      return undefined;
    const weights = this.#memory.objects.get(checkpoint.manifest.replace(MANIFEST, "weights"));
    if (weights === undefined || weights.etag !== manifest.files[0]!.sha256) return undefined;
    return new TextDecoder().decode(weights.body);
  }

  inboxItems(): Set<string> {
    const ids = new Set<string>();
    for (const key of this.#memory.objects.keys()) {
      const name = parseSegmentKey(key);
      if (name !== undefined) for (const item of this.read("segment", key)!.items) ids.add(itemId(item));
    }
    return ids;
  }

  folded(): Set<string> {
    const ids = new Set<string>();
    for (const key of this.#memory.objects.keys()) {
      if (key.startsWith(CONSUMED)) for (const id of this.read("consumed", key)!.ids) ids.add(id);
    }
    return ids;
  }

  get liveSeq(): number {
    return this.#liveSeq;
  }

  /** After each step. @param arrived ids for which intake has answered */
  check(arrived: ReadonlySet<string>): void {
    this.update();
    const { consumed, entry } = this.head;
    const inbox = this.inboxItems();
    for (const id of arrived) if (!inbox.has(id) && !consumed.has(id)) violate("I2 an arrival is lost");

    const folded = this.folded();
    const live = this.read("live", LIVE) ?? { seq: 0, live: null };
    if (live.seq < this.#liveSeq) violate("I6 live.json goes back");
    this.#liveSeq = live.seq;
    const named = this.accounts[live.seq] ?? violate("I6 live.json names an entry that is not there");
    if (live.live?.manifest !== named.entry?.live?.manifest) violate("I6 live.json differs from its entry");
    for (const id of named.consumed)
      if (!folded.has(id)) violate("I7 live.json says finished, consumed/ lacks an item");
    for (const id of this.accounts.at(-2)?.consumed ?? [])
      if (!folded.has(id)) violate("I7 an entry was added before the one before it was finished");
    for (const id of folded) if (!consumed.has(id)) violate("I7 consumed/ has an item that no entry consumes");

    for (const { checkpoint } of entry?.keep ?? [])
      if (this.weightsOf(checkpoint) === undefined) violate(`I8 kept checkpoint ${checkpoint.manifest} was deleted`);
    const result = this.read("result", resultKey((entry?.round ?? 0) + 1));
    if (result !== undefined && this.weightsOf(result.checkpoint) === undefined)
      violate("I8 the checkpoint of a result that waits for its commit was deleted");
  }
}
