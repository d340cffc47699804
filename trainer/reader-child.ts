/** One process of the reader: its start with limits, one request at a time, and its end. */
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { Duplex } from "node:stream";
import { messageOf } from "../protocol/errors.ts";
import { sizeText } from "../protocol/units.ts";
import type { ReaderFile } from "./reader-file.ts";
import { lineOf, Messages, parseAnswer, placesOf, type Answer, type Request } from "./reader-protocol.ts";

/** The process is over, and with it its request: what it was reading may be to blame. The message goes on after "reading it ". */
export class ReaderEnded extends Error {
  override readonly name = "ReaderEnded";
  /** killed: by nobody that knows the item */
  readonly how: "took-too-long" | "killed" | "otherwise";

  constructor(message: string, how: ReaderEnded["how"] = "otherwise") {
    super(message);
    this.how = how;
  }
}

export interface ChildOptions {
  /** the only folder that it may write to; it exists */
  readonly scratch: string;
  /** bytes */
  readonly memory: number;
  readonly program: string;
  /** where it leaves records; open for as long as the process is there */
  readonly file: ReaderFile;
}

/** An answer with the arrays of its read files, at the places that placesOf gives. */
export interface Answered {
  readonly answer: Answer;
  readonly bytes: ArrayBuffer;
}

/**
 * What Node and the libraries reserve without using it: 570 to 670 MB measured. The kernel counts it; the watch of what is used
 * keeps the limit itself, this stops what is faster than the watch.
 */
const RESERVED_BYTES = 1_073_741_824;
const WATCH_MS = 100;
/** No core dumps; the first that the kernel ends if the machine's memory is used up; then Node takes the shell's place. */
const LIMITED = '{ echo 1000 >/proc/self/oom_score_adj; ulimit -c 0; ulimit -d "$0"; } 2>/dev/null; exec "$@"';
const OUTPUT_MAX = 16_384;
const TIMER_MS_MAX = 2_147_483_647;

interface Waiting {
  readonly resolve: (answered: Answered) => void;
  readonly reject: (error: ReaderEnded) => void;
}

export class ReaderChild {
  readonly #process: ChildProcess;
  readonly #socket: Duplex;
  readonly #memory: number;
  readonly #file: ReaderFile;
  readonly exited: Promise<void>;
  #waiting: Waiting | undefined;
  /** why it was ended, if this side did */
  #ended: ReaderEnded | undefined;
  #output = "";
  #over = false;

  constructor(options: ChildOptions) {
    this.#memory = options.memory;
    this.#file = options.file;
    this.#process = spawn("/bin/sh", commandOf(options), {
      cwd: options.scratch,
      env: environmentOf(options.scratch),
      stdio: ["ignore", "pipe", "pipe", "pipe", options.file.fd],
    });
    const socket: unknown = this.#process.stdio[3];
    if (!(socket instanceof Duplex)) throw new Error("the reader has no socket");
    this.#socket = socket;
    for (const stream of [this.#process.stdout, this.#process.stderr])
      stream?.on("data", (chunk: Buffer) => (this.#output = (this.#output + chunk.toString()).slice(-OUTPUT_MAX)));
    this.#receive();
    this.exited = new Promise((resolve) => {
      this.#process.on("error", (error) => this.end(new ReaderEnded(messageOf(error)))); // no such program
      this.#process.on("close", (code, signal) => {
        this.#finish(code, signal);
        resolve();
      });
    });
    remember(this.#process);
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  get isOver(): boolean {
    return this.#over;
  }

  /** @throws {ReaderEnded} if it ends before it has answered; it takes no request after that */
  async request(request: Request, timeMs: number): Promise<Answered> {
    const tooLong = new ReaderEnded(`took longer than ${timeMs / 1_000} s`, "took-too-long");
    const timer = setTimeout(() => this.end(tooLong), Math.min(timeMs, TIMER_MS_MAX));
    const watch = setInterval(() => this.#checkMemory(), WATCH_MS);
    try {
      return await new Promise<Answered>((resolve, reject) => {
        this.#waiting = { resolve, reject };
        this.#socket.write(lineOf(request));
      });
    } finally {
      clearTimeout(timer);
      clearInterval(watch);
    }
  }

  /** At once, by SIGKILL. @param why what its request is told */
  end(why: ReaderEnded = new ReaderEnded("the reader was ended")): void {
    this.#ended ??= why;
    this.#process.kill("SIGKILL");
    if (this.#process.pid === undefined) this.#finish(null, null);
  }

  #receive(): void {
    const messages = new Messages((line) => {
      const answer = parseAnswer(line);
      const bytes = this.#recordsOf(answer);
      const waiting = this.#waiting;
      this.#waiting = undefined;
      if (waiting === undefined) throw new Error("an answer to nothing");
      waiting.resolve({ answer, bytes });
    });
    this.#socket.on("error", () => undefined); // its end says more
    this.#socket.on("data", (chunk: Uint8Array) => {
      if (this.#ended !== undefined) return;
      try {
        messages.push(chunk);
      } catch (error) {
        this.end(new ReaderEnded(`made the reader answer what is no answer: ${messageOf(error).slice(0, 200)}`));
      }
    });
  }

  /** It can't have read more than its memory holds. */
  #recordsOf(answer: Answer): ArrayBuffer {
    const { end } = placesOf(answer.op === "read" ? answer.outcomes : []);
    if (!(end <= this.#memory)) throw new Error(`records of ${end} bytes`);
    return this.#file.read(end);
  }

  #checkMemory(): void {
    residentBytes(this.#process.pid, (bytes) => {
      if (bytes > this.#memory) this.end(this.tooMuchMemory());
    });
  }

  tooMuchMemory(): ReaderEnded {
    return new ReaderEnded(`needed more than ${sizeText(this.#memory)} of memory (data.limits.memory)`);
  }

  #finish(code: number | null, signal: NodeJS.Signals | null): void {
    this.#over = true;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(this.#ended ?? this.#whyOver(code, signal));
  }

  #whyOver(code: number | null, signal: NodeJS.Signals | null): ReaderEnded {
    // by somebody else than this class: the kernel, which takes the reader first
    if (signal === "SIGKILL")
      return new ReaderEnded(
        `ended with the reader being killed, as happens when the machine or the job runs out of memory: give it more (on AWS \`compute.memory\`), or lower data.limits.memory, which is ${sizeText(this.#memory)}`,
        "killed",
      );
    if (/out of memory|bad_alloc|allocation failed|cannot allocate/i.test(this.#output)) return this.tooMuchMemory();
    const said = this.#output.split("\n").find((line) => /error|assert|fatal|fail/i.test(line));
    return new ReaderEnded(
      `ended the reader: ${signal ?? `exit code ${code}`}${said === undefined ? "" : `: ${said.trim().slice(0, 300)}`}`,
    );
  }
}

function commandOf({ scratch, memory, program }: ChildOptions): string[] {
  const kib = Math.ceil((memory + RESERVED_BYTES) / 1_024);
  return [
    "-c",
    LIMITED,
    String(kib),
    process.execPath,
    `--max-old-space-size=${Math.ceil(memory / 1_048_576)}`,
    // it starts no program and no thread of JavaScript, and writes to its scratch folder alone
    "--permission",
    "--allow-addons",
    "--allow-fs-read=*",
    `--allow-fs-write=${scratch}`,
    "--no-warnings",
    program,
    scratch,
    String(memory),
  ];
}

/** Nothing that is a secret, and nothing that changes how Node runs. */
function environmentOf(scratch: string): Record<string, string> {
  return { PATH: process.env["PATH"] ?? "", LANG: process.env["LANG"] ?? "C", TMPDIR: scratch };
}

/** Of the process's memory what is in use; nothing is told where that can't be found out, or once it is over. */
function residentBytes(pid: number | undefined, tell: (bytes: number) => void): void {
  if (pid === undefined) return;
  if (process.platform !== "linux") {
    execFile("ps", ["-o", "rss=", "-p", String(pid)], (_, text) => {
      if (/^\s*\d+\s*$/.test(text)) tell(Number(text) * 1_024);
    });
    return;
  }
  try {
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    if (kib !== undefined) tell(Number(kib) * 1_024);
  } catch {
    // it has ended
  }
}

const running = new Set<ChildProcess>();

/** However this process exits, its readers end before whatever else is done on exit: one may be deaf in a loop. */
function remember(child: ChildProcess): void {
  if (running.size === 0) process.prependListener("exit", endAll);
  running.add(child);
  child.once("close", () => {
    running.delete(child);
    if (running.size === 0) process.removeListener("exit", endAll);
  });
}

function endAll(): void {
  for (const child of running) child.kill("SIGKILL");
}
