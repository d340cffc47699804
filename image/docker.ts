/** Docker by its own command line, as the user has set it up: DOCKER_HOST, contexts and either of its builders. */
import { lastLine, runProgram, type Ran } from "../adapters/native-tools.ts";
import { AccreteError } from "../protocol/errors.ts";
import { notBuilt, withoutHosts } from "./errors.ts";

export interface BuiltImage {
  /** sha256:... */
  readonly id: string;
  /** bytes, unpacked */
  readonly size: number;
}

/** @throws {AccreteError} DOCKER_MISSING: there is no program, no engine, or no permission */
export async function findDocker(signal?: AbortSignal): Promise<void> {
  const ran = await docker(["version", "--format", "{{.Server.Version}}"], signal);
  if (!ran.ok) throw new AccreteError("DOCKER_MISSING", `Docker does not answer (docker version: ${said(ran)})`);
}

/** undefined: there is none of this name here @throws {AccreteError} DOCKER_MISSING */
export async function inspectImage(name: string, signal?: AbortSignal): Promise<BuiltImage | undefined> {
  const ran = await docker(["image", "inspect", "--format", "{{.Id}} {{.Size}}", name], signal);
  const [, id, size] = /^(sha256:[0-9a-f]{64}) (\d+)$/m.exec(ran.said) ?? [];
  return ran.ok && id !== undefined ? { id, size: Number(size) } : undefined;
}

export interface BuildOptions {
  readonly context: string;
  readonly base: string;
  readonly name: string;
  readonly signal?: AbortSignal | undefined;
}

/** @throws {AccreteError} DOCKER_MISSING, IMAGE_NOT_BUILT */
export async function buildImage({ context, base, name, signal }: BuildOptions): Promise<BuiltImage> {
  const ran = await docker(buildArguments({ context, base, name }), signal);
  if (!ran.ok) throw notBuilt(whyNotBuilt(base, ran));
  const built = await inspectImage(name, signal);
  if (built === undefined) throw notBuilt(`docker build has ended without an error, but there is no image ${name}`);
  return built;
}

/** Nothing of a build uses the network but for the base. */
export function buildArguments({ context, base, name }: Omit<BuildOptions, "signal">): string[] {
  return ["build", "--network", "none", "--build-arg", `BASE=${base}`, "--tag", name, context];
}

/** @throws {AccreteError} DOCKER_MISSING, IMAGE_NOT_BUILT */
export async function tagImage(name: string, tag: string, signal?: AbortSignal): Promise<void> {
  const ran = await docker(["tag", name, tag], signal);
  if (!ran.ok) throw notBuilt(`the image can't be called ${tag} (docker tag: ${said(ran)})`);
}

/** @throws {AccreteError} DOCKER_MISSING */
async function docker(args: readonly string[], signal?: AbortSignal): Promise<Ran> {
  const ran = await runProgram(process.env["CDK_DOCKER"] || "docker", args, { signal }); // CDK's CLI pushes with the same
  const why = ran.ok ? undefined : whyMissing(ran);
  if (why !== undefined) throw new AccreteError("DOCKER_MISSING", why);
  return ran;
}

function whyMissing({ missing, said: text }: Ran): string | undefined {
  if (missing) return "there is no program docker on this machine (apt-get install docker.io, or docs.docker.com)";
  if (/permission denied/i.test(text) && /docker\.sock|daemon socket|docker API/i.test(text))
    return "this user may not use Docker's socket: `sudo usermod -aG docker $USER` and a new session allow it, or an engine without root";
  if (
    /Cannot connect to the Docker daemon|Is the docker daemon running|error during connect|failed to connect to the docker API/i.test(
      text,
    )
  )
    return "no Docker engine answers: start it (`sudo systemctl start docker`), or name another one in DOCKER_HOST";
  return undefined;
}

const UNREACHABLE =
  /pull access denied|repository does not exist|manifest (for .* )?(unknown|not found)|failed to resolve|no such host|dial tcp|Client\.Timeout|i\/o timeout|TLS handshake|x509|connection refused|error pulling image|toomanyrequests|not found: /i;

function whyNotBuilt(base: string, ran: Ran): string {
  if (/no space left on device|disk quota exceeded/i.test(ran.said))
    return "the disk of the Docker engine is full: `docker system df` says what takes it, `docker system prune` frees it";
  if (UNREACHABLE.test(ran.said))
    return `the base image ${withoutHosts(base)} can't be pulled: look at Docker's registry and proxy settings, or name one that is here already with --base (docker build: ${said(ran)})`;
  return `docker build has failed: ${said(ran)}`;
}

function said(ran: Ran): string {
  return withoutHosts(lastLine(ran.said));
}
