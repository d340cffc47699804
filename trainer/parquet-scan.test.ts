import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openDuckDb } from "./duckdb.ts";

const root = mkdtempSync(join(tmpdir(), "accrete-duckdb-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
beforeAll(() => {
  for (const folder of ["it's scratch", "items", "items-of-others"]) mkdirSync(join(root, folder));
  for (const folder of ["items", "items-of-others"]) writeFileSync(join(root, folder, "a"), "x,label\n1,2\n");
});

describe("the DuckDB that reads what anybody may have written", () => {
  it("reaches the folders of the files and nothing else, and stays so", async () => {
    const { connection, close } = await openDuckDb({
      folder: join(root, "items"),
      scratch: join(root, "it's scratch"),
      memory: 2 ** 28,
    });
    try {
      const read = await connection.runAndReadAll(`FROM read_csv('${join(root, "items/a")}')`);
      expect(read.columnNames()).toEqual(["x", "label"]);
      const refused = [
        `FROM read_csv('${join(root, "items-of-others/a")}')`,
        `FROM read_text('/etc/hosts')`,
        `FROM read_csv('https://example.com/a.csv')`,
        `COPY (SELECT 1) TO '${join(root, "written")}'`,
        "SET enable_external_access = true",
        "SET threads = 4",
        "INSTALL httpfs",
        "LOAD httpfs",
      ];
      for (const query of refused)
        await expect(connection.run(query), query).rejects.toThrow(/Permission Error|locked|disabled|Cannot access/);
    } finally {
      close();
    }
  });
});
