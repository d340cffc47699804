/** What `train` would do: it reads what a sweep and a tick read, and changes nothing. */
import { decideBudget, dollarsOf, spentAfter, type BudgetDecision } from "../protocol/budget.ts";
import { itemId } from "../protocol/digest.ts";
import { ESTIMATE_ROUNDS, estimateMs, type PastRound } from "../protocol/estimate.ts";
import type { Head } from "../protocol/head.ts";
import { compareItems } from "../protocol/intake.ts";
import { planKey } from "../protocol/keys.ts";
import { chooseSegments, type SegmentRead } from "../protocol/plan.ts";
import type { Clock, Items, Store } from "../protocol/ports.ts";
import { parseDocument, type Item } from "../protocol/types.ts";
import type { InspectPorts } from "./inspect.ts";
import { readRedo } from "./line.ts";
import { listInbox, readCommitted, readConsumed, readDocument, readEntry, readHead, readSegments } from "./read.ts";
import { readStatus, type Status } from "./status.ts";
import { sweep } from "./sweep.ts";

/** Entries that are looked at for rounds to go by. */
const ENTRIES_MAX = 50;

export interface Forecast {
  /** in the order of the plan */
  readonly items: readonly Item[];
  readonly bytes: number;
  readonly epochs: number;
  /** what waits beside them, for the rounds after it */
  readonly later: number;
  /** undefined: no round to go by */
  readonly jobMs: number | undefined;
  /** rounds that the estimate goes by */
  readonly by: number;
  /** undefined: no estimate, or no budget.pricePerHour */
  readonly dollars: number | undefined;
  /** whether a job may be started now, and for how long */
  readonly budget: BudgetDecision;
  /** what would keep `accrete up` alone from starting it: fewer items than minItems, an entry younger than minInterval */
  readonly minItems: number | undefined;
  readonly intervalEndsMs: number | undefined;
  readonly status: Status;
}

export async function forecast(ports: InspectPorts & { readonly clock: Clock }, items: Items): Promise<Forecast> {
  const { store, config } = ports;
  const { head } = await readHead(store);
  const [status, added] = [await readStatus(ports), await wouldTakeIn(ports, items)];
  const redo = head.redo === null ? undefined : [...(await readRedo(store, head.redo)).items.values()];
  const taken = new Set(status.open === null ? [] : await segmentsOfOpen(store, status.open.round));
  // one page of the inbox, as a tick reads it
  const { whole } = await readSegments(store, (await listInbox(store)).segments);
  const segments = [...whole, ...added].filter(({ key }) => !taken.has(key));
  segments.sort((a, b) => (a.key < b.key ? -1 : 1));
  const ids = segments.flatMap((segment) => segment.items.map(itemId));
  const consumed = await readConsumed(store, ids);
  const all = new Set(ids.filter((id) => !consumed.has(id)));
  const chosen = redo ?? chooseSegments(segments, consumed, config.trigger).items;
  const bytes = chosen.reduce((sum, { size }) => sum + size, 0);
  const jobs = (status.open?.attempts ?? []).flatMap(({ job }) => job ?? []);
  const intervalEndsMs = head.seq === 0 ? 0 : head.modifiedMs + config.trigger.minInterval;
  const past = await readPast(store, head);
  const jobMs = chosen.length === 0 ? undefined : estimateMs(past, bytes * config.trainer.epochs);
  return {
    items: [...chosen].sort(compareItems),
    bytes,
    epochs: config.trainer.epochs,
    later: redo === undefined ? all.size - chosen.length : all.size,
    jobMs,
    by: past.length,
    dollars: jobMs === undefined || config.budget === null ? undefined : dollarsOf(jobMs, config.budget),
    budget: decideBudget(config.budget, spentAfter(head.spent, jobs, status.nowMs)),
    minItems: redo === undefined && all.size < config.trigger.minItems ? config.trigger.minItems : undefined,
    intervalEndsMs: redo === undefined && intervalEndsMs > status.nowMs ? intervalEndsMs : undefined,
    status,
  };
}

/** The sweep itself, on a store that keeps what it would have written to itself. */
async function wouldTakeIn(
  { store, config, clock }: InspectPorts & { readonly clock: Clock },
  items: Items,
): Promise<SegmentRead[]> {
  const segments: SegmentRead[] = [];
  const dry: Store = {
    list: (...args) => store.list(...args),
    get: (key) => store.get(key),
    head: (key) => store.head(key),
    readToFile: (...args) => store.readToFile(...args),
    async create(key, body) {
      segments.push({ key, items: parseDocument("segment", key, body).items });
      return "won";
    },
    replace: nothingElse,
    delete: nothingElse,
    createFromFile: nothingElse,
    copy: nothingElse,
  };
  await sweep({ config, store: dry, clock, ticks: { ask: async () => undefined } }, items);
  return segments;
}

async function nothingElse(key: string): Promise<never> {
  throw new Error(`a sweep writes nothing but segments, not ${key}`);
}

async function segmentsOfOpen(store: Store, round: number): Promise<readonly string[]> {
  return (await readDocument(store, "plan", planKey(round)))?.document.segments ?? [];
}

/** The newest committed rounds on the log, whatever line they are on. */
async function readPast(store: Store, head: Head): Promise<PastRound[]> {
  const past: PastRound[] = [];
  for (let seq = head.seq; seq > Math.max(0, head.seq - ENTRIES_MAX) && past.length < ESTIMATE_ROUNDS; seq--) {
    const entry = (await readEntry(store, seq)).document;
    if (entry.kind !== "round" || entry.jobMs === 0) continue;
    const { plan } = await readCommitted(store, entry);
    const bytes = plan.items.reduce((sum, { size }) => sum + size, 0);
    if (bytes > 0) past.push({ work: bytes * plan.epochsToAdd, jobMs: entry.jobMs });
  }
  return past;
}
