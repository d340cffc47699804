import { readFileSync } from "node:fs";

/** Of package.json, which lies one folder up, from dist/adapters two, and beside the trainer in its image. */
export function version(): string {
  for (const path of ["./package.json", "../package.json", "../../package.json"]) {
    try {
      const parsed: unknown = JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8"));
      if (typeof parsed === "object" && parsed !== null && "version" in parsed && typeof parsed.version === "string")
        return parsed.version;
    } catch {
      // one of the three is there
    }
  }
  return "unknown";
}
