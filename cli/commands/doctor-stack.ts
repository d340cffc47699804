/** What `accrete doctor --stack` says: what AWS tells of the operator, the stack and its account. */
import { AccreteError, messageOf } from "../../protocol/errors.ts";
import { notificationCommand, tellsEventBridge } from "../../protocol/own-bucket.ts";
import { configDigest, type PipelineConfig } from "../../protocol/config.ts";
import { quotasOf, type Quota } from "../../protocol/quotas.ts";
import type { StackDoctor } from "../compose-aws.ts";
import type { Check } from "./doctor-check.ts";

type Stack = Awaited<ReturnType<StackDoctor["stack"]>>;

/** All of it but what can't be told without what is missing. */
export async function stackChecks(doctor: StackDoctor): Promise<Check[]> {
  const checks: Check[] = [];
  const region = await told("region", () => doctor.region());
  if ("check" in region) return [region.check];
  checks.push({ name: "region", state: "ok", found: region.value });
  const identity = await told("identity", () => doctor.identity());
  if ("check" in identity) return [...checks, identity.check];
  checks.push({ name: "identity", state: "ok", found: `${identity.value.arn}, account ${identity.value.account}` });
  const stack = await told("stack", () => doctor.stack());
  if ("check" in stack) return [...checks, stack.check];
  checks.push(ofStack(stack.value, identity.value.account));
  const config = await told("config", async () => doctor.configOf(stack.value));
  if ("check" in config) return [...checks, config.check];
  return [
    ...checks,
    ofConfig(doctor, stack.value, config.value),
    image(stack.value),
    ...(await Promise.all([
      events(doctor, stack.value),
      bucketRegion(doctor, stack.value, config.value),
      ...quotasOf(config.value.compute).map((quota) => ofQuota(doctor, quota, config.value)),
    ])),
  ];
}

/** @throws {AccreteError} what the stack and the bucket give */
export async function printNotification(doctor: StackDoctor): Promise<string> {
  const stack = await doctor.stack();
  return notificationCommand(bucketName(stack), await doctor.notification(stack));
}

const bucketName = ({ outputs }: Stack): string => outputs.DataUrl.slice("s3://".length);

async function told<T>(name: string, ask: () => Promise<T>): Promise<{ value: T } | { check: Check }> {
  try {
    return { value: await ask() };
  } catch (error) {
    return { check: failed(name, error) };
  }
}

function failed(name: string, error: unknown): Check {
  const advice = error instanceof AccreteError ? { advice: error.advice } : {};
  return { name, state: "missing", found: messageOf(error), needed: true, ...advice };
}

function ofStack({ name, status, account, region, outputs }: Stack, mine: string): Check {
  const found = `${name} of accrete ${outputs.AccreteVersion}, ${status}, in account ${account}, ${region}`;
  if (mine !== account)
    return {
      name: "stack",
      state: "missing",
      found: `${found}; but you are in account ${mine}`,
      needed: true,
      advice: `use a profile of account ${account} (AWS_PROFILE)`,
    };
  if (/^(CREATE|UPDATE)_COMPLETE$/.test(status)) return { name: "stack", state: "ok", found };
  return {
    name: "stack",
    state: "info",
    found,
    advice: "see its events in CloudFormation; `npx cdk deploy --all` brings it to what the config says",
  };
}

function ofConfig({ file }: StackDoctor, { outputs }: Stack, config: PipelineConfig): Check {
  const same = outputs.ConfigDigest === configDigest(config);
  const found = `${file.file}: ${config.name}`;
  if (same) return { name: "config", state: "ok", found: `${found}, as it is deployed` };
  return {
    name: "config",
    state: "missing",
    found: `${found}, but another one is deployed`,
    advice: "`npx cdk deploy --all`: it counts from the next round on",
  };
}

function image({ outputs }: Stack): Check {
  const { Image } = outputs;
  if (/@sha256:[0-9a-f]{64}$/.test(Image)) return { name: "image", state: "ok", found: Image };
  return {
    name: "image",
    state: "info",
    found: `${Image} is named by a tag, which may come to mean another image: whether it is there is seen when a job starts`,
    advice: "name it by its digest (…@sha256:…) in accrete.config.ts: then a round can be repeated with the same one",
  };
}

async function events(doctor: StackDoctor, stack: Stack): Promise<Check> {
  const bucket = bucketName(stack);
  const name = "data bucket";
  const setting = await told(name, () => doctor.notification(stack));
  if ("check" in setting) return setting.check;
  if (tellsEventBridge(setting.value)) return { name, state: "ok", found: `${bucket} tells EventBridge of what comes` };
  return {
    name,
    state: "missing",
    found: `${bucket} does not tell EventBridge of what comes: only the sweep finds it`,
    needed: true,
    advice: `run what \`accrete doctor --stack ${stack.name} --print-notification\` prints: it keeps the notifications that are there`,
  };
}

async function bucketRegion(doctor: StackDoctor, stack: Stack, { buckets }: PipelineConfig): Promise<Check> {
  const name = "data region";
  const region = await told(name, () => doctor.dataRegion(stack));
  if ("check" in region) return region.check;
  if (region.value === stack.region) return { name, state: "ok", found: `${region.value}, as the stack` };
  return {
    name,
    state: buckets.crossRegion ? "info" : "missing",
    found: `the data is in ${region.value}, the stack in ${stack.region}: each gigabyte that a round reads is paid for as transfer`,
    ...(buckets.crossRegion ? {} : { advice: "move one of them, or set buckets.crossRegion if that is meant" }),
  };
}

async function ofQuota(doctor: StackDoctor, quota: Quota, { compute }: PipelineConfig): Promise<Check> {
  const name = "quota";
  const asked = await told(name, () => doctor.quota(quota));
  if ("check" in asked) return { ...asked.check, needed: false };
  const found = `${quota.name}: ${asked.value} vCPUs (${quota.code}); a job takes ${compute.vcpus}, all together at most ${compute.maxVcpus}`;
  if (asked.value >= compute.maxVcpus) return { name, state: "ok", found };
  if (asked.value >= compute.vcpus) return { name, state: "info", found: `${found}: not all can run at once` };
  return {
    name,
    state: "missing",
    found: `${found}: no job ever starts`,
    needed: true,
    advice: `ask for more: \`aws service-quotas request-service-quota-increase --service-code ${quota.service} --quota-code ${quota.code} --desired-value ${compute.maxVcpus}\``,
  };
}
