/** What a machine runs when it starts, run here: against a metadata server of our own, a real process, and the kernel's own rules. */
import { execFileSync, spawn, spawnSync, type ChildProcess } from "node:child_process";
import { chmodSync, existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { userData } from "../user-data.ts";

const HOST = import.meta.dirname;
let folder: string;
const running: ChildProcess[] = [];
const servers: Server[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "accrete-host-"));
});
afterEach(async () => {
  for (const child of running.splice(0)) child.kill("SIGKILL");
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
  rmSync(folder, { recursive: true, force: true });
});

/** A program of that name comes first in PATH. */
function fake(name: string, script: string): void {
  writeFileSync(join(folder, name), `#!/bin/bash\n${script}\n`);
  chmodSync(join(folder, name), 0o755);
}
const env = (more: Record<string, string> = {}): Record<string, string> => ({
  PATH: `${folder}${delimiter}${process.env["PATH"] ?? ""}`,
  FOLDER: folder,
  ...more,
});
const read = (name: string): string => (existsSync(join(folder, name)) ? readFileSync(join(folder, name), "utf8") : "");

describe("the spot notice", () => {
  /** IMDSv2: nothing without a token, 404 until the machine is taken back. */
  async function metadata(state: { taken: boolean; token: string; asked: string[] }): Promise<string> {
    const server = createServer((request: IncomingMessage, response) => {
      state.asked.push(`${request.method} ${request.url}`);
      const answer = (status: number, body = ""): void => void response.writeHead(status).end(body);
      if (request.method === "PUT" && request.url === "/latest/api/token") return answer(200, state.token);
      if (request.headers["x-aws-ec2-metadata-token"] !== state.token) return answer(401);
      if (request.url !== "/latest/meta-data/spot/instance-action" || !state.taken) return answer(404);
      return answer(200, '{"action":"terminate","time":"2030-01-01T00:00:00Z"}');
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    return `http://127.0.0.1:${address.port}`;
  }

  it("ends in one SIGTERM to the job's process, also after the token has run out; other containers are left alone", async () => {
    // a job that says what it got: the container's process
    writeFileSync(
      join(folder, "job.sh"),
      `trap 'echo TERM >> ${folder}/signals' TERM\necho up > ${folder}/up\nwhile true; do sleep 0.05; done\n`,
    );
    const job = spawn("bash", [join(folder, "job.sh")], { stdio: "ignore" });
    running.push(job);
    await until(() => read("up") !== "");
    fake(
      "docker",
      `echo "$*" >> "$FOLDER/docker.calls"
case "$1" in
  ps) [ "$*" = "ps -q --no-trunc --filter label=com.amazonaws.ecs.task-arn" ] && echo jobcontainer ;;
  kill) [ "$*" = "kill --signal=TERM jobcontainer" ] && kill -TERM ${job.pid} ;;
esac`,
    );
    const state = { taken: false, token: "first", asked: [] as string[] };
    const url = await metadata(state);
    const watch = spawn("bash", [join(HOST, "spot-watch.sh")], {
      env: env({ ACCRETE_METADATA: url, ACCRETE_PAUSE_SECONDS: "0.05" }),
      stdio: "ignore",
    });
    running.push(watch);
    await until(() => state.asked.filter((one) => one.startsWith("GET")).length >= 3);
    expect(read("docker.calls")).toBe("");
    state.token = "second";
    state.taken = true;
    await until(() => read("signals") !== "");
    const asked = state.asked.length;
    await until(() => state.asked.length > asked + 5);
    expect(read("signals")).toBe("TERM\n");
    expect(watch.exitCode).toBeNull();
  });

  it("keeps watching while the metadata can't be had", async () => {
    fake("docker", `echo "$*" >> "$FOLDER/docker.calls"`);
    fake("curl", `echo x >> "$FOLDER/curl.calls"; exit 7`);
    const watch = spawn("bash", [join(HOST, "spot-watch.sh")], {
      env: env({ ACCRETE_PAUSE_SECONDS: "0.02" }),
      stdio: "ignore",
    });
    running.push(watch);
    await until(() => read("curl.calls").length > 12);
    expect(watch.exitCode).toBeNull();
    expect(read("docker.calls")).toBe("");
  });
});

describe("the metadata address", () => {
  it("is refused to the job's user and to nobody else; the task's own credentials stay open", (context) => {
    const why = missingForNamespaces();
    if (why !== undefined) return context.skip(why);
    // in a network of its own, where both addresses are this machine's
    writeFileSync(
      join(folder, "server.mjs"),
      `import { createServer } from "node:http";
let up = 0;
for (const host of ["169.254.169.254", "169.254.170.2"])
  createServer((_, response) => response.end("secrets")).listen(80, host, () => ++up === 2 && console.log("up"));
setTimeout(() => process.exit(1), 30_000).unref?.();`,
    );
    writeFileSync(
      join(folder, "inside.sh"),
      `set -e
ip link set lo up 2>/dev/null || true
ip addr add 169.254.169.254/32 dev lo && ip addr add 169.254.170.2/32 dev lo
${process.execPath} ${folder}/server.mjs > ${folder}/server &
server=$!
trap 'kill $server' EXIT
until grep -q up ${folder}/server; do sleep 0.05; done
bash ${HOST}/refuse-metadata.sh
bash ${HOST}/refuse-metadata.sh
iptables -S OUTPUT | grep -c 10001
as() { setpriv --reuid "$1" --regid "$1" --clear-groups -- curl -s -o /dev/null -w '%{http_code} ' --noproxy '*' --max-time 5 "http://$2/" || true; }
echo "job: $(as 10001 169.254.169.254)$(as 10001 169.254.170.2)"
echo "agent: $(as 0 169.254.169.254)$(as 0 169.254.170.2)"
echo "other: $(as 10002 169.254.169.254)"`,
    );
    const output = execFileSync("unshare", ["-n", "bash", join(folder, "inside.sh")], { encoding: "utf8" });
    expect(
      output
        .trim()
        .split("\n")
        .map((line) => line.trim()),
    ).toEqual([
      "1", // put once, however often it is run
      "job: 000 200",
      "agent: 200 200",
      "other: 200",
    ]);
  });

  function missingForNamespaces(): string | undefined {
    for (const program of ["iptables", "ip", "unshare", "setpriv", "curl"])
      if (spawnSync("bash", ["-c", `command -v ${program}`]).status !== 0) return `there is no ${program} here`;
    // uid 10001 has to exist in the namespace: so by root, not by a namespace of users
    if (
      spawnSync("unshare", ["-n", "iptables", "-w", "-A", "OUTPUT", "-m", "owner", "--uid-owner", "1", "-j", "REJECT"])
        .status !== 0
    )
      return "this machine lets nobody make a network namespace with rules of its own";
    return undefined;
  }
});

describe("the scratch disk", () => {
  const disks = (kinds: Record<string, string>): void => {
    // NAME MODEL as lsblk writes them; nvme0n1 has partitions, nvme1n1 is the machine's own disk, nvme2n1 is the scratch volume
    fake(
      "lsblk",
      `if [ "$1" = "-dnp" ]; then
  printf '/dev/nvme0n1 Amazon Elastic Block Store\\n/dev/nvme1n1 Amazon EC2 NVMe Instance Storage\\n/dev/nvme2n1 Amazon Elastic Block Store\\n'
else
  case "$4" in /dev/nvme0n1) printf 'nvme0n1\\nnvme0n1p1\\n' ;; *) echo one ;; esac
fi`,
    );
    fake(
      "blkid",
      `case "$*" in
  "-L accrete") ${kinds["labelled"] === undefined ? "exit 2" : `echo ${kinds["labelled"]}`} ;;
  *) ${kinds["type"] === undefined ? "exit 2" : `echo ${kinds["type"]}`} ;;
esac`,
    );
    for (const name of ["mkfs.xfs", "mount", "chown"]) fake(name, `echo "${name} $*" >> "$FOLDER/done"`);
    fake("mountpoint", "exit 1");
  };
  const run = () =>
    spawnSync("bash", [join(HOST, "scratch.sh")], {
      env: env({ ACCRETE_MOUNT: join(folder, "scratch") }),
      encoding: "utf8",
    });

  it("is the empty EBS volume, whatever the machine calls it", () => {
    disks({});
    expect(run().status).toBe(0);
    expect(read("done").trim().split("\n")).toEqual([
      "mkfs.xfs -q -L accrete /dev/nvme2n1",
      `mount -o nosuid,nodev /dev/nvme2n1 ${folder}/scratch`,
      `chown 10001:10001 ${folder}/scratch`,
    ]);
  });

  it("is not formatted again after a reboot", () => {
    disks({ labelled: "/dev/nvme2n1" });
    expect(run().status).toBe(0);
    expect(read("done")).not.toContain("mkfs");
    expect(read("done")).toContain("mount -o nosuid,nodev /dev/nvme2n1");
  });

  it("a volume that has something on it is never formatted: the machine takes no jobs instead", () => {
    disks({ type: "ext4" });
    const { status, stderr } = run();
    expect(status).not.toBe(0);
    expect(stderr).toContain("there is no empty EBS volume");
    expect(read("done")).toBe("");
  });
});

describe("user data", () => {
  it("is a MIME document with one shell script, small enough for what Batch adds, the same each time", () => {
    const document = userData();
    expect(document).toMatch(
      /^MIME-Version: 1\.0\nContent-Type: multipart\/mixed; boundary="==accrete=="\n\n--==accrete==\n/,
    );
    expect(document.endsWith("\n--==accrete==--\n")).toBe(true);
    expect(document.length).toBeLessThan(14_336);
    expect(userData()).toBe(document);
    // a byte that is not ASCII would break the part
    expect([...document].every((char) => char === "\n" || (char >= " " && char <= "~"))).toBe(true);
    for (const wanted of [
      "ECS_ENABLE_SPOT_INSTANCE_DRAINING=true",
      "RequiredBy=ecs.service",
      "systemctl start accrete-host.service",
    ])
      expect(document).toContain(wanted);
  });

  it("is shell that bash can read, and writes down what lies here, to the byte", () => {
    const script = userData().split("\n\n").slice(2).join("\n\n").split("\n--==accrete==--")[0]!;
    writeFileSync(join(folder, "script.sh"), script);
    for (const path of [join(folder, "script.sh"), ...globSync(join(HOST, "*.sh"))])
      expect(spawnSync("bash", ["-n", path], { encoding: "utf8" }).stderr, path).toBe("");
    // only up to what needs systemd
    const sbin = join(folder, "sbin");
    const [written = ""] = script.split("# shellcheck shell=bash");
    execFileSync("bash", ["-c", `mkdir ${sbin}\n${written.replaceAll("/usr/local/sbin", sbin)}`]);
    for (const name of ["scratch", "refuse-metadata", "spot-watch"])
      expect(readFileSync(join(sbin, `accrete-${name}`), "utf8")).toBe(readFileSync(join(HOST, `${name}.sh`), "utf8"));
  });

  it("what fails keeps the ECS agent from starting: no job runs on a machine that is not set up", () => {
    fake("systemctl", `echo "$*" >> "$FOLDER/systemctl.calls"; [ "$*" != "start accrete-host.service" ]`);
    const script = readFileSync(join(HOST, "start.sh"), "utf8").replaceAll("/etc/", `${folder}/`);
    const started = spawnSync("bash", ["-c", `mkdir -p ${folder}/ecs ${folder}/systemd/system\n${script}`], {
      env: env(),
    });
    expect(started.status).not.toBe(0);
    expect(read("systemctl.calls").trim().split("\n").slice(-2)).toEqual([
      "mask --runtime ecs.service",
      "stop --no-block ecs.service",
    ]);
    expect(read("ecs/ecs.config")).toContain("ECS_ENABLE_SPOT_INSTANCE_DRAINING=true");
  });
});

/** No matter how long it takes: the test's own limit ends it. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 10));
}
