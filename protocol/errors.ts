/**
 * Every error that a user can meet has a stable code and advice. The code is interface: scripts match it, docs/errors.md
 * lists it, and it never changes its meaning. What was found and what was expected goes into the message.
 */

/** code -> what to do about it */
export const ADVICE = {
  // what is stored
  STORED_NOT_READABLE:
    "The file is damaged or was changed by hand: `accrete verify --repair` mends it, or says what to do.",
  STORED_TOO_LARGE:
    "The file is larger than anything accrete writes: `accrete verify --repair` mends it, or says what to do.",
  STATE_MISSING: "A file that the log names is gone: `accrete verify --repair` makes it anew, or says what to do.",
  STORE_UNREADABLE: "Check that the state folder exists and that this user may read and write it.",
  UNSAFE_KEY: "Give the object another name: without `..`, empty parts, NUL or control characters.",
  BUCKET_NOT_FOUND: "Check the bucket's name, and that AWS_REGION is the region in which it lies.",
  // configuration
  CONFIG_NOT_FOUND: "Run `accrete init` for a first one, or name the folder that has it with --dir.",
  CONFIG_NOT_LOADABLE: "Correct accrete.config.ts; the message says where it stops.",
  CONFIG_INVALID:
    "Correct accrete.config.ts as the message says. A round that it has blocked is planned anew by `accrete rollback --to head`.",
  PIPELINE_UNKNOWN: "Name one of the pipelines of accrete.config.ts with --pipeline.",
  MODEL_NOT_LOADABLE:
    "Correct the model module; `accrete init` shows one that works. A round that it has blocked: `accrete rollback --to head`.",
  MODEL_INVALID:
    "Correct the model, then `accrete rollback --to head`; for another model `accrete rollback --to 0 --replay`. If an object is at fault: `accrete drop OBJECT`.",
  START_NOT_READABLE: "Put a file there that trainer.start can begin with, or correct it in accrete.config.ts.",
  START_NOT_MATCHING: "Put the file there that trainer.start.sha256 names, or correct the digest in accrete.config.ts.",
  // training
  PLAN_NOT_FOUND: "The trainer is started by accrete: ACCRETE_PLAN and ACCRETE_STATE have to name an existing plan.",
  CODE_MISMATCH: "The bundled model in the state is damaged: run `accrete verify --repair`, then `accrete retry`.",
  PARENT_NOT_WHOLE:
    "Run `accrete verify --repair`, then `accrete retry`; or train again from an older round (0: from nothing): `accrete rollback --to ROUND --replay`.",
  CHECKPOINT_NOT_WHOLE: "Nothing to do: training goes on from the next older checkpoint.",
  LOSS_NOT_FINITE:
    "Lower the learning rate, then `accrete rollback --to head`; or take an object with extreme values out: `accrete drop OBJECT`.",
  TOO_MANY_REJECTED:
    "Take the named objects out: `accrete drop OBJECT...`, and put mended ones afterwards; or correct the config, then `accrete rollback --to head`.",
  TRAINER_FAILED:
    "See the job's log (`accrete show ROUND`), mend what it says; then `accrete retry`, or with a new config or model `accrete rollback --to head`.",
  ATTEMPTS_USED_UP:
    "See the jobs' logs (`accrete show ROUND`); then `accrete retry`, with a new config or model `accrete rollback --to head`, or `accrete drop OBJECT`.",
  RESULT_NOT_WHOLE:
    "Run `accrete verify --repair`, or restore the file from a backup: the round is committed then. Or train it anew: `accrete rollback --to head`.",
  GATE_REFUSED:
    "See `accrete show ROUND`. To go on from it: `accrete rollback --to head`; from an older one: `accrete rollback --to ROUND`; live: `accrete promote ROUND`.",
  OUT_OF_DISK:
    "Free disk space: `accrete up` goes on then, and nothing is lost; a blocked round needs `accrete retry`.",
  START_NOT_WHOLE:
    "Run `accrete verify --repair`, or restore the file from a backup; then `accrete retry`, or `accrete rollback --to head` to store it anew.",
  BACKEND_NOT_USABLE:
    "Leave ACCRETE_BACKEND away, or run `accrete native` for TensorFlow's library; then `accrete retry`. `accrete doctor` says what works.",
  // operating
  NOT_FOUND:
    "Check the name: `accrete log` has the rounds, `accrete show ROUND` their objects, the data folder or bucket those that are new.",
  NOT_KEPT: "Only checkpoints that are still kept can be named: `accrete log` marks them.",
  NOTHING_TO_RETRY:
    "No round is blocked, or the object need not be trained again: see `accrete status` and `accrete why OBJECT`.",
  NOTHING_TO_TRAIN: "Add data first: `accrete add FILE...`.",
  COMMAND_LOST:
    "Somebody, or a round, changed the pipeline at the same moment: look at `accrete status`, and ask again.",
  TARGET_EXISTS: "Choose another name or an empty folder, or pass --force.",
  NOT_VERIFIED:
    "Run `accrete verify --repair`: it mends what can be mended, and says of the rest what to do. What is not named is whole.",
  WATCH_FAILED:
    "Nothing is lost: what is new is found by regular looks, later. Raise fs.inotify.max_user_watches or max_user_instances.",
  USAGE: "See `accrete --help`.",
  CONFIRMATION_NEEDED: "Look at what it would do; then pass --yes, or type the command at a terminal and answer.",
  REDO_TOO_LARGE:
    "Go back to a newer round, or leave --replay out: what is not trained again can be asked for by --with.",
  NO_MEMORY:
    "Only rounds on data are possible: add data, or train the same again with `accrete rollback --to 0 --replay`.",
  NATIVE_NOT_BUILT:
    "Mend what the message says, then run `accrete native` again. Until then trainings use TensorFlow.js on wasm, which is slower.",
  MODEL_NOT_EXPORTABLE:
    "Pull the weights alone: `accrete pull DIR --format safetensors`. A SavedModel needs TensorFlow's own library: see `accrete doctor`.",
  JOB_REFUSED:
    "Correct `compute` in accrete.config.ts as the message says and deploy again; the open round goes on with it after `accrete rollback --to head`.",
  JOB_NOT_SUBMITTED: "Nothing to do: no job was started, and the next attempt is made within a quarter of an hour.",
  STACK_NOT_FOUND:
    "Check the stack's name (accrete-STAGE-PIPELINE) and the region (aws.region of the config, else AWS_REGION); or make it: `npx cdk deploy --all`.",
  STACK_NOT_OURS:
    "Name the stack of a pipeline: accrete-STAGE-PIPELINE. If it is one, what is deployed does not fit this version: `npx cdk deploy --all`.",
  AWS_REGION_MISSING: "Set AWS_REGION, or aws.region in accrete.config.ts.",
  AWS_CREDENTIALS_MISSING:
    "Sign in: `aws sso login` or `aws configure`, name a profile with AWS_PROFILE, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
  AWS_CREDENTIALS_EXPIRED: "Sign in again: `aws sso login`, or get new temporary credentials.",
  AWS_CREDENTIALS_REFUSED: "Check AWS_PROFILE and the keys: AWS does not know them, or they are of another partition.",
  AWS_ACCESS_DENIED:
    "Use a role that may: for the CLI one with the stack's operator policy (output OperatorPolicyArn); `accrete doctor` says who you are. Or name the right account.",
  AWS_UNREACHABLE: "Try again; check the network, the proxy (HTTPS_PROXY) and the region's name.",
  GPU_NOT_SEEN:
    "Mend what the message names; then `accrete retry`, or after a new deploy `accrete rollback --to head`. On one machine leave ACCRETE_GPUS away.",
  DOCKER_MISSING:
    "Install Docker, or start it; or name an image that exists in `compute.image` or `aws.image`. Without Docker: `accrete image --context DIR`.",
  IMAGE_NOT_BUILT:
    "Mend what the message says, then run `accrete image` again; or name an image that exists in `compute.image` or `aws.image` of the config.",
  SCRATCH_NOT_WRITABLE:
    "Let the trainer's user write there: `chown 10001` the folder that is mounted (the image's user), or name another in ACCRETE_SCRATCH; then `accrete retry`.",
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
  unavailable: 69,
  bug: 70,
  interrupted: 75,
  config: 78,
} as const;

/** The message of whatever was thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
