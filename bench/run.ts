/**
 * npm run bench: measures beside peers, in the same run and in turns, and writes docs/benchmarks.md. Ratios count: figures of another machine
 * are others. It takes about half an hour; --only for a part.
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { contests } from "./cases.ts";
import { runContest, type Contest, type Standing } from "./contest.ts";
import { peersPython, versionsOf } from "./peers.ts";
import { reportText, tableOf } from "./report.ts";

const { values } = parseArgs({
  options: {
    only: { type: "string", multiple: true },
    rounds: { type: "string", default: "5" },
    write: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(
    `npm run bench -- [--only CONTEST]... [--rounds 5] [--write]\n\n--only takes the beginning of a name, --write writes docs/benchmarks.md. Contests:\n${contests(
      "python",
    )
      .map(({ name, unit }) => `  ${name} (${unit})`)
      .join("\n")}`,
  );
  process.exit(0);
}

const say = (line: string): void => console.error(line);
const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds has to be a whole number, not ${values.rounds}`);
const python = peersPython(say);
const chosen = contests(python).filter(({ name }) => values.only?.some((only) => name.startsWith(only)) ?? true);
if (chosen.length === 0) throw new Error("no contest has such a name: --help lists them");
const results: { contest: Contest; standings: Standing[] }[] = [];
for (const contest of chosen) results.push({ contest, standings: runContest(contest, rounds, say) });
console.log(tableOf(results));
if (values.write)
  writeFileSync(
    fileURLToPath(new URL("../docs/benchmarks.md", import.meta.url)),
    reportText(results, { rounds, versions: versionsOf(python) }),
  );
