import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compareBytes, itemId, sha256 } from "./digest.ts";
import * as keys from "./keys.ts";

const number = fc.integer({ min: 0, max: 9_999_999_999 });
const digest = fc.string().map(sha256);
const run = fc.stringMatching(/^[0-9a-z]{1,32}$/);
const checkpoint = fc.record({ round: number, step: number, run });

describe("a key that is made is read as what it was made from", () => {
  it("of a segment", () => {
    const ms = fc.integer({ min: 0, max: 9_999_999_999_999 });
    fc.assert(
      fc.property(fc.record({ ms, count: number, bytes: fc.maxSafeNat(), sha256: digest }), (name) => {
        expect(keys.parseSegmentKey(keys.segmentKey(name))).toEqual(name);
      }),
    );
  });

  it("of an attempt's three files", () => {
    fc.assert(
      fc.property(number, number, (round, attempt) => {
        expect(keys.parseAttemptKey(keys.intentKey(round, attempt))).toEqual({ attempt, what: "intent" });
        expect(keys.parseAttemptKey(keys.jobRecordKey(round, attempt))).toEqual({ attempt, what: "job" });
        expect(keys.parseAttemptKey(keys.failureKey(round, attempt))).toEqual({ attempt, what: "failure" });
      }),
    );
  });

  it("of a checkpoint's file", () => {
    const name = fc.stringMatching(/^[a-zA-Z0-9._-]{1,60}$/);
    fc.assert(
      fc.property(checkpoint, name, (of, file) => {
        expect(keys.parseCheckpointFile(keys.checkpointPrefix(of) + file)).toEqual({ ...of, name: file });
        expect(keys.parseCheckpointFile(keys.manifestKey(of))).toEqual({ ...of, name: keys.MANIFEST });
      }),
    );
  });

  it("of what is named by its content, and of an item in quarantine", () => {
    fc.assert(
      fc.property(digest, fc.stringMatching(/^[A-Za-z0-9_-]{22}$/), (sha, id) => {
        expect(keys.digestOfKey(keys.codeKey(sha))).toBe(sha);
        expect(keys.digestOfKey(keys.startKey(sha))).toBe(sha);
        expect(keys.parseQuarantineKey(keys.quarantineKey(id))).toBe(id);
      }),
    );
  });

  it("of a log entry", () => {
    fc.assert(fc.property(number, (seq) => void expect(keys.seqOfLogKey(keys.logKey(seq))).toBe(seq)));
  });
});

describe("the order of keys as text", () => {
  const order = (a: number, b: number): number => Math.sign(a - b);
  it("is newest first in the log, so that the first key of a LIST is the head", () => {
    fc.assert(
      fc.property(
        number,
        number,
        (a, b) => void expect(Math.sign(compareBytes(keys.logKey(a), keys.logKey(b)))).toBe(order(b, a)),
      ),
    );
    expect([10, 9, 2, 1].map(keys.logKey).sort(compareBytes)).toEqual([10, 9, 2, 1].map(keys.logKey));
  });

  it("is oldest first in the inbox, in the rounds, in a round's attempts and its checkpoints", () => {
    const makers = [
      (n: number) => keys.segmentKey({ ms: n, count: 1, bytes: 1, sha256: sha256("") }),
      (n: number) => keys.planKey(n),
      (n: number) => keys.intentKey(1, n),
      (n: number) => keys.checkpointPrefix({ round: 1, step: n, run: "r" }),
    ];
    fc.assert(
      fc.property(
        fc.constantFrom(...makers),
        number,
        number,
        (make, a, b) => void expect(Math.sign(compareBytes(make(a), make(b)))).toBe(order(a, b)),
      ),
    );
  });
});

describe("the limits of a key's numbers", () => {
  it.each([-1, 1.5, Number.NaN, Infinity, 10_000_000_000, 2 ** 53])("refuses %s, which would break the order", (n) => {
    for (const make of [keys.planKey, keys.logKey, (k: number) => keys.intentKey(1, k)]) {
      expect(() => make(n)).toThrow(RangeError);
    }
  });
  it("takes ten digits, and no more", () => {
    expect(keys.planKey(9_999_999_999)).toBe("rounds/9999999999/plan.json");
    expect(keys.resultKey(1)).toBe("rounds/0000000001/result.json");
    expect(keys.logKey(1)).toBe("log/9999999998.json");
  });
  it("takes thirteen digits of milliseconds and sixteen of bytes in a segment's name", () => {
    const name = { ms: 9_999_999_999_999, count: 1, bytes: Number.MAX_SAFE_INTEGER, sha256: sha256("") };
    expect(keys.segmentKey(name)).toMatch(/^inbox\/9{13}-0000000001-9007199254740991-[0-9a-f]{64}\.json$/);
    expect(() => keys.segmentKey({ ...name, ms: 1e13 })).toThrow(RangeError);
  });
});

describe("a foreign key", () => {
  const segment = keys.segmentKey({ ms: 1, count: 1, bytes: 1, sha256: sha256("") });
  const file = keys.manifestKey({ round: 1, step: 2, run: "r" });
  it.each([
    "",
    "inbox/",
    "inbox/today.json",
    `x${segment}`,
    `${segment}.bak`,
    segment.replace("inbox/", "inbox/0"),
    segment.toUpperCase(),
    `${segment}\n`,
  ])("is no segment: %j", (key) => expect(keys.parseSegmentKey(key)).toBeUndefined());

  it.each([
    "log/1.json",
    "log/backup.json",
    "log/9999999998.json.bak",
    "xlog/9999999998.json",
    "log/9999999998.json\n",
  ])("is no log entry: %j", (key) => expect(keys.seqOfLogKey(key)).toBeUndefined());

  it.each([
    "rounds/1/attempts/0000000001.json",
    "rounds/0000000001/attempts/0000000001.log.json",
    "rounds/0000000001/attempts/0000000001.job",
    "rounds/0000000001/plan.json",
    "rounds/0000000001/attempts/old/0000000001.json",
  ])("is no attempt: %j", (key) => expect(keys.parseAttemptKey(key)).toBeUndefined());

  it.each([
    `${file}/x`,
    file.replace("-r/", "-R/"),
    file.replace("-r/", "/"),
    file.slice(0, -keys.MANIFEST.length),
    keys.planKey(1),
  ])("is no checkpoint's file: %j", (key) => expect(keys.parseCheckpointFile(key)).toBeUndefined());

  it("is never read as another kind, whatever it is", () => {
    const parsers = [keys.parseSegmentKey, keys.parseAttemptKey, keys.parseCheckpointFile, keys.seqOfLogKey];
    const key = fc.oneof(
      fc.string({ maxLength: 60 }),
      fc.constantFrom(segment, file, keys.logKey(1), keys.intentKey(1, 1), keys.planKey(1), keys.LIVE),
    );
    fc.assert(
      fc.property(
        key,
        (one) => void expect(parsers.filter((parse) => parse(one) !== undefined).length).toBeLessThanOrEqual(1),
      ),
    );
  });
});

it("knows a plan's key, and takes no other for one", () => {
  fc.assert(fc.property(number, (round) => void expect(keys.isPlanKey(keys.planKey(round))).toBe(true)));
  for (const key of [
    "plan.json",
    "rounds/1/plan.json",
    `x${keys.planKey(1)}`,
    `${keys.planKey(1)}.bak`,
    keys.resultKey(1),
  ]) {
    expect(keys.isPlanKey(key), key).toBe(false);
  }
});

it("puts an item into the shard that its id begins with", () => {
  const id = itemId({ bucket: "data", key: "a", etag: "b" });
  const first = Buffer.from(id, "base64url")[0]!.toString(16).padStart(2, "0");
  expect(keys.consumedKey(id)).toBe(`consumed/${first}`);
  expect(keys.quarantineKey(id)).toBe(`quarantine/${id}.json`);
});
