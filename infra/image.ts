import { ArnFormat, type Stack } from "aws-cdk-lib";
import type { PipelineConfig } from "../protocol/config.ts";

/** Account, region and repository of an image in ECR. */
const ECR = /^(\d{12})\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?\/([a-z0-9._/-]+?)(?:[:@].*)?$/;

/** The image of a pipeline's jobs; null: none is named. */
export function imageOf({ compute }: PipelineConfig, image: string | undefined): string | null {
  return compute.image ?? image ?? null;
}

/**
 * ARNs of the repositories that images are pulled from; one from elsewhere needs no permission. Of an image that is only named when the
 * stack is deployed (null): any of this account.
 */
export function imageRepositories(stack: Stack, images: readonly (string | null)[]): string[] {
  const arn = (account: string, region: string, repository: string): string =>
    stack.formatArn({
      service: "ecr",
      account,
      region,
      resource: "repository",
      resourceName: repository,
      arnFormat: ArnFormat.SLASH_RESOURCE_NAME,
    });
  return [...new Set(images)].flatMap((image) => {
    if (image === null) return arn(stack.account, stack.region, "*");
    const [, account, region, repository] = ECR.exec(image) ?? [];
    return account === undefined || region === undefined || repository === undefined
      ? []
      : arn(account, region, repository);
  });
}
