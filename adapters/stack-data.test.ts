import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { fakeItem } from "../test/fake-trainer.ts";
import { ACCOUNT, openSmallAws, REGION, type SmallAws } from "../test/small-aws/server.ts";
import { besideFile, missingItems, namesBelow, putFile, type DataBucket } from "./stack-data.ts";

let folder: string;
let aws: SmallAws;
let at: DataBucket;
const path = (): string => join(folder, "file.csv");
const put = (key: string, overwrite = false): Promise<void> =>
  putFile(at, key, path(), { overwrite, onBytes: () => undefined });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "accrete-stack-data-"));
  aws = await openSmallAws();
  const credentials = { accessKeyId: "a", secretAccessKey: "b" };
  const client = new S3Client({ endpoint: aws.url, region: REGION, credentials, maxAttempts: 3 });
  at = { client, bucket: "data", owner: ACCOUNT };
});
beforeEach(async () => {
  aws.s3.buckets.set("data", new Map());
  await writeFile(path(), "1,2\n");
});
afterAll(async () => {
  await aws.close();
  await rm(folder, { recursive: true, force: true });
});

describe("a file that is put", () => {
  it("never overwrites what has come since it was looked for, unless it is told to", async () => {
    await put("a.csv");
    await writeFile(path(), "3,4\n");
    await expect(put("a.csv")).rejects.toMatchObject({ code: "TARGET_EXISTS" });
    const large = putFile(at, "a.csv", path(), { overwrite: false, onBytes: () => undefined, partBytes: 5_242_880 });
    await expect(large).rejects.toMatchObject({ code: "TARGET_EXISTS" });
    await put("a.csv", true);
    expect(aws.s3.buckets.get("data")!.get("a.csv")!.body.toString()).toBe("3,4\n");
  });

  it("in parts does not either", async () => {
    await writeFile(path(), Buffer.alloc(6_000_000, "1"));
    const inParts = (): Promise<void> =>
      putFile(at, "a.csv", path(), { overwrite: false, onBytes: () => undefined, partBytes: 5_242_880 });
    await inParts();
    expect(aws.s3.buckets.get("data")!.get("a.csv")!.etag).toMatch(/-2$/);
    await writeFile(path(), Buffer.alloc(6_000_000, "2"));
    await expect(inParts()).rejects.toMatchObject({ code: "TARGET_EXISTS" });
  });

  it("is there if its own first try was, of which no answer came", async () => {
    await put("a.csv");
    await put("a.csv"); // 412, and the same bytes
    expect(aws.s3.buckets.get("data")!.size).toBe(1);
  });

  it("tells how far it is, to the last byte", async () => {
    await writeFile(path(), Buffer.alloc(6_000_000, "1"));
    const told: number[] = [];
    await putFile(at, "a.csv", path(), { overwrite: false, onBytes: (more) => told.push(more), partBytes: 5_242_880 });
    expect(told.reduce((sum, more) => sum + more, 0)).toBe(6_000_000);
    expect(told.filter((more) => more > 0).length).toBeGreaterThan(1);
  });
});

describe("what lies beside it", () => {
  it("is the same by the sha256 that it was put with, or by its MD5", async () => {
    const look = (): Promise<string> => besideFile(at, "a.csv", { path: path(), size: 4 });
    expect(await look()).toBe("nothing");
    await put("a.csv");
    expect(await look()).toBe("same");
    await writeFile(path(), "3,4\n");
    expect(await look()).toBe("other");
    const bucket = aws.s3.buckets.get("data")!;
    bucket.set("a.csv", { ...bucket.get("a.csv")!, metadata: {}, etag: "a3a04c8a0d8e9d8d4a2d5b6ad0e3e1a0" });
    expect(await look()).toBe("other");
    // 3,4 and a newline
    bucket.set("a.csv", { ...bucket.get("a.csv")!, etag: createHash("md5").update("3,4\n").digest("hex") });
    expect(await look()).toBe("same");
    bucket.set("a.csv", { ...bucket.get("a.csv")!, etag: `${"a".repeat(32)}-2` }); // in parts, by somebody else
    expect(await look()).toBe("other");
  });
});

it("finds what is missing by HEAD, and of many by listing", async () => {
  await put("a.csv");
  const present = { ...fakeItem("a.csv"), size: 4 };
  const list = async () => ({ items: [present] });
  const gone = Array.from({ length: 600 }, (_, i) => fakeItem(`gone-${i}.csv`));
  expect(await missingItems(at, [present, { ...present, size: 5 }, gone[0]!], { list, prefix: "" })).toEqual([
    { ...present, size: 5 },
    gone[0],
  ]);
  const calls = aws.calls.length;
  expect(await missingItems(at, [present, ...gone], { list, prefix: "" })).toEqual(gone);
  expect(aws.calls).toHaveLength(calls);
});

it("shows a folder as a shell does", async () => {
  for (const key of ["x/1.csv", "x/y/2.csv", "x/y/3.csv", "z.csv"]) await put(key);
  expect(await namesBelow(at, "")).toEqual(["x/", "z.csv"]);
  expect(await namesBelow(at, "x/")).toEqual(["x/y/", "x/1.csv"]);
});
