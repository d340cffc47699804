/** `npx cdk synth` as it is typed in a clone that has no config of its own: the example's stacks, their code bundled. */
import { execFile } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const root = mkdtempSync(join(tmpdir(), "accrete-synth-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Nobody's home: no profile, no TensorFlow; and no program but Node's and the system's. */
async function synth(
  name: string,
  env: Readonly<Record<string, string>> = {},
  options: readonly string[] = [],
): Promise<Map<string, string>> {
  const out = join(root, name);
  await promisify(execFile)(
    process.execPath,
    ["node_modules/aws-cdk/bin/cdk", "synth", "--quiet", "--no-notices", "--no-lookups", "--output", out, ...options],
    {
      cwd: ROOT,
      env: {
        PATH: `${join(ROOT, "node_modules/.bin")}:/usr/bin:/bin`,
        HOME: root,
        AWS_EC2_METADATA_DISABLED: "true",
        CDK_DISABLE_CLI_TELEMETRY: "true",
        DOCKER_HOST: "tcp://127.0.0.1:1",
        ...env,
      },
    },
  );
  const files = readdirSync(out, { recursive: true, withFileTypes: true }).filter((one) => one.isFile());
  return new Map(
    files
      .map(({ parentPath, name }) => join(parentPath, name))
      .sort()
      .map((path) => [path.slice(out.length + 1), readFileSync(path, "latin1").replaceAll(out, "")]),
  );
}

it("needs no account, Docker or TensorFlow, and makes the same bytes each time", async () => {
  const files = await synth("first");
  const names = [...files.keys()];
  expect(names.filter((name) => name.endsWith(".template.json"))).toEqual([
    "accrete-prod-digits.template.json",
    "accrete-prod-platform.template.json",
  ]);
  expect(names.filter((name) => /^asset\..*\/model\.mjs$/.test(name))).toHaveLength(1);
  expect(existsSync(join(root, ".cache/accrete"))).toBe(false);
  expect(await synth("again", { TZ: "Asia/Kathmandu", LANG: "tr_TR.UTF-8" })).toEqual(files);
});

it("a changed model is another ledger in the same image: its deploy builds and pushes none", async () => {
  const folder = join(root, "config");
  cpSync(join(ROOT, "examples/digits"), folder, { recursive: true });
  const [first, changed] = [await deployed("model"), await deployed("model-changed", "units: 128", "units: 64")];
  expect(first.images).toEqual(changed.images);
  expect(Object.keys(first.images)).toEqual([expect.stringMatching(/^[0-9a-f]{64}$/)]);
  expect(JSON.stringify(first.job)).toContain(Object.keys(first.images)[0]);
  expect(first.job).toEqual(changed.job);
  expect(first.ledger).not.toEqual(changed.ledger);

  async function deployed(name: string, from = "", to = ""): Promise<Record<"images" | "job" | "ledger", object>> {
    const model = readFileSync(join(folder, "model.ts"), "utf8");
    expect(model).toContain(from);
    writeFileSync(join(folder, "model.ts"), model.replace(from, to));
    const files = await synth(name, {}, ["-c", `config=${folder}`]);
    const { Resources } = JSON.parse(files.get("accrete-prod-digits.template.json")!);
    const found = (type: string, text: string): Record<string, object> =>
      Object.entries<{ Type: string; Properties: Record<string, object> }>(Resources).find(
        ([id, { Type }]) => Type === type && id.includes(text),
      )![1].Properties;
    return {
      images: JSON.parse(files.get("accrete-prod-digits.assets.json")!).dockerImages,
      job: found("AWS::Batch::JobDefinition", ""),
      ledger: found("AWS::Lambda::Function", "Ledger")["Code"]!,
    };
  }
});
