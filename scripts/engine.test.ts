import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { mirrorIn } from "./base-image.ts";
import { socketPath } from "./engine.ts";

describe("the engine's socket", () => {
  it("lies in the engine's folder", () => {
    expect(socketPath("/home/somebody/.cache/accrete/engine")).toBe("/home/somebody/.cache/accrete/engine/docker.sock");
  });

  it("lies in a short folder of its own where its path would be longer than a socket's may be", () => {
    const long = `/${"a".repeat(120)}`;
    expect(Buffer.byteLength(socketPath(long))).toBeLessThanOrEqual(107);
    expect(socketPath(long)).not.toBe(socketPath(`${long}b`));
    expect(socketPath(`/${"a".repeat(94)}`)).toBe(`/${"a".repeat(94)}/docker.sock`); // 107
    expect(socketPath(`/${"a".repeat(95)}`)).not.toContain("aaa");
  });
});

describe("the mirror of the stand-in base", () => {
  it("is the one of the whole system, not that of security, in apt's newer form", () => {
    const security =
      "Types: deb\nURIs: http://one.example/debian-security\nSuites: bookworm-security\nComponents: main\n";
    const system =
      "Types: deb deb-src\nURIs: http://two.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n";
    expect(mirrorIn(`${security}\n${system}`)).toBe("http://two.example/debian");
    expect(mirrorIn(security)).toBeUndefined();
  });

  it("is found in the older form, with options", () => {
    const lines = [
      "# deb http://zero.example/debian bookworm main",
      "deb https://one.example/tools bookworm stable",
      "deb [arch=amd64 signed-by=/x.gpg] http://two.example/debian bookworm main contrib",
    ];
    expect(mirrorIn(lines.join("\n"))).toBe("http://two.example/debian");
  });
});

it("npm run engine says what it can do, and refuses what it does not know", () => {
  const program = join(import.meta.dirname, "engine.ts");
  const run = (...args: string[]) => spawnSync(process.execPath, [program, ...args], { encoding: "utf8" });
  expect(run("--help")).toMatchObject({ status: 0, stderr: expect.stringContaining("start|stop|status") });
  expect(run("restart").status).toBe(64);
});
