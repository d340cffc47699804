/** Images changed by chance for training: a function of the seed and of the record's place in the round, so that a resume draws the same. */
import type { AugmentConfig } from "../../protocol/data-config.ts";
import { AccreteError } from "../../protocol/errors.ts";
import { CounterRandom } from "../random.ts";

export interface Augmentation extends AugmentConfig {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
}

/**
 * @returns null: records are trained on as they are
 * @throws {AccreteError} CONFIG_INVALID if they are no images
 */
export function augmentationOf(augment: AugmentConfig | null, inputShape: readonly number[]): Augmentation | null {
  if (augment === null) return null;
  const [height, width, channels] = inputShape;
  if (height === undefined || width === undefined || channels === undefined)
    throw new AccreteError(
      "CONFIG_INVALID",
      `data.augment changes images [height, width, channels], but a record is [${inputShape.join(", ")}]`,
    );
  return { ...augment, height, width, channels };
}

/** What chance gave one image. The window is in pixels of the image, and need not begin or end at whole ones. */
export interface Change {
  readonly flip: boolean;
  readonly down: number;
  readonly right: number;
  readonly window: {
    readonly top: number;
    readonly left: number;
    readonly height: number;
    readonly width: number;
  } | null;
}

/** @param at.index of the record among all that the round trains on, epoch after epoch */
export function drawChange(how: Augmentation, at: { seed: number; index: number }): Change {
  const random = new CounterRandom({ ...at, stream: "augment" });
  const flip = how.flip === "horizontal" && random.below(2) === 1;
  const shift = (): number => (how.shift === 0 ? 0 : random.below(2 * how.shift + 1) - how.shift);
  const [down, right] = [shift(), shift()];
  if (how.crop === 0) return { flip, down, right, window: null };
  const part = 1 - how.crop * random.float();
  const [height, width] = [how.height * part, how.width * part];
  const [top, left] = [random.float() * (how.height - height), random.float() * (how.width - width)];
  return { flip, down, right, window: { top, left, height, width } };
}

/**
 * Writes the changed image: the window scaled up to the whole (between pixels as they are near), that moved, and that mirrored.
 * @param source height x width x channels
 */
export function changeInto(
  { height, width, channels }: Pick<Augmentation, "height" | "width" | "channels">,
  change: Change,
  source: Float32Array,
  target: Float32Array,
  targetFrom: number,
): void {
  const { flip, down, right, window } = change;
  for (let y = 0; y < height; y++) {
    const fromY = y - down;
    for (let x = 0; x < width; x++) {
      const fromX = (flip ? width - 1 - x : x) - right;
      const to = targetFrom + (y * width + x) * channels;
      if (fromY < 0 || fromY >= height || fromX < 0 || fromX >= width) target.fill(0, to, to + channels);
      else if (window === null) {
        const from = (fromY * width + fromX) * channels;
        for (let c = 0; c < channels; c++) target[to + c] = source[from + c]!;
      } else {
        const sourceY = window.top + ((fromY + 0.5) * window.height) / height - 0.5;
        const sourceX = window.left + ((fromX + 0.5) * window.width) / width - 0.5;
        blendInto({ height, width, channels }, source, sourceY, sourceX, target, to);
      }
    }
  }
}

/** A point between four pixels; outside of the image its edge goes on. */
function blendInto(
  { height, width, channels }: Pick<Augmentation, "height" | "width" | "channels">,
  source: Float32Array,
  y: number,
  x: number,
  target: Float32Array,
  to: number,
): void {
  const [top, left] = [Math.floor(y), Math.floor(x)];
  const [downPart, rightPart] = [y - top, x - left];
  const [y0, y1] = [Math.max(0, top), Math.min(height - 1, top + 1)];
  const [x0, x1] = [Math.max(0, left), Math.min(width - 1, left + 1)];
  for (let c = 0; c < channels; c++) {
    const pixel = (row: number, column: number): number => source[(row * width + column) * channels + c]!;
    const above = pixel(y0, x0) * (1 - rightPart) + pixel(y0, x1) * rightPart;
    const below = pixel(y1, x0) * (1 - rightPart) + pixel(y1, x1) * rightPart;
    target[to + c] = above * (1 - downPart) + below * downPart;
  }
}
