import { describe, expect, it } from "vitest";
import { catches } from "./histories.ts";
import { MUTATIONS } from "./mutations.ts";

describe("a broken rule is caught (2 of 2)", () => {
  it.each(MUTATIONS.filter((_, i) => i % 2 === 1))(
    "$name: $breaks",
    async (mutation) => {
      expect(await catches(mutation)).toBeTypeOf("string");
    },
    120_000,
  );
});
