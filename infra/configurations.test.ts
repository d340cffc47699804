/** Every supported configuration: no finding of cdk-nag, no error of cfn-lint, the same bytes each time, nothing that needs an account. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cfnLint } from "./testing/cfn-lint.ts";
import { CONFIGS } from "./testing/configs.ts";
import { synthesise, type Synthesised, type Template } from "./testing/synth.ts";

const root = mkdtempSync(join(tmpdir(), "accrete-infra-"));
const made = new Map<string, Synthesised>();
const templatesOf = (one: Synthesised): Template[] => [one.platform, ...Object.values(one.pipelines)];

beforeAll(() => {
  // a finding of cdk-nag throws here
  for (const [name, config] of Object.entries(CONFIGS)) made.set(name, synthesise(join(root, name), config));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe.each(Object.keys(CONFIGS))("%s", (name) => {
  const all = (): Template[] => templatesOf(made.get(name)!);
  const resources = () => all().flatMap(({ Resources }) => Object.values(Resources));

  it("was looked at by cdk-nag and has no finding", () => {
    const report = JSON.parse(readFileSync(join(made.get(name)!.folder, "validation-report.json"), "utf8"));
    expect(report.pluginReports).toEqual([]);
  });

  it("has no custom resource, no NAT gateway and no interface endpoint", () => {
    const types = resources().map(({ Type }) => Type);
    expect(types.filter((type) => /^Custom::|CustomResource|NatGateway|AWS::EC2::EIP/.test(type))).toEqual([]);
    const endpoints = resources().filter(({ Type }) => Type === "AWS::EC2::VPCEndpoint");
    for (const { Properties } of endpoints) expect(Properties["VpcEndpointType"]).toBe("Gateway");
  });

  it("asks for nothing from an account while it is made", () => {
    const manifest = JSON.parse(readFileSync(join(made.get(name)!.folder, "manifest.json"), "utf8"));
    expect(manifest.missing ?? []).toEqual([]);
  });

  it("keeps each policy within what IAM allows", () => {
    for (const { Type, Properties } of resources()) {
      // an intrinsic function stands for less than its JSON: an upper bound
      if (Type === "AWS::IAM::ManagedPolicy")
        expect(JSON.stringify(Properties["PolicyDocument"]).length).toBeLessThan(6_144);
      if (Type === "AWS::IAM::Role") expect(JSON.stringify(Properties["Policies"] ?? []).length).toBeLessThan(10_240);
      if (Type === "AWS::S3::BucketPolicy")
        expect(JSON.stringify(Properties["PolicyDocument"]).length).toBeLessThan(20_480);
    }
  });
});

it("is the same bytes each time", () => {
  const again = synthesise(join(root, "again"), CONFIGS.everything);
  const first = made.get("everything")!;
  // what is deployed; the metadata are where in the sources each construct was made
  const files = readdirSync(first.folder, { recursive: true, withFileTypes: true }).filter(
    (one) => one.isFile() && !/metadata.json$/.test(one.name),
  );
  expect(files.length).toBeGreaterThan(5);
  for (const { parentPath, name } of files) {
    const path = join(parentPath, name).slice(first.folder.length);
    const read = (folder: string): string => readFileSync(join(folder, path), "utf8").replaceAll(folder, "");
    expect(read(again.folder), path).toBe(read(first.folder));
  }
});

it("has no error for cfn-lint", (context) => {
  const found = cfnLint();
  if ("missing" in found) return context.skip(found.missing);
  const templates = [...made.values()].flatMap(({ folder }) =>
    readdirSync(folder)
      .filter((file) => file.endsWith(".template.json"))
      .map((file) => join(folder, file)),
  );
  expect(templates.length).toBeGreaterThanOrEqual(2 * Object.keys(CONFIGS).length);
  // warnings and notes are printed by whoever runs it by hand
  const output = execFileSync(found.path, ["--ignore-checks", "W", "I", "--", ...templates], { encoding: "utf8" });
  expect(output).toBe("");
});
