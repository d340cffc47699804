/** Everything under rounds/, in the order of its keys: attempts, checkpoints, plan, result of one round after the other. */
import { canonicalJson, itemId } from "../protocol/digest.ts";
import { sameCheckpoint } from "../protocol/head.ts";
import { compareItems } from "../protocol/intake.ts";
import {
  checkpointPrefix,
  codeKey,
  intentKey,
  MANIFEST,
  parseAttemptKey,
  parseCheckpointFile,
  planKey,
  quarantineKey,
  resultKey,
  startKey,
  type CheckpointFile,
} from "../protocol/keys.ts";
import type { Listed } from "../protocol/ports.ts";
import type { Plan, Result } from "../protocol/types.ts";
import type { Chain, Link } from "./verify-log.ts";
import { isStillKept, type Verifiable, type VerifyContext } from "./verify-context.ts";

const ROUND_OF = /^rounds\/(\d{10})\//;

interface Folder {
  readonly prefix: string;
  readonly of: CheckpointFile;
  readonly files: Map<string, number>;
}

interface OpenRound {
  readonly round: number;
  readonly plan: Verifiable<"plan">;
}

export class RoundCheck {
  readonly #context: VerifyContext;
  readonly #chain: Chain;
  #round: OpenRound | undefined;
  #folder: Folder | undefined;
  /** digests of the manifests that can be read, by key; what is wrong with their files was reported */
  readonly #manifests = new Map<string, string>();
  /** code and weights that a plan names and that were looked for */
  readonly #named = new Set<string>();

  constructor(context: VerifyContext, chain: Chain) {
    this.#context = context;
    this.#chain = chain;
  }

  async add(listed: Listed): Promise<void> {
    const { key } = listed;
    const [, digits] = ROUND_OF.exec(key) ?? [];
    if (digits === undefined) return this.#stray(key);
    const file = parseCheckpointFile(key);
    const prefix = file === undefined ? undefined : checkpointPrefix(file);
    if (this.#folder !== undefined && this.#folder.prefix !== prefix) await this.#endFolder();
    const round = Number(digits);
    if (this.#round?.round !== round) await this.#beginRound(round);
    const current = this.#round!;
    if (file !== undefined && prefix !== undefined) {
      this.#folder ??= { prefix, of: file, files: new Map() };
      this.#folder.files.set(file.name, listed.size);
    } else if (key === resultKey(round)) {
      await this.#verifyResult(current);
    } else if (key !== planKey(round)) {
      await this.#verifyAttempt(current, key);
    }
  }

  /** After the last key: what has to be there and is not. */
  async end(): Promise<void> {
    if (this.#folder !== undefined) await this.#endFolder();
    const chain = this.#chain;
    const context = this.#context;
    for (const link of chain.byRound.values()) {
      for (const named of [link.plan, link.result]) {
        if (named !== undefined && (await context.store.head(named.key)) === undefined)
          context.report("damage", named.key, `it is missing, but entry ${link.seq} names it`);
      }
    }
    for (const { checkpoint, seq } of chain.keep) await this.#verifyNamed(checkpoint, `entry ${seq}`);
  }

  async #verifyNamed(checkpoint: { manifest: string; sha256: string }, by: string): Promise<void> {
    const digest = this.#manifests.get(checkpoint.manifest);
    if (digest === checkpoint.sha256) return;
    if (digest !== undefined)
      return this.#context.report("damage", checkpoint.manifest, `it is not the manifest that ${by} names`);
    if ((await this.#context.store.head(checkpoint.manifest)) !== undefined) return; // damaged, and said to be
    if (await isStillKept(this.#context.store, checkpoint.manifest))
      this.#context.report("damage", checkpoint.manifest, `it is missing, but ${by} names it`);
  }

  // ---------------------------------------------------------------------------------------------- plan and attempts

  async #beginRound(round: number): Promise<void> {
    const { read, report } = this.#context;
    const plan = await read("plan", planKey(round));
    this.#round = { round, plan };
    if (plan.is === "gone") return report("damage", planKey(round), "it is missing, but there are files of its round");
    if (plan.is === "whole") await this.#verifyPlan(round, plan.document, plan.sha256);
  }

  async #verifyPlan(round: number, plan: Plan, digest: string): Promise<void> {
    const key = planKey(round);
    const damage = (message: string): void => this.#context.report("damage", key, message);
    if (plan.round !== round) damage(`it is the plan of round ${plan.round}`);
    if (plan.items.some((item, i) => i > 0 && compareItems(plan.items[i - 1]!, item) >= 0))
      damage("its items are not in order, each once");
    const link = this.#chain.byRound.get(round);
    if (link !== undefined) {
      if (link.plan?.sha256 !== digest) damage(`it is not the plan that entry ${link.seq} names`);
      const before = link.seq === 1 ? null : this.#chain.links.get(link.seq - 1)?.checkpoint;
      if (before !== undefined && !sameCheckpoint(before, plan.parent))
        damage(`its parent is not the checkpoint before entry ${link.seq}`);
      if (link.items !== plan.items.length)
        damage(`it has ${plan.items.length} items: entry ${link.seq} says ${link.items}`);
    }
    for (const named of [codeKey(plan.code), ...(plan.start === null ? [] : [startKey(plan.start)])]) {
      if (this.#named.has(named)) continue;
      this.#named.add(named);
      if ((await this.#context.store.head(named)) === undefined)
        this.#context.report("damage", named, `it is missing, but the plan of round ${round} names it`);
    }
  }

  async #verifyAttempt(current: OpenRound, key: string): Promise<void> {
    const { read, report } = this.#context;
    const parsed = parseAttemptKey(key);
    if (parsed === undefined) return this.#stray(key);
    const { attempt, what } = parsed;
    if (what === "intent") {
      const intent = await read("intent", key);
      if (intent.is !== "whole") return;
      if (intent.document.round !== current.round || intent.document.attempt !== attempt)
        report("damage", key, `it is of round ${intent.document.round}, attempt ${intent.document.attempt}`);
      if (!intent.document.jobName.endsWith(intent.document.nonce))
        report("damage", key, "its job's name does not end with its nonce");
      return;
    }
    await read(what === "job" ? "jobRecord" : "failure", key);
    // the intent's key comes after (".failure" < ".job" < ".json"), so it is asked for
    if ((await this.#context.store.head(intentKey(current.round, attempt))) === undefined)
      report("damage", intentKey(current.round, attempt), `it is missing, but ${key} is there`);
  }

  // ---------------------------------------------------------------------------------------------- checkpoints

  async #endFolder(): Promise<void> {
    const folder = this.#folder!;
    this.#folder = undefined;
    const { report, read } = this.#context;
    const key = folder.prefix + MANIFEST;
    if (!folder.files.has(MANIFEST)) {
      return report(
        "info",
        folder.prefix,
        "an unfinished checkpoint: a trainer was stopped in the middle of saving, or the janitor in the middle of deleting",
      );
    }
    const manifest = await read("manifest", key);
    if (manifest.is !== "whole") return;
    const { document } = manifest;
    if (document.round !== folder.of.round || document.step !== folder.of.step || document.run !== folder.of.run)
      report("damage", key, `it is of round ${document.round}, step ${document.step}, run ${document.run}`);
    const plan = this.#round?.plan;
    if (plan?.is === "whole") {
      const parent = plan.document.parent?.sha256 ?? null;
      if (document.plan !== plan.sha256 || document.code !== plan.document.code || document.parent !== parent)
        report("damage", key, "it is of another plan than that of its round");
    }
    const listed = new Set([MANIFEST, ...document.files.map(({ name }) => name)]);
    for (const name of folder.files.keys())
      if (!listed.has(name))
        report("warning", folder.prefix + name, "it belongs to nothing: its checkpoint's manifest does not name it");
    for (const file of document.files) await this.#verifyCheckpointFile(folder, file);
    this.#manifests.set(key, manifest.sha256);
  }

  async #verifyCheckpointFile(folder: Folder, file: { name: string; size: number; sha256: string }): Promise<void> {
    const key = folder.prefix + file.name;
    const size = folder.files.get(file.name);
    const digest = size === undefined ? undefined : await this.#context.digestOf(key, size);
    if (size === file.size && digest === file.sha256) return;
    // the janitor deletes the manifest first
    if ((await this.#context.store.head(folder.prefix + MANIFEST)) === undefined) return;
    const found =
      digest === undefined
        ? "it is missing, but its checkpoint's manifest names it"
        : `its bytes are not those that its checkpoint's manifest names (${size} of ${file.size} bytes)`;
    this.#context.report("damage", key, found);
  }

  // ---------------------------------------------------------------------------------------------- results

  async #verifyResult({ round, plan }: OpenRound): Promise<void> {
    const { read, report } = this.#context;
    const key = resultKey(round);
    const result = await read("result", key);
    if (result.is !== "whole") return;
    const { document } = result;
    if (document.round !== round || document.checkpoint.round !== round)
      report("damage", key, `it is the result of round ${document.round}`);
    if (plan.is === "whole") {
      if (document.plan !== plan.sha256) report("damage", key, "it is of another plan than that of its round");
      const planned = new Set(plan.document.items.map(itemId));
      if (document.rejected.some(({ item }) => !planned.has(itemId(item))))
        report("damage", key, "it rejects an item that is not in the plan");
    }
    const link = this.#chain.byRound.get(round);
    if (link !== undefined) return this.#verifyCommitted(key, document, result.sha256, link);
    const isOpen = this.#chain.head !== undefined ? round > this.#chain.head.round : false;
    if (isOpen) await this.#verifyNamed(document.checkpoint, key); // it waits for its commit
  }

  async #verifyCommitted(key: string, result: Result, digest: string, link: Link): Promise<void> {
    const { report, store } = this.#context;
    if (link.result?.sha256 !== digest) report("damage", key, `it is not the result that entry ${link.seq} names`);
    if (!sameCheckpoint(result.checkpoint, link.checkpoint))
      report("damage", key, `it names another checkpoint than entry ${link.seq}`);
    if (
      canonicalJson([result.metrics, result.liveMetrics]) !== link.metrics ||
      result.rejected.length !== link.rejected
    )
      report("damage", key, `its metrics or rejected items are not those of entry ${link.seq}`);
    if (link.seq === this.#chain.headSeq) return; // maybe not finished yet
    for (const { item } of result.rejected) {
      const copy = quarantineKey(itemId(item));
      if ((await store.head(copy)) === undefined)
        report("warning", copy, `it is missing: round ${result.round} rejected ${item.key}`);
    }
  }

  #stray(key: string): void {
    this.#context.report("warning", key, "it belongs to nothing: accrete has not written it");
  }
}
