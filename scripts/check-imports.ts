/** Who may import whom (CONTRIBUTING.md): read off the sources, so that a wrong arrow fails the check and not a review. */
import { globSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../", import.meta.url));

interface Rule {
  /** files of these folders ... */
  readonly folder: string;
  /** ... but for these entry points, which choose adapters */
  readonly but?: readonly string[];
  /** ... may import from these of our folders */
  readonly ours: readonly string[];
  /** ... and from these packages; undefined: from any */
  readonly packages?: readonly string[];
}

const RULES: readonly Rule[] = [
  { folder: "protocol", ours: ["protocol"], packages: ["zod/mini", "node:crypto"] },
  { folder: "ledger", ours: ["ledger", "protocol"], packages: [] },
  { folder: "adapters", ours: ["adapters", "protocol"] },
  {
    folder: "trainer",
    but: ["trainer/main.ts", "trainer/save-worker.ts", "trainer/export.ts"],
    ours: ["trainer", "protocol"],
  },
  {
    folder: "cli",
    but: [
      "cli/main.ts",
      "cli/compose.ts",
      "cli/compose-local.ts",
      "cli/compose-aws.ts",
      "cli/compose-native.ts",
      "cli/compose-image.ts",
    ],
    ours: ["cli", "ledger", "protocol"],
  },
  { folder: "functions", but: ["functions/compose.ts"], ours: ["functions", "ledger", "protocol"] },
  { folder: "image", ours: ["image", "adapters", "protocol"] },
  // an AWS of its own: it knows nothing of the pipeline, but for what is deployed there
  { folder: "localstack", but: ["localstack/deploy.ts"], ours: ["localstack", "adapters", "protocol"] },
  { folder: "infra", but: ["infra/app.ts", "infra/assets.ts"], ours: ["infra", "protocol"] },
];

const IMPORT = /^\s*(?:import|export)\s+(type\s+)?(?:[^"';]*?\sfrom\s+)?"([^"]+)"|(?<!typeof )\bimport\("([^"]+)"\)/gm;

/** Each import of a source; type-only ones bind nothing at run time. */
function importsOf(source: string): { target: string; typeOnly: boolean }[] {
  return [...source.matchAll(IMPORT)].map(([, typeOnly, named, dynamic]) => ({
    target: named ?? dynamic ?? "",
    typeOnly: typeOnly !== undefined,
  }));
}

function isAllowed(rule: Rule, file: string, imported: { target: string; typeOnly: boolean }): boolean {
  const { target, typeOnly } = imported;
  if (!target.startsWith(".")) return typeOnly || rule.packages === undefined || rule.packages.includes(target);
  const folder = relative(ROOT, join(ROOT, dirname(file), target)).split(/[\\/]/)[0]!;
  return rule.ours.includes(folder) || (typeOnly && folder === "adapters");
}

const wrong = RULES.flatMap((rule) =>
  globSync(`${rule.folder}/**/*.ts`, { cwd: ROOT })
    .filter((file) => !file.endsWith(".test.ts") && !file.includes("/testing/") && !rule.but?.includes(file))
    .flatMap((file) =>
      importsOf(readFileSync(join(ROOT, file), "utf8"))
        .filter((imported) => !isAllowed(rule, file, imported))
        .map(
          ({ target }) =>
            `${file} imports ${target}: ${rule.folder}/ may import ${rule.ours.join(", ")}${rule.packages === undefined ? "" : `, and of packages ${rule.packages.join(", ") || "none"}`}`,
        ),
    ),
);
for (const line of wrong) console.error(line);
if (wrong.length > 0) process.exitCode = 1;
