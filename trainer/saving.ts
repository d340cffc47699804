/** Saves of a round while steps go on: one at a time, and after each a look whether this run is still wanted. */
import type { Checkpoint } from "../protocol/types.ts";
import type { Save } from "./session.ts";

export class Saving {
  readonly #afterwards: () => Promise<string | undefined>;
  #written: Promise<Checkpoint> | undefined;
  /** settles with the newest save and the look after it */
  #done: Promise<void> = Promise.resolve();
  #failed: { readonly thrown: unknown } | undefined;
  #superseded: string | undefined;
  #newest: Checkpoint | undefined;

  /** @param afterwards why this run is one too many; undefined: go on */
  constructor(afterwards: () => Promise<string | undefined>) {
    this.#afterwards = afterwards;
  }

  /** Why this run is one too many, as far as it is known. @throws what the newest save has failed with */
  superseded(): string | undefined {
    if (this.#failed !== undefined) throw this.#failed.thrown;
    return this.#superseded;
  }

  /**
   * Waits for the save before, and begins one, unless this run is one too many. Steps may go on once it returns.
   * @throws what the save before has failed with
   */
  async begin(take: () => Promise<Save>): Promise<void> {
    await this.#done;
    if (this.superseded() !== undefined) return;
    const { written } = await take();
    this.#written = written;
    this.#done = this.#finish(written);
  }

  /** The newest checkpoint, once it is in the store. @throws what its save has failed with */
  async written(): Promise<Checkpoint | undefined> {
    return this.#written;
  }

  /** Waits for the newest save and the look after it, however they end: `superseded` tells. */
  async settled(): Promise<void> {
    await this.#done;
  }

  /** The newest checkpoint that is in the store. */
  get newest(): Checkpoint | undefined {
    return this.#newest;
  }

  async #finish(written: Promise<Checkpoint>): Promise<void> {
    try {
      this.#newest = await written;
      this.#superseded = await this.#afterwards();
    } catch (thrown) {
      this.#failed = { thrown };
    }
  }
}
