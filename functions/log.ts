/** What the functions say, for people and for alarms. Never anything of a record's content. */

/** A field's value; lists are short. */
export type Field = string | number | boolean | null | undefined | readonly string[] | Readonly<Record<string, number>>;

/** The metrics of a pipeline. A name is interface: alarms and dashboards have it. */
export interface MetricValues {
  /** items that wait in the inbox, each as often as it was told of */
  readonly pendingItems?: number;
  /** how long the oldest of them waits */
  readonly oldestPendingSeconds?: number;
  /** 1 for each round that was committed */
  readonly rounds?: number;
  /** how long the jobs of a committed round ran, all attempts */
  readonly seconds?: number;
  readonly examplesPerSecond?: number;
  /** items of a committed round that could not be read */
  readonly rejected?: number;
  /** dollars for those seconds, where the config has a price */
  readonly cost?: number;
  /** 1 on each tick that an operator has to do something about */
  readonly blocked?: number;
  /** 1 for each job that has failed or could not be submitted */
  readonly failedAttempts?: number;
}

export interface Log {
  info(event: string, fields?: Readonly<Record<string, Field>>): void;
  warn(event: string, fields?: Readonly<Record<string, Field>>): void;
  error(event: string, error: unknown, fields?: Readonly<Record<string, Field>>): void;
  metrics(values: MetricValues): void;
}
