/** What `accrete` loads before it knows what is asked: each command waits for it, on a laptop as well. */
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { expect, it } from "vitest";

/** Packages that are loaded with an entry point, by import statements alone: what import() brings comes later. */
async function packagesOf(entry: string): Promise<Set<string>> {
  const root = fileURLToPath(new URL("../", import.meta.url));
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    bundle: true,
    platform: "node",
    format: "esm",
    packages: "external",
    write: false,
    outdir: "nowhere",
    metafile: true,
    logLevel: "silent",
  });
  const packages = new Set<string>();
  const seen = new Set<string>();
  const left = [entry];
  for (let file = left.pop(); file !== undefined; file = left.pop()) {
    if (seen.has(file)) continue;
    seen.add(file);
    for (const { path, kind, external } of metafile.inputs[file]!.imports) {
      if (kind === "dynamic-import") continue;
      if (external === true) packages.add(path);
      else left.push(path);
    }
  }
  return packages;
}

const ofAws = (packages: Set<string>): string[] => [...packages].filter((name) => name.startsWith("@aws-sdk/"));

it("AWS' SDK is loaded by --stack alone", async () => {
  const [main, stack] = await Promise.all([packagesOf("cli/main.ts"), packagesOf("cli/compose-aws.ts")]);
  expect(main).toContain("commander"); // it sees what is loaded
  expect(ofAws(main)).toEqual([]);
  expect(ofAws(stack)).toContain("@aws-sdk/client-s3");
});
