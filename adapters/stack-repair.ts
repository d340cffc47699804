/** The role that `verify --repair` takes: the only one that may write over what is never changed. */
import { AssumeRoleCommand, type STSClient } from "@aws-sdk/client-sts";
import { AccreteError } from "../protocol/errors.ts";
import { fromAws } from "./aws-errors.ts";

export interface TakenRole {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
  readonly expiration: Date;
}

/** An hour is the longest that a role may be taken for by a role. */
const SECONDS = 3_600;

/**
 * For a client's `credentials`, which asks again when they end.
 * @param role ARN
 * @throws {AccreteError} AWS_ACCESS_DENIED, and what else aws-errors.ts makes of AWS' errors
 */
export async function takeRepairRole(client: STSClient, role: string): Promise<TakenRole> {
  const about = `${role}, which --repair needs, can't be taken`;
  try {
    const { Credentials } = await client.send(
      new AssumeRoleCommand({ RoleArn: role, RoleSessionName: "accrete-verify-repair", DurationSeconds: SECONDS }),
    );
    const { AccessKeyId, SecretAccessKey, SessionToken, Expiration } = Credentials ?? {};
    if (AccessKeyId !== undefined && SecretAccessKey !== undefined && SessionToken !== undefined && Expiration)
      return {
        accessKeyId: AccessKeyId,
        secretAccessKey: SecretAccessKey,
        sessionToken: SessionToken,
        expiration: Expiration,
      };
  } catch (error) {
    throw fromAws(error, about);
  }
  throw new AccreteError("AWS_ACCESS_DENIED", `${about}: AWS has given no credentials`);
}
