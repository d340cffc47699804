import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import {
  forwardingTemplate,
  notificationCommand,
  regionFault,
  tellsEventBridge,
  withEventBridge,
} from "./own-bucket.ts";

describe("the notifications of a bucket that exists", () => {
  const theirs = {
    QueueConfigurations: [{ Id: "it's theirs", QueueArn: "arn:aws:sqs:eu-central-1:111122223333:q", Events: ["s3:*"] }],
  };

  it("stay as they are, and EventBridge comes to them", () => {
    expect(withEventBridge(theirs)).toEqual({ ...theirs, EventBridgeConfiguration: {} });
    expect(withEventBridge({})).toEqual({ EventBridgeConfiguration: {} });
  });

  it("are right already where EventBridge is among them", () => {
    expect(tellsEventBridge(theirs)).toBe(false);
    expect(tellsEventBridge({ EventBridgeConfiguration: {} })).toBe(true);
    const right = { EventBridgeConfiguration: {}, TopicConfigurations: [] };
    expect(withEventBridge(right)).toEqual(right);
  });

  it("are put without what the SDK adds to an answer", () => {
    expect(withEventBridge({ $metadata: { httpStatusCode: 200 }, ...theirs })).not.toHaveProperty("$metadata");
  });

  it("are put by a command that a shell reads back to the byte", () => {
    const command = notificationCommand("the-data", theirs);
    const printed = execFileSync("sh", ["-c", `aws() { for last; do :; done; printf %s "$last"; }; ${command}`], {
      encoding: "utf8",
    });
    expect(JSON.parse(printed)).toEqual(withEventBridge(theirs));
  });
});

it("the owner of far data gets a rule that sends the prefix's events on, and may do nothing else", () => {
  const bus = "arn:aws:events:eu-central-1:111122223333:event-bus/default";
  expect(forwardingTemplate({ bucket: "the-data", prefix: "digits/", bus })).toMatchObject({
    Resources: {
      Role: {
        Properties: {
          Policies: [
            { PolicyDocument: { Statement: [{ Effect: "Allow", Action: "events:PutEvents", Resource: bus }] } },
          ],
        },
      },
      Rule: {
        Properties: {
          EventPattern: { detail: { bucket: { name: ["the-data"] }, object: { key: [{ prefix: "digits/" }] } } },
          Targets: [{ Arn: bus }],
        },
      },
    },
  });
});

it.each([
  [null, false, "eu-central-1", undefined],
  ["eu-central-1", false, "eu-central-1", undefined],
  ["us-east-1", true, "eu-central-1", undefined],
  ["us-east-1", true, undefined, undefined],
  ["us-east-1", false, "eu-central-1", /set buckets.crossRegion/],
  ["us-east-1", false, undefined, /name aws.region as well/],
] as const)("data in %s, crossRegion %s, a stack in %s", (dataRegion, crossRegion, region, expected) => {
  const fault = regionFault({ dataRegion, crossRegion }, region);
  if (expected === undefined) expect(fault).toBeUndefined();
  else expect(fault).toMatch(expected);
});
