/** The Lambda behind the queue of ticks. */
import { bringOn } from "./bring-on.ts";
import { composeLedger } from "./compose.ts";
import type { BatchResponse } from "./sqs.ts";

// once for a warm function: clients and their connections are kept
const ports = composeLedger({ folder: import.meta.dirname, env: process.env });

export const handler = (event: unknown): Promise<BatchResponse> => bringOn(ports, event);
