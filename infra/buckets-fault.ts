import type { BucketsConfig } from "../protocol/aws-config.ts";
import { regionFault } from "../protocol/own-bucket.ts";

/**
 * What of the buckets can't be on AWS; undefined if all can.
 * @param region the stack's; undefined: not known before it is deployed
 */
export function bucketsFault(buckets: BucketsConfig, region: string | undefined): string | undefined {
  if (buckets.state !== null && buckets.state === buckets.data)
    return "buckets.state: the data bucket can't be the state bucket as well: what the pipeline writes would wake it";
  return regionFault(buckets, region);
}
