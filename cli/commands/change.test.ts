import { describe, expect, it } from "vitest";
import { operatorName } from "./change.ts";

describe("who gives a command", () => {
  it("is the user of the process", () => {
    expect(operatorName(() => ({ username: "ada" }))).toBe("ada");
  });

  it("is an operator where the user has no name: a container may run as a bare number", () => {
    expect(operatorName(() => ({ username: "" }))).toBe("operator");
    const nameless = (): never => {
      throw new Error("ENOENT: uv_os_get_passwd");
    };
    expect(operatorName(nameless)).toBe("operator");
  });

  it("fits into an entry", () => {
    expect(operatorName(() => ({ username: "a".repeat(1_000) }))).toHaveLength(256);
  });
});
