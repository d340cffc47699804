/** Images changed by hand: 2 to 4 pixels a side, so that each value can be worked out on paper. */
import { describe, expect, it } from "vitest";
import { augmentationOf, changeInto, drawChange, type Augmentation, type Change } from "./augment.ts";

const STILL: Change = { flip: false, down: 0, right: 0, window: null };
const IMAGE = [1, 2, 3, 4, 5, 6]; // 2 x 3

function changed(
  change: Partial<Change>,
  image: readonly number[] = IMAGE,
  [height, width, channels]: readonly [number, number, number] = [2, 3, 1],
): number[] {
  const target = new Float32Array(image.length + 2).fill(9);
  changeInto({ height, width, channels }, { ...STILL, ...change }, Float32Array.from(image), target, 1);
  expect([target[0], target.at(-1)]).toEqual([9, 9]);
  return [...target.subarray(1, -1)];
}

describe("an image", () => {
  it.each<[string, Partial<Change>, number[]]>([
    ["as it is", {}, [1, 2, 3, 4, 5, 6]],
    ["mirrored", { flip: true }, [3, 2, 1, 6, 5, 4]],
    ["moved to the right", { right: 1 }, [0, 1, 2, 0, 4, 5]],
    ["moved to the left and down", { right: -2, down: 1 }, [0, 0, 0, 3, 0, 0]],
    ["moved up", { down: -1 }, [4, 5, 6, 0, 0, 0]],
    ["moved, then mirrored", { right: 1, flip: true }, [2, 1, 0, 5, 4, 0]],
    ["moved out of itself", { down: 2 }, [0, 0, 0, 0, 0, 0]],
  ])("is %s", (_, change, expected) => {
    expect(changed(change)).toEqual(expected);
  });

  it("keeps the channels of a pixel together", () => {
    expect(changed({ flip: true }, [1, 2, 3, 4, 5, 6], [1, 2, 3])).toEqual([4, 5, 6, 1, 2, 3]);
    expect(changed({ right: 1 }, [1, 2, 3, 4, 5, 6], [1, 2, 3])).toEqual([0, 0, 0, 1, 2, 3]);
  });

  it("is cut out and scaled up, between pixels in proportion to how near they are", () => {
    // the left half of 0 8 16 24: centres at 0.25, 0.75, 1.25, 1.75 less half a pixel; the first is outside, where the edge goes on
    const window = { top: 0, left: 0, height: 1, width: 2 };
    expect(changed({ window }, [0, 8, 16, 24], [1, 4, 1])).toEqual([0, 2, 6, 10]);
    // its middle
    expect(changed({ window: { ...window, left: 1 } }, [0, 8, 16, 24], [1, 4, 1])).toEqual([6, 10, 14, 18]);
    // both ways: 1 x 1 out of the middle of 2 x 2
    const middle = { top: 0.5, left: 0.5, height: 1, width: 1 };
    expect(changed({ window: middle }, [0, 4, 8, 12], [2, 2, 1])).toEqual([3, 5, 7, 9]);
    expect(changed({ window: middle, flip: true }, [0, 4, 8, 12], [2, 2, 1])).toEqual([5, 3, 9, 7]);
  });
});

describe("what chance gives an image", () => {
  const how: Augmentation = { flip: "horizontal", shift: 2, crop: 0.5, height: 10, width: 20, channels: 1 };
  const draws = Array.from({ length: 2_000 }, (_, index) => drawChange(how, { seed: 1, index }));

  it("is a function of the seed and of the record's place", () => {
    expect(drawChange(how, { seed: 1, index: 7 })).toEqual(draws[7]);
    expect(drawChange(how, { seed: 2, index: 7 })).not.toEqual(draws[7]);
    expect(draws[8]).not.toEqual(draws[7]);
  });

  it("is within what was asked for, and all of that", () => {
    const flips = draws.filter(({ flip }) => flip).length;
    expect(flips).toBeGreaterThan(900);
    expect(flips).toBeLessThan(1_100);
    for (const shift of [draws.map(({ down }) => down), draws.map(({ right }) => right)])
      expect([...new Set(shift)].sort((a, b) => a - b)).toEqual([-2, -1, 0, 1, 2]);
    for (const { window } of draws) {
      expect(window!.height).toBeGreaterThan(5);
      expect(window!.width / window!.height).toBeCloseTo(2, 9);
      expect(Math.min(window!.top, window!.left)).toBeGreaterThanOrEqual(0);
      expect(window!.top + window!.height).toBeLessThanOrEqual(10);
      expect(window!.left + window!.width).toBeLessThanOrEqual(20);
    }
    expect(Math.min(...draws.map(({ window }) => window!.height))).toBeLessThan(5.2);
  });

  it("is nothing where nothing was asked for", () => {
    const still: Augmentation = { ...how, flip: "none", shift: 0, crop: 0 };
    expect(drawChange(still, { seed: 1, index: 7 })).toEqual(STILL);
  });
});

it("augmentation is for images alone", () => {
  const config = { flip: "horizontal", shift: 1, crop: 0 } as const;
  expect(augmentationOf(config, [2, 3, 1])).toEqual({ ...config, height: 2, width: 3, channels: 1 });
  expect(augmentationOf(null, [4])).toBeNull();
  expect(() => augmentationOf(config, [4])).toThrow(
    expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining("a record is [4]") }),
  );
});
