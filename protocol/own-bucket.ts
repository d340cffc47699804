/**
 * What a data bucket that exists needs, and what its owner does for it: the stack changes nothing there, as CloudFormation would replace
 * what it finds.
 */

/** A bucket's notifications as S3 tells them: whatever is in it stays as it is. */
export type BucketNotifications = Readonly<Record<string, unknown>>;

const EVENTS = "EventBridgeConfiguration";

/** Each object that comes is told to EventBridge. */
export function tellsEventBridge(now: BucketNotifications): boolean {
  return now[EVENTS] !== undefined && now[EVENTS] !== null;
}

/** The setting to put: all that is there, and EventBridge. S3 replaces the whole of it, so nothing may be left out. */
export function withEventBridge(now: BucketNotifications): BucketNotifications {
  const { $metadata: _, ...setting } = now; // of the SDK's answer
  return tellsEventBridge(setting) ? setting : { ...setting, [EVENTS]: {} };
}

/** The command that puts it; the JSON in single quotes, as a shell takes it. */
export function notificationCommand(bucket: string, now: BucketNotifications): string {
  const setting = JSON.stringify(withEventBridge(now)).replaceAll("'", String.raw`'\''`);
  return `aws s3api put-bucket-notification-configuration --bucket ${bucket} --notification-configuration '${setting}'`;
}

/** Where data in another account or another region is. Every part but bucket and prefix may be a token. */
export interface FarBucket {
  readonly bucket: string;
  readonly prefix: string;
  /** ARN of the default bus in the stack's account and region */
  readonly bus: string;
}

/**
 * A CloudFormation template for the data's account and region: a rule that sends the bucket's events on to the stack's bus. Nothing
 * reads the bucket by it.
 */
export function forwardingTemplate({ bucket, prefix, bus }: FarBucket): object {
  return {
    Description: "accrete: tells the stack of objects that come",
    Resources: {
      Role: {
        Type: "AWS::IAM::Role",
        Properties: {
          AssumeRolePolicyDocument: {
            Version: "2012-10-17",
            Statement: [{ Effect: "Allow", Action: "sts:AssumeRole", Principal: { Service: "events.amazonaws.com" } }],
          },
          Policies: [
            {
              PolicyName: "accrete",
              PolicyDocument: {
                Version: "2012-10-17",
                Statement: [{ Effect: "Allow", Action: "events:PutEvents", Resource: bus }],
              },
            },
          ],
        },
      },
      Rule: {
        Type: "AWS::Events::Rule",
        Properties: {
          EventPattern: {
            source: ["aws.s3"],
            "detail-type": ["Object Created"],
            detail: { bucket: { name: [bucket] }, object: { key: [{ prefix }] } },
          },
          Targets: [{ Id: "Accrete", Arn: bus, RoleArn: { "Fn::GetAtt": ["Role", "Arn"] } }],
        },
      },
    },
  };
}

/**
 * What of a bucket's place is refused; undefined if nothing.
 * @param region the stack's; undefined: not known before it is deployed
 */
export function regionFault(
  { dataRegion, crossRegion }: { readonly dataRegion: string | null; readonly crossRegion: boolean },
  region: string | undefined,
): string | undefined {
  if (dataRegion === null || crossRegion || dataRegion === region) return undefined;
  return region === undefined
    ? `buckets.dataRegion: ${dataRegion}: name aws.region as well, so that the two can be compared`
    : `buckets.dataRegion: the data is in ${dataRegion} and the stack in ${region}: each round would pay for its transfer; set buckets.crossRegion if that is meant`;
}
