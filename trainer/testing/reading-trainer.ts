/** For the tests: a process that reads `item` of a folder under a key, and says the pid of its reader. SIGTERM ends it as it ends the trainer. */
import { join } from "node:path";
import { DataConfig } from "../../protocol/data-config.ts";
import { Reader } from "../reader-process.ts";

process.on("SIGTERM", () => process.exit(75));
const [folder = "", key = ""] = process.argv.slice(2);
const data = DataConfig.parse({ format: "jsonl" });
const reader = new Reader({
  scratch: join(folder, "scratch"),
  memory: data.limits.memory,
  program: join(import.meta.dirname, "crashing-reader.ts"),
});
await reader.read([{ key: "good", path: join(folder, "item") }], data, null);
console.log(reader.pid);
await reader.read([{ key, path: join(folder, "item") }], data, null);
