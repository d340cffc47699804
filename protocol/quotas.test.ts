import { expect, it } from "vitest";
import { ComputeConfig } from "./aws-config.ts";
import { quotasOf } from "./quotas.ts";

const codes = (compute: Parameters<typeof ComputeConfig.parse>[0]): string[] =>
  quotasOf(ComputeConfig.parse(compute)).map(({ code }) => code);

it("are those of the machines' families, on demand too: an attempt after a lost one is", () => {
  expect(codes({})).toEqual(["L-3819A6DF", "L-DB2E81BA"]);
  expect(codes({ spot: false })).toEqual(["L-DB2E81BA"]);
  expect(codes({ gpus: 0 })).toEqual(["L-34B43A08", "L-1216C47A"]);
  expect(codes({ platform: "fargate" })).toEqual(["L-36FBB829", "L-3032A538"]);
  expect(codes({ instanceTypes: ["p3.2xlarge", "g5.xlarge"], spot: false })).toEqual(["L-DB2E81BA", "L-417A185B"]);
});

it("has a quota of its own for P5 on spot, and none where AWS' is not known", () => {
  expect(codes({ instanceTypes: ["p4d.24xlarge", "p5.48xlarge", "p5en.48xlarge"] })).toEqual([
    "L-7212CCBC",
    "L-417A185B",
    "L-C4BD4855",
  ]);
  expect(codes({ instanceTypes: ["p6-b200.48xlarge"] })).toEqual(["L-417A185B"]);
});

it("does not take a family for the one whose letter it begins with", () => {
  expect(codes({ instanceTypes: ["inf2.xlarge", "dl1.24xlarge", "trn1.2xlarge", "hpc7a.12xlarge"] })).toEqual([]);
  expect(codes({ instanceTypes: ["im4gn.large", "m7i-flex.large"], spot: false })).toEqual(["L-1216C47A"]);
  expect(codes({ instanceTypes: ["gr6.4xlarge"], spot: false })).toEqual(["L-DB2E81BA"]);
});
