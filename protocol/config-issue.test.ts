import { describe, expect, it } from "vitest";
import { parseConfig } from "./config.ts";

const least = { name: "digits", data: { format: "csv" }, trainer: { model: "./model.ts" } };

describe("a mistake is described by its place, what was found and what is meant", () => {
  it.each<[object, string]>([
    // a part that has two forms
    [{ schedule: { evry: "1 day" } }, 'schedule: "evry" is not known: did you mean "every"?'],
    [
      { schedule: { cron: "0 3 * * *", timezone: "UTC" } },
      'schedule: "timezone" is not known: did you mean "timeZone"?',
    ],
    [
      { schedule: { every: "1 dya" } },
      'schedule.every: "1 dya" is no duration: write "30 s", "2 min", "1 hour", "1 day"',
    ],
    [{ schedule: { every: "1 s" } }, "schedule.every: at least 1 minute is expected"],
    [{ schedule: { every: "1 day", cron: "0 3 * * *" } }, "schedule.cron: either every or cron, not both"],
    [
      { schedule: { every: "1 day", timeZone: "UTC" } },
      "schedule.timeZone: a time zone goes with cron: every counts from 1970, UTC",
    ],
    [{ schedule: { cron: 5 } }, "schedule.cron: a string is expected, not 5"],
    [
      { schedule: { cron: "0 3 * * *", retrain: "ful" } },
      'schedule.retrain: "ful" is none of "pending", "rehearse", "full": did you mean "full"?',
    ],
    [{ schedule: { retrain: "full" } }, "schedule: every or cron is missing"],
    [{ schedule: "daily" }, 'schedule: an object is expected, not "daily"'],
    // the others
    [{ budget: { perDay: 5 } }, "budget.pricePerHour: it is missing"],
    [{ budget: { perday: 5, pricePerHour: 1 } }, 'budget: "perday" is not known: did you mean "perDay"?'],
    [{ budget: { perDay: "5", pricePerHour: 1 } }, 'budget.perDay: a number is expected, not "5"'],
    [{ budget: { perDay: 5, pricePerHour: 0 } }, "budget.pricePerHour: 0: more than 0 is expected"],
    [{ budget: { every: "1 day", pricePerHour: 1 } }, 'budget: "every" does not belong here'],
    [{ notify: { webhook: { ulr: "https://x" } } }, 'notify.webhook: "ulr" is not known: did you mean "url"?'],
    [{ notify: { command: "x" } }, 'notify.command: an array is expected, not "x"'],
    [{ notify: { on: ["comitted"] } }, 'notify.on[0]: "comitted" is none of "planned", "submitted", "committed",'],
    [{ data: { format: "csv", limits: { memry: 1 } } }, 'data.limits: "memry" is not known: did you mean "memory"?'],
    [{ data: { format: "csv", limits: { time: "1 ms" } } }, 'data.limits.time: "1 ms": at least 1000 is expected'],
    [
      { data: { format: "cvs" } },
      'data.format: "cvs" is none of "csv", "tsv", "jsonl", "parquet", "idx", "images", "text": did you mean "csv"?',
    ],
    [
      { trainer: { model: "m", onRound: { optimiser: "keep" } } },
      'trainer.onRound: "optimiser" is not known: did you mean "optimizer"?',
    ],
    [{ trainer: { model: "m", start: { form: "x" } } }, 'trainer.start: "form" is not known: did you mean "from"?'],
    [
      { trainer: { model: "m", start: { from: "x", sha256: "ab" } } },
      "trainer.start.sha256: a sha256 is 64 hex digits",
    ],
    [
      { trainer: { model: "m", optimizer: { name: "adm" } } },
      'trainer.optimizer.name: "adm" is none of "sgd", "adam", "adamw", "rmsprop", "adagrad": did you mean "adam"?',
    ],
    [{ trainer: { model: "m", clip: 5 } }, "trainer.clip: an object is expected, not 5: such as { norm: 1 }"],
    [
      { trainer: { model: "m", optimizer: "adam" } },
      'trainer.optimizer: an object is expected, not "adam": such as { name: "adam" }',
    ],
    [
      { trainer: { model: "m", earlyStopping: true } },
      "trainer.earlyStopping: an object is expected, not true: such as { patience: 5 }",
    ],
    [
      { trainer: { model: "m", optimizer: { name: "adam", lr: 1 } } },
      'trainer.optimizer: "lr" is not known: did you mean "learningRate"?',
    ],
    [{ trainer: { model: "m", labelSmoothing: 1.5 } }, "trainer.labelSmoothing: 1.5: less than 1 is expected"],
    [{ data: { format: "csv", delimiter: ";;" } }, "data.delimiter: a delimiter is one character, and not a quote"],
    [{ trainer: { model: "m", epochs: 1.5 } }, "trainer.epochs: a whole number is expected, not 1.5"],
    [{ trigger: { quietPeriod: null } }, "trigger.quietPeriod: a number or a string is expected, not null"],
    [{ trigger: { quietPeriod: -1 } }, "trigger.quietPeriod: -1: at least 0 is expected"],
    [{ data: { format: "csv", holdout: 1 } }, "data.holdout: 1: less than 1 is expected"],
    [{ data: { format: "csv", labels: ["a"] } }, "data.labels: an array: at least 2 of them is expected"],
  ])("%j", (part, message) => {
    expect(() => parseConfig({ pipelines: [{ ...least, ...part }] })).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining(`pipelines[0].${message}`) }),
    );
  });

  it("of a whole config, too", () => {
    expect(() => parseConfig(undefined)).toThrow("config: it is missing");
    expect(() => parseConfig([])).toThrow("config: an object is expected, not an array");
  });
});
