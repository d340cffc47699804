/** On this machine: a workspace with its folders, its pipelines, and what the loop is given. Only `accrete up` knows more of it than compose.ts says. */
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import { systemClock } from "../adapters/clock.ts";
import { bundleModel, loadConfigFile } from "../adapters/config-file.ts";
import { countRequests, requestsText } from "../adapters/counted-store.ts";
import { openDirectoryItems, type DirectoryItems } from "../adapters/directory-items.ts";
import type { SkipReason } from "../adapters/directory-walk.ts";
import { openDirectoryStore } from "../adapters/directory-store.ts";
import { watchDirectory, type DirectoryWatcher } from "../adapters/directory-watcher.ts";
import type { NoticeChannel } from "../adapters/notice-channel.ts";
import { commandChannel } from "../adapters/notice-command.ts";
import { openNoticeOutbox, type NoticeOutbox } from "../adapters/notice-outbox.ts";
import { webhookChannel } from "../adapters/notice-webhook.ts";
import { pruneJobs, watchJobs, type JobsWatch } from "../adapters/process-jobs-watch.ts";
import { openProcessJobs } from "../adapters/process-jobs.ts";
import { openStartWeights } from "../adapters/start-weights.ts";
import { setLongTimeout } from "../adapters/long-timeout.ts";
import { openScheduleTimer, type ScheduleTimer } from "../adapters/schedule-timer.ts";
import { openTimerTicks, type TimerTicks } from "../adapters/timer-ticks.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { readHead } from "../ledger/read.ts";
import { sweep } from "../ledger/sweep.ts";
import { tick } from "../ledger/tick.ts";
import type { Config, PipelineConfig } from "../protocol/config.ts";
import { isUntrained } from "../protocol/head.ts";
import { planKey } from "../protocol/keys.ts";
import { nearestName } from "../protocol/nearest-name.ts";
import { AccreteError } from "../protocol/errors.ts";
import { printable } from "../protocol/printable.ts";
import type { Notify, Store, Tick, Ticks } from "../protocol/ports.ts";
import { openDataFolder } from "./data-folder.ts";
import { fileLog } from "./job-tail.ts";
import type { GlobalOptions, Pipeline } from "./pipeline.ts";
import { userFolder } from "./user-folder.ts";
import { version } from "../adapters/version.ts";
import { ON_THIS_MACHINE } from "./words.ts";

export interface Workspace {
  /** of accrete.config.ts */
  readonly folder: string;
  readonly file: string;
  readonly config: Config;
  /** has a folder for each pipeline */
  readonly stateFolder: string;
  readonly dataFolder: string;
  readonly jobsFolder: string;
  readonly noticesFolder: string;
  readonly items: DirectoryItems;
}

/** A pipeline of a workspace. */
export interface LocalPipeline extends Pipeline {
  readonly workspace: Workspace;
  readonly items: DirectoryItems;
  /** for webhook and command; openLedger() puts it beside the terminal */
  readonly outbox: NoticeOutbox;
  readonly jobsFolder: string;
  /** how many its store has got so far, for people */
  requests(): string;
}

const EXTENSION = import.meta.url.endsWith(".ts") ? "ts" : "js";
const TRAINER = fileURLToPath(new URL(`../trainer/main.${EXTENSION}`, import.meta.url));

/** Runs the user's model module, so it is a process of its own. */
export const EXPORTER = fileURLToPath(new URL(`../trainer/export.${EXTENSION}`, import.meta.url));

/**
 * Where the config is, what it says, and which folders hold the state, the data and the jobs: `.accrete/` beside the config,
 * or ACCRETE_STATE and ACCRETE_DATA (paths or file: URLs).
 * @throws {AccreteError} CONFIG_NOT_FOUND, CONFIG_NOT_LOADABLE, CONFIG_INVALID, USAGE
 */
export async function openWorkspace(
  options: GlobalOptions,
  more: { env?: NodeJS.ProcessEnv; onSkipped?: (name: string, why: SkipReason) => void } = {},
): Promise<Workspace> {
  const env = more.env ?? process.env;
  const loaded = await findConfig(options.dir, userFolder(env));
  const accrete = join(loaded.folder, ".accrete");
  const state = folderOf(env, "ACCRETE_STATE");
  const dataFolder = folderOf(env, "ACCRETE_DATA") ?? join(accrete, "data");
  return {
    folder: loaded.folder,
    file: loaded.file,
    config: loaded.config,
    stateFolder: state ?? join(accrete, "state"),
    dataFolder,
    // with the state: whoever shares it has to find the same jobs; a store passes hidden names over
    jobsFolder: state === undefined ? join(accrete, "jobs") : join(state, ".jobs"),
    noticesFolder: state === undefined ? join(accrete, "notices") : join(state, ".notices"),
    items: openDirectoryItems(dataFolder, more.onSkipped === undefined ? {} : { onSkipped: more.onSkipped }),
  };
}

/**
 * The config that a command means: of the folder that is named, else of the nearest one upwards.
 * @throws {AccreteError} CONFIG_NOT_FOUND, CONFIG_NOT_LOADABLE, CONFIG_INVALID
 */
export async function findConfig(dir: string | undefined, from: string): ReturnType<typeof loadConfigFile> {
  if (dir !== undefined) return loadConfigFile(resolve(from, dir));
  for (let folder = from; ; folder = dirname(folder)) {
    try {
      return await loadConfigFile(folder);
    } catch (error) {
      if (!(error instanceof AccreteError) || error.code !== "CONFIG_NOT_FOUND") throw error;
      if (folder === dirname(folder))
        throw new AccreteError("CONFIG_NOT_FOUND", `there is no accrete.config.ts in ${from}, nor in a folder above`);
    }
  }
}

function folderOf(env: NodeJS.ProcessEnv, name: string): string | undefined {
  const value = env[name];
  if (value === undefined || value === "") return undefined;
  if (value.startsWith("file:")) return fileURLToPath(value);
  if (/^[a-z][a-z0-9+.-]+:\/\//.test(value))
    throw new AccreteError("USAGE", `${name}=${value}: expected a path or a file: URL`);
  return resolve(userFolder(env), value);
}

/**
 * The pipeline that is meant.
 * @throws {AccreteError} PIPELINE_UNKNOWN
 */
export function choosePipeline(workspace: Workspace, name: string | undefined): LocalPipeline {
  const { pipelines } = workspace.config;
  const names = pipelines.map((pipeline) => pipeline.name);
  if (name === undefined && pipelines.length > 1)
    throw new AccreteError("PIPELINE_UNKNOWN", `there are several pipelines: ${names.join(", ")}`);
  const config = name === undefined ? pipelines[0] : pipelines.find((pipeline) => pipeline.name === name);
  if (config === undefined) {
    const near = name === undefined ? undefined : nearestName(name, names);
    throw new AccreteError(
      "PIPELINE_UNKNOWN",
      `there is no pipeline "${name}"${near === undefined ? `: there is ${names.join(", ")}` : `: did you mean "${near}"?`}`,
    );
  }
  return openPipeline(workspace, config);
}

/** The pipeline that a command's options mean. @throws {AccreteError} as openWorkspace and choosePipeline */
export async function openLocalPipeline(options: GlobalOptions): Promise<LocalPipeline> {
  return choosePipeline(await openWorkspace(options), options.pipeline);
}

/** All that are meant. @throws {AccreteError} as openWorkspace and choosePipeline */
export async function openLocalPipelines(options: GlobalOptions): Promise<LocalPipeline[]> {
  const workspace = await openWorkspace(options);
  if (options.pipeline !== undefined) return [choosePipeline(workspace, options.pipeline)];
  return workspace.config.pipelines.map((config) => openPipeline(workspace, config));
}

export function openPipeline(workspace: Workspace, config: PipelineConfig): LocalPipeline {
  const stateFolder = join(workspace.stateFolder, config.name);
  const jobsFolder = join(workspace.jobsFolder, config.name);
  const env = {
    ACCRETE_STATE: pathToFileURL(stateFolder).href,
    ACCRETE_DATA: pathToFileURL(workspace.dataFolder).href,
  };
  const { store, requests } = countRequests(openDirectoryStore(stateFolder));
  const outbox = openOutbox(workspace, config);
  const pipeline: LocalPipeline = {
    workspace,
    config,
    folder: workspace.folder,
    words: ON_THIS_MACHINE,
    store,
    requests: () => requestsText(requests()),
    items: workspace.items,
    data: openDataFolder(workspace.dataFolder, () => openDirectoryItems(workspace.dataFolder, { settleMs: 0 })),
    jobs: openProcessJobs({ folder: jobsFolder, command: [process.execPath, TRAINER], env }),
    clock: systemClock(),
    logOf: ({ log }) => (log === undefined ? undefined : fileLog(log)),
    async openOperator(notify) {
      const ledger = await openLedger(pipeline, { ticks: NO_TICKS, notify });
      return { ledger, tick: (why) => tick(ledger, why) };
    },
    openRepair: async () => store,
    bundleToday: () => bundleToday(workspace, config),
    undelivered: () => outbox.undelivered(),
    deadLetters: async () => undefined,
    async takeIn({ ledger, tick: makeTick }) {
      // what was put there a moment ago may still grow
      await sleep(workspace.items.settleMs);
      await sweep(ledger, workspace.items);
      await makeTick({ kind: "plain" });
    },
    outbox,
    jobsFolder,
  };
  return pipeline;
}

function openOutbox(workspace: Workspace, config: PipelineConfig): NoticeOutbox {
  return openNoticeOutbox({
    folder: join(workspace.noticesFolder, config.name),
    channels: noticeChannels(workspace, config),
    on: config.notify.on,
    // of a command that makes one tick and leaves: its own output may be JSON
    words: {
      warn: (_about, message) => void process.stderr.write(`warning: ${printable(message)}\n`),
      passed: () => undefined,
    },
  });
}

/** How a pipeline's notices reach people who do not look at the terminal. */
export function noticeChannels({ folder }: Workspace, { notify }: PipelineConfig): NoticeChannel[] {
  const { webhook, command } = notify;
  return [
    ...(webhook === null ? [] : [webhookChannel({ ...webhook, userAgent: `accrete/${version()}` })]),
    ...(command === null ? [] : [commandChannel(command, { folder })]),
  ];
}

/**
 * What ticks and commands are given; bundles the model module. Notices go to `notify`, which is the terminal's, and then into the
 * outbox.
 * @throws {AccreteError} MODEL_NOT_LOADABLE; START_NOT_READABLE, START_NOT_MATCHING if the next plan would begin with a warm start
 */
export async function openLedger(pipeline: LocalPipeline, ports: { ticks: Ticks; notify: Notify }): Promise<Ledger> {
  const { config, store, jobs, clock, outbox, workspace } = pipeline;
  const { sha256, body } = await bundleModel(workspace.folder, config);
  const start = config.trainer.start === null ? null : openStartWeights(workspace.folder, config.trainer.start);
  if (start !== null && (await isToBegin(store))) await (await start.read())[Symbol.asyncDispose]();
  return {
    config,
    store,
    jobs,
    clock,
    ticks: ports.ticks,
    notify: {
      notify: async (notice) => {
        await ports.notify.notify(notice);
        await outbox.notify(notice);
      },
    },
    code: { sha256, body },
    start,
    image: null,
    jobDefinition: null,
  };
}

/** The model as it lies beside the config; null if it can't be bundled: for a command that goes on without it. */
export async function bundleToday(
  { folder }: { folder: string },
  config: PipelineConfig,
): Promise<Ledger["code"] | null> {
  try {
    return await bundleModel(folder, config);
  } catch (error) {
    if (error instanceof AccreteError) return null;
    throw error;
  }
}

/** Nothing was trained yet, and the next plan is still to be made. */
async function isToBegin(store: Store): Promise<boolean> {
  const { head } = await readHead(store);
  return isUntrained(head) && (await store.head(planKey(head.round + 1))) === undefined;
}

/** For a command that makes one tick and leaves: what is asked for later comes by `accrete up`. */
const NO_TICKS: Ticks = { ask: async () => undefined };

/** Ticks by this process's timers. */
export function openTicks(options: Parameters<typeof openTimerTicks>[0]): TimerTicks {
  return openTimerTicks(options);
}

/** The pipeline's schedule, by this process's timers; undefined if it has none. @param afterMs what was due up to then is not made up */
export function openSchedule(
  { config, clock }: Pipeline,
  on: { afterMs: number; onDue: (tick: Extract<Tick, { kind: "schedule" }>) => void },
): ScheduleTimer | undefined {
  const { schedule } = config;
  if (schedule === null) return undefined;
  const { retrain } = schedule;
  return openScheduleTimer({
    schedule,
    afterMs: on.afterMs,
    nowMs: clock.nowMs,
    setTimer: setLongTimeout,
    onDue: (timeMs) => on.onDue({ kind: "schedule", timeMs, retrain }),
  });
}

/** News of the data folder: paths relative to it. */
export function watchData(
  { dataFolder }: Workspace,
  on: { onSettled: (paths: readonly string[]) => void; onError: (error: unknown) => void },
): Promise<DirectoryWatcher> {
  return watchDirectory({ folder: dataFolder, ...on });
}

/** News of the pipeline's jobs, also of those that another process has started. */
export function watchEnds(
  { jobsFolder, jobs }: LocalPipeline,
  on: { onEnded: (ids: readonly string[]) => void; onError: (error: unknown) => void },
): Promise<JobsWatch> {
  return watchJobs({ folder: jobsFolder, jobs, ...on });
}

/** Takes the folders of old jobs away. */
export async function tidyJobs({ jobsFolder }: LocalPipeline): Promise<void> {
  await pruneJobs(jobsFolder);
}
