/** The process that makes a model runs a user's module: whatever that does, it ends with a code, and says what it was. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runExporter } from "./exporter.ts";

let folder: string;
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), "accrete-exporter-"))));
afterAll(() => rm(folder, { recursive: true, force: true }));

const SCHEMA = { format: 1, task: "classification", inputShape: [2], classes: ["a", "b"], columns: null, label: null };
const POSITION = { epochIndex: 0, batchIndex: 0, step: 0, lossSum: 0, lossRecords: 0, epochLoss: null };
const STATE = { format: 1, step: 1, epoch: 1, updates: 1, position: POSITION, records: "x", normalisation: null };

async function run(name: string, module: string, limitMs?: number): Promise<void> {
  const [checkpoint, out] = [join(folder, name), join(folder, `${name}-out`)];
  await Promise.all([mkdir(checkpoint), mkdir(out)]);
  await writeFile(join(checkpoint, "schema.json"), JSON.stringify(SCHEMA));
  await writeFile(join(checkpoint, "state.json"), JSON.stringify(STATE));
  const code = join(checkpoint, "model.mjs");
  await writeFile(code, module);
  await runExporter({ checkpoint, code, out, formats: ["tfjs"], beside: [] }, limitMs);
}

describe.concurrent("a module that", () => {
  it("throws while it is loaded", async () => {
    await expect(run("throws", 'throw new Error("no luck");')).rejects.toMatchObject({
      code: "MODEL_NOT_LOADABLE",
      message: expect.stringContaining("no luck"),
    });
  });

  it("exports no model", async () => {
    await expect(run("nothing", "export default 1;")).rejects.toMatchObject({ code: "MODEL_NOT_LOADABLE" });
  });

  it("ends the process, having printed control characters", async () => {
    await expect(run("ends", 'process.stderr.write("\\u001b[31mbye"); process.exit(3);')).rejects.toMatchObject({
      code: "MODEL_NOT_EXPORTABLE",
      message: expect.stringMatching(/^the process that makes the model ended \(exit 3\): [ -~]*bye$/),
    });
  });

  it("never ends", async () => {
    await expect(run("hangs", 'console.log("busy"); for (;;);', 3_000)).rejects.toMatchObject({
      code: "MODEL_NOT_EXPORTABLE",
      message: expect.stringMatching(/^the process that makes the model was ended, as it took longer than 3 s: /),
    });
  });

  it("crashes it", async () => {
    await expect(run("crashes", 'process.kill(process.pid, "SIGKILL"); setInterval(() => 0, 1);')).rejects.toThrow(
      "SIGKILL",
    );
  });
});
