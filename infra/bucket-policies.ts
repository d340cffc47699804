/** What the buckets refuse and allow by themselves, as statements of their own policies. */
import { CODE, DAMAGED, INBOX, LOG, QUARANTINE, ROUNDS, STARTS } from "../protocol/keys.ts";
import {
  allow,
  ATTEMPTS,
  CHECKPOINTS,
  dataObjects,
  literal,
  PLAN,
  REPLACED,
  RESULT,
  stateKeys,
  type ResourceStatement,
  type Statement,
} from "./statement.ts";

export interface StateBucketNames {
  readonly stateBucket: string;
  readonly pipeline: string;
  /** the janitor: the only one that deletes checkpoints */
  readonly ledgerRole: string;
  /** may write over and delete what is never changed; left out: nobody may, and `verify --repair` can mend nothing but copies */
  readonly repairerRole?: string;
}

/**
 * What the state bucket refuses whatever a role's own policy says, an administrator's too. Statements of the bucket's policy.
 *
 * Only what ends in an object is asked for If-None-Match: CreateMultipartUpload and UploadPart are s3:PutObject as well, but carry no
 * such header, and s3:ObjectCreationOperation is false for them. "IfExists", so that a request that lacks the key is refused.
 */
export function stateBucketStatements(names: StateBucketNames): ResourceStatement[] {
  const keys = (patterns: readonly string[]): string[] => patterns.map((pattern) => stateKeys(names, pattern));
  const repairer = names.repairerRole === undefined ? [] : [names.repairerRole];
  const creates = { BoolIfExists: { "s3:ObjectCreationOperation": "true" } };
  const created = [INBOX, CODE, STARTS, ROUNDS, LOG, QUARANTINE, DAMAGED].map((prefix) => `${prefix}*`);
  return [
    tlsOnly(names.stateBucket),
    deny("CreateOnly", ["s3:PutObject"], keys(created), {
      Null: { "s3:if-none-match": "true" },
      ...creates,
      ...butFor(repairer),
    }),
    deny("ReplaceOnlyWhatWasRead", ["s3:PutObject"], keys(REPLACED), {
      Null: { "s3:if-none-match": "true", "s3:if-match": "true" },
      ...creates,
    }),
    deny(
      "KeepForGood",
      ["s3:DeleteObject"],
      keys([`${CODE}*`, `${STARTS}*`, PLAN, RESULT, `${ATTEMPTS}*`, `${LOG}*`, `${QUARANTINE}*`]),
      butFor(repairer),
    ),
    deny("KeepTheBooks", ["s3:DeleteObject"], keys([...REPLACED, `${DAMAGED}*`])),
    deny("OnlyTheJanitorDeletes", ["s3:DeleteObject"], keys([CHECKPOINTS]), butFor([names.ledgerRole])),
    // what was written over or deleted is there for some more days; the lifecycle rule is not subject to this
    deny("KeepVersions", ["s3:DeleteObjectVersion"], keys(["*"])),
  ];
}

/** Statements of the data bucket's policy, where the stack makes the bucket. @param dataBucket ARN */
export function dataBucketStatements({ dataBucket }: { readonly dataBucket: string }): ResourceStatement[] {
  return [tlsOnly(dataBucket)];
}

/** What the policy of a data bucket in another account has to allow: to be added there by its owner. The roles are ARNs. */
export function otherAccountStatements(names: {
  readonly dataBucket: string;
  readonly dataPrefix: string;
  readonly trainerRole: string;
  readonly ledgerRole: string;
}): ResourceStatement[] {
  return [
    {
      ...allow("AccreteReads", ["s3:GetObject", "s3:GetObjectVersion"], [dataObjects(names)]),
      Principal: { AWS: [names.trainerRole] },
    },
    {
      ...allow(
        "AccreteLists",
        ["s3:ListBucket"],
        [names.dataBucket],
        names.dataPrefix === "" ? undefined : { StringLike: { "s3:prefix": [`${literal(names.dataPrefix)}*`] } },
      ),
      Principal: { AWS: [names.ledgerRole, names.trainerRole] },
    },
  ];
}

function deny(
  Sid: string,
  Action: readonly string[],
  Resource: readonly string[],
  Condition?: Statement["Condition"],
): ResourceStatement {
  const given = Condition === undefined || Object.keys(Condition).length === 0 ? {} : { Condition };
  return { Sid, Effect: "Deny", Principal: "*", Action, Resource, ...given };
}

function tlsOnly(bucket: string): ResourceStatement {
  return deny("TlsOnly", ["s3:*"], [bucket, `${bucket}/*`], { Bool: { "aws:SecureTransport": "false" } });
}

const butFor = (roles: readonly string[]): Statement["Condition"] =>
  roles.length === 0 ? {} : { ArnNotEquals: { "aws:PrincipalArn": roles } };
