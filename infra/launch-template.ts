import { Fn } from "aws-cdk-lib";
import * as ec2 from "aws-cdk-lib/aws-ec2";
import type { Construct } from "constructs";
import type { Compute } from "./compute.ts";
import { userData } from "./user-data.ts";

/** The machines of a pipeline: an encrypted scratch disk, IMDSv2 alone, and what infra/host/ does when they start. */
export function launchTemplate(
  scope: Construct,
  id: string,
  options: { readonly compute: Compute; readonly tags: Readonly<Record<string, string>> },
): ec2.CfnLaunchTemplate {
  const disk = { encrypted: true, deleteOnTermination: true, volumeType: "gp3" };
  const tags = Object.entries(options.tags).map(([key, value]) => ({ key, value }));
  return new ec2.CfnLaunchTemplate(scope, id, {
    launchTemplateData: {
      blockDeviceMappings: [
        // the system and the image; as large as the machine image's own
        { deviceName: "/dev/xvda", ebs: disk },
        { deviceName: "/dev/xvdb", ebs: { ...disk, volumeSize: options.compute.scratchGiB } },
      ],
      metadataOptions: {
        httpTokens: "required",
        httpEndpoint: "enabled",
        httpPutResponseHopLimit: 1,
        httpProtocolIpv6: "disabled", // a second address, which the rule against the job's user would have to know
        instanceMetadataTags: "disabled",
      },
      monitoring: { enabled: false }, // by the minute: it costs
      tagSpecifications: tags.length === 0 ? [] : [{ resourceType: "volume", tags }],
      userData: Fn.base64(userData()),
    },
  });
}
