/** A breakpoint in a function: its process waits for a debugger, and no time-out ends it meanwhile. */
import { readFileSync } from "node:fs";
import { once } from "node:events";
import { join } from "node:path";
import { CreateFunctionCommand, InvokeCommand, LambdaClient, waitUntilFunctionActiveV2 } from "@aws-sdk/client-lambda";
import { expect, it, onTestFinished } from "vitest";
import * as z from "zod/mini";
import { sleep, until } from "../scripts/workspace.ts";
import { startCloud } from "./cloud.ts";
import { ACCOUNT } from "./environment.ts";
import { Phases } from "./phases.ts";
import { clientOptions } from "./testing/cloud-of-tests.ts";
import { zipOf } from "./testing/zip.ts";

const Targets = z.array(z.object({ type: z.string(), webSocketDebuggerUrl: z.string() }));
const TIMEOUT_SECONDS = 1;
const START_MS_MAX = 30_000;

it("waits on 127.0.0.1 until a debugger lets it run, for longer than its time-out; other functions do not", async () => {
  const cloud = await startCloud({ phases: new Phases(() => {}), inspect: "ledger" });
  onTestFinished(cloud.stop);
  const client = new LambdaClient({ ...clientOptions(cloud), maxAttempts: 1 });
  for (const FunctionName of ["a-ledger", "a-intake"]) {
    await client.send(
      new CreateFunctionCommand({
        FunctionName,
        Runtime: "nodejs24.x",
        Handler: "index.handler",
        Role: `arn:aws:iam::${ACCOUNT}:role/check`,
        Timeout: TIMEOUT_SECONDS,
        Code: { ZipFile: zipOf("index.mjs", "export const handler = async () => 'done';") },
      }),
    );
    await waitUntilFunctionActiveV2({ client, maxWaitTime: 30, minDelay: 1, maxDelay: 1 }, { FunctionName });
  }
  const invoke = async (FunctionName: string): Promise<string | undefined> => {
    const { FunctionError, Payload } = await client.send(new InvokeCommand({ FunctionName }));
    return FunctionError ?? Payload?.transformToString();
  };
  expect(await invoke("a-intake")).toBe('"done"');

  let answered = false;
  const answer = invoke("a-ledger").finally(() => (answered = true));
  const log = join(cloud.folder, "logs/localstack.log");
  const address = await until(
    "a debugger's port",
    START_MS_MAX,
    async () => /a-ledger waits for a debugger on (127\.0\.0\.1:\d+)/.exec(readFileSync(log, "utf8"))?.[1],
  );
  const targets = await until("the inspector", START_MS_MAX, async () => {
    const reply = await fetch(`http://${address}/json/list`).catch(() => undefined);
    return reply && Targets.parse(await reply.json());
  });
  expect(targets.map(({ type }) => type)).toEqual(["node"]);
  await sleep(2_000 * TIMEOUT_SECONDS);
  expect(answered).toBe(false);
  const socket = new WebSocket(targets[0]!.webSocketDebuggerUrl);
  await once(socket, "open");
  socket.send(JSON.stringify({ id: 1, method: "Runtime.runIfWaitingForDebugger" }));
  expect(await answer).toBe('"done"');
  socket.close();
  client.destroy();
});
