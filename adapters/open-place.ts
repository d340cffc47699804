/** The stores that a URL names: file:, or s3://bucket/prefix. What only S3 needs is loaded for s3: alone. */
import { fileURLToPath } from "node:url";
import { AccreteError } from "../protocol/errors.ts";
import type { Items, Store } from "../protocol/ports.ts";

export interface PlaceAt {
  readonly url: string;
  /** that the bucket of an s3: URL has to belong to: 12 digits */
  readonly account?: string | undefined;
  /** of an s3: URL's bucket, if it is another one than the job's: S3 answers in the bucket's own region alone; "": the job's */
  readonly region?: string | undefined;
}

const S3_URL = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/([\w.-]+(?:\/[\w.-]+)*))?\/?$/;
const ACCOUNT = /^\d{12}$/;

/** Which of the two says no place, and what is expected of it; undefined if both are right. */
export function placeFault({ url, account }: PlaceAt): { in: "url" | "account"; expected: string } | undefined {
  if (url.startsWith("file:")) return undefined;
  if (!S3_URL.test(url)) return { in: "url", expected: "a file: URL, or s3://bucket/prefix" };
  if (!ACCOUNT.test(account ?? "")) return { in: "account", expected: "the 12 digits of the account of the bucket" };
  return undefined;
}

/** @throws {AccreteError} USAGE where placeFault() finds something */
export async function openStore(at: PlaceAt): Promise<Store> {
  if (at.url.startsWith("file:")) {
    const { openDirectoryStore } = await import("./directory-store.ts");
    return openDirectoryStore(fileURLToPath(at.url));
  }
  const { bucket, prefix, owner } = s3Place(at);
  const [{ openS3Client }, { openS3Store }] = await Promise.all([import("./s3-client.ts"), import("./s3-store.ts")]);
  return openS3Store({ client: openS3Client(), bucket, prefix, owner });
}

/** @throws {AccreteError} USAGE where placeFault() finds something, and for a part of a bucket: `data.prefix` of a config says which counts */
export async function openItems(at: PlaceAt): Promise<Items> {
  if (at.url.startsWith("file:")) {
    const { openDirectoryItems } = await import("./directory-items.ts");
    return openDirectoryItems(fileURLToPath(at.url));
  }
  const { bucket, prefix, owner } = s3Place(at);
  if (prefix !== "") throw new AccreteError("USAGE", `s3://${bucket} is expected, not ${at.url}`);
  const [{ openS3Client }, { openS3Items }] = await Promise.all([import("./s3-client.ts"), import("./s3-items.ts")]);
  const { region = "" } = at;
  return openS3Items({ client: openS3Client(region === "" ? {} : { config: { region } }), bucket, owner });
}

function s3Place(at: PlaceAt): { bucket: string; prefix: string; owner: string } {
  const fault = placeFault(at);
  if (fault !== undefined) throw new AccreteError("USAGE", `${fault.expected} is expected, not ${at.url}`);
  const [, bucket = "", prefix = ""] = S3_URL.exec(at.url) ?? [];
  return { bucket, prefix, owner: at.account ?? "" };
}
