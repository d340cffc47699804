/** A pipeline whose state and data lie on S3: a real ledger and real trainers, on an S3 of this machine. */
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { CreateBucketCommand, PutObjectCommand, type S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../adapters/clock.ts";
import { openDirectoryItems } from "../../adapters/directory-items.ts";
import { openDirectoryStore } from "../../adapters/directory-store.ts";
import { openProcessJobs } from "../../adapters/process-jobs.ts";
import { openS3Client } from "../../adapters/s3-client.ts";
import { openS3Items } from "../../adapters/s3-items.ts";
import { openS3Store } from "../../adapters/s3-store.ts";
import { intake } from "../../ledger/intake.ts";
import type { Ledger } from "../../ledger/ledger.ts";
import { readHead } from "../../ledger/read.ts";
import { tick } from "../../ledger/tick.ts";
import { parseConfig } from "../../protocol/config.ts";
import { sha256 } from "../../protocol/digest.ts";
import type { Items, Store } from "../../protocol/ports.ts";
import { parseDocument } from "../../protocol/types.ts";
import { ministackFault, MINISTACK_ACCOUNT, startMinistack, type Ministack } from "../../scripts/ministack.ts";
import { csv, FORGETFUL } from "../../trainer/testing/samples.ts";

const fault = await ministackFault();
const TRAINER = fileURLToPath(new URL("../../trainer/main.ts", import.meta.url));
const CODE = new TextEncoder().encode(FORGETFUL);
const LOOK_MS = 100;

interface Place {
  readonly store: Store;
  readonly items: Items;
  /** of the jobs */
  readonly env: Record<string, string>;
  put(key: string, body: string): Promise<unknown>;
}

describe.skipIf(fault !== undefined)(`a pipeline on S3${fault === undefined ? "" : ` (skipped: ${fault})`}`, () => {
  let root: string;
  let ministack: Ministack;
  let client: S3Client;
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "accrete-s3-"));
    ministack = await startMinistack();
    const credentials = { accessKeyId: "test", secretAccessKey: "test" };
    client = openS3Client({ config: { endpoint: ministack.url, region: "us-east-1", credentials } });
  });
  afterAll(async () => {
    client.destroy();
    await ministack.close();
    await rm(root, { recursive: true, force: true });
  });

  it("trains and commits round after round, with the bits of the same on directories", async () => {
    const [there, here] = [await onS3(client, ministack), await onDirectories(root)];
    for (const [seq, key] of ["data/a.csv", "data/b.csv"].entries()) {
      for (const place of [there, here]) await place.put(key, csv(seq * 50, seq * 50 + 50));
      const trained = [];
      for (const place of [there, here]) trained.push(await round(place, join(root, "jobs"), seq + 1));
      const [onS3Files, files] = trained;
      expect(Object.keys(files!)).toContain("weights.safetensors");
      expect(onS3Files).toEqual(files);
    }
    expect((await there.store.list("inbox/")).objects).toEqual([]);
  });
});

async function onS3(client: S3Client, { env }: Ministack): Promise<Place> {
  const [state, data] = ["state", "data"].map((name) => `accrete-${name}-${randomBytes(8).toString("hex")}`);
  for (const Bucket of [state, data]) await client.send(new CreateBucketCommand({ Bucket }));
  const owner = MINISTACK_ACCOUNT;
  return {
    store: openS3Store({ client, bucket: state!, prefix: "flowers", owner }),
    items: openS3Items({ client, bucket: data!, owner }),
    env: {
      ...env,
      ACCRETE_STATE: `s3://${state}/flowers`,
      ACCRETE_DATA: `s3://${data}`,
      ACCRETE_ACCOUNT: owner,
      ACCRETE_DATA_ACCOUNT: owner,
    },
    put: (Key, Body) => client.send(new PutObjectCommand({ Bucket: data!, Key, Body })),
  };
}

async function onDirectories(root: string): Promise<Place> {
  const [state, data] = [join(root, "state"), join(root, "data")];
  await mkdir(join(data, "data"), { recursive: true });
  return {
    store: openDirectoryStore(state),
    items: openDirectoryItems(data, { settleMs: 0 }),
    env: { ACCRETE_STATE: pathToFileURL(state).href, ACCRETE_DATA: pathToFileURL(data).href },
    put: (key, body) => writeFile(join(data, key), body),
  };
}

/** @returns the digests of the files of the round's checkpoint, but for state.json: the records' digest names the items by bucket and etag */
async function round(place: Place, jobs: string, seq: number): Promise<Record<string, string>> {
  const { store, items, env } = place;
  const config = parseConfig({
    pipelines: [
      {
        name: "flowers",
        data: { prefix: "data/", format: "csv", label: "label" },
        trainer: { model: "./model.ts", epochs: 2, batchSize: 8 },
      },
    ],
  }).pipelines[0]!;
  const ledger: Ledger = {
    config,
    store,
    jobs: openProcessJobs({ folder: jobs, command: [process.execPath, TRAINER], env }),
    ticks: { ask: async () => undefined },
    clock: systemClock(),
    notify: { notify: async () => undefined },
    code: { sha256: sha256(CODE), body: CODE },
    start: null,
    image: null,
    jobDefinition: null,
  };
  const known = (await readHead(store)).head.seq;
  const arrived = (await items.list("data/")).items.slice(known); // one more in each round, in the order of their names
  await intake(ledger, arrived);
  for (;;) {
    const stopped = await tick(ledger, { kind: "train", seq: known });
    const { head } = await readHead(store);
    if (head.seq >= seq && head.checkpoint !== null) {
      const key = head.checkpoint.manifest;
      const { files } = parseDocument("manifest", key, (await store.get(key))!.body);
      const named = files.map((file): [string, string] => [file.name, file.sha256]);
      return Object.fromEntries(named.filter(([name]) => name !== "state.json"));
    }
    expect(stopped).not.toContain("blocked");
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}
