import { inject } from "vitest";
import type { Stack } from "../../adapters/stack-outputs.ts";
import { CREDENTIALS, REGION } from "../environment.ts";

/** What the tests are told of the cloud that was started for them. */
export interface CloudOfTests {
  readonly endpoint: string;
  readonly batch: string;
  readonly env: Readonly<Record<string, string>>;
  readonly folder: string;
  readonly pids: Readonly<Record<string, number>>;
  /** folder with the templates that were deployed */
  readonly assembly: string;
  /** types of resources */
  readonly leftOut: readonly string[];
  readonly outputs: Stack["outputs"];
}

declare module "vitest" {
  interface ProvidedContext {
    cloud: CloudOfTests;
  }
}

export const cloudOfTests = (): CloudOfTests => inject("cloud");

/** For the constructor of any client. */
export function clientOptions({ endpoint }: Pick<CloudOfTests, "endpoint">) {
  return { endpoint, region: REGION, credentials: CREDENTIALS, forcePathStyle: true } as const;
}
