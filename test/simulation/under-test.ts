/** What the simulation runs; a mutation is this file bundled with one place of the sources changed. */
export { drop, promote, rollback } from "../../ledger/commands.ts";
export { intake } from "../../ledger/intake.ts";
export { janitor } from "../../ledger/janitor.ts";
export { sweep } from "../../ledger/sweep.ts";
export { tick } from "../../ledger/tick.ts";
