/** What the stack on AWS is made of. Nothing on one machine reads it. */
import * as z from "zod/mini";
import { AtLeast1, Name, Positive } from "./config-values.ts";
import { Size } from "./units.ts";

const GiB = 1_073_741_824;
const Account = z.string().check(z.regex(/^\d{12}$/, "an account is 12 digits"));
const Region = z.string().check(z.regex(/^[a-z]{2}(-[a-z]+)+-\d$/, 'a region is written like "eu-central-1"'));
const BucketName = z
  .string()
  .check(z.regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, "not a bucket's name: a-z, 0-9, - and ., 3 to 63 long"));
const arn = (service: string) =>
  z
    .string()
    .check(z.regex(new RegExp(`^arn:aws[a-z-]*:${service}:\\S+$`), `an ARN is expected: "arn:aws:${service}:..."`));

/** As Docker takes it: where it is pulled from, with a port or not, and what it is; AWS Batch takes 255 characters. */
const IMAGE =
  /^(?=.{1,255}$)[a-zA-Z0-9][a-zA-Z0-9.-]*(?::\d+(?=\/))?(?:\/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*(?::\w[\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$/;
const IMAGE_EXPECTED =
  'an image is written like "REGISTRY/NAME@sha256:DIGEST", of 64 hex digits, or "REGISTRY/NAME:TAG"';
const Image = z.string().check(z.regex(IMAGE, IMAGE_EXPECTED));

/** Why it names no image; undefined if it does. */
export const imageFault = (image: string): string | undefined => (IMAGE.test(image) ? undefined : IMAGE_EXPECTED);

/** The machine that a pipeline's jobs run on. */
export const ComputeConfig = z.strictObject({
  /** fargate: no GPU, nothing to choose, starts within a minute; for small models */
  platform: z._default(z.enum(["ec2", "fargate"]), "ec2"),
  /** of a job; 0: trained on processors; null: 1, on fargate 0 */
  gpus: z._default(z.nullable(z.int().check(z.gte(0), z.lte(16))), null),
  /** null: g4dn.xlarge with a GPU, c7i.xlarge and m7i.xlarge without */
  instanceTypes: z._default(
    z.nullable(
      z
        .array(z.string().check(z.regex(/^[a-z0-9-]+\.[a-z0-9-]+$/, 'an instance type is written like "g4dn.xlarge"')))
        .check(z.minLength(1), z.maxLength(50)),
    ),
    null,
  ),
  /** of a job */
  vcpus: z._default(AtLeast1.check(z.lte(192)), 4),
  /** of a job, in bytes; null: 14 GiB with a GPU, 6 GiB without */
  memory: z._default(z.nullable(Size.check(z.gte(512 * 1_048_576, "at least 512 MiB are expected"))), null),
  /** machines that may be taken back; the attempt after one that was lost or waited too long is on demand */
  spot: z._default(z.boolean(), true),
  /** all machines of the pipeline together */
  maxVcpus: z._default(AtLeast1.check(z.lte(10_000)), 16),
  /** room for the data of a round and a checkpoint, in bytes */
  scratch: z._default(Size.check(z.gte(GiB, "at least 1 GiB is expected")), 100 * GiB),
  /** /dev/shm of a job, in bytes */
  sharedMemory: z._default(Size, GiB),
  /** that jobs run in; null: that of `aws.image` */
  image: z._default(z.nullable(Image), null),
});
export type ComputeConfig = z.infer<typeof ComputeConfig>;

/** Of a job. */
export function gpusOf({ platform, gpus }: Pick<ComputeConfig, "platform" | "gpus">): number {
  return gpus ?? (platform === "fargate" ? 0 : 1);
}

/** What of it can't go together; undefined if all can. */
export function computeFault({ platform, gpus, instanceTypes }: ComputeConfig): string | undefined {
  if (platform === "ec2") return undefined;
  if (gpus !== null && gpus > 0) return "compute.gpus: fargate has no GPUs: leave it out, or compute.platform";
  if (instanceTypes !== null) return "compute.instanceTypes: fargate has none to choose: leave it out";
  return undefined;
}

/** Buckets that exist; what is null is made. */
export const BucketsConfig = z.strictObject({
  data: z._default(z.nullable(BucketName), null),
  /** of the data bucket; null: the stack's own */
  dataAccount: z._default(z.nullable(Account), null),
  /** of the data bucket; null: the stack's own */
  dataRegion: z._default(z.nullable(Region), null),
  /** data may be read from another region, which costs by the gigabyte */
  crossRegion: z._default(z.boolean(), false),
  /** that the objects of the data bucket are encrypted with */
  dataKey: z._default(z.nullable(arn("kms")), null),
  state: z._default(z.nullable(BucketName), null),
});
export type BucketsConfig = z.infer<typeof BucketsConfig>;

/** What of it can't go together; undefined if all can. */
export function bucketsFault(buckets: BucketsConfig): string | undefined {
  if (buckets.state !== null && buckets.state === buckets.data)
    return "buckets.state: the data bucket can't be the state bucket as well: what the pipeline writes would wake it";
  if (buckets.data !== null) return undefined;
  const without = (["dataAccount", "dataRegion", "dataKey"] as const).find((name) => buckets[name] !== null);
  return without === undefined
    ? undefined
    : `buckets.${without} is of a data bucket that exists: name it in buckets.data`;
}

/**
 * What of several pipelines' buckets can't be beside each other; undefined if all can. A bucket has one policy: of two stacks the later would
 * take the other's away. And of two pipelines that learn from each other's state each round wakes the next, for ever.
 */
export function sharedBucketsFault(
  pipelines: readonly { readonly name: string; readonly buckets: Pick<BucketsConfig, "state" | "data"> }[],
): string | undefined {
  for (const { name, buckets } of pipelines) {
    if (buckets.state === null) continue;
    for (const other of pipelines) {
      if (other.name === name) continue;
      if (other.buckets.state === buckets.state)
        return `pipelines: ${name} and ${other.name} have the same buckets.state, ${buckets.state}: each needs one of its own`;
      if (other.buckets.data === buckets.state)
        return `pipelines: ${other.name}: buckets.data is the state bucket of ${name}: what that writes would wake it`;
    }
  }
  return undefined;
}

export const AwsConfig = z.strictObject({
  /** part of every name, so that two can stand side by side */
  stage: z._default(
    z.string().check(z.regex(/^[a-z][a-z0-9]{0,11}$/, "a stage is a-z and 0-9, starts with a letter, at most 12 long")),
    "prod",
  ),
  /** null: those of the credentials */
  account: z._default(z.nullable(Account), null),
  region: z._default(z.nullable(Region), null),
  /** of the jobs of pipelines that name none; null: it is built of this project's trainer, with Docker, when the stack is deployed */
  image: z._default(z.nullable(Image), null),
  /** null: one is made, with public subnets and no way in */
  vpc: z._default(
    z.nullable(
      z.strictObject({
        id: z.string().check(z.regex(/^vpc-[0-9a-f]+$/, 'a VPC is written like "vpc-0a1b2c3d"')),
        subnets: z
          .array(z.string().check(z.regex(/^subnet-[0-9a-f]+$/, 'a subnet is written like "subnet-0a1b2c3d"')))
          .check(z.minLength(1), z.maxLength(16)),
      }),
    ),
    null,
  ),
  /** encrypts state, queues and logs; null: the services' own keys */
  kmsKey: z._default(z.nullable(arn("kms")), null),
  permissionsBoundary: z._default(z.nullable(arn("iam")), null),
  /** who hears of alarms and notices */
  alarms: z.prefault(
    z.strictObject({
      email: z._default(z.nullable(z.string().check(z.regex(/^\S+@\S+\.\S+$/, "not an e-mail address"))), null),
      topic: z._default(z.nullable(arn("sns")), null),
    }),
    {},
  ),
  /** days */
  logRetention: z._default(z.literal([1, 3, 5, 7, 14, 30, 60, 90, 180, 365]), 30),
  dashboard: z._default(z.boolean(), false),
  /** dollars a month that AWS Budgets warns of; null: none */
  monthlyBudget: z._default(z.nullable(Positive), null),
  tags: z._default(z.record(Name, z.string().check(z.maxLength(256))), {}),
});
export type AwsConfig = z.infer<typeof AwsConfig>;
