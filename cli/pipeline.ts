/** A pipeline as commands see it, wherever it runs: compose-local.ts and compose-aws.ts make one. */
import type { NoticeOutbox } from "../adapters/notice-outbox.ts";
import type { CommandLedger, Ledger } from "../ledger/ledger.ts";
import type { PipelineConfig } from "../protocol/config.ts";
import type { Clock, Items, Job, Jobs, Notify, Store, Tick } from "../protocol/ports.ts";
import type { Item } from "../protocol/types.ts";
import type { Words } from "./words.ts";

/** Options that every command has. */
export interface GlobalOptions {
  readonly dir?: string;
  readonly pipeline?: string;
  readonly json?: boolean;
  /** of CloudFormation: else this machine is meant */
  readonly stack?: string;
}

/** What lies under a key, beside a file that is to be put there. */
export type Beside = "nothing" | "same" | "other";

/** Where users put data: a folder, or a bucket. */
export interface DataPlace {
  /** for people: a folder's path, or s3://bucket */
  readonly name: string;
  /** as it is at this moment, with what may still grow */
  readonly now: Items;
  /** of a file, as people name it; undefined: it lies elsewhere */
  keyOf(path: string): string | undefined;
  /** What a folder of it has, as a shell's completion shows it: keys; a folder's ends with a slash. */
  look(folder: string): Promise<string[]>;
  beside(key: string, file: { path: string; size: number }): Promise<Beside>;
  /**
   * A whole file under a key, or nothing.
   * @param options.onBytes told of how many more have gone, as they go
   * @throws {AccreteError} TARGET_EXISTS: something has come there since, and `overwrite` is false
   */
  put(key: string, path: string, options: { overwrite: boolean; onBytes: (more: number) => void }): Promise<void>;
  /** Files that are best put at once. */
  readonly together: number;
}

/** Of `items` those that are not there now, by their size alone. */
type Missing = (items: readonly Item[]) => Promise<Item[]>;

/** What a job has said: a file, or a stream of CloudWatch. */
export interface JobLog {
  /** Its lines, oldest first. @param ended with it all that comes too, until it says that no more will; else what is there now */
  lines(ended?: () => Promise<boolean>): AsyncIterable<string>;
  /** undefined: none yet */
  last(): Promise<string | undefined>;
}

/** An operator at work: entries are written by this process, ticks are made here or asked for. */
export interface Operator {
  readonly ledger: CommandLedger;
  /** @returns why it stopped; undefined: it was made elsewhere, and the state says what came of it */
  tick(why: Tick): Promise<string | undefined>;
}

export interface DeadLetters {
  readonly count: number;
  readonly alarm: string;
}

/** A pipeline, with what reads it and what an operator does to it. */
export interface Pipeline {
  readonly config: PipelineConfig;
  /** of accrete.config.ts */
  readonly folder: string;
  readonly words: Words;
  readonly store: Store;
  readonly items: Items & {
    /** what was put there less than so many milliseconds ago may still grow */
    readonly settleMs: number;
    readonly missing: Missing;
  };
  readonly data: DataPlace;
  readonly jobs: Jobs;
  readonly clock: Clock;
  logOf(job: Job): JobLog | undefined;
  /** @throws {AccreteError} on this machine MODEL_NOT_LOADABLE, START_NOT_READABLE, START_NOT_MATCHING */
  openOperator(notify: Notify): Promise<Operator>;
  /**
   * The store, for who mends it: may write over what nobody else may.
   * @throws {AccreteError} on AWS: the role for it can't be taken
   */
  openRepair(): Promise<Store>;
  /** The model as it lies beside the config; null if it can't be bundled. */
  bundleToday(): Promise<Ledger["code"] | null>;
  /** What did not reach people, by channel; on AWS that is SNS's to know. */
  undelivered(): ReturnType<NoticeOutbox["undelivered"]>;
  /** Messages that the stack's functions could not handle, and the alarm that tells of them; undefined on this machine, where there are none. */
  deadLetters(): Promise<DeadLetters | undefined>;
  /** Takes in what is new in the data, where nobody else does at once. */
  takeIn(operator: Operator): Promise<void>;
}
