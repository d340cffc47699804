/** What hadolint finds in the Dockerfile, and what no linter looks for. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { LAYERS } from "../../image/digest.ts";
import { installPackages, packagesFolder } from "../../scripts/pip-packages.ts";

const DOCKERFILE = fileURLToPath(new URL("../../image/Dockerfile", import.meta.url));
const REQUIREMENTS = fileURLToPath(new URL("../../scripts/hadolint-requirements.txt", import.meta.url));

const missing = await installPackages(REQUIREMENTS);
if (missing !== undefined && process.env["ACCRETE_IMAGE_REQUIRED"] === "1") throw new Error(missing);

function hadolint(text: string): { code: string; line: number; message: string }[] {
  const program = join(packagesFolder(REQUIREMENTS), "bin/hadolint");
  const args = ["--no-fail", "--format", "json", "-"];
  return JSON.parse(execFileSync(program, args, { input: text, encoding: "utf8" }));
}

it.skipIf(missing !== undefined)(`hadolint finds nothing${missing === undefined ? "" : `: ${missing}`}`, () => {
  const text = readFileSync(DOCKERFILE, "utf8");
  expect(hadolint(text)).toEqual([]);
  expect(hadolint(`${text}\nRUN cd /tmp && sudo ls\n`)).not.toEqual([]); // it looks
});

it("only copies: nothing is run and nothing is fetched, and only the scratch folder has an owner", () => {
  const steps = readFileSync(DOCKERFILE, "utf8")
    .replaceAll("\\\n", "")
    .split("\n")
    .filter((line) => /^[A-Z]/.test(line));
  const names = steps.map((step) => step.split(" ")[0]);
  expect(names).not.toContain("RUN");
  expect(names).not.toContain("ADD");
  expect(names).not.toContain("CMD");
  expect(steps.filter((step) => /^COPY .*(--from|--chmod|:\/\/)/.test(step))).toEqual([]);
  expect(steps.filter((step) => step.includes("--chown"))).toEqual(["COPY --chown=10001:10001 scratch /scratch"]);
  expect(steps.filter((step) => /^COPY \w+\/ \/$/.test(step)).map((step) => step.slice(5, -3))).toEqual([...LAYERS]);
});
