import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseConfig } from "./config.ts";
import { nearestName } from "./nearest-name.ts";
import { parseDuration } from "./units.ts";
import { AccreteError } from "./errors.ts";

const least = { name: "digits", data: { format: "csv" }, trainer: { model: "./model.ts" } };
const parseOne = (part: object = {}): ReturnType<typeof parseConfig>["pipelines"][number] =>
  parseConfig({ pipelines: [{ ...least, ...part }] }).pipelines[0]!;
const invalid = (message: string | RegExp): unknown =>
  expect.objectContaining({
    code: "CONFIG_INVALID",
    message: typeof message === "string" ? expect.stringContaining(message) : expect.stringMatching(message),
  });

it("fills in all that is left out", () => {
  expect(parseOne()).toEqual({
    name: "digits",
    data: {
      prefix: "",
      suffixes: [],
      format: "csv",
      task: "classification",
      delimiter: ",",
      label: "label",
      labelSeparator: "|",
      weight: null,
      text: null,
      tokens: 64,
      vocabulary: 10_000,
      features: null,
      labels: null,
      imageShape: null,
      holdout: 0.1,
      normalise: 1_000,
      augment: null,
      memory: 1_073_741_824,
      since: null,
      limits: { memory: 4_294_967_296, time: 600_000, bytes: 4_294_967_296 },
    },
    trainer: {
      model: "./model.ts",
      start: null,
      trainable: null,
      onRound: { optimizer: "keep", learningRateScale: 1 },
      onModelChange: "fail",
      epochs: 3,
      batchSize: 32,
      loss: null,
      labelSmoothing: 0,
      classWeights: null,
      weightDecay: 0,
      clip: null,
      accumulate: 1,
      precision: "float32",
      earlyStopping: null,
      seed: 1,
      saveEverySteps: 0,
      saveEvery: 300_000,
      optimizer: { name: "adam", learningRate: 0.001, beta1: 0.9, beta2: 0.999, epsilon: 1e-7 },
      schedule: { name: "warmup-cosine", warmup: 0.1, floor: 0 },
    },
    trigger: {
      quietPeriod: 3_000,
      longestWait: 3_600_000,
      minItems: 1,
      maxItems: 20_000,
      maxBytes: 107_374_182_400,
      minInterval: 0,
    },
    gate: { metric: "accuracy", maxDrop: 0.02, onFail: "hold" },
    keep: { rounds: 10, history: 35, best: true },
    jobs: { attempts: 5, timeLimit: 86_400_000, maxWait: 7_200_000 },
    schedule: null,
    budget: null,
    notify: {
      webhook: null,
      command: null,
      on: ["committed", "held", "rolled-back", "promoted", "blocked", "damaged", "budget"],
    },
    compute: {
      platform: "ec2",
      gpus: null,
      instanceTypes: null,
      vcpus: 4,
      memory: null,
      spot: true,
      maxVcpus: 16,
      scratch: 107_374_182_400,
      sharedMemory: 1_073_741_824,
      image: null,
    },
    buckets: {
      data: null,
      dataAccount: null,
      dataRegion: null,
      crossRegion: false,
      dataKey: null,
      state: null,
    },
  });
});

it("fills in the rest of a part that is given in part", () => {
  const { trainer, trigger } = parseOne({
    trainer: { model: "m.ts", optimizer: { name: "sgd" } },
    trigger: { quietPeriod: "2 min" },
  });
  expect(trainer.optimizer).toEqual({ name: "sgd", learningRate: 0.01, momentum: 0, nesterov: false });
  expect(trigger).toMatchObject({ quietPeriod: 120_000, longestWait: 3_600_000 });
});

describe("a duration", () => {
  it.each([
    ["2 min", 120_000],
    ["90 s", 90_000],
    ["90s", 90_000],
    ["1 hour", 3_600_000],
    ["1.5 h", 5_400_000],
    ["2 DAYS", 172_800_000],
    [" 3 seconds ", 3_000],
    ["5 mins", 300_000],
    ["250 ms", 250],
    ["0 s", 0],
  ])("%j is %d ms", (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
    expect(parseOne({ trigger: { quietPeriod: text } }).trigger.quietPeriod).toBe(ms);
  });

  it("is milliseconds if it is a number", () => {
    expect(parseOne({ trigger: { quietPeriod: 1500 } }).trigger.quietPeriod).toBe(1500);
  });

  it.each([
    "",
    "soon",
    "5",
    "-5 s",
    "5 fortnights",
    "1e3 s",
    "s",
    "5 min 3 s",
    "5 constructor",
    `${"9".repeat(400)} d`,
  ])("%j is none, and the error says how one is written", (text) => {
    expect(parseDuration(text)).toBeUndefined();
    expect(() => parseOne({ trigger: { quietPeriod: text } })).toThrow(
      invalid(/^pipelines\[0\]\.trigger\.quietPeriod: ".*" is no duration: write "30 s"/),
    );
  });

  it.each([-1, Number.NaN, Infinity, null, true])("%s is none", (value) => {
    expect(() => parseOne({ trigger: { quietPeriod: value } })).toThrow(invalid("pipelines[0].trigger.quietPeriod"));
  });

  it("is a whole, safe number of milliseconds or nothing, whatever the text", () => {
    const text = fc.tuple(
      fc.stringMatching(/^\d{1,20}(\.\d{1,5})?$/),
      fc.constantFrom("ms", "s", "min", "h", "d", "valueof"),
    );
    fc.assert(
      fc.property(text, ([amount, unit]) => {
        const ms = parseDuration(`${amount} ${unit}`);
        if (ms !== undefined) expect(Number.isSafeInteger(ms)).toBe(true);
      }),
    );
  });
});

describe("an unknown name", () => {
  it.each([
    [
      { trigger: { quitePeriod: "2 min" } },
      'pipelines[0].trigger: "quitePeriod" is not known: did you mean "quietPeriod"?',
    ],
    [{ trainr: {} }, 'pipelines[0]: "trainr" is not known: did you mean "trainer"?'],
    [{ keep: { ROUNDS: 3 } }, '"ROUNDS" is not known: did you mean "rounds"?'],
    [{ trainer: { model: "m", optimizer: { name: "adam", beta3: 1 } } }, 'did you mean "beta1"?'],
  ])("is an error that names the nearest known one: %j", (part, message) => {
    expect(() => parseOne(part)).toThrow(invalid(message));
  });

  it.each([
    { by: "content", part: 0.2 },
    { by: "group", column: "user", part: 0.2 },
    { by: "time", column: "at", part: 0.2 },
    { by: "prefix", prefix: "test/" },
  ] as const)("may name a holdout: %j", (holdout) => {
    expect(parseOne({ data: { format: "csv", holdout } }).data.holdout).toEqual(holdout);
    expect(parseOne({ data: { format: "csv", holdout } }).gate).not.toBeNull();
  });

  it("gets no suggestion that is far from it", () => {
    expect(() => parseOne({ colour: "red" })).toThrow(invalid(/"colour" is not known$/));
    expect(nearestName("xyzzy", ["quietPeriod", "model"])).toBeUndefined();
  });

  it("one edit away is always found, and is itself if it is known", () => {
    const known = ["quietPeriod", "longestWait", "learningRate"];
    fc.assert(
      fc.property(fc.constantFrom(...known), fc.nat(), fc.stringMatching(/^[a-z]$/), (name, at, letter) => {
        const i = at % name.length;
        expect(nearestName(name, known)).toBe(name);
        expect(nearestName(name.slice(0, i) + name.slice(i + 1), known)).toBe(name);
        expect(nearestName(name.slice(0, i) + letter + name.slice(i), known)).toBe(name);
        expect(nearestName(name.slice(0, i) + letter + name.slice(i + 1), known)).toBe(name);
      }),
    );
  });
});

describe("a config is refused, and the message says where", () => {
  it.each<[string, unknown, string]>([
    ["nothing", undefined, "config: "],
    ["no pipelines", { pipelines: [] }, "pipelines: "],
    ["no data", { pipelines: [{ name: "a", trainer: { model: "m" } }] }, "pipelines[0].data: "],
    ["an unknown format", { pipelines: [{ ...least, data: { format: "xls" } }] }, "pipelines[0].data.format: "],
    ["a holdout of everything", { pipelines: [{ ...least, data: { format: "csv", holdout: 1 } }] }, "data.holdout: "],
    ["no epochs", { pipelines: [{ ...least, trainer: { model: "m", epochs: 0 } }] }, "trainer.epochs: "],
    ["too large a seed", { pipelines: [{ ...least, trainer: { model: "m", seed: 2 ** 32 } }] }, "trainer.seed: "],
    [
      "a picture of two channels",
      { pipelines: [{ ...least, data: { format: "images", imageShape: [8, 8, 2] } }] },
      "data.imageShape",
    ],
    [
      "the second pipeline's fault",
      { pipelines: [least, { ...least, name: "b", keep: { rounds: 0 } }] },
      "pipelines[1].keep.rounds: ",
    ],
    ...(
      [
        [{ format: "idx", weight: "w" }, "digits: data.weight: it names a column, but idx has none"],
        [
          { format: "text", weight: "w" },
          "data.weight: it names a column, but lines of text have none: name data.text",
        ],
        [
          { format: "images", holdout: { by: "time", column: "t", part: 0.1 } },
          "data.holdout: it names a column, but images has none",
        ],
        [{ format: "csv", holdout: { by: "group", part: 0.1 } }, "data.holdout"],
        [{ format: "csv", holdout: { by: "content", part: 1 } }, "data.holdout"],
        [{ format: "csv", text: "message" }, 'data.text: it is for data.format: "text", not "csv"'],
        [{ format: "tsv", delimiter: ";" }, 'data.delimiter: it is for data.format: "csv", not "tsv"'],
        [{ format: "csv", delimiter: '"' }, "data.delimiter: a delimiter is one character, and not a quote"],
        [{ format: "csv", delimiter: "::" }, "data.delimiter: a delimiter is one character"],
        [{ format: "csv", labelSeparator: ";" }, 'data.labelSeparator: it is for data.task: "multi-label"'],
      ] as const
    ).map(([data, message]): [string, unknown, string] => [
      `what does not go together: ${JSON.stringify(data)}`,
      { pipelines: [{ ...least, data }] },
      message,
    ]),
    ...(
      [
        [{ compute: { platform: "fargate", gpus: 1 } }, "digits: compute.gpus: fargate has no GPUs: leave it out"],
        [
          { compute: { platform: "fargate", instanceTypes: ["c7i.large"] } },
          "digits: compute.instanceTypes: fargate has none to choose",
        ],
        [{ compute: { instanceTypes: ["big"] } }, 'an instance type is written like "g4dn.xlarge"'],
        [{ buckets: { dataRegion: "eu-west-1" } }, "digits: buckets.dataRegion is of a data bucket that exists"],
        [
          { buckets: { data: "one-bucket", state: "one-bucket" } },
          "digits: buckets.state: the data bucket can't be the state bucket as well",
        ],
        [{ buckets: { data: "My_Bucket" } }, "pipelines[0].buckets.data: not a bucket's name"],
      ] as const
    ).map(([part, message]): [string, unknown, string] => [
      `what no stack can be made of: ${JSON.stringify(part)}`,
      { pipelines: [{ ...least, ...part }] },
      message,
    ]),
    [
      "one state bucket for two pipelines",
      {
        pipelines: ["a", "b"].map((name) => ({ ...least, name, buckets: { state: "old-state" } })),
      },
      "pipelines: a and b have the same buckets.state, old-state: each needs one of its own",
    ],
    [
      "an ARN of another service",
      { pipelines: [least], aws: { kmsKey: "arn:aws:sns:eu-west-1:123456789012:x" } },
      'aws.kmsKey: an ARN is expected: "arn:aws:kms:..."',
    ],
    ["two of one name", { pipelines: [least, { ...least }] }, "two are named digits"],
    [
      "more needed than allowed",
      { pipelines: [{ ...least, trigger: { minItems: 11, maxItems: 10 } }] },
      "digits: trigger.minItems 11 is more than trigger.maxItems 10: no round would ever start",
    ],
  ])("%s", (_what, config, message) => {
    expect(() => parseConfig(config)).toThrow(invalid(message));
    expect(() => parseConfig(config)).toThrow(AccreteError);
  });

  it.each(["", "Digits", "1digits", "-a", "a_b", "a/b", "a.b", "a".repeat(41), "a\n"])("the name %j", (name) => {
    expect(() => parseOne({ name })).toThrow(invalid("a name is a-z, 0-9 and -"));
  });
  it.each(["a", "a-1", "a".repeat(40)])("but not the name %j", (name) => expect(parseOne({ name }).name).toBe(name));

  it("as many needed as allowed is no fault", () => {
    expect(parseOne({ trigger: { minItems: 10, maxItems: 10 } }).trigger.maxItems).toBe(10);
  });
});

describe("the gate", () => {
  it("measures what the task has, if nothing is said", () => {
    expect(parseOne().gate?.metric).toBe("accuracy");
    expect(parseOne({ data: { format: "csv", task: "regression" } }).gate?.metric).toBe("mse");
    expect(parseOne({ data: { format: "csv", task: "multi-label" } }).gate?.metric).toBe("f1");
  });

  it("is none without a holdout, if nothing is said, and where null says so", () => {
    expect(parseOne({ data: { format: "csv", holdout: 0 } }).gate).toBeNull();
    expect(parseOne({ gate: null }).gate).toBeNull();
  });

  it("is accuracy for a holdout of any kind", () => {
    for (const holdout of [0.2, { by: "prefix", prefix: "test/" }, { by: "time", column: "t", part: 0.1 }] as const)
      expect(parseOne({ data: { format: "csv", holdout } }).gate?.metric).toBe("accuracy");
  });

  it("can't be asked for without a holdout", () => {
    expect(() => parseOne({ data: { format: "csv", holdout: 0 }, gate: {} })).toThrow(
      invalid("digits: gate: there is nothing to measure with data.holdout: 0"),
    );
  });

  it.each([
    ["classification", ["accuracy", "f1", "loss"], ["mae", "mse"]],
    ["multi-label", ["f1", "accuracy", "loss"], ["mae", "mse"]],
    ["regression", ["mse", "mae", "loss"], ["accuracy", "f1"]],
  ])("of a %s takes only what is measured for it", (task, measured, not) => {
    const data = { format: "csv", task };
    for (const metric of measured) expect(parseOne({ data, gate: { metric } }).gate?.metric).toBe(metric);
    for (const metric of not) {
      expect(() => parseOne({ data, gate: { metric } })).toThrow(
        invalid(`gate.metric: "${metric}" is not measured for ${task}: one of ${measured.join(", ")}`),
      );
    }
  });
});

it.each([{ "not a name": "x" }, { authorization: "Bearer hunter2\nx: y" }, { authorization: "hunter2\u20ac" }])(
  "a webhook's header that can't be sent is an error that does not show its value, case %#",
  (headers) => {
    const notify = { webhook: { url: "https://example.com/", headers } };
    const pipeline = { name: "a", data: { format: "csv" }, trainer: { model: "./model.ts" }, notify };
    expect(() => parseConfig({ pipelines: [pipeline] })).toThrow(/^pipelines\[0\]\.notify\.webhook\.headers/);
    expect(() => parseConfig({ pipelines: [pipeline] })).not.toThrow(/hunter2/);
  },
);

it.each<[string, object]>([
  ["data.augment: it changes images", { format: "csv", augment: { shift: 1 } }],
  ["data.augment: it changes images", { format: "text", augment: {} }],
  ["data.holdout: it names a column", { format: "idx", holdout: { by: "time", column: "t", part: 0.1 } }],
])("what a format has not can't be asked for: %s", (message, data) => {
  expect(() => parseOne({ data })).toThrow(invalid(`digits: ${message}`));
  expect(parseOne({ data: { format: "idx", augment: {} } }).data.augment).toEqual({ flip: "none", shift: 0, crop: 0 });
});
