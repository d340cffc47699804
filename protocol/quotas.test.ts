import { expect, it } from "vitest";
import { ComputeConfig } from "./aws-config.ts";
import { quotasOf } from "./quotas.ts";

const codes = (compute: Parameters<typeof ComputeConfig.parse>[0]): string[] =>
  quotasOf(ComputeConfig.parse(compute)).map(({ code }) => code);

it("are those of the machines' families, on demand too: an attempt after a lost one is", () => {
  expect(codes({})).toEqual(["L-3819A6DF", "L-DB2E81BA"]);
  expect(codes({ spot: false })).toEqual(["L-DB2E81BA"]);
  expect(codes({ gpus: 0 })).toEqual(["L-34B43A08", "L-1216C47A"]);
  expect(codes({ platform: "fargate", gpus: 0 })).toEqual(["L-36FBB829", "L-3032A538"]);
  expect(codes({ instanceTypes: ["p3.2xlarge", "g5.xlarge"], spot: false })).toEqual(["L-DB2E81BA", "L-417A185B"]);
});
