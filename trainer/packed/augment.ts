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
 * Writes the changed image: the window scaled up to the whole (between pixels in proportion to how near they are), that moved, and that
 * mirrored. What comes in from outside is 0.
 * @param source height x width x channels
 */
export function changeInto(
  { height, width, channels }: Pick<Augmentation, "height" | "width" | "channels">,
  { flip, down, right, window }: Change,
  source: Float32Array,
  target: Float32Array,
  targetFrom: number,
): void {
  const rows = axis(height, { by: down, mirrored: false, from: window?.top ?? 0, length: window?.height ?? height });
  const columns = axis(width, { by: right, mirrored: flip, from: window?.left ?? 0, length: window?.width ?? width });
  let to = targetFrom;
  for (let y = 0; y < height; y++) {
    const above = rows.near[y]! * width;
    const below = rows.far[y]! * width;
    const downPart = rows.part[y]!;
    for (let x = 0; x < width; x++) {
      const near = columns.near[x]!;
      const isOutside = above < 0 || near < 0;
      const far = columns.far[x]!;
      const part = columns.part[x]!;
      for (let c = 0; c < channels; c++, to++) {
        if (isOutside) {
          target[to] = 0;
          continue;
        }
        const upper =
          source[(above + near) * channels + c]! * (1 - part) + source[(above + far) * channels + c]! * part;
        const lower =
          source[(below + near) * channels + c]! * (1 - part) + source[(below + far) * channels + c]! * part;
        target[to] = upper * (1 - downPart) + lower * downPart;
      }
    }
  }
}

/** For each place along one side of the result: the two places of the image that it lies between, and how far it is on the way to the second. */
interface Axis {
  /** -1: it comes from outside */
  readonly near: Int32Array;
  readonly far: Int32Array;
  readonly part: Float64Array;
}

function axis(size: number, change: { by: number; mirrored: boolean; from: number; length: number }): Axis {
  const [near, far, part] = [new Int32Array(size), new Int32Array(size), new Float64Array(size)];
  for (let i = 0; i < size; i++) {
    const moved = (change.mirrored ? size - 1 - i : i) - change.by;
    // centres of pixels lie at halves
    const at = change.length === size ? moved : change.from + ((moved + 0.5) * change.length) / size - 0.5;
    const before = Math.floor(at);
    near[i] = moved < 0 || moved >= size ? -1 : Math.max(0, before);
    far[i] = Math.min(size - 1, before + 1);
    part[i] = at - before;
  }
  return { near, far, part };
}
