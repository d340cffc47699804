/** What becomes of a call to S3 that fails, in the SDK's own stack: the outcome is right, and nothing is lost. */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { S3Client } from "@aws-sdk/client-s3";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { sha256 } from "../protocol/digest.ts";
import { AccreteError } from "../protocol/errors.ts";
import type { Items, Store } from "../protocol/ports.ts";
import { openLoopback } from "../test/loopback.ts";
import { openFakeS3, type FakeS3, type Fault } from "../test/fake-s3.ts";
import { openS3Client } from "./s3-client.ts";
import { openS3Items } from "./s3-items.ts";
import { openS3Store } from "./s3-store.ts";
import { PART_BYTES } from "./s3-transfer.ts";

const owner = "123456789012";
const BODY = new TextEncoder().encode("one");
const LARGE = new Uint8Array(2 * PART_BYTES + 3).map((_, i) => (i * 2_654_435_761) >>> 24);

let folder: string;
let s3: FakeS3;
let client: S3Client;
let store: Store;
let items: Items;
const clients: S3Client[] = [];
function newClient(config: object = {}): S3Client {
  const credentials = { accessKeyId: "a", secretAccessKey: "b" };
  const to = { endpoint: s3.url, region: "eu-central-1", credentials };
  clients.push(openS3Client({ answerMs: 500, attempts: 2, config: { ...to, ...config } }));
  return clients.at(-1)!;
}
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "accrete-s3-faults-"));
  s3 = await openFakeS3();
  client = newClient();
  store = openS3Store({ client, bucket: "state", prefix: "p", owner });
  items = openS3Items({ client, bucket: "data", owner });
});
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const each of clients.splice(0)) each.destroy();
  await s3.close();
  await rm(folder, { recursive: true, force: true });
});

const calls = (operation: string): number => s3.requests.filter((request) => request.operation === operation).length;
const at = (key: string): string => `state/p/${key}`;

/** Whoever asked can't know whether it was written. */
const UNKNOWN: readonly [what: string, Fault][] = [
  ["is throttled", { status: 503, code: "SlowDown" }],
  ["fails", { status: 500 }],
  ["fails after the write", { status: 500, wrote: true }],
  ["meets another write", { status: 409, code: "ConditionalRequestConflict" }],
  ["is not answered", { answer: "hang" }],
  ["is not answered after the write", { answer: "hang", wrote: true }],
  ["breaks off", { answer: "reset" }],
  ["breaks off after the write", { answer: "reset", wrote: true }],
];

describe("a conditional write", () => {
  it.each(UNKNOWN)("that %s is sent once, and its outcome is unknown", async (_, fault) => {
    s3.fail("PutObject", fault);
    expect(await store.create("a", BODY)).toBe("unknown");
    expect(calls("PutObject")).toBe(1);
    const wrote = "wrote" in fault;
    expect((await store.get("a"))?.body).toEqual(wrote ? BODY : undefined);
    // whoever starts over is told what is there
    expect(await store.create("a", BODY)).toBe(wrote ? "lost" : "won");
  });

  it("that replaces is as one that creates", async () => {
    await store.create("a", BODY);
    const { etag } = (await store.head("a"))!;
    s3.fail("PutObject", { status: 503, code: "SlowDown", wrote: true });
    expect(await store.replace("a", new Uint8Array(2), etag)).toBe("unknown");
    expect(await store.replace("a", new Uint8Array(3), etag)).toBe("lost");
    expect(await store.replace("not there", new Uint8Array(3), etag)).toBe("lost");
    expect((await store.head("a"))?.size).toBe(2);
  });
});

describe("a large file", () => {
  beforeEach(() => writeFile(join(folder, "large"), LARGE));

  it.each(UNKNOWN)("whose last call %s leaves no upload behind, and is whole or not there", async (_, fault) => {
    s3.fail("CompleteMultipartUpload", fault);
    expect(await store.createFromFile("a", join(folder, "large"))).toBe("unknown");
    expect(calls("CompleteMultipartUpload")).toBe(1);
    expect([...s3.uploads]).toEqual([]);
    const object = s3.objects.get(at("a"));
    expect(object && sha256(object)).toBe("wrote" in fault ? sha256(LARGE) : undefined);
  });

  it.each(UNKNOWN)("that is copied, and whose last call %s, leaves no upload behind", async (_, fault) => {
    s3.objects.set(at("a"), Buffer.from(LARGE));
    s3.fail("CompleteMultipartUpload", fault);
    expect(await store.copy("a", "b")).toBe("unknown");
    expect(calls("CompleteMultipartUpload")).toBe(1);
    expect([...s3.uploads]).toEqual([]);
    const object = s3.objects.get(at("b"));
    expect(object && sha256(object)).toBe("wrote" in fault ? sha256(LARGE) : undefined);
  });

  it("is sent on after parts that failed, each of them again", async () => {
    s3.fail("UploadPart", { status: 503, code: "SlowDown" }, { answer: "reset" }, { status: 500, wrote: true });
    expect(await store.createFromFile("a", join(folder, "large"))).toBe("won");
    expect(sha256(s3.objects.get(at("a"))!)).toBe(sha256(LARGE));
    expect(calls("UploadPart")).toBe(6);
  });

  it("is given up where a part can't be sent, and nothing is left of it", async () => {
    const parts = [1, 2, 3, 4, 5, 6].map((): Fault => ({ status: 500 }));
    s3.fail("UploadPart", ...parts);
    expect(await store.createFromFile("a", join(folder, "large"))).toBe("unknown");
    expect([...s3.objects.keys(), ...s3.uploads.keys()]).toEqual([]);
    s3.fail("UploadPart", { status: 403, code: "AccessDenied" });
    await expect(store.createFromFile("b", join(folder, "large"))).rejects.toMatchObject({ code: "AWS_ACCESS_DENIED" });
    expect([...s3.objects.keys(), ...s3.uploads.keys()]).toEqual([]);
  });

  it("loses to what is there, and leaves no upload behind", async () => {
    await store.create("a", BODY);
    expect(await store.createFromFile("a", join(folder, "large"))).toBe("lost");
    expect([s3.objects.get(at("a"))?.length, s3.uploads.size]).toEqual([BODY.length, 0]);
  });

  it("that is not there is said by its path", async () => {
    await expect(store.createFromFile("a", join(folder, "missing"))).rejects.toThrow("missing");
  });
});

it("to where nobody listens is unknown as a write, and is thrown as a read", async () => {
  await s3.close();
  expect(await store.create("a", BODY)).toBe("unknown");
  await expect(store.get("a")).rejects.toThrow("ECONNREFUSED");
  s3 = await openFakeS3();
});

describe("a read", () => {
  const FAILURES: readonly [what: string, Fault][] = [
    ["is throttled", { status: 503, code: "SlowDown" }],
    ["fails", { status: 500 }],
    ["is not answered", { answer: "hang" }],
    ["breaks off", { answer: "reset" }],
    ["breaks off in the middle", { answer: "half" }],
    ["does not fit its checksum", { answer: "damaged" }],
  ];
  it.each(FAILURES)("that %s is made again; one that goes on so is thrown", async (_, fault) => {
    await store.create("a", BODY);
    s3.fail("GetObject", fault);
    expect((await store.get("a"))?.body).toEqual(BODY);
    expect(calls("GetObject")).toBe(2);
    s3.fail("GetObject", fault, fault);
    const error: unknown = await store.get("a").catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(Error);
    expect(error).not.toBeInstanceOf(AccreteError); // it may pass
  });

  it("into a file goes on after a part that broke off", async () => {
    s3.objects.set(at("a"), Buffer.from(LARGE));
    s3.fail("GetObject", { answer: "half" }, null, { answer: "half" }, { status: 503, code: "SlowDown" });
    const path = join(folder, "read");
    expect(await store.readToFile("a", path)).toEqual({ sha256: sha256(LARGE), size: LARGE.length });
    expect(sha256(await readFile(path))).toBe(sha256(LARGE));
  });

  it("into a file begins again where the object was replaced meanwhile", async () => {
    const other = LARGE.map((byte) => byte ^ 1);
    s3.objects.set(at("a"), Buffer.from(other));
    vi.spyOn(s3.objects, "get").mockReturnValueOnce(Buffer.from(LARGE)); // until its first part is read
    const path = join(folder, "read");
    expect(await store.readToFile("a", path)).toEqual({ sha256: sha256(other), size: other.length });
    expect(sha256(await readFile(path))).toBe(sha256(other));
  });

  it("into a file that fails leaves no file", async () => {
    s3.objects.set(at("a"), Buffer.from(LARGE));
    s3.fail("GetObject", null, { status: 404, code: "NoSuchKey" });
    expect(await store.readToFile("a", join(folder, "read"))).toBeUndefined();
    s3.fail("GetObject", null, { status: 403, code: "AccessDenied" });
    await expect(store.readToFile("a", join(folder, "read"))).rejects.toMatchObject({ code: "AWS_ACCESS_DENIED" });
    expect(await readdir(folder)).toEqual([]);
  });
});

describe("what a user can mend", () => {
  it.each([
    [403, "AccessDenied", "AWS_ACCESS_DENIED"],
    [404, "NoSuchBucket", "BUCKET_NOT_FOUND"],
    [301, "PermanentRedirect", "BUCKET_NOT_FOUND"],
    [400, "AuthorizationHeaderMalformed", "BUCKET_NOT_FOUND"],
    [400, "ExpiredToken", "AWS_CREDENTIALS_EXPIRED"],
    [403, "InvalidAccessKeyId", "AWS_CREDENTIALS_REFUSED"],
    [403, "SignatureDoesNotMatch", "AWS_CREDENTIALS_REFUSED"],
    [400, "KeyTooLongError", "UNSAFE_KEY"],
  ])("has a code, whichever call it is: %i %s", async (status, code, expected) => {
    const all: readonly [operation: string, call: () => Promise<unknown>][] = [
      ["PutObject", () => store.create("a", BODY)],
      ["PutObject", () => store.replace("a", BODY, "0".repeat(32))],
      ["GetObject", () => store.get("a")],
      ["DeleteObject", () => store.delete("a")],
      ["ListObjectsV2", () => store.list("a")],
      ["ListObjectsV2", () => items.list("a")],
    ];
    for (const [operation, call] of all) {
      s3.fail(operation, { status, code }, { status, code }); // a signature may be made again, by the time that S3 says
      const error: unknown = await call().catch((thrown: unknown) => thrown);
      expect(error, operation).toMatchObject({ code: expected });
      expect(String(error)).toContain(operation.includes("List") ? "account" : at("a"));
    }
  });

  it("is known without a body, too: HEAD has none", async () => {
    s3.fail("HeadObject", { status: 403 });
    await expect(store.head("a")).rejects.toMatchObject({ code: "AWS_ACCESS_DENIED" });
  });

  it("is to sign in, where there are no credentials or no region", async () => {
    for (const [name, value] of Object.entries({
      AWS_CONFIG_FILE: "/dev/null",
      AWS_SHARED_CREDENTIALS_FILE: "/dev/null",
      AWS_EC2_METADATA_DISABLED: "true",
      AWS_ACCESS_KEY_ID: undefined,
      AWS_REGION: undefined,
      AWS_PROFILE: undefined,
    }))
      vi.stubEnv(name, value);
    for (const [code, config] of [
      ["AWS_CREDENTIALS_MISSING", { credentials: undefined }],
      ["AWS_REGION_MISSING", { region: undefined }],
    ] as const) {
      const state = openS3Store({ client: newClient(config), bucket: "state", prefix: "p", owner });
      await expect(state.get("a")).rejects.toMatchObject({ code });
      await expect(state.create("a", BODY)).rejects.toMatchObject({ code });
    }
    expect(s3.requests).toEqual([]);
  });
});

describe("an item", () => {
  const ITEM = { bucket: "data", key: "a.csv", etag: "e", size: 3 };
  const path = (): string => join(folder, "item");

  it.each([
    [404, "NoSuchKey", "gone"],
    [404, "NoSuchVersion", "gone"],
    [405, "MethodNotAllowed", "gone"],
    [412, "PreconditionFailed", "gone"],
    [403, "InvalidObjectState", "archived"],
    [403, "AccessDenied", "forbidden"],
    [400, "KMS.DisabledException", "forbidden"],
    [400, "KMS.NotFoundException", "forbidden"],
    [400, "InvalidRequest", "forbidden", "The object was stored using a form of Server Side Encryption."],
  ])("that S3 answers with %i %s is %s", async (status, code, outcome, message = "") => {
    s3.fail("GetObject", { status, code, message });
    expect(await items.fetch({ ...ITEM, versionId: "v" }, path())).toEqual({ outcome });
    expect(await readdir(folder)).toEqual([]);
  });

  it("is read by its version and its etag, from its own bucket", async () => {
    s3.objects.set("other/a.csv", Buffer.from(BODY));
    const item = { bucket: "other", key: "a.csv", etag: "f97c5d29941bfb1b2fdab0874906ab82", size: 3, versionId: "v/1" };
    expect(await items.fetch(item, path())).toEqual({ outcome: "fetched" });
    expect(await readFile(path(), "utf8")).toBe("one");
    expect(s3.requests.at(-1)!.headers["if-match"]).toBe(`"${item.etag}"`);
    expect(s3.requests.at(-1)!.url).toContain("versionId=v%2F1");
  });

  it("has the key that it has, whatever XML makes of it", async () => {
    const keys = [
      "tab\t\u001b[31m",
      "line\r\nbreak",
      " ",
      " a ",
      "&amp;<b>",
      "%2e+",
      "ü日\u{1f600}",
      "123",
      "true",
      "\u0001",
    ];
    for (const key of keys) s3.objects.set(`data/${key}`, Buffer.from("x"));
    expect((await items.list("")).items.map(({ key }) => key)).toEqual(keys);
  });

  it("with a key that XML loses does not have the same page listed for ever", async () => {
    const server = await openLoopback();
    try {
      const key = "<Contents><Key>&#10;</Key><Size>1</Size></Contents>";
      server.answer({
        status: 200,
        text: `<ListBucketResult>${key}<IsTruncated>true</IsTruncated></ListBucketResult>`,
      });
      const listed = openS3Items({
        client: newClient({ endpoint: new URL(server.url).origin }),
        bucket: "data",
        owner,
      });
      await expect(listed.list("")).rejects.toThrow('a page that ends with "" has no next one');
    } finally {
      await server.close();
    }
  });

  it("is not at fault where its bucket can't be read at all, nor where S3 fails", async () => {
    s3.fail("GetObject", { status: 403, code: "AccessDenied" });
    s3.fail("ListObjectsV2", { status: 403, code: "AccessDenied" });
    await expect(items.fetch(ITEM, path())).rejects.toMatchObject({ code: "AWS_ACCESS_DENIED" });
    s3.fail("GetObject", { status: 404, code: "NoSuchBucket" });
    await expect(items.fetch(ITEM, path())).rejects.toMatchObject({ code: "BUCKET_NOT_FOUND" });
    s3.fail("GetObject", { status: 500 }, { status: 500 });
    await expect(items.fetch(ITEM, path())).rejects.toThrow("InternalError as told");
    s3.fail("GetObject", { status: 400, code: "InvalidRequest" });
    await expect(items.fetch(ITEM, path())).rejects.toThrow("InvalidRequest as told");
  });
});

it("says in every call whose bucket it has to be", async () => {
  await writeFile(join(folder, "large"), LARGE);
  s3.objects.set(at("a"), Buffer.from(LARGE));
  await store.create("b", BODY);
  await store.copy("b", "c");
  await store.replace("b", BODY, "no");
  await store.createFromFile("d", join(folder, "large"));
  await store.readToFile("a", join(folder, "read"));
  await store.copy("a", "e");
  await store.list("");
  await store.delete("a");
  await items.list("");
  s3.fail("GetObject", { status: 403, code: "AccessDenied" });
  await items.fetch({ bucket: "data", key: "a", etag: "e", size: 1 }, join(folder, "item"));
  s3.fail("CompleteMultipartUpload", { status: 500 });
  await store.createFromFile("f", join(folder, "large"));
  const operations = new Set(s3.requests.map(({ operation }) => operation));
  expect([...operations].sort()).toEqual([
    "AbortMultipartUpload",
    "CompleteMultipartUpload",
    "CreateMultipartUpload",
    "DeleteObject",
    "GetObject",
    "HeadObject",
    "ListObjectsV2",
    "PutObject",
    "UploadPart",
    "UploadPartCopy",
  ]);
  for (const { operation, headers } of s3.requests) {
    expect(headers["x-amz-expected-bucket-owner"], operation).toBe(owner);
    if (operation === "UploadPartCopy") expect(headers["x-amz-source-expected-bucket-owner"]).toBe(owner);
    if (operation === "PutObject") expect(headers["if-none-match"] ?? headers["if-match"], operation).toBeDefined();
    if (["PutObject", "UploadPart"].includes(operation)) expect(headers["x-amz-checksum-sha256"]).toBeDefined();
  }
});
