import { describe, expect, it } from "vitest";
import { endText } from "./job-end.ts";

describe("why a job has stopped", () => {
  it.each([
    ["in a container", { exitCode: 137, reason: "exit code 137" }, "exit code 137: killed"],
    ["a process", { exitCode: 137, reason: "killed by SIGKILL" }, "killed by SIGKILL, exit code 137: killed"],
    ["without a word", { exitCode: 137 }, "exit code 137: killed"],
    [
      "on AWS, where the container alone says 137",
      { exitCode: 137, reason: "Essential container in task exited" },
      "Essential container in task exited, exit code 137: killed",
    ],
  ])("names memory for one that was killed %s", (_, job, begins) => {
    expect(endText(job)).toMatch(begins);
    expect(endText(job)).toMatch(/out of memory: give it more memory \(on AWS `compute\.memory`\)/);
  });

  it("says what to do where AWS Batch has said that it was memory", () => {
    const reason = "Essential container in task exited: OutOfMemoryError: Container killed due to memory usage";
    expect(endText({ exitCode: 137, reason })).toBe(
      `${reason}: give it more memory (on AWS \`compute.memory\`), or a smaller trainer.batchSize or data.memory`,
    );
  });

  it.each([
    { exitCode: 137, reason: "time limit of 60 s: killed by SIGKILL" },
    { exitCode: 137, reason: "killed by SIGKILL: hung: step 7 takes longer than 600 s" },
    { exitCode: 137, reason: "Host EC2 (instance i-1) terminated." },
    { exitCode: 70, reason: "exit code 70" },
    { exitCode: 1 },
    {},
  ])("adds nothing to another end: %o", (job) => {
    expect(endText(job)).toBe(job.reason);
  });
});
