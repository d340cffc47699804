/** The Lambda behind the queue of arrivals. */
import { composeIntake } from "./compose.ts";
import type { BatchResponse } from "./sqs.ts";
import { takeIn } from "./take-in.ts";

// once for a warm function: clients and their connections are kept
const ports = composeIntake({ folder: import.meta.dirname, env: process.env });

export const handler = (event: unknown): Promise<BatchResponse> => takeIn(ports, event);
