import { fileURLToPath } from "node:url";

/** Of the clone, with a slash at its end. */
export const ROOT = fileURLToPath(new URL("../", import.meta.url));
