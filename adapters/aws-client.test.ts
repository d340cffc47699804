import { PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { BatchClient, SubmitJobCommand } from "@aws-sdk/client-batch";
import { afterEach, describe, expect, it } from "vitest";
import { deadUrl, openLoopback, type Loopback } from "../test/loopback.ts";
import { awsClientOptions, awsFault, isRefusedForGood, isSurelyNotSent, once } from "./aws-client.ts";

const here = { region: "eu-central-1", credentials: { accessKeyId: "AKIATEST", secretAccessKey: "test" } };

describe("a command that is sent once", () => {
  const open: Loopback[] = [];
  afterEach(async () => {
    await Promise.all(open.splice(0).map((server) => server.close()));
  });
  const server = async (): Promise<{ loopback: Loopback; s3: S3Client; batch: BatchClient }> => {
    const loopback = await openLoopback();
    open.push(loopback);
    const at = { ...here, endpoint: new URL(loopback.url).origin, forcePathStyle: true };
    const options = awsClientOptions({ answerMs: 300 });
    return { loopback, s3: new S3Client({ ...options, ...at }), batch: new BatchClient({ ...options, ...at }) };
  };
  const put = (): PutObjectCommand => new PutObjectCommand({ Bucket: "b", Key: "k", Body: "x", IfNoneMatch: "*" });
  const job = (): SubmitJobCommand => new SubmitJobCommand({ jobName: "a", jobQueue: "q", jobDefinition: "d" });
  const thrown = (promise: Promise<unknown>): Promise<unknown> =>
    promise.then(
      () => undefined,
      (error: unknown) => error,
    );

  it.each([
    [500, "server"],
    [503, "server"],
    [409, "client"],
  ] as const)("is not sent again after %i, and throws what the SDK throws", async (status, fault) => {
    const { loopback, s3 } = await server();
    loopback.answer(status, 200);
    const error = await thrown(s3.send(once(put())));
    expect(awsFault(error)).toMatchObject({ status, fault });
    expect(loopback.got).toHaveLength(1);
  });

  it("is not sent again after a time-out, though it may have been carried out", async () => {
    const { loopback, s3 } = await server();
    loopback.answer("hang", 200);
    const error = await thrown(s3.send(once(put())));
    expect(awsFault(error)).toMatchObject({ name: "ETIMEDOUT", status: undefined });
    expect(isRefusedForGood(error)).toBe(false);
    expect(loopback.got).toHaveLength(1);
  });

  it("is sent again where nothing can have been done", async () => {
    const { loopback, batch } = await server();
    loopback.answer(429, { status: 200, text: '{"jobId":"1","jobName":"a"}' });
    const { jobId } = await batch.send(once(job(), { isRefused: isSurelyNotSent }));
    expect(jobId).toBe("1");
    expect(loopback.got).toHaveLength(2);
  });

  it("is no other one: without it the SDK tries again", async () => {
    const { loopback, s3 } = await server();
    loopback.answer(500, "hang", 200);
    await s3.send(put());
    expect(loopback.got).toHaveLength(3);
  });

  it("knows that nobody was reached", async () => {
    const endpoint = new URL(await deadUrl()).origin;
    const client = new BatchClient({ ...awsClientOptions({ attempts: 1 }), ...here, endpoint });
    const error = await thrown(client.send(once(job())));
    expect(isSurelyNotSent(error)).toBe(true);
    expect(isRefusedForGood(error)).toBe(false);
  });

  it("tells a final word from one that may change", async () => {
    const { loopback, batch } = await server();
    loopback.answer({ status: 400, headers: { "x-amzn-errortype": "ClientException" }, text: '{"message":"no"}' });
    const error = await thrown(batch.send(once(job())));
    expect(awsFault(error)).toEqual({ name: "ClientException", status: 400, fault: "client" });
    expect(isRefusedForGood(error)).toBe(true);
    expect(isRefusedForGood(new TypeError("a mistake"))).toBe(false);
    expect(awsFault(new TypeError("a mistake"))).toBeUndefined();
  });
});
