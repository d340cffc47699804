/** A config or a model that is wrong: said with the file and the place; mended, the loop goes on with the same items. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { initWorkspace, runCli } from "../run-cli.ts";
import { copyWorkspace, csv, drop, expectDone, expectFailure, settle, whereIs } from "./workspace.ts";

const folder = await mkdtemp(join(tmpdir(), "accrete-config-"));
let base: string;
/** what the first part breaks */
let broken: string;
let [config, model] = ["", ""];
beforeAll(async () => {
  base = await initWorkspace(folder, "base", [
    ["epochs: 5,", "epochs: 2,"],
    ["trigger:", "jobs: { attempts: 2 },\n      trigger:"],
  ]);
  config = await readFile(join(base, "accrete.config.ts"), "utf8");
  model = await readFile(join(base, "model.ts"), "utf8");
  await drop(base, "1.csv", csv(1));
  broken = await copyWorkspace(base, join(folder, "broken"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const changed = (text: string, from: string, to: string): string => {
  if (!text.includes(from)) throw new Error(`there is no ${from}`);
  return text.replace(from, to);
};

describe("before anything is trained", () => {
  it.each([
    ["a misspelt key", "epochs:", "epoch:", "CONFIG_INVALID", /"epoch" is not known: did you mean "epochs"\?/],
    ["a wrong type", "epochs: 2", 'epochs: "two"', "CONFIG_INVALID", /trainer\.epochs/],
    [
      "a syntax error",
      "defineConfig({",
      "defineConfig({{",
      "CONFIG_NOT_LOADABLE",
      /accrete\.config\.ts:3:\d+: Expected identifier/,
    ],
    ["no default export", "export default", "export const other =", "CONFIG_NOT_LOADABLE", /it exports other/],
    [
      "an error while it is loaded",
      "export default",
      'throw new Error("\\u001b[31mred\\n");\nexport default',
      "CONFIG_NOT_LOADABLE",
      /stopped with: \\x1b\[31mred\\n/,
    ],
    ["a model that isn't there", "./model.ts", "./nowhere.ts", "MODEL_NOT_LOADABLE", /nowhere\.ts/],
  ] as const)("%s: up says where, exit code 78", async (_what, from, to, code, says) => {
    await writeFile(join(broken, "accrete.config.ts"), changed(config, from, to));
    expectFailure(await runCli(broken, ["up", "--once"]), 78, code, says);
  });

  it.each([
    ["a syntax error", "build: (", "build: ((", "MODEL_NOT_LOADABLE", /model\.ts:\d+:\d+/],
    [
      "no default export",
      "export default",
      "export const other =",
      "MODEL_NOT_LOADABLE",
      /model\.ts: expected .*; it exports other/,
    ],
    ["an import that isn't there", "import {", 'import "./nothing.ts";\nimport {', "MODEL_NOT_LOADABLE", /nothing\.ts/],
  ] as const)("a model with %s: up says where, exit code 78", async (_what, from, to, code, says) => {
    await writeFile(join(broken, "accrete.config.ts"), config);
    await writeFile(join(broken, "model.ts"), changed(model, from, to));
    const up = await runCli(broken, ["up", "--once"]);
    expectFailure(up, 78, code, says);
    expect(up.out).not.toContain("planned");
  });
});

interface Wrong {
  readonly what: string;
  readonly config?: readonly [string, string];
  readonly model?: readonly [string, string];
  readonly code: string;
  readonly says: RegExp;
  readonly advice: RegExp;
}
const INPUT = "tf.layers.dense({ inputShape: [...inputShape]";
const WRONG: readonly Wrong[] = [
  {
    what: "a model whose input doesn't fit",
    model: [INPUT, "tf.layers.dense({ inputShape: [7]"],
    code: "MODEL_INVALID",
    says: /7/,
    advice: /Correct the model/,
  },
  {
    what: "a model that throws when it is built",
    model: ["tf.sequential(", "nothing.sequential("],
    code: "MODEL_INVALID",
    says: /build\(\) throws: nothing is not defined/,
    advice: /Correct the model/,
  },
  {
    what: "a loss that becomes NaN",
    config: ["learningRate: 0.01", "learningRate: 1e30"],
    code: "LOSS_NOT_FINITE",
    says: /step \d+/,
    advice: /Lower the learning rate/,
  },
];

describe.concurrent("a round that can't be trained as things are", () => {
  it.each(WRONG)("$what: blocked and said once; mended, the same items are trained", async (wrong) => {
    const dir = await copyWorkspace(base, join(folder, wrong.what.replaceAll(/\W+/g, "-")));
    await writeFile(
      join(dir, "accrete.config.ts"),
      wrong.config === undefined ? config : changed(config, ...wrong.config),
    );
    await writeFile(join(dir, "model.ts"), wrong.model === undefined ? model : changed(model, ...wrong.model));
    const up = await runCli(dir, ["up", "--once"]);
    expectFailure(up, 1, wrong.code, wrong.says);
    expect(up.err).toMatch(wrong.advice);
    expect(up.out.match(/ {2}blocked /g)).toHaveLength(1);
    expect(up.out.match(/submitted/g)).toHaveLength(1);
    const status = await expectDone(dir, "status");
    expect(status.out).toMatch(new RegExp(`blocked: ${wrong.code}: .*${wrong.says.source}[^]*what to do: `));
    expect(status.out).toMatch(wrong.advice);
    expect(await whereIs(dir, "1.csv")).toEqual(["being-learned 1"]);
    await writeFile(join(dir, "accrete.config.ts"), config);
    await writeFile(join(dir, "model.ts"), model);
    await expectDone(dir, "rollback", "--to", "head", "--yes");
    await expectDone(dir, "up", "--once");
    expect(await whereIs(dir, "1.csv")).toEqual(["learned 2"]);
    await expectDone(dir, "verify");
  });

  it("records of one class alone: blocked, and the other class may come in the same round", async () => {
    const dir = await copyWorkspace(base, join(folder, "one-class"));
    await writeFile(join(dir, "accrete.config.ts"), config);
    await writeFile(join(dir, "model.ts"), model);
    await drop(dir, "1.csv", `length,width,label\n${"1,2,iris\n".repeat(20)}`);
    expectFailure(await runCli(dir, ["up", "--once"]), 1, "CONFIG_INVALID", 'have the label "iris"');
    await writeFile(
      join(dir, "accrete.config.ts"),
      changed(config, 'label: "label"', 'label: "label", labels: ["crocus", "iris", "lily"]'),
    );
    await expectDone(dir, "rollback", "--to", "head", "--yes");
    await expectDone(dir, "up", "--once");
    expect(await whereIs(dir, "1.csv")).toEqual(["learned 2"]);
  });

  it("another format after round 1: what is learned stays, the round is blocked, and mended it goes on", async () => {
    const dir = await copyWorkspace(base, join(folder, "other-format"));
    await writeFile(join(dir, "model.ts"), model);
    await writeFile(join(dir, "accrete.config.ts"), config);
    await expectDone(dir, "up", "--once");
    await writeFile(join(dir, "accrete.config.ts"), changed(config, 'label: "label"', 'label: "width"'));
    await drop(dir, "2.csv", csv(2));
    expectFailure(await runCli(dir, ["up", "--once"]), 1, "CONFIG_INVALID", /width|label/);
    expect((await expectDone(dir, "status")).out).toMatch(/model +round 1[^]*blocked: CONFIG_INVALID/);
    await writeFile(join(dir, "accrete.config.ts"), config);
    await expectDone(dir, "rollback", "--to", "head", "--yes");
    await expectDone(dir, "up", "--once");
    expect(await whereIs(dir, "1.csv", "2.csv")).toEqual(["learned 1", "learned 3"]);
  });

  it("a model that throws at one item: blocked, said once, and it goes on without that item", async () => {
    const dir = await copyWorkspace(base, join(folder, "crashes"));
    await writeFile(join(dir, "accrete.config.ts"), config);
    await writeFile(join(dir, "model.ts"), PICKY_MODEL);
    await drop(dir, "666.csv", "length,width,label\n1,2,iris\n666000,2,iris\n3,4,lily\n");
    await drop(dir, "2.csv", csv(2));
    await settle();
    const up = await runCli(dir, ["up", "--once"]);
    expectFailure(up, 1, "MODEL_INVALID", /the model throws in step \d+ of \d+ of round 1: no such length/);
    expect(up.out.match(/ {2}blocked /g)).toHaveLength(1);
    const again = await runCli(dir, ["up", "--once"]);
    expectFailure(again, 1, "MODEL_INVALID", "no such length");
    expect(again.out).not.toContain("submitted");
    const status = await expectDone(dir, "status");
    expect(status.out).toMatch(/no such length[^]*what to do: .*accrete drop OBJECT/);
    expect((await expectDone(dir, "show", "1")).out).toMatch(/log \/.*log\.txt/);
    await expectDone(dir, "drop", "flowers/666.csv", "--yes");
    await expectDone(dir, "up", "--once");
    expect(await whereIs(dir, "1.csv", "2.csv")).toEqual(["learned 2", "learned 2"]);
    expect((await whereIs(dir, "666.csv"))[0]).toMatch(/^taken-out/);
    await expectDone(dir, "verify");
  });
});

/** Throws where it meets a length that is far out, as a model's own check may. */
const PICKY_MODEL = `import { defineModel } from "@accrete/pipeline";
export default defineModel({
  build: ({ tf, inputShape, classes }) => {
    class Picky extends tf.layers.Layer {
      static className = "Picky";
      override computeOutputShape(shape: never) { return shape; }
      override call(inputs: never) {
        const [x] = Array.isArray(inputs) ? inputs : [inputs];
        if (Math.max(...x.dataSync()) > 10) throw new Error("no such length");
        return x;
      }
    }
    return tf.sequential({
      layers: [
        new Picky({ inputShape: [...inputShape] }),
        tf.layers.dense({ units: 8 }),
        tf.layers.dense({ units: classes }),
      ],
    });
  },
});
`;
