import { readFileSync } from "node:fs";

/** Of package.json, which lies one folder up, and from dist/adapters two. */
export function version(): string {
  for (const path of ["../package.json", "../../package.json"]) {
    try {
      const parsed: unknown = JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8"));
      if (typeof parsed === "object" && parsed !== null && "version" in parsed && typeof parsed.version === "string")
        return parsed.version;
    } catch {
      // one of the two is there
    }
  }
  return "unknown";
}
