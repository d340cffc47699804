/** Says what is done, and how long each part took. */
export class Phases {
  readonly say: (line: string) => void;
  readonly #began = performance.now();

  constructor(say: (line: string) => void = console.log) {
    this.say = say;
  }

  async time<T>(what: string, act: () => Promise<T>): Promise<T> {
    const from = performance.now();
    const result = await act();
    this.say(`${seconds(performance.now() - from)}  ${what}`);
    return result;
  }

  total(what: string): void {
    this.say(`${seconds(performance.now() - this.#began)}  ${what}`);
  }
}

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1).padStart(6)} s`;
