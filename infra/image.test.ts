/** Which image jobs run in, who may pull it, and what CDK's CLI is told to build. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { App, Fn, Stack } from "aws-cdk-lib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ConfigInput, PipelineInput } from "../protocol/config.ts";
import { IncrementalTrainingPipeline } from "./pipeline.ts";
import { CONFIGS } from "./testing/configs.ts";
import { IMAGES, pipeline, synthesise, type Synthesised, type Template } from "./testing/synth.ts";

const root = mkdtempSync(join(tmpdir(), "accrete-image-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const made = (config: ConfigInput): Synthesised => synthesise(mkdtempSync(join(root, "made-")), config);
/** What CDK's CLI builds for a stack: all but the bytes of the templates and the functions. */
const builtFor = ({ folder }: Synthesised, stack: string): Record<string, { source: unknown; destinations: object }> =>
  JSON.parse(readFileSync(join(folder, `${stack}.assets.json`), "utf8")).dockerImages;

/** By the role's name in the template: what it may pull from. */
function pulls(template: Template): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const [id, { Type, Properties }] of Object.entries(template.Resources)) {
    if (Type !== "AWS::IAM::Role") continue;
    const policies = (Properties["Policies"] ?? []) as { PolicyDocument: { Statement: { Sid: string }[] } }[];
    const pull = policies
      .flatMap(({ PolicyDocument }) => PolicyDocument.Statement)
      .find(({ Sid }) => Sid === "PullImages");
    if (pull !== undefined) found[id.replace(/[0-9A-F]{8}$/, "")] = "Resource" in pull ? pull.Resource : undefined;
  }
  return found;
}

const container = (template: Template): Record<string, unknown> =>
  Object.values(template.Resources).find(({ Type }) => Type === "AWS::Batch::JobDefinition")!.Properties[
    "ContainerProperties"
  ] as Record<string, unknown>;

const BOOTSTRAPS = "cdk-hnb659fds-container-assets-${AWS::AccountId}-${AWS::Region}";

describe("where the config names none", () => {
  let built: Synthesised;
  beforeAll(() => {
    built = made(CONFIGS["built image"]);
  });

  it("jobs run in the project's own, by the digest of all that it is made of; ledger and outputs say the same", () => {
    const { digits } = built.pipelines;
    const uri = {
      "Fn::Sub": `\${AWS::AccountId}.dkr.ecr.\${AWS::Region}.\${AWS::URLSuffix}/${BOOTSTRAPS}:${IMAGES.gpu.digest}`,
    };
    expect(container(digits!)["Image"]).toEqual(uri);
    expect(digits!.Outputs["Image"]!.Value).toEqual(uri);
    expect(JSON.stringify(digits!.Resources)).toContain(`"ACCRETE_IMAGE":${JSON.stringify(uri)}`);
  });

  it("may be pulled from the bootstrap's repository, by those who start jobs, and from no other", () => {
    const repository = (parts: unknown): string => JSON.stringify(parts);
    const all = [...Object.values(pulls(built.platform)), ...Object.values(pulls(built.pipelines["digits"]!))];
    expect(Object.keys(pulls(built.platform))).toEqual(["PlatformInstanceRole"]);
    expect(Object.keys(pulls(built.pipelines["digits"]!))).toEqual(["PipelineRolesExecution"]);
    expect(all).toHaveLength(2);
    for (const one of all) {
      expect(repository(one)).toContain(`:repository/"`);
      expect(repository(one)).toContain(`{"Fn::Sub":"${BOOTSTRAPS}"}`);
      expect(repository(one)).not.toContain("*");
    }
  });

  it("one and the same asset is of both stacks: it is pushed once, and before the platform, which comes first, is changed", () => {
    const [platform, digits] = ["accrete-prod-platform", "accrete-prod-digits"].map((stack) => builtFor(built, stack));
    expect(Object.keys(platform!)).toEqual([IMAGES.gpu.digest]);
    expect(platform![IMAGES.gpu.digest]!.source).toEqual({ executable: IMAGES.gpu.executable });
    expect(digits).toEqual(platform);
  });

  it("what is trained on processors, on Fargate too, has the one without CUDA, and an image that nobody runs is not built", () => {
    const onFargate = made(CONFIGS["built image on fargate"]);
    expect(Object.keys(builtFor(onFargate, "accrete-prod-platform"))).toEqual([IMAGES.cpu.digest]);
    expect(pulls(onFargate.platform)).toEqual({});
    const both = made(CONFIGS["built images of both kinds"]);
    expect(Object.keys(builtFor(both, "accrete-prod-platform")).sort()).toEqual(
      [IMAGES.cpu.digest, IMAGES.gpu.digest].sort(),
    );
    expect(Object.keys(builtFor(both, "accrete-prod-letters"))).toEqual([IMAGES.cpu.digest]);
    for (const name of ["accrete-prod-platform", "accrete-prod-digits"])
      expect(builtFor(made(CONFIGS.default), name)).toEqual({});
  });
});

describe("where the config names one", () => {
  const warnings = ({ folder }: Synthesised): string[] => {
    const report: { pluginReports: { violations: { ruleName: string; description: string }[] }[] } = JSON.parse(
      readFileSync(join(folder, "validation-report.json"), "utf8"),
    );
    return report.pluginReports.flatMap(({ violations }) => violations.map(({ description }) => description));
  };
  const of = (image: string): ConfigInput => ({ pipelines: [pipeline()], aws: { image } });

  it("by its digest it is used as it is; a pipeline's own comes first", () => {
    const digest = `@sha256:${"0123456789abcdef".repeat(4)}`;
    const named = made({
      pipelines: [pipeline({ compute: { image: `111122223333.dkr.ecr.us-east-1.amazonaws.com/own${digest}` } })],
      aws: { image: `other${digest}` },
    });
    expect(warnings(named)).toEqual([]);
    expect(container(named.pipelines["digits"]!)["Image"]).toBe(
      `111122223333.dkr.ecr.us-east-1.amazonaws.com/own${digest}`,
    );
    expect(JSON.stringify(pulls(named.pipelines["digits"]!))).toContain(":ecr:us-east-1:111122223333:repository/own");
  });

  it("by a tag it is warned of: a tag can be moved", () => {
    expect(warnings(made(of("registry.example.org:5000/team/trainer:1.2")))).toEqual([
      "digits: registry.example.org:5000/team/trainer:1.2 is an image by its tag, which may become another one between two rounds: name it by its digest, registry.example.org:5000/team/trainer@sha256:...",
    ]);
    expect(warnings(made(of("trainer")))[0]).toContain("trainer@sha256:...");
  });

  it.each([
    "",
    " ",
    "my image",
    "Team/Image@sha256:",
    `x@sha256:${"0".repeat(63)}`,
    "https://host/x",
    "a//b",
    "x".repeat(256),
  ])("%j is refused", (image) => {
    const expected = { code: "CONFIG_INVALID", message: expect.stringContaining("an image is written like") };
    expect(() => made(of(image))).toThrow(expect.objectContaining(expected));
    expect(() => made({ pipelines: [pipeline({ compute: { image } })] })).toThrow(expect.objectContaining(expected));
  });
});

describe("in a CDK app of one's own", () => {
  const code = {
    intake: join(import.meta.dirname, "host"),
    ledger: join(import.meta.dirname, "host"),
    version: "0.0.0",
  };
  const inStack = (image: string | typeof IMAGES | undefined, input: PipelineInput = pipeline()): Template => {
    const app = new App({ outdir: mkdtempSync(join(root, "own-")) });
    const stack = new Stack(app, "Own");
    new IncrementalTrainingPipeline(stack, "Digits", {
      pipeline: input,
      code,
      ...(image === undefined ? {} : { image }),
    });
    return app.synth().getStackByName("Own").template as Template;
  };

  it("no image, or a name that is none, is said before anything is made", () => {
    expect(() => inStack(undefined)).toThrow(
      /digits: compute.image: .* `image: await trainerImage\(\{ pipelines \}\)`/,
    );
    expect(() => inStack("my image")).toThrow(/an image is written like/);
  });

  it("another construct's image, which is known when the stack is deployed, may be pulled from any repository of the account", () => {
    const template = inStack(Fn.importValue("image"));
    expect(container(template)["Image"]).toEqual({ "Fn::ImportValue": "image" });
    expect(JSON.stringify(Object.values(pulls(template)))).toContain(":repository/*");
  });
});
