import { expect, it } from "vitest";
import type { Ran } from "../adapters/native-tools.ts";
import { findPython } from "./python.ts";

const missing: Ran = { ok: false, missing: true, said: "ENOENT" };
const says = (said: string, ok = true): Ran => ({ ok, missing: false, said });

function machine(programs: Readonly<Record<string, Ran>>): (program: string) => Promise<Ran> {
  return async (program) => programs[program] ?? missing;
}

it("takes the first Python that will do, passing over one that is too old, too new or does not run", async () => {
  const shim = says("pyenv: python3.13: command not found", false);
  const run = machine({
    python3: says("3.14.0\n"),
    "python3.13": shim,
    "python3.12": says("3.12.1\n"),
    "python3.11": says("3.11.7\n"),
  });
  expect(await findPython({}, run)).toEqual({ program: "python3.12", version: "3.12.1" });
});

it("takes the one that PYTHON names, and no other", async () => {
  const run = machine({ python3: says("3.12.1\n"), "/opt/py": says("3.11.2\n"), "/opt/old": says("3.10.13\n") });
  expect(await findPython({ PYTHON: "/opt/py" }, run)).toEqual({ program: "/opt/py", version: "3.11.2" });
  await expect(findPython({ PYTHON: "/opt/old" }, run)).rejects.toThrow(
    /^LocalStack needs Python 3\.11 to 3\.13 with venv \(\/opt\/old: 3\.10\.13\): .*, or name one in PYTHON$/,
  );
});

it.each([
  ["there is none", {}, "there is no python3"],
  [
    "Debian's, which has no venv",
    { python3: says("Traceback\nModuleNotFoundError: No module named 'ensurepip'", false) },
    "python3: ModuleNotFoundError: No module named 'ensurepip'",
  ],
])("says in one sentence what is missing: %s", async (_what, programs, found) => {
  await expect(findPython({}, machine(programs))).rejects.toThrow(`with venv (${found}): `);
});
