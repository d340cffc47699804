import type { BucketsConfig } from "../protocol/aws-config.ts";
import type { PipelineConfig } from "../protocol/config.ts";
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

/**
 * What of several pipelines' buckets can't be beside each other; undefined if all can. A bucket has one policy: of two stacks the later would
 * take the other's away. And of two pipelines that learn from each other's state each round wakes the next, for ever.
 */
export function sharedBucketsFault(
  pipelines: readonly { readonly name: string; readonly buckets: Pick<PipelineConfig["buckets"], "state" | "data"> }[],
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
