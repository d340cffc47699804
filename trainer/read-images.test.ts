import sharp, { type Sharp } from "sharp";
import { describe, expect, it } from "vitest";
import { file, read, rows, whyBad, type DataInput } from "./testing/reading.ts";

const images = { format: "images" } as const;
const picture = (width: number, height: number, values: readonly number[]): Sharp => {
  const count = values.length / (width * height);
  const channels = count === 1 ? 1 : count === 2 ? 2 : count === 3 ? 3 : 4;
  return sharp(Uint8Array.from(values), { raw: { width, height, channels } });
};
const grey = picture(2, 1, [0, 255]).toColourspace("b-w");
const red = picture(2, 1, [255, 0, 0, 255, 0, 0]);

describe("a folder of images", () => {
  it("gives values in 0..1, and classes by the names of the folders", async () => {
    const files = [
      file("b/x.png", await red.clone().png().toBuffer()),
      file("deep/10/x.png", await red.clone().png().toBuffer()),
      file("deep/9/x.png", await red.clone().png().toBuffer()),
    ];
    const { schema, records, rejected } = await read(files, images);
    expect(rejected).toEqual([]);
    expect(schema).toEqual({
      format: 1,
      task: "classification",
      inputShape: [1, 2, 3],
      classes: ["9", "10", "b"],
      columns: null,
      label: null,
    });
    expect(rows(records)[0]).toEqual([1, 0, 0, 1, 0, 0]);
    expect([...records.labels]).toEqual([2, 1, 0]);
  });

  it.each([
    ["grey", 1, grey, [0, 1]],
    ["grey and see-through", 1, picture(2, 1, [0, 255, 0, 0]).toColourspace("b-w"), [0, 1]],
    ["coloured and see-through", 3, picture(2, 1, [0, 0, 0, 0, 255, 0, 0, 255]), [1, 1, 1, 1, 0, 0]],
    ["of 16 bits", 1, grey.clone().toColourspace("grey16"), [0, 1]],
  ])("that are %s have %i channels", async (_, channels, source, expected) => {
    const { schema, records } = await read([file("a/x", await source.clone().png().toBuffer())], images);
    expect(schema?.inputShape).toEqual([1, 2, channels]);
    expect(rows(records)).toEqual([expected]);
  });

  it("may hold JPEG and WebP, upright as people see them", async () => {
    const plain = await sharp({ create: { width: 4, height: 2, channels: 3, background: "#fff" } })
      .jpeg()
      .withMetadata({ orientation: 6 })
      .toBuffer();
    const { schema, rejected } = await read(
      [file("a/x.jpg", plain), file("b/x", await red.clone().resize(2, 4).webp({ lossless: true }).toBuffer())],
      images,
    );
    expect(rejected).toEqual([]);
    expect(schema?.inputShape).toEqual([4, 2, 3]);
  });

  it("is scaled to the config's shape, or to that of the first that can be read", async () => {
    const large = await grey.clone().resize(20, 10, { kernel: "nearest" }).png().toBuffer();
    const small = await red.clone().png().toBuffer();
    expect(
      (await read([file("a/1", large), file("a/2", small)], { ...images, imageShape: [4, 6, 3] })).records.width,
    ).toBe(72);
    const { schema, records, rejected } = await read(
      [file("a/0", "no image"), file("a/1", large), file("a/2", small)],
      images,
    );
    expect(schema?.inputShape).toEqual([10, 20, 1]);
    expect([records.count, records.width, rejected.length]).toEqual([2, 200, 1]);
    const later = await read([file("a/3", small)], images, schema);
    expect(later.schema).toEqual(schema);
    expect(later.records.width).toBe(200);
  });

  it("is the same each time, to the bit", async () => {
    const noise = sharp({
      create: {
        width: 300,
        height: 200,
        channels: 3,
        background: "#888",
        noise: { type: "gaussian", mean: 128, sigma: 40 },
      },
    });
    const bodies = await Promise.all(Array.from({ length: 12 }, () => noise.clone().jpeg().toBuffer()));
    const files = bodies.map((body, i) => file(`${i}/x.jpg`, body));
    const first = await read(files, { ...images, imageShape: [28, 28, 3] });
    for (let i = 0; i < 3; i++)
      expect((await read(files, { ...images, imageShape: [28, 28, 3] })).records).toEqual(first.records);
  });

  it("can be told which values to predict by the folders' names", async () => {
    const body = await grey.clone().png().toBuffer();
    const { records, rejected } = await read([file("1.5/x", body), file("-3/x", body), file("many/x", body)], {
      ...images,
      task: "regression",
    });
    expect([...records.labels]).toEqual([1.5, -3]);
    expect(rejected[0]?.message).toContain('the label is "many": not a finite number');
  });

  const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>';
  const gif = Buffer.from("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7", "base64");
  it.each([
    ["an SVG", svg],
    ["a GIF", gif],
    ["a text", "hello"],
    ["empty", ""],
  ])("has no use for %s", async (_, body) => {
    expect(await whyBad(body, images, null, "a/x.png")).toMatch(
      /^bad a\/x.png: it can't be read as a JPEG, PNG or WebP image: (?!.*accrete-read-)/,
    );
  });

  it("has no use for an image that is cut off, or that claims to be huge", async () => {
    const large = await sharp({
      create: {
        width: 200,
        height: 200,
        channels: 3,
        background: "#888",
        noise: { type: "gaussian", mean: 128, sigma: 40 },
      },
    })
      .png()
      .toBuffer();
    expect(await whyBad(large.subarray(0, large.length / 2), images, null, "a/x")).toContain("it can't be read");
    const bomb = Buffer.from(await grey.clone().png().toBuffer());
    bomb.writeUInt32BE(60_000, 16);
    bomb.writeUInt32BE(60_000, 20);
    expect(await whyBad(bomb, { ...images, imageShape: [2, 2, 1] }, null, "a/x")).toContain("it can't be read");
    const big = await sharp({ create: { width: 2_000, height: 2_000, channels: 3, background: "#888" } })
      .png()
      .toBuffer();
    expect(await whyBad(big, images, null, "a/x")).toContain("2000 x 2000 pixels: set data.imageShape");
  });

  it.each([
    ["", "x.png"],
    ["digits/", "digits/x.png"],
    ["digits", "digits/x.png"],
    ["a/b/", "a/b/x.png"],
  ])("below the prefix %j has to be a folder: not %s", async (prefix, key) => {
    expect(
      await whyBad(await grey.clone().png().toBuffer(), { ...images, prefix } satisfies DataInput, null, key),
    ).toContain("it is in no folder");
  });

  it("may have a prefix that ends within a folder's name", async () => {
    const { schema } = await read([file("train-7/x.png", await grey.clone().png().toBuffer())], {
      ...images,
      prefix: "train-",
    });
    expect(schema?.classes).toEqual(["train-7"]);
  });
});
