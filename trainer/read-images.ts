/** Images: a picture a file, its class is the name of the folder it is in. */
import type { Sharp, SharpConstructor } from "sharp";
import { messageOf } from "../protocol/errors.ts";
import { sizeText } from "../protocol/units.ts";
import { BadItem, labelBuilder, shown, type FileToRead, type LabelKind, type RecordsOfItem } from "./item-records.ts";
import { numberOf } from "./schema.ts";

/** A larger one is scaled down by whoever made it: a few bytes may claim to be any number of pixels. */
const PIXELS_MAX = 100_000_000;
/** Of a record whose shape is that of the first image: more is an oversight. */
const VALUES_MAX = 4_194_304;

/** Loads the library: nothing but JPEG, PNG and WebP can be read after this, in this process. */
export async function openImages(): Promise<SharpConstructor> {
  const { default: sharp } = await import("sharp");
  sharp.block({ operation: ["VipsForeignLoad"] });
  sharp.unblock({ operation: ["VipsForeignLoadJpeg", "VipsForeignLoadPng", "VipsForeignLoadWebp"] });
  sharp.concurrency(1); // the order in which its threads sum up must not change a bit
  sharp.cache(false);
  return sharp;
}

/** Where an image's only record is, for messages. */
export const IMAGE_RECORD = "its folder";

/** Of what sharp calls a picture's depth; what is not here has 8. */
const BYTES_OF_DEPTH: Readonly<Record<string, number>> = { uchar: 1, char: 1, ushort: 2, short: 2, float: 4 };

interface ImageOptions {
  /** height, width, channels (1 or 3) to scale to; null: as it is */
  readonly shape: readonly number[] | null;
  readonly prefix: string;
  readonly kind: LabelKind;
  /** of the picture once it is decoded, before it is scaled */
  readonly bytesMax: number;
}

/** @throws {BadItem} */
export async function readImage(
  sharp: SharpConstructor,
  file: FileToRead,
  options: ImageOptions,
): Promise<RecordsOfItem> {
  const labels = labelBuilder(options.kind, 1);
  const folder = folderOf(file.key, options.prefix);
  labels.add(0, options.kind === "value" ? (numberOf(folder) ?? folder) : folder, IMAGE_RECORD);
  let image: { data: Uint8Array; shape: number[] };
  try {
    image = await decode(sharp, file.path, options);
  } catch (error) {
    if (error instanceof BadItem || /no space left/i.test(messageOf(error))) throw error;
    throw new BadItem(
      `it can't be read as a JPEG, PNG or WebP image: ${messageOf(error).replaceAll(file.path, "file")}`,
      { cause: error },
    );
  }
  return { count: 1, shape: image.shape, features: image.data, ...labels.done() };
}

async function decode(
  sharp: SharpConstructor,
  path: string,
  { shape, bytesMax }: ImageOptions,
): Promise<{ data: Uint8Array; shape: number[] }> {
  const open = (): Sharp => sharp(path, { limitInputPixels: PIXELS_MAX, failOn: "error" });
  const meta = await open().metadata();
  const [height = meta.autoOrient.height, width = meta.autoOrient.width] = shape ?? [];
  const channels = shape?.[2] ?? (meta.channels <= 2 ? 1 : 3);
  if (height * width * channels > VALUES_MAX && shape === null) {
    throw new BadItem(
      `it is the first image and has ${height} x ${width} pixels: set data.imageShape to what images are to be scaled to`,
    );
  }
  const decoded = meta.width * meta.height * meta.channels * (BYTES_OF_DEPTH[meta.depth] ?? 8);
  if (decoded > bytesMax) {
    throw new BadItem(
      `its ${meta.height} x ${meta.width} pixels have ${sizeText(decoded)}: more than ${sizeText(bytesMax)} (data.limits.bytes)`,
    );
  }
  const upright = open().autoOrient().flatten({ background: "#fff" }); // what is see-through is white, as on a page
  const scaled = upright
    .resize(width, height, { fit: "fill", kernel: "lanczos3" })
    .toColourspace(channels === 1 ? "b-w" : "srgb");
  const { data, info } = await scaled.raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true });
  if (info.width !== width || info.height !== height || info.channels !== channels) {
    throw new BadItem(
      `it became ${info.height} x ${info.width} x ${info.channels}, not ${height} x ${width} x ${channels}`,
    );
  }
  return { data, shape: [height, width, channels] };
}

/** Name of the folder that a key is in, below the prefix. */
function folderOf(key: string, prefix: string): string {
  const parts = key.split("/");
  const path = parts.slice(0, -1).join("/");
  const name = parts.at(-2);
  if (name === undefined || name === "" || prefix === path || prefix.startsWith(`${path}/`)) {
    throw new BadItem(
      `it is in no folder${prefix === "" ? "" : ` below ${shown(prefix)}`}: the class of an image is the name of its folder`,
    );
  }
  return name;
}
