import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { leftOutOf } from "./deploy.ts";
import { clientEnv, localstackEnv, withoutAws } from "./environment.ts";

const endpoints = { endpoint: "http://127.0.0.1:4566", batch: "http://127.0.0.1:4577" };

it("hands on nothing of the user's own AWS", () => {
  expect(withoutAws({ PATH: "/bin", AWS_PROFILE: "work", AWS_ACCESS_KEY_ID: "AKIA", HOME: "/home/me" })).toEqual({
    PATH: "/bin",
    HOME: "/home/me",
  });
  const env = clientEnv(endpoints);
  expect(env).toMatchObject({ AWS_CONFIG_FILE: "/dev/null", AWS_SHARED_CREDENTIALS_FILE: "/dev/null" });
  expect(clientEnv({ endpoint: endpoints.endpoint, batch: endpoints.endpoint })).not.toHaveProperty(
    "AWS_ENDPOINT_URL_BATCH",
  );
});

it("has LocalStack listen on this machine alone, and write into the run's folder alone", () => {
  const folder = { state: "/run/state", tmp: "/run/tmp", home: "/run/home" };
  expect(localstackEnv({ endpoints, folder, node: "/node", path: "/bin" })).toMatchObject({
    GATEWAY_SERVER: "hypercorn",
    GATEWAY_LISTEN: "127.0.0.1:4566",
    FILESYSTEM_ROOT: folder.state,
    TMPDIR: folder.tmp,
    HOME: folder.home,
    AWS_ENDPOINT_URL_BATCH: endpoints.batch,
  });
});

it("has everybody go through a proxy, and listens behind it", () => {
  const folder = { state: "/run/state", tmp: "/run/tmp", home: "/run/home" };
  const behind = { endpoint: "http://127.0.0.1:5001", inside: "http://127.0.0.1:5002" };
  expect(localstackEnv({ endpoints, behind, folder, node: "/node", path: "/bin" })).toMatchObject({
    GATEWAY_LISTEN: "127.0.0.1:5001",
    LOCALSTACK_HOST: "127.0.0.1:4566",
    ACCRETE_FUNCTIONS_ENDPOINT: endpoints.endpoint,
    ACCRETE_INSIDE_URL: behind.inside,
  });
  const without = localstackEnv({ endpoints, folder, node: "/node", path: "/bin" });
  expect(without).not.toHaveProperty("ACCRETE_INSIDE_URL");
});

it("reads off LocalStack's log what it has passed over, each type once", () => {
  const log = ["AWS::EC2::LaunchTemplate", "AWS::CloudWatch::Dashboard", "AWS::EC2::LaunchTemplate"]
    .map((type) => `2026-01-31 WARN l.s.c.deployment_utils : No resource provider found for "${type}". To find out`)
    .join("\n");
  expect(leftOutOf(log)).toEqual(["AWS::CloudWatch::Dashboard", "AWS::EC2::LaunchTemplate"]);
});

it.each(["requirements.txt", "requirements-tools.txt"])(
  "%s pins each package by its hashes, and names no index",
  (file) => {
    const text = readFileSync(new URL(file, import.meta.url), "utf8");
    const packages = text.split(/\n(?=\S)/).filter((part) => !part.startsWith("#") && part.trim() !== "");
    expect(packages.length).toBeGreaterThan(1);
    for (const one of packages) expect(one).toMatch(/^[a-z0-9-]+==\S+ .*\n {4}--hash=sha256:[0-9a-f]{64}/);
    expect(text).not.toMatch(/https?:|--index/);
  },
);
