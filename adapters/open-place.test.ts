/** Stores by URL, and that a directory's does not wait for the SDK of AWS. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, expect, it, vi } from "vitest";
import { openFakeS3 } from "../test/fake-s3.ts";
import { openItems, openStore, placeFault } from "./open-place.ts";

const root = mkdtempSync(join(tmpdir(), "accrete-place-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const account = "123456789012";

it.each([
  [{ url: pathToFileURL(root).href }, undefined],
  [{ url: "s3://bucket", account }, undefined],
  [{ url: "s3://my.bucket-1/", account }, undefined],
  [{ url: "s3://bucket/flowers", account }, undefined],
  [{ url: "s3://bucket/a/b_c.d/", account }, undefined],
  [{ url: "s3://bucket/flowers" }, "account"],
  [{ url: "s3://bucket/flowers", account: "12345678901" }, "account"],
  [{ url: "" }, "url"],
  [{ url: root }, "url"],
  [{ url: "https://bucket.s3.amazonaws.com/a", account }, "url"],
  [{ url: "s3://", account }, "url"],
  [{ url: "s3://Bucket", account }, "url"],
  [{ url: "s3://bucket//a", account }, "url"],
  [{ url: "s3://bucket/a?b", account }, "url"],
])("knows a place: %j", (at, fault) => {
  expect(placeFault(at)?.in).toBe(fault);
});

it("opens a directory, and refuses what is no place", async () => {
  const url = pathToFileURL(join(root, "state")).href;
  const store = await openStore({ url });
  expect(await store.create("a/b", new Uint8Array(1))).toBe("won");
  const { items } = await (await openItems({ url })).list("");
  expect(items.length).toBeLessThanOrEqual(1); // it may still grow
  await expect(openStore({ url: "ftp://a" })).rejects.toMatchObject({ code: "USAGE" });
  await expect(openItems({ url: "s3://bucket/part", account })).rejects.toMatchObject({ code: "USAGE" });
});

it.each([
  [undefined, "eu-central-1"],
  ["", "eu-central-1"],
  ["us-east-1", "us-east-1"],
])("asks for data in the bucket's own region: %s", async (region, asked) => {
  const s3 = await openFakeS3();
  try {
    const env = { AWS_REGION: "eu-central-1", AWS_ACCESS_KEY_ID: "a", AWS_SECRET_ACCESS_KEY: "b" };
    for (const [name, value] of Object.entries({ ...env, AWS_ENDPOINT_URL: s3.url })) vi.stubEnv(name, value);
    await (await openItems({ url: "s3://data-bucket", account, region })).list("");
    expect(s3.requests.map(({ headers }) => headers.authorization)).toEqual([
      expect.stringContaining(`/${asked}/s3/aws4_request`),
    ]);
  } finally {
    vi.unstubAllEnvs();
    await s3.close();
  }
});

it("loads the SDK for S3 alone", () => {
  const loaded = (url: string): string[] => {
    const program = `
      import { registerHooks } from "node:module";
      const loaded = [];
      registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) });
      const { openStore } = await import(${JSON.stringify(new URL("open-place.ts", import.meta.url).href)});
      await openStore({ url: ${JSON.stringify(url)}, account: "${account}" });
      console.log(JSON.stringify(loaded.filter((url) => url.includes("@aws-sdk/client-s3"))));`;
    return JSON.parse(
      execFileSync(process.execPath, ["--input-type=module", "-e", program], { encoding: "utf8" }),
    ) as string[];
  };
  expect(loaded(pathToFileURL(root).href)).toEqual([]);
  expect(loaded("s3://bucket/a")).not.toEqual([]);
});
