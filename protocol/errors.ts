/**
 * Every error that a user can meet has a stable code and advice. The code is interface: scripts match it, docs/errors.md
 * lists it, and it never changes its meaning. What was found and what was expected goes into the message.
 */

/** code -> what to do about it */
export const ADVICE = {
  // what is stored
  STORED_NOT_READABLE:
    "The file is damaged or was changed by hand: run `accrete verify`, and restore it from a backup.",
  STORED_TOO_LARGE:
    "The file is larger than anything accrete writes: run `accrete verify`, and restore it from a backup.",
  STATE_MISSING: "A file that the log names is gone: run `accrete verify`, and restore the state from a backup.",
  STORE_UNREADABLE: "Check that the state folder exists and that this user may read and write it.",
  UNSAFE_KEY: "Give the object another name: without `..`, empty parts, NUL or control characters.",
  // configuration
  CONFIG_NOT_FOUND: "Run `accrete init` for a first one, or name the folder that has it with --dir.",
  CONFIG_NOT_LOADABLE: "Correct accrete.config.ts; the message says where it stops.",
  CONFIG_INVALID: "Correct accrete.config.ts as the message says; docs/ and the comments in it list what is known.",
  PIPELINE_UNKNOWN: "Name one of the pipelines of accrete.config.ts with --pipeline.",
  MODEL_NOT_LOADABLE: "Correct the model module; `accrete init` shows one that works.",
  MODEL_INVALID: "Correct the model: the message says which shape was expected.",
  // training
  PLAN_NOT_FOUND: "The trainer is started by accrete: ACCRETE_PLAN and ACCRETE_STATE have to name an existing plan.",
  CODE_MISMATCH:
    "The bundled model in the state folder is damaged: restore it from a backup, or run `accrete rollback --to head`.",
  PARENT_NOT_WHOLE:
    "The round's parent checkpoint is damaged: restore it from a backup, or roll back to another round.",
  CHECKPOINT_NOT_WHOLE: "Nothing to do: training goes on from the next older checkpoint.",
  LOSS_NOT_FINITE:
    "Lower the learning rate, or look for extreme values in the data of this round; then `accrete retry`.",
  TOO_MANY_REJECTED: "Look at the rejected files with `accrete show` and mend or drop them; then `accrete retry`.",
  TRAINER_FAILED: "See the job's log (`accrete show ROUND` names it); then `accrete retry`.",
  ATTEMPTS_USED_UP: "See the jobs' logs (`accrete show ROUND` names them), mend what ended them; then `accrete retry`.",
  RESULT_NOT_WHOLE: "Restore the named file from a backup: the round is committed by itself then.",
  GATE_REFUSED:
    'Look at `accrete show ROUND`. To go on from this round, set gate.onFail to "hold" in accrete.config.ts.',
  OUT_OF_DISK: "Free disk space, then `accrete retry`.",
  // operating
  NOT_FOUND: "Look at `accrete status` and `accrete log` for what there is.",
  NOT_KEPT: "Only checkpoints that are still kept can be named: `accrete log` marks them.",
  NOTHING_TO_RETRY: "No round is blocked: `accrete status` says what the pipeline waits for.",
  NOTHING_TO_TRAIN: "Add data first: `accrete add FILE...`.",
  COMMAND_LOST: "Somebody changed the pipeline at the same moment: look at `accrete status`, and ask again.",
  TARGET_EXISTS: "Name an empty folder, or pass --force.",
  NOT_VERIFIED: "Restore the named files from a backup; what is not named is whole.",
  WATCH_FAILED:
    "Nothing is lost: the regular sweep finds new files, later. Raise fs.inotify.max_user_watches if it is too low.",
  USAGE: "See `accrete --help`.",
} as const;

export type ErrorCode = keyof typeof ADVICE;

export class AccreteError extends Error {
  readonly code: ErrorCode;
  readonly advice: string;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "AccreteError";
    this.code = code;
    this.advice = ADVICE[code];
  }
}

/** Exit codes of the trainer (sysexits); docs in the design of the container contract. */
export const EXIT = {
  ok: 0,
  usage: 64,
  dataUnusable: 65,
  noGpu: 69,
  bug: 70,
  interrupted: 75,
  config: 78,
  killedBySigterm: 143,
} as const;

/** The message of whatever was thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
