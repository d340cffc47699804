/** Many objects at once, by the clients that people have, under names that are easily taken wrong. */
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HeadObjectCommand } from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { expect } from "vitest";
import { cloudOfTests } from "./cloud-of-tests.ts";
import type { PipelineOfTests } from "./pipeline-of-tests.ts";
import { aws, boto3, needPythonClients } from "./python-clients.ts";

const cloud = cloudOfTests();
const CLIENTS = ["aws", "boto3", "javascript"] as const;
type Client = (typeof CLIENTS)[number];
/** Every so many-th name gets another content at once. */
const OVERWRITTEN = 10;
/** Of one object of each client: more than 8 MiB, from which on all three send parts by themselves. */
const LARGE_BYTES = 9 * 1_048_576;
const IN_PARTS = " in parts";
const SEGMENTS_MAX = 40;
const ROUND_MS_MAX = 300_000;

const prefixOf = (client: Client): string => `burst/${client}/`;

/** é as one character and as two: other keys, which look the same. */
const NAMES: readonly ((i: number) => string)[] = [
  (i) => `row ${i}.csv`,
  (i) => `a+b${i}.csv`,
  (i) => `100%${i}.csv`,
  (i) => `100%25+${i}%2B.csv`,
  (i) => `\u00e9 ${i}.csv`,
  (i) => `e\u0301 ${i}.csv`,
  (i) => `花🌸&=#?'"${i}.csv`,
];

/** One row, which no other content has. */
const content = (row: number, large: boolean): string =>
  `a,b,note,label\n${row},${row % 7},${large ? "n".repeat(LARGE_BYTES) : ""},${row % 2 === 0 ? "even" : "odd"}\n`;

/** Folders of each client: what is put at first, then what is put under the same names. @returns keys with md5 of their contents */
function writeFiles(folder: string, contents: number): string[] {
  const expected: string[] = [];
  for (let row = 0, name = 0; row < contents; name++) {
    const client = CLIENTS[name % CLIENTS.length]!;
    const large = name < CLIENTS.length;
    const file = large ? `large ${client}.csv` : NAMES[name % NAMES.length]!(name);
    for (const turn of name % OVERWRITTEN === OVERWRITTEN - 1 && row + 1 < contents ? ["first", "second"] : ["first"]) {
      const body = content(row++, large);
      const to = join(folder, client, turn);
      mkdirSync(to, { recursive: true });
      writeFileSync(join(to, file), body);
      const etag = createHash("md5").update(body).digest("hex");
      expected.push(prefixOf(client) + file + (large ? IN_PARTS : ` ${etag}`));
    }
  }
  return expected.sort();
}

const BOTO3 = `
import concurrent.futures, os, sys, boto3
folder, bucket, prefix = sys.argv[1:]
s3 = boto3.client("s3")
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    list(pool.map(lambda name: s3.upload_file(os.path.join(folder, name), bucket, prefix + name), os.listdir(folder)))
`;
const AT_ONCE = 8;

type Put = (pipeline: PipelineOfTests, from: string, prefix: string) => Promise<void>;
const PUT: Readonly<Record<Client, Put>> = {
  aws: ({ data }, from, prefix) =>
    aws(cloud, ["s3", "cp", "--recursive", "--only-show-errors", from, `s3://${data}/${prefix}`]),
  boto3: ({ data }, from, prefix) => boto3(cloud, BOTO3, [from, data, prefix]),
  async javascript({ s3: client, data: Bucket }, from, prefix) {
    const names = readdirSync(from);
    const put = async (): Promise<void> => {
      for (let name = names.pop(); name !== undefined; name = names.pop()) {
        const params = { Bucket, Key: prefix + name, Body: readFileSync(join(from, name)) };
        await new Upload({ client, params }).done();
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, put));
  },
};

/**
 * Puts them, and looks at the round that they become.
 * @param contents as many as the config's `minItems`: one that is lost starts no round
 */
export async function learnsBurst(pipeline: PipelineOfTests, contents: number): Promise<void> {
  await needPythonClients();
  const folder = mkdtempSync(join(tmpdir(), "accrete-burst-"));
  try {
    const expected = writeFiles(folder, contents);
    expect(new Set(expected).size).toBe(contents);
    const began = performance.now();
    const say = (what: string): void => console.log(`${((performance.now() - began) / 1_000).toFixed(1)} s  ${what}`);
    await Promise.all(
      CLIENTS.map(async (client) => {
        for (const turn of ["first", "second"])
          await PUT[client](pipeline, join(folder, client, turn), prefixOf(client));
        say(client);
      }),
    );
    const { entry, plan } = await pipeline.round(1, ROUND_MS_MAX);
    say(`round 1 of ${plan.items.length} items in ${plan.segments.length} segments`);
    const found = plan.items.map(({ key, etag }) => `${key} ${etag}`).sort();
    expect(found).toEqual((await withParts(pipeline, expected)).sort());
    expect(entry).toMatchObject({ items: contents, rejected: 0 });
    // each content has one record
    expect(entry.metrics["trainRecords"]! + entry.metrics["holdoutRecords"]!).toBe(contents);
    expect(plan.segments.length).toBeLessThanOrEqual(SEGMENTS_MAX);
    expect(await pipeline.accrete("verify")).toMatchObject({ code: 0, err: "" });
    // what came twice would wait now
    expect([await pipeline.seq(), await pipeline.waiting()]).toEqual([1, 0]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** With the etags of what was sent in parts, which are S3's own. */
function withParts({ s3, data: Bucket }: PipelineOfTests, expected: readonly string[]): Promise<string[]> {
  return Promise.all(
    expected.map(async (one) => {
      if (!one.endsWith(IN_PARTS)) return one;
      const Key = one.slice(0, -IN_PARTS.length);
      const { ETag = "" } = await s3.send(new HeadObjectCommand({ Bucket, Key }));
      expect(ETag).toMatch(/^"[0-9a-f]{32}-\d+"$/);
      return `${Key} ${ETag.replaceAll('"', "")}`;
    }),
  );
}
