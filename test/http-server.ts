/** An HTTP server of a test: on a port of loopback that is free, gone with its connections when it is closed. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";

export interface TestServer {
  readonly url: string;
  close(): Promise<void>;
}

export async function openServer(
  respond: (request: IncomingMessage, body: Buffer, response: ServerResponse) => Promise<void> | void,
): Promise<TestServer> {
  const server = createServer(
    (request, response) => void bodyOf(request).then((body) => respond(request, body, response)),
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("no port");
  return {
    url: `http://127.0.0.1:${address.port}`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}
