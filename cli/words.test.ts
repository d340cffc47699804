import { expect, it } from "vitest";
import { ADVICE } from "../protocol/errors.ts";
import { onStack, withStack } from "./words.ts";

it("commands that are told to be typed name the stack, but for those of this machine", () => {
  expect(
    withStack("`accrete rollback --to head`, or `accrete drop OBJECT...`; `accrete --help`, `accrete up`", "s"),
  ).toBe(
    "`accrete rollback --stack s --to head`, or `accrete drop --stack s OBJECT...`; `accrete --help`, `accrete up`",
  );
  expect(onStack(undefined).typed("`accrete retry`")).toBe("`accrete retry`"); // the environment names it
  for (const advice of Object.values(ADVICE))
    expect(withStack(advice, "s")).not.toMatch(
      /`accrete (retry|drop|show|log|why|verify|add|status|promote|rollback)(?! --stack)/,
    );
});
