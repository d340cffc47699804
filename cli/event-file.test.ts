import { describe, expect, it } from "vitest";
import { crc32c, restartRecord, scalarsRecord, versionRecord } from "./event-file.ts";

describe("an event file", () => {
  it("has the very bytes that TensorBoard's own writer gives", () => {
    // tensorboard 2.21.0: RecordWriter of event_pb2.Event with these values
    const expected =
      "1800000000000000a37f4b220900001040fc54d9411a0d627261696e2e4576656e743a32338d2fe9" +
      "2e00000000000000c5cb57fa0900006040fc54d94110ac022a200a110a0a747261696e2f6c6f7373150000803e0a0b0a0472617465156f12833a378906d0" +
      "13000000000000000c91321b0900008040fc54d9411080e497d0123a020801573f4df2";
    const written = Buffer.concat([
      versionRecord(1_700_000_000_250),
      scalarsRecord(1_700_000_001_500, 300, { "train/loss": 0.25, rate: 0.001 }),
      restartRecord(1_700_000_002_000, 5_000_000_000),
    ]);
    expect(written.toString("hex")).toBe(expected);
  });

  it("is checked by CRC-32C", () => {
    // RFC 3720, B.4
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
  });
});
