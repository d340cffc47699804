import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { version } from "../adapters/version.ts";

const BIN = fileURLToPath(new URL("./bin.ts", import.meta.url));
const onNode = (node: string): string =>
  `data:text/javascript,Object.defineProperty(process,"versions",{value:{...process.versions,node:"${node}"}})`;

it("is the command", () => {
  expect(spawnSync(process.execPath, [BIN, "--version"], { encoding: "utf8" }).stdout.trim()).toBe(version());
});

it("says what it needs where Node is too old", () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, ["--import", onNode("20.20.2"), BIN, "--version"], {
    encoding: "utf8",
  });
  expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
  expect(stderr).toMatch(/^Node 24 or newer is needed, and this is 20\.20\.2\.\nwhat to do: /);
});
