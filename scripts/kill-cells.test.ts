import { describe, expect, it } from "vitest";
import { axesOf, roundOf } from "./kill-cells.ts";
import { combinations } from "./pairwise.ts";

describe("the kill matrix", () => {
  it("has what the config knows, and a round that the config takes for each cell", () => {
    const axes = axesOf(["wasm"]);
    expect(axes.optimizer).toEqual(expect.arrayContaining(["sgd", "adam"]));
    expect(axes.optimizer.some((name) => name.startsWith("sgd momentum"))).toBe(true);
    expect(axes.schedule).toEqual(expect.arrayContaining(["constant", "warmup-cosine"]));
    expect(axes.feature).toEqual(expect.arrayContaining(["dropout", "batch norm", "short batch"]));
    for (const cell of combinations(axes)) {
      const { trainer } = roundOf(cell).plan;
      expect(trainer?.schedule?.name).toBe(cell.schedule);
      expect(cell.optimizer.split(" ")[0]).toBe(trainer?.optimizer?.name);
    }
  });
});
