import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { isConfirmed, type Asking } from "./confirm.ts";

interface Asked {
  readonly confirmed: Promise<boolean>;
  readonly shown: () => number;
  readonly question: () => string;
}

/** @param answer null: the input ends */
function asked(asking: Asking, answer: string | null, isTTY = true): Asked {
  const input = Object.assign(new PassThrough(), { isTTY });
  const output = new PassThrough();
  let shown = 0;
  input.end(answer === null ? "" : `${answer}\n`);
  const confirmed = isConfirmed(asking, () => void shown++, { input, output });
  return { confirmed, shown: () => shown, question: () => String(output.read() ?? "") };
}

describe("a question before something is changed", () => {
  it.each(["y", "Y", "yes", " y "])("%j is a yes", async (answer) => {
    const { confirmed, shown, question } = asked({}, answer);
    expect(await confirmed).toBe(true);
    expect([shown(), question()]).toEqual([1, "Go on? [y/N] "]);
  });

  it.each(["", "n", "no", "yesterday", "ok", null])("%j is a no", async (answer) => {
    expect(await asked({}, answer).confirmed).toBe(false);
  });

  it("is not asked with --yes, nor shown to a script", async () => {
    for (const json of [false, true]) {
      const { confirmed, shown, question } = asked({ yes: true, json }, null, false);
      expect(await confirmed).toBe(true);
      expect([shown(), question()]).toEqual([json ? 0 : 1, ""]);
    }
  });

  it("can't be asked without a terminal, nor by a script: it is shown, and nothing is done", async () => {
    for (const { json, isTTY } of [
      { json: false, isTTY: false },
      { json: true, isTTY: true },
    ]) {
      const { confirmed, shown } = asked({ json }, "y", isTTY);
      await expect(confirmed).rejects.toMatchObject({ code: "CONFIRMATION_NEEDED" });
      expect(shown()).toBe(1);
    }
  });
});
