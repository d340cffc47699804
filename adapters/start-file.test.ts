import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { sha256 } from "../protocol/digest.ts";
import { openStartFile } from "./start-file.ts";

it("hands the file over as it lies, and leaves it there", async () => {
  const folder = await mkdtemp(join(tmpdir(), "accrete-start-"));
  try {
    const path = join(folder, "start.safetensors");
    await expect(openStartFile(path).read()).rejects.toMatchObject({ code: "START_NOT_READABLE" });
    const body = new TextEncoder().encode("weights");
    await writeFile(path, body);
    for (let reads = 0; reads < 2; reads++) {
      await using file = await openStartFile(path).read();
      expect(file).toMatchObject({ path, sha256: sha256(body) });
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
