import { expect, it } from "vitest";
import { parseState, stateText, START, type State } from "./state.ts";

const state: State = {
  format: 1,
  step: 7,
  epoch: 2,
  updates: 5,
  position: { epochIndex: 1, batchIndex: 2, step: 5, lossSum: 0.1 + 0.2, lossRecords: 3, epochLoss: 1e-300 },
  records: "digest",
  normalisation: { count: 3, mean: [1 / 3, -0.1], m2: [5e-324, 1.7976931348623157e308], frozen: false },
};

it("a state is the same bits after it was written and read", () => {
  const read = parseState(stateText(state), "x");
  expect(read).toEqual(state);
  expect(stateText(read)).toBe(stateText(state));
  expect(parseState(stateText({ ...state, position: START, normalisation: null }), "x").position).toEqual(START);
});

it.each([
  ["no JSON", "{"],
  ["another format", stateText(state).replace('"format":1', '"format":2')],
  ["a name too many", stateText(state).replace('"format":1', '"format":1,"more":1')],
  ["a name missing", stateText(state).replace('"epoch":2,', "")],
  ["a step that is no integer", stateText(state).replace('"step":7', '"step":7.5')],
  ["a negative step", stateText(state).replace('"step":7', '"step":-7')],
])("%s is refused by the file's name", (_, text) => {
  expect(text).not.toBe(stateText(state));
  expect(() => parseState(text, "rounds/1/x")).toThrow(
    expect.objectContaining({
      code: "STORED_NOT_READABLE",
      message: expect.stringContaining("rounds/1/x: not the state"),
    }),
  );
});

it("what JSON cannot hold is not written", () => {
  expect(() => stateText({ ...state, position: { ...START, lossSum: NaN } })).toThrow("not finite");
});
