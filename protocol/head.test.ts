import { describe, expect, it } from "vitest";
import { DOCUMENTS, sampleCheckpoint } from "../test/stored-documents.ts";
import { sha256 } from "./digest.ts";
import { headOf, isRefused, sameCheckpoint, START } from "./head.ts";
import type { GateDecision, RoundEntry } from "./types.ts";

const entry = DOCUMENTS.logEntry as RoundEntry;
const stored = { sha256: sha256("bytes"), modifiedMs: 5 };
const gated = (gate: Partial<GateDecision>): ReturnType<typeof headOf> =>
  headOf({ ...entry, gate: { ...entry.gate, ...gate } }, stored);

it("is the state that the newest entry says, and how it is stored", () => {
  const { seq, round, checkpoint, redo, live, keep, scheduled, spent } = entry;
  expect(headOf(entry, stored)).toEqual({
    seq,
    round,
    checkpoint,
    redo,
    live,
    keep,
    scheduled,
    spent,
    entry,
    ...stored,
  });
});

it("says before the first entry that nothing is trained, live, kept or refused", () => {
  expect(START).toMatchObject({ seq: 0, round: 0, sha256: null, checkpoint: null, live: null, redo: null, keep: [] });
  expect(isRefused(START)).toBe(false);
});

describe("a head is refused", () => {
  it("if it is a round that the gate did not pass, not if it only does not go live", () => {
    expect(isRefused(gated({ passed: false, goesLive: false }))).toBe(true);
    expect(isRefused(gated({ passed: true, goesLive: false }))).toBe(false);
  });
  it("no more once an operator has said how to go on", () => {
    const said = { by: "ada", reason: "", nonce: "0".repeat(32) };
    const { plan: _plan, result: _result, items: _items, ...state } = entry;
    const promote = { ...state, ...said, kind: "promote", target: 1 } as const;
    expect(isRefused(headOf(promote, stored))).toBe(false);
  });
});

describe("two checkpoints are the same", () => {
  const [one, two] = [sampleCheckpoint(1), sampleCheckpoint(2)];
  it("if they name the same manifest with the same digest", () => {
    expect(sameCheckpoint(one, { ...one })).toBe(true);
    expect(sameCheckpoint(one, two)).toBe(false);
    expect(sameCheckpoint(one, { ...one, sha256: two.sha256 })).toBe(false);
    expect(sameCheckpoint(one, { ...one, manifest: two.manifest })).toBe(false);
  });
  it("if both are nothing trained, and not if one is", () => {
    expect([sameCheckpoint(null, null), sameCheckpoint(null, one), sameCheckpoint(one, null)]).toEqual([
      true,
      false,
      false,
    ]);
  });
});
