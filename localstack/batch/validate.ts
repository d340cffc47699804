/** The service's rules that a schema can't say: names, ranges, and what goes together. Broken ones are the caller's: ClientException. */
import * as z from "zod/mini";
import type { Resources } from "./decide.ts";
import type { ComputeResource, ContainerProperties, RegisterJobDefinition, RetryStrategy } from "./schemas.ts";

const NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$/;
const TAGS_MAX = 50;
const SECONDS_MIN = 60;
const ATTEMPTS_MAX = 10;
const RULES_MAX = 5;
const PATTERN = /^[\w\s.:/()-]{0,511}\*?$/;
const CODES = /^\d{0,511}\*?$/;
/** vCPUs -> MiB from, to, in steps of */
const FARGATE: Readonly<Record<string, readonly [number, number, number]>> = {
  "0.25": [512, 2_048, 512],
  "0.5": [1_024, 4_096, 1_024],
  "1": [2_048, 8_192, 1_024],
  "2": [4_096, 16_384, 1_024],
  "4": [8_192, 30_720, 1_024],
  "8": [16_384, 61_440, 4_096],
  "16": [32_768, 122_880, 8_192],
};

/** The caller's mistake: 400. */
export class ClientException extends Error {}

export function check(isRight: boolean, message: string): asserts isRight {
  if (!isRight) throw new ClientException(message);
}

/** @throws {ClientException} which names the member */
export function parse<T extends z.ZodMiniType>(schema: T, body: unknown): z.output<T> {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const keys = issue?.code === "unrecognized_keys" ? ` ${issue.keys.join(", ")}` : "";
  throw new ClientException(`${issue?.path.join(".") || "request"}: ${issue?.message || issue?.code}${keys}`);
}

export function checkName(what: string, name: string): void {
  check(
    NAME.test(name),
    `${what} ${JSON.stringify(name.slice(0, 200))}: up to 128 letters, digits, hyphens and underscores, the first a letter or a digit`,
  );
}

export function checkTags(tags: Readonly<Record<string, string>> = {}): void {
  check(Object.keys(tags).length <= TAGS_MAX, `tags: at most ${TAGS_MAX}`);
}

export function checkRetryStrategy({ attempts, evaluateOnExit = [] }: RetryStrategy = {}): void {
  check(attempts === undefined || (attempts >= 1 && attempts <= ATTEMPTS_MAX), `attempts: 1 to ${ATTEMPTS_MAX}`);
  check(evaluateOnExit.length === 0 || attempts !== undefined, "evaluateOnExit needs attempts");
  check(evaluateOnExit.length <= RULES_MAX, `evaluateOnExit: at most ${RULES_MAX} entries`);
  for (const { onExitCode, onReason, onStatusReason } of evaluateOnExit) {
    const texts = [onReason, onStatusReason].filter((text) => text !== undefined);
    check(onExitCode !== undefined || texts.length > 0, "evaluateOnExit: an entry has at least one condition");
    check(onExitCode === undefined || CODES.test(onExitCode), "onExitCode: digits, and `*` at the end alone");
    for (const text of texts)
      check(PATTERN.test(text), `${text}: up to 512 letters and digits, and \`*\` at the end alone`);
  }
}

export function checkTimeout({
  attemptDurationSeconds: seconds,
}: { attemptDurationSeconds?: number | undefined } = {}): void {
  check(seconds === undefined || seconds >= SECONDS_MIN, `attemptDurationSeconds: at least ${SECONDS_MIN}`);
}

export function checkEnvironment(environment: ContainerProperties["environment"] = []): void {
  for (const { name = "" } of environment)
    check(!name.startsWith("AWS_BATCH"), `${name}: names that begin with AWS_BATCH are the service's`);
}

export function checkDefinition({
  jobDefinitionName,
  type,
  containerProperties,
  ...rest
}: RegisterJobDefinition): void {
  checkName("jobDefinitionName", jobDefinitionName);
  check(type === "container", "type: this server has no multi-node jobs");
  check(containerProperties !== undefined, "containerProperties is required");
  checkTags(rest.tags);
  checkRetryStrategy(rest.retryStrategy);
  checkTimeout(rest.timeout);
  check((rest.platformCapabilities ?? []).length <= 1, "platformCapabilities: one");
  checkContainer(containerProperties, rest.platformCapabilities?.[0] === "FARGATE");
}

/** With what a call has overridden. */
export function checkContainer(container: ContainerProperties, fargate: boolean): void {
  const { image, command = [], volumes = [], mountPoints = [], linuxParameters = {} } = container;
  check(image !== undefined && image !== "", "image is required");
  check(!command.includes(""), "command: no empty word");
  checkEnvironment(container.environment);
  const names = volumes.map(({ name }) => name);
  for (const { sourceVolume, containerPath } of mountPoints)
    check(names.includes(sourceVolume) && containerPath !== undefined, `mountPoints: no volume ${sourceVolume}`);
  const needed = resourcesOf(container);
  if (!fargate) {
    check(Number.isInteger(needed.vcpus), `VCPU: ${needed.vcpus} is not a whole number`);
    return;
  }
  const [from, to, step] = FARGATE[String(needed.vcpus)] ?? [Infinity, 0, 1];
  check(
    needed.memoryMiB >= from && needed.memoryMiB <= to && (needed.memoryMiB - from) % step === 0,
    `Fargate has no task of ${needed.vcpus} vCPUs and ${needed.memoryMiB} MiB`,
  );
  check(container.executionRoleArn !== undefined, "executionRoleArn is required on Fargate");
  const { initProcessEnabled: _, ...onMachinesAlone } = linuxParameters;
  check(Object.keys(onMachinesAlone).length === 0, `linuxParameters: not on Fargate: ${Object.keys(onMachinesAlone)}`);
  check(needed.gpus === 0 && container.privileged !== true, "no GPU and no privileged container on Fargate");
}

/** @throws {ClientException} if what is required isn't there */
export function resourcesOf({ resourceRequirements = [], vcpus, memory }: ContainerProperties): Resources {
  const asked = (kind: "VCPU" | "MEMORY" | "GPU", old?: number): number | undefined => {
    const found = resourceRequirements.filter(({ type }) => type === kind);
    check(found.length <= 1, `resourceRequirements: ${kind} more than once`);
    const value = found[0]?.value;
    check(value === undefined || /^\d+(\.\d+)?$/.test(value), `${kind}: ${value} is not a number`);
    return value === undefined ? old : Number(value);
  };
  const [cpu, memoryMiB] = [asked("VCPU", vcpus), asked("MEMORY", memory)];
  check(cpu !== undefined && cpu > 0, "resourceRequirements: VCPU is required");
  check(memoryMiB !== undefined && memoryMiB >= 4, "resourceRequirements: MEMORY is required, at least 4 MiB");
  return { vcpus: cpu, memoryMiB, gpus: asked("GPU") ?? 0 };
}

export function isFargate(type: ComputeResource["type"]): boolean {
  return type.startsWith("FARGATE");
}

export function checkComputeResources(resources: ComputeResource): void {
  const { type, minvCpus = 0, maxvCpus, instanceTypes = [], instanceRole } = resources;
  check(maxvCpus >= 1 && maxvCpus >= minvCpus, "maxvCpus: at least 1, and at least minvCpus");
  check((resources.subnets ?? []).length > 0, "subnets: at least one is required");
  if (!isFargate(type)) {
    check(instanceTypes.length > 0, "instanceTypes: at least one is required");
    check(instanceRole !== undefined, "instanceRole is required");
    return;
  }
  check((resources.securityGroupIds ?? []).length > 0, "securityGroupIds: at least one is required on Fargate");
  const others = [
    "instanceTypes",
    "instanceRole",
    "minvCpus",
    "desiredvCpus",
    "allocationStrategy",
    "launchTemplate",
  ] as const;
  const wrong = others.find((name) => resources[name] !== undefined);
  check(wrong === undefined, `${wrong}: not on Fargate`);
}
