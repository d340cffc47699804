/** Where jobs run: as processes or as containers. The lifecycle (jobs.ts) knows no more than this. */
import type { Handle } from "./job-record.ts";
import type { ContainerProperties } from "./schemas.ts";

/** One container of one attempt. */
export interface TaskRequest {
  /** unique; a name of a folder or container may hold it */
  readonly id: string;
  /** of its own; it is there */
  readonly folder: string;
  /** with the parameters filled in */
  readonly container: ContainerProperties;
  /** all of it: of the job and of the service */
  readonly environment: Readonly<Record<string, string>>;
}

export interface TaskEnd {
  /** of a signal 128 and its number; undefined: not known, or it never ran */
  readonly exitCode?: number;
  /** as ECS says it of a container; undefined: it ended by itself */
  readonly reason?: string;
  /** nobody knows what became of it: its machine is gone */
  readonly lost?: true;
}

export interface PreparedTask {
  /** what finds it again after the server was killed: kept before it begins */
  readonly handle: Handle;
  /** From here on it runs. */
  begin(): Promise<RunningTask>;
  /** It is not wanted any more, and never ran. */
  discard(): Promise<void>;
}

export interface RunningTask {
  readonly ended: Promise<TaskEnd>;
  /** To all of its processes; nothing if it has ended. */
  signal(name: "SIGTERM" | "SIGKILL"): Promise<void>;
}

export interface Runner {
  /** @throws {TaskNotStarted} */
  prepare(request: TaskRequest): Promise<PreparedTask>;
  /** What another server has begun; it may have ended since. */
  resume(request: TaskRequest, handle: Handle): Promise<RunningTask>;
}

/** The message is ECS's reason, as `CannotPullContainerError: ...`. */
export class TaskNotStarted extends Error {}

/** What a task has written, and what is still to come. */
export const LOG = "log.txt";
