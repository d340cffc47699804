/** What a machine does when it starts: infra/host/ as one MIME document, to which AWS Batch adds a part of its own. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

const HOST = join(import.meta.dirname, "host");
const BOUNDARY = "==accrete==";
/** of EC2, before base64 */
const USER_DATA_BYTES_MAX = 16_384;
/** Ends a script within the script that writes it down. */
const END = "END_OF_ACCRETE_SCRIPT";
const PROGRAMS = ["scratch", "refuse-metadata", "spot-watch"] as const;

/** multipart/mixed with one shell script, the same bytes each time. */
export function userData(): string {
  const programs = PROGRAMS.map((name) => {
    const path = `/usr/local/sbin/accrete-${name}`;
    return `cat > ${path} <<'${END}'\n${hostFile(name)}${END}\nchmod 0755 ${path}\n`;
  });
  const script = `#!/bin/bash\nset -eu\n${programs.join("")}${hostFile("start")}`;
  const document = [
    "MIME-Version: 1.0",
    `Content-Type: multipart/mixed; boundary="${BOUNDARY}"`,
    "",
    `--${BOUNDARY}`,
    'Content-Type: text/x-shellscript; charset="us-ascii"',
    "",
    script,
    `--${BOUNDARY}--`,
    "",
  ].join("\n");
  // AWS Batch adds a part with the cluster's name
  if (document.length > USER_DATA_BYTES_MAX - 2_048)
    throw new Error(`user data: ${document.length} bytes, ${USER_DATA_BYTES_MAX} with Batch's part are allowed`);
  return document;
}

function hostFile(name: string): string {
  return readFileSync(join(HOST, `${name}.sh`), "utf8");
}
