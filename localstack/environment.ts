/** What the processes are told. Nothing of the user's own AWS gets in: no profile, no credentials, no endpoint. */
import { fileURLToPath } from "node:url";

/** LocalStack finds what is in it by the entry points of its dist-info. */
const PLUGIN = fileURLToPath(new URL("plugin", import.meta.url));

/** The account and region of everything in it. */
export const ACCOUNT = "000000000000";
export const REGION = "us-east-1";

/** LocalStack takes any. */
export const CREDENTIALS = { accessKeyId: "test", secretAccessKey: "test" } as const;

/** The access key id of jobs. Functions get one of their role from LocalStack. */
export const JOB_KEY = "job";

/** What LocalStack 4.13.1 can't make and passes over, sorted. */
export const LEFT_OUT = ["AWS::CloudWatch::Dashboard", "AWS::EC2::LaunchTemplate"] as const;

export interface Endpoints {
  /** http://127.0.0.1:PORT: with an IP address SDKs and cdk have the bucket in the path, and no name has to be looked up */
  readonly endpoint: string;
  /** of AWS Batch */
  readonly batch: string;
}

/** Where a proxy listens, which stands between everybody and the servers: that is what everybody is told. */
export interface Between extends Endpoints {
  /** for what LocalStack asks itself */
  readonly inside: string;
  close(): Promise<void>;
}

type Env = Readonly<Record<string, string>>;

/** For clients: the CLI, SDKs, cdk, the Batch server and its jobs. These are the lines that a user exports. */
export function clientEnv({ endpoint, batch }: Endpoints): Env {
  return {
    AWS_ENDPOINT_URL: endpoint,
    ...(batch === endpoint ? {} : { AWS_ENDPOINT_URL_BATCH: batch }),
    AWS_REGION: REGION,
    AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
    AWS_EC2_METADATA_DISABLED: "true",
    AWS_CONFIG_FILE: "/dev/null",
    AWS_SHARED_CREDENTIALS_FILE: "/dev/null",
  };
}

/** The user's environment without what tells of another AWS. */
export function withoutAws(env: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) =>
      value === undefined || name.startsWith("AWS_") ? [] : [[name, value]],
    ),
  );
}

/**
 * For LocalStack. Each setting is there because without it something else happens:
 * @param folder of this run, all that it writes
 * @param node absolute; runs the Lambdas
 */
export function localstackEnv(options: {
  /** as everybody is told */
  readonly endpoints: Endpoints;
  /** where it listens itself, if that is behind a proxy */
  readonly behind?: { readonly endpoint: string; readonly inside: string } | undefined;
  readonly folder: { readonly state: string; readonly tmp: string; readonly home: string };
  readonly node: string;
  readonly path: string;
  /** file for what is asked of it */
  readonly calls?: string | undefined;
  /** the end of a function's name */
  readonly inspect?: string | undefined;
}): Env {
  const { endpoints, behind, folder, node, path, calls, inspect } = options;
  const address = new URL(endpoints.endpoint).host;
  return {
    PATH: path,
    HOME: folder.home, // LocalStack and plux keep caches there
    TMPDIR: folder.tmp,
    FILESYSTEM_ROOT: folder.state, // else in system folders
    PYTHONPATH: PLUGIN,
    PYTHONDONTWRITEBYTECODE: "1", // beside our sources; the packages' own was made with them
    PYTHONNOUSERSITE: "1",
    PYTHONUNBUFFERED: "1",
    AWS_REGION: REGION,
    AWS_CONFIG_FILE: "/dev/null",
    AWS_SHARED_CREDENTIALS_FILE: "/dev/null",
    // its other server listens on every address, whatever it is told: anyone in the network could run code through a Lambda
    GATEWAY_SERVER: "hypercorn",
    GATEWAY_LISTEN: behind === undefined ? address : new URL(behind.endpoint).host,
    LOCALSTACK_HOST: address,
    DNS_ADDRESS: "0", // a DNS server on port 53
    SQS_ENDPOINT_STRATEGY: "path", // else a queue's URL has a name that only the internet's DNS knows
    SKIP_SSL_CERT_DOWNLOAD: "1",
    DISABLE_EVENTS: "1", // reports of what is used
    LOCALSTACK_API_KEY: "",
    LAMBDA_RUNTIME_EXECUTOR: "process", // ours: lambda_process.py
    ACCRETE_LAMBDA_NODE: node,
    ...(behind === undefined
      ? {}
      : { ACCRETE_FUNCTIONS_ENDPOINT: endpoints.endpoint, ACCRETE_INSIDE_URL: behind.inside }),
    AWS_ENDPOINT_URL_BATCH: endpoints.batch, // our plugin's, who hands it on to the functions
    LAMBDA_EVENT_SOURCE_MAPPING_MAX_BACKOFF_ON_EMPTY_POLL_SEC: "0.5", // 10: so long nobody looks at a queue that was empty
    LAMBDA_EVENT_SOURCE_MAPPING_MAX_BACKOFF_ON_ERROR_SEC: "2",
    // what it passes over is looked up in its log after each deploy: naming types here has it ask a catalogue in the internet for all others
    CFN_IGNORE_UNSUPPORTED_RESOURCE_TYPES: "1",
    ...(calls === undefined ? {} : { ACCRETE_RECORD_CALLS: calls }),
    // it may stand still at a breakpoint for as long as one likes
    ...(inspect === undefined ? {} : { ACCRETE_LAMBDA_INSPECT: inspect, LAMBDA_RUNTIME_ENVIRONMENT_TIMEOUT: "86400" }),
  };
}
