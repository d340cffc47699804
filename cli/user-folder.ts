import { dirname, resolve } from "node:path";

/** The directory in which the user typed the command. `npm run` moves to the package's folder and says where it was in INIT_CWD. */
export function userFolder(env: NodeJS.ProcessEnv): string {
  const movedTo = env["npm_package_json"];
  const from = env["INIT_CWD"];
  const moved = movedTo !== undefined && dirname(movedTo) === process.cwd();
  return moved && from !== undefined ? resolve(from) : process.cwd();
}
