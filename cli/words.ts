/** What is called otherwise on this machine than on AWS, where nobody has to run the loop. */

export interface Words {
  /** where users put data */
  readonly data: string;
  /** behind what is due or will be: who has to see to it; empty: nobody has to */
  readonly needsLoop: string;
  /** what makes a changed config count */
  readonly reload: string;
  readonly idle: string;
  /** after a command that has started something */
  readonly runsOn: string;
  /** after data was added */
  readonly learns: string;
  readonly notTakenIn: string;
  /** who would wait where `train` does not */
  readonly alone: string;
  /** behind "nothing waits to be trained" */
  readonly soon: string;
  /** between two looks of who looks on */
  readonly followMs: number;
  /** Names the stack in commands that are told to be typed. */
  typed(text: string): string;
}

export const ON_THIS_MACHINE: Words = {
  data: "data folder",
  needsLoop: "; needs `accrete up`",
  reload: "start `accrete up` again",
  idle: "nothing waits: `accrete up` takes in and learns what is new in the data folder",
  runsOn: "The training runs on by itself; `accrete up` goes on from here (one that runs already notices).",
  learns: "`accrete up` learns what was added; one that runs already does so by itself",
  notTakenIn: "in the data folder, but not taken in yet: `accrete up` does it",
  alone: "`accrete up` alone",
  soon: "",
  followMs: 500,
  typed: (text) => text,
};

/** @param name of the stack; undefined: the environment says it, so that commands need not */
export function onStack(name: string | undefined): Words {
  return {
    data: "data bucket",
    needsLoop: "",
    reload: "`npx cdk deploy --all`",
    idle: "nothing waits: what is put into the data bucket is learned by itself",
    runsOn: "The training runs on by itself, and the stack commits it.",
    learns: "the stack learns what was added, after the quiet period",
    notTakenIn: "in the data bucket, but not taken in yet: within seconds, by the sweep within 3 hours or a day",
    alone: "the stack alone",
    soon: "; what was put into the bucket a moment ago is taken in within seconds",
    // each look is some requests, which cost
    followMs: 5_000,
    typed: (text) => (name === undefined ? text : withStack(text, name)),
  };
}

/** Those that work on this machine alone are left as they are. */
const COMMAND = /`accrete (?!up\b|init\b|native\b|image\b|--|completion\b)([a-z]+)/g;

/** "`accrete retry`" -> "`accrete retry --stack NAME`". */
export function withStack(text: string, name: string): string {
  return text.replace(COMMAND, (_all, command: string) => `\`accrete ${command} --stack ${name}`);
}
