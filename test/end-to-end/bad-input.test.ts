/** What people put into a data folder: odd names, odd files, bad contents. Each is learned, or rejected, or passed over with a word. */
import { execFileSync } from "node:child_process";
import { chmod, chown, link, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { initWorkspace, runCli } from "../run-cli.ts";
import { csv, data, drop, expectDone, expectFailure, expectSafe, settle, whereIs } from "./workspace.ts";

const folder = await mkdtemp(join(tmpdir(), "accrete-input-"));
afterAll(() => rm(folder, { recursive: true, force: true }));
const workspace = (name: string): Promise<string> => initWorkspace(folder, name, [["epochs: 5,", "epochs: 2,"]]);
const HEADER = "length,width,label\n";

describe.concurrent("bad contents", () => {
  let dir: string;
  beforeAll(async () => {
    dir = await workspace("contents");
    await drop(dir, "first.csv", csv(1));
    await expectDone(dir, "up", "--once");
  });

  const BAD: readonly (readonly [what: string, name: string, content: string | Uint8Array, says: RegExp])[] = [
    ["other columns", "columns.csv", "a,b\n1,2\n", /there is no label column "label"; its columns are "a", "b"/],
    [
      "a label that isn't known",
      "label.csv",
      `${HEADER}1,2,rose\n`,
      /line 2: the label "rose" is none of the 3 classes/,
    ],
    ["NaN as a feature", "nan.csv", `${HEADER}1,NaN,iris\n`, /line 2, column "width": "NaN" is not finite/],
    ["bytes that are no text", "bytes.csv", new Uint8Array([0xff, 0xfe, 0x00, 0x80, 0x0a]), /./],
    ["a header alone", "header.csv", HEADER, /./],
    ["a row that is too short", "short.csv", `${HEADER}1,2,iris\n1\n`, /line 3/],
    [
      "UTF-16",
      "utf16.csv",
      Buffer.from(`\ufeff${csv(7)}`, "utf16le"),
      /it is UTF-16 \(little-endian\): expected UTF-8/,
    ],
    [
      "semicolons",
      "semicolons.csv",
      csv(7).replaceAll(",", ";"),
      /is ";" what is between its columns\? Then set data\.delimiter/,
    ],
    [
      "gzip that is cut short",
      "cut.csv",
      gzipSync(csv(7, 500)).subarray(0, 200),
      /its gzip data is cut short: it ends after \d+ bytes/,
    ],
    ["escape sequences in a value", "escape.csv", `${HEADER}1,"\u001b[31m\u202e",iris\n`, /\\u001b\[31m\\u\{202e\}/],
  ];

  it("are rejected, each with its reason, and the good ones beside them are trained", async () => {
    for (const [, name, content] of BAD) await drop(dir, name, content);
    await drop(dir, "empty.csv", "");
    for (const seed of [2, 3, 4]) await drop(dir, `good-${seed}.csv`, csv(seed));
    await drop(dir, "packed.csv", Buffer.concat([gzipSync(csv(5)), gzipSync("1,2,iris\n")]));
    await settle();
    const up = await expectDone(dir, "up", "--once");
    expect(up.out).toContain(`round 2 has learned 4 items; ${BAD.length} were rejected: \`accrete show 2\` says why`);
    expect(await whereIs(dir, "good-2.csv", "good-3.csv", "good-4.csv", ...BAD.map(([, name]) => name))).toEqual([
      ...Array.from({ length: 3 }, () => "learned 2"),
      ...BAD.map(() => "rejected 2"),
    ]);
    const [show, why, empty, status] = await Promise.all([
      expectDone(dir, "show", "2"),
      expectDone(dir, "why", "flowers/escape.csv"),
      expectDone(dir, "why", "flowers/empty.csv"),
      expectDone(dir, "status"),
    ]);
    for (const [what, name, , says] of BAD)
      expect(show.out, what).toMatch(new RegExp(`^ +flowers/${name} .* bad: .*${says.source}`, "m"));
    expect(why.out).toContain("rejected by round 2: it could not be read: line 2");
    expect(why.out).toContain("what to do: put a mended file under the same name");
    expect(empty.out).toContain("it does not count: it is empty");
    expect(status.out).toContain(
      `${BAD.length} items in all: \`accrete log\` has their rounds, \`accrete show ROUND\` names them`,
    );
    expect((await expectDone(dir, "verify")).out).toContain("all whole");
  });
});

describe("too many bad files at once", () => {
  it("block the round, and nothing is trained before somebody has looked", async () => {
    const dir = await workspace("many");
    const bad = Array.from({ length: 11 }, (_, i) => `bad-${i}.csv`);
    for (const name of bad) await drop(dir, name, `a,b\n1,${name}\n`);
    await drop(dir, "good.csv", csv(1));
    await settle();
    const up = await runCli(dir, ["up", "--once"]);
    expectFailure(up, 1, "TOO_MANY_REJECTED", "11 of 12 items can't be used; the first: flowers/bad-0.csv");
    expect(up.out.match(/ {2}blocked /g)).toHaveLength(1);
    expect((await expectDone(dir, "status")).out).toMatch(/blocked: TOO_MANY_REJECTED: .*bad-0\.csv[^]*what to do: /);
    expect((await expectDone(dir, "show", "1")).out).toContain("flowers/bad-9.csv");
    expect(await whereIs(dir, "good.csv", "bad-0.csv")).toEqual(["being-learned 1", "being-learned 1"]);
    await expectDone(dir, "drop", "--yes", ...bad.map((name) => `flowers/${name}`));
    await drop(dir, "bad-0.csv", csv(2)); // mended
    await expectDone(dir, "up", "--once");
    const where = await whereIs(dir, "good.csv", "bad-0.csv");
    expect(where).toEqual([expect.stringMatching(/^learned \d$/), expect.stringMatching(/^taken-out, learned \d$/)]);
  });
});

describe.concurrent("a file that changes", () => {
  it("between plan and training: what is gone is rejected, the others are trained, the new content is a new item", async () => {
    const dir = await workspace("changes");
    const flag = join(dir, "not-yet");
    await writeFile(flag, "");
    const model = await readFile(join(dir, "model.ts"), "utf8");
    await writeFile(
      join(dir, "model.ts"),
      `import { existsSync } from "node:fs";\n${model.replace("tf.sequential(", `existsSync(${JSON.stringify(flag)}) ? undefined! : tf.sequential(`)}`,
    );
    for (const [i, name] of ["stays", "deleted", "overwritten"].entries()) await drop(dir, `${name}.csv`, csv(i));
    await settle();
    expectFailure(await runCli(dir, ["up", "--once"]), 1, "MODEL_INVALID", /build\(\)/);
    await rm(flag);
    await rm(data(dir, "deleted.csv"));
    await drop(dir, "overwritten.csv", csv(9));
    await expectDone(dir, "retry");
    expect((await expectDone(dir, "up", "--once")).out).toContain(
      "round 1 has learned 1 item; 2 were rejected: `accrete show 1` says why",
    );
    expect(await whereIs(dir, "stays.csv", "deleted.csv", "overwritten.csv")).toEqual([
      "learned 1",
      "rejected 1",
      "rejected 1, learned 2",
    ]);
    expect((await expectDone(dir, "why", "flowers/deleted.csv")).out).toContain("it was gone when the round read it");
  });

  it("while it is being written: it is learned once, when it has settled", async () => {
    const dir = await workspace("grows");
    const path = data(dir, "grows.csv");
    await mkdir(dirname(path), { recursive: true });
    const text = csv(1, 200);
    await writeFile(path, text.slice(0, 1_000));
    const up = runCli(dir, ["up", "--once"]);
    for (let at = 1_000; at < text.length; at += 500) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      await writeFile(path, text.slice(at, at + 500), { flag: "a" });
    }
    expect(await up).toMatchObject({ code: 0, err: "" });
    await expectDone(dir, "up", "--once");
    expect(await whereIs(dir, "grows.csv")).toEqual(["learned 1"]);
  });
});

describe("odd names", () => {
  const LEARNED = [
    "with spaces .csv",
    " leading.csv",
    "caf\u00e9.csv",
    "cafe\u0301.csv",
    "\u{1f33a}\u{1f469}\u200d\u{1f52c}.csv",
    "right\u202eleft.csv",
    "new\nline.csv",
    "escape\u001b[31m\u001b]0;title\u0007.csv",
    "tab\t.csv",
    "a..b.csv",
    "parts..x/y../z.csv",
    "-leading.csv",
    "--help.csv",
    "back\\slash.csv",
    "quotes'\"$`.csv",
    "percent%2e%2e%2f.csv",
    `${"x".repeat(251)}.csv`,
    // with the folder flowers/ 1,024 bytes in all
    `${`${"d".repeat(200)}/`.repeat(4)}${"e".repeat(208)}.csv`,
  ];

  it("are learned under these names and printed safely; what can't be a name, or is no file, is passed over with a word", async () => {
    const dir = await workspace("names");
    for (const [i, name] of LEARNED.entries()) await drop(dir, name, csv(i, 20));
    await writeFile(Buffer.concat([Buffer.from(data(dir, "bad-")), Buffer.from([0xff]), Buffer.from(".csv")]), csv(90));
    await mkdir(data(dir, `${"d".repeat(200)}/`.repeat(5)), { recursive: true });
    await writeFile(data(dir, `${`${"d".repeat(200)}/`.repeat(5)}too-long.csv`), csv(91));
    await writeFile(data(dir, ".hidden.csv"), csv(92));
    execFileSync("mkfifo", [data(dir, "pipe.csv")]);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(data(dir, "socket.csv"), resolve));
    await symlink("loop.csv", data(dir, "loop.csv"));
    await symlink("..", data(dir, "folder-loop"));
    await symlink("/etc/hostname", data(dir, "outside.csv"));
    await link(data(dir, "a..b.csv"), data(dir, "hard-link.csv"));
    await symlink("a..b.csv", data(dir, "link.csv"));
    const up = await expectDone(dir, "up", "--once");
    await new Promise((resolve) => server.close(resolve));
    for (const [name, why] of [
      ["bad-\ufffd.csv", "its name is not UTF-8"],
      ["too-long.csv", "its name is longer than 1,024 bytes"],
      ["pipe.csv", "it is a pipe, a socket or a device"],
      ["socket.csv", "it is a pipe, a socket or a device"],
      ["loop.csv", "a symbolic link that leads to no file of the data folder"],
      ["folder-loop", "a symbolic link"],
      ["outside.csv", "a symbolic link"],
    ] as const)
      expect(up.out).toMatch(new RegExp(`warning .*flowers/.*${name} is passed over: ${why}`));
    expect(up.out.match(/is passed over/g)).toHaveLength(7);

    expect(await whereIs(dir, ...LEARNED, "hard-link.csv", "link.csv")).toEqual(
      Array.from({ length: LEARNED.length + 2 }, () => expect.stringMatching(/^learned \d$/)),
    );
    for (const args of [["show", "1", "--all"], ["log"], ["status"], ["show", "1", "--json"]])
      await expectDone(dir, ...args);
    const shown = await expectDone(dir, "why", "flowers/escape\u001b[31m\u001b]0;title\u0007.csv");
    expect(shown.out).toContain("flowers/escape\\x1b[31m\\x1b]0;title\\x07.csv");
    expect((await expectDone(dir, "why", "flowers/new\nline.csv")).out).toContain("flowers/new\\nline.csv");
    expect((await expectDone(dir, "verify")).out).toContain("all whole");
  });

  it("add takes them in, and nothing leads out of the data folder", async () => {
    const dir = await workspace("added");
    for (const name of ["-leading.csv", "with spaces.csv", "new\nline.csv", "esc\u001b[31m.csv"])
      await writeFile(join(dir, name), csv(name.length, 20));
    await expectDone(
      dir,
      "add",
      "--",
      "-leading.csv",
      "with spaces.csv",
      "new\nline.csv",
      "./esc\u001b[31m.csv",
      "../added/sample/flowers-1.csv",
    );
    expect((await readdir(join(dir, ".accrete", "data", "flowers"))).sort()).toEqual(
      ["-leading.csv", "esc\u001b[31m.csv", "flowers-1.csv", "new\nline.csv", "with spaces.csv"].sort(),
    );
    const missing = await runCli(dir, ["add", "no\u001b[31m\nfile.csv"]);
    expectFailure(missing, 1, "NOT_FOUND", "no\\x1b[31m\\nfile.csv: there is no such file");
    for (const query of ["../../../etc/passwd", "flowers/../../x.csv", "flowers//x.csv", ""]) {
      const asked = await runCli(dir, ["why", query]);
      expectSafe(asked);
      expect(asked.err).toMatch(/^error (NOT_FOUND|UNSAFE_KEY): /);
      expect(asked.code).toBe(1);
    }
  });
});

describe("what this user may not read", () => {
  const NOBODY = 65_534;
  const isRoot = process.geteuid?.() === 0;
  const as = isRoot ? { uid: NOBODY } : {};

  it("a file: it is passed over with a word, and learned once it may be read; folders: they are named, and nothing is lost", async () => {
    const dir = await workspace("rights");
    await drop(dir, "a.csv", csv(1));
    await drop(dir, "b.csv", csv(2));
    await chmod(data(dir, "b.csv"), 0o000);
    if (isRoot) {
      await chmod(folder, 0o755);
      execFileSync("chown", ["-R", `${NOBODY}:${NOBODY}`, dir]);
    }
    const up = (): ReturnType<typeof runCli> => runCli(dir, ["up", "--once"], {}, as);
    const first = await up();
    expect(first).toMatchObject({ code: 0, err: "" });
    expect(first.out).toContain("flowers/b.csv is passed over: this user may not read it");
    await chmod(data(dir, "b.csv"), 0o644);
    expect(await up()).toMatchObject({ code: 0, err: "" });
    expect(await whereIs(dir, "a.csv", "b.csv")).toEqual(["learned 1", "learned 2"]);

    await drop(dir, "c.csv", csv(3));
    if (isRoot) await chown(data(dir, "c.csv"), NOBODY, NOBODY);
    for (const path of [join(dir, ".accrete", "data", "flowers"), join(dir, ".accrete", "state", "flowers", "log")]) {
      await chmod(path, 0o000);
      expectFailure(await up(), 1, "STORE_UNREADABLE", path.split("/").at(-1)!);
      await chmod(path, 0o755);
    }
    const inbox = join(dir, ".accrete", "state", "flowers");
    await chmod(inbox, 0o555);
    expectFailure(await up(), 1, "STORE_UNREADABLE", inbox);
    expect(await runCli(dir, ["status"], {}, as)).toMatchObject({ code: 0, err: "" });
    await chmod(inbox, 0o755);
    expect(await up()).toMatchObject({ code: 0, err: "" });
    expect(await whereIs(dir, "a.csv", "b.csv", "c.csv")).toEqual(["learned 1", "learned 2", "learned 3"]);
  });

  it("a data folder that is a file is named", async () => {
    const dir = await workspace("no-folder");
    await mkdir(join(dir, ".accrete"), { recursive: true });
    await writeFile(join(dir, ".accrete", "data"), "");
    expectFailure(await runCli(dir, ["up", "--once"]), 1, "STORE_UNREADABLE", join(dir, ".accrete", "data"));
    expectFailure(await runCli(dir, ["why", "x.csv"]), 1, "STORE_UNREADABLE", join(dir, ".accrete", "data"));
  });
});
