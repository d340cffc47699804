/** A run of TensorBoard: a folder with one event file, which grows as a pipeline trains. */
import { randomUUID } from "node:crypto";
import { appendFile, mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { HistoryPoint } from "../ledger/training-history.ts";
import { dollarsOf } from "../protocol/budget.ts";
import { AccreteError } from "../protocol/errors.ts";
import { isOfRun } from "../protocol/run-metrics.ts";
import type { Metrics } from "../protocol/types.ts";
import { restartRecord, scalarsRecord, versionRecord, type Scalars } from "./event-file.ts";

/** TensorBoard reads a folder's files in the order of their names. */
const NAME = /^events\.out\.tfevents\.\d{10}\.\d{3}\.accrete$/;

interface Point {
  readonly step: number;
  readonly atMs: number;
  readonly scalars: Scalars;
}

export class EventRun {
  readonly #folder: string;
  readonly #pricePerHour: number | undefined;
  #file: string | undefined;
  #written: readonly Point[] = [];

  /** @param pricePerHour dollars; undefined: not known */
  constructor(folder: string, pricePerHour: number | undefined) {
    this.#folder = folder;
    this.#pricePerHour = pricePerHour;
  }

  /**
   * Writes what is new. The first time a whole file that takes the place of the one that an earlier command has left; then what has
   * come since is added to it, after a word that steps come again where history has changed.
   * @returns the file; undefined: there is nothing to write yet
   * @throws {AccreteError} TARGET_EXISTS if the folder is a file
   */
  async update(history: readonly HistoryPoint[], nowMs: number): Promise<string | undefined> {
    const points = history.map((point) => pointOf(point, this.#pricePerHour));
    if (points.length === 0 && this.#file === undefined) return this.#forget();
    if (this.#file === undefined) this.#file = await this.#create(points, nowMs);
    else await this.#append(this.#file, points, nowMs);
    this.#written = points;
    return this.#file;
  }

  /** Nothing has been trained, or not any more: the curves of an earlier command are of what was rolled back. */
  async #forget(): Promise<undefined> {
    const names = await readdir(this.#folder).catch(() => []); // mostly there is none
    for (const name of names) if (NAME.test(name)) await rm(join(this.#folder, name), { force: true });
  }

  /** Appears whole, before the earlier one goes: a TensorBoard that runs goes on with it. */
  async #create(points: readonly Point[], nowMs: number): Promise<string> {
    await this.#makeFolder();
    const earlier = (await readdir(this.#folder)).filter((name) => NAME.test(name));
    const [seconds, ms] = [Math.floor(nowMs / 1_000), Math.floor(nowMs % 1_000)];
    const name = `events.out.tfevents.${String(seconds).padStart(10, "0")}.${String(ms).padStart(3, "0")}.accrete`;
    const [file, part] = [join(this.#folder, name), join(this.#folder, `.accrete-${randomUUID()}.part`)];
    try {
      const restart = earlier.length === 0 ? [] : [restartRecord(nowMs, 0)];
      await writeFile(part, Buffer.concat([versionRecord(nowMs), ...restart, ...points.map(recordOf)]));
      await rename(part, file);
    } finally {
      await rm(part, { force: true });
    }
    for (const other of earlier) if (other !== name) await rm(join(this.#folder, other), { force: true });
    return file;
  }

  async #append(file: string, points: readonly Point[], nowMs: number): Promise<void> {
    let same = 0;
    while (same < this.#written.length && isSame(this.#written[same], points[same])) same++;
    const gone = this.#written[same];
    // TensorBoard forgets whole steps
    if (gone !== undefined) while (same > 0 && this.#written[same - 1]!.step >= gone.step) same--;
    const records = [
      ...(gone === undefined ? [] : [restartRecord(nowMs, gone.step)]),
      ...points.slice(same).map(recordOf),
    ];
    if (records.length > 0) await appendFile(file, Buffer.concat(records));
  }

  async #makeFolder(): Promise<void> {
    try {
      await mkdir(this.#folder, { recursive: true });
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : undefined;
      if (code !== "EEXIST" && code !== "ENOTDIR") throw error;
      throw new AccreteError("TARGET_EXISTS", `${this.#folder} is a file, or lies in one`, { cause: error });
    }
  }
}

const recordOf = ({ atMs, step, scalars }: Point): Uint8Array => scalarsRecord(atMs, step, scalars);

/** Whenever it was: of an open round that is only about known. */
function isSame(a: Point | undefined, b: Point | undefined): boolean {
  return a?.step === b?.step && JSON.stringify(a?.scalars) === JSON.stringify(b?.scalars);
}

function pointOf(point: HistoryPoint, pricePerHour: number | undefined): Point {
  const { step, atMs } = point;
  return {
    step,
    atMs,
    scalars: point.is === "epoch" ? epochScalars(point.metrics) : roundScalars(point.entry, pricePerHour),
  };
}

function epochScalars({
  trainLoss,
  learningRate,
  holdout,
}: Extract<HistoryPoint, { is: "epoch" }>["metrics"]): Scalars {
  return {
    ...(trainLoss === null ? {} : { "train/loss": trainLoss }),
    ...(learningRate === undefined ? {} : { "train/learning_rate": learningRate }),
    ...named("epoch_holdout", holdout ?? {}),
  };
}

function roundScalars(
  { metrics, liveMetrics, jobMs }: Extract<HistoryPoint, { is: "round" }>["entry"],
  pricePerHour: number | undefined,
): Scalars {
  const measured = Object.entries(metrics).filter(([name]) => !isOfRun(name) && !name.startsWith("train"));
  const ofRun = Object.entries(metrics).filter(([name]) => name.startsWith("run."));
  return {
    ...named("holdout", Object.fromEntries(measured)),
    ...named("live", liveMetrics ?? {}),
    ...Object.fromEntries(ofRun.map(([name, value]) => [name.replace(".", "/"), value])),
    "run/jobSeconds": jobMs / 1_000,
    ...(pricePerHour === undefined ? {} : { "run/dollars": dollarsOf(jobMs, { pricePerHour }) }),
  };
}

function named(group: string, metrics: Metrics): Scalars {
  return Object.fromEntries(Object.entries(metrics).map(([name, value]) => [`${group}/${name}`, value]));
}
