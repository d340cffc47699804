import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { deadUrl, openLoopback, type Answer, type Loopback } from "../test/loopback.ts";
import { webhookChannel } from "./notice-webhook.ts";

let place: Loopback;
beforeAll(async () => void (place = await openLoopback()));
afterAll(() => place.close());
beforeEach(() => place.answer(200));

const NOTICE = { kind: "test", pipeline: "cats", body: '{"format":1}' };
const SECRET = "Bearer hunter2";
const channelTo = (url: string) => webhookChannel({ url, headers: { authorization: SECRET }, userAgent: "accrete/1" });

describe("a webhook", () => {
  it("gets the JSON by POST, with the headers of the config", async () => {
    expect(await channelTo(place.url).send(NOTICE)).toEqual({ outcome: "delivered" });
    expect(place.got.at(-1)).toMatchObject({
      method: "POST",
      path: "/hook",
      body: '{"format":1}',
      headers: { "content-type": "application/json", "user-agent": "accrete/1", authorization: SECRET },
    });
  });

  it("shows where it is without its path, which may be a secret", () => {
    expect(channelTo("https://hooks.example/T0/secret").where).toBe("https://hooks.example");
  });

  it.each<[Answer, "delivered" | "failed" | "refused", string]>([
    [201, "delivered", ""],
    [204, "delivered", ""],
    [{ status: 400, text: "invalid_payload\n" }, "refused", "HTTP 400: invalid_payload"],
    [404, "refused", "HTTP 404"],
    [408, "failed", "HTTP 408"],
    [425, "failed", "HTTP 425"],
    [429, "failed", "HTTP 429"],
    [500, "failed", "HTTP 500"],
    [{ status: 401, text: `${SECRET} is wrong` }, "refused", "HTTP 401: *** is wrong"],
    [{ status: 503, text: "x".repeat(5_000) }, "failed", `HTTP 503: ${"x".repeat(200)}`],
  ])("is judged by its answer, case %#", async (answer, outcome, error) => {
    place.answer(answer);
    expect(await channelTo(place.url).send(NOTICE)).toEqual(outcome === "delivered" ? { outcome } : { outcome, error });
  });

  it.each([301, 302, 307, 308])(
    "is not followed elsewhere by HTTP %i: the headers are for one place",
    async (status) => {
      const other = await openLoopback();
      try {
        place.answer({ status, headers: { location: other.url } });
        const sent = await channelTo(place.url).send(NOTICE);
        expect(sent).toMatchObject({ outcome: "refused", error: expect.stringContaining(new URL(other.url).origin) });
        expect(other.got).toEqual([]);
      } finally {
        await other.close();
      }
    },
  );

  it("that does not answer has failed at its time limit; one that nobody listens at, at once", async () => {
    place.answer("hang");
    expect(await channelTo(place.url).send(NOTICE, { limitMs: 100 })).toEqual({
      outcome: "failed",
      error: "no answer within 0.1 s",
    });
    expect(await channelTo(await deadUrl()).send(NOTICE)).toEqual({
      outcome: "failed",
      error: "can't be reached: ECONNREFUSED",
    });
  });

  it("is let go when the process ends", async () => {
    place.answer("hang");
    const abort = new AbortController();
    const sending = channelTo(place.url).send(NOTICE, { signal: abort.signal });
    abort.abort();
    expect(await sending).toMatchObject({ outcome: "failed" });
  });

  it("never shows a header's value, not even one that can't be sent", async () => {
    for (const value of ["hunter2\nx", "hunter2\u20ac"]) {
      const channel = webhookChannel({ url: place.url, headers: { authorization: value }, userAgent: "accrete/1" });
      const sent = await channel.send(NOTICE);
      expect(sent.outcome).not.toBe("delivered");
      expect(JSON.stringify(sent)).not.toContain("hunter2");
    }
  });
});
