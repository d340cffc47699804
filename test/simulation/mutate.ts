/** Which history catches each mutation: node test/simulation/mutate.ts [NAME] [HISTORIES] */
import { MUTATIONS, mutated } from "./mutations.ts";
import { runHistory } from "./world.ts";

const [wanted, limit = "2000"] = process.argv.slice(2);
let escaped = 0;
for (const mutation of MUTATIONS) {
  if (wanted !== undefined && wanted !== "all" && mutation.name !== wanted) continue;
  const api = await mutated(mutation);
  const began = performance.now();
  let caught: { seed: number; violation: string | undefined } | undefined;
  for (let seed = 1; seed <= Number(limit) && caught === undefined; seed++) {
    const { violation } = await runHistory(seed, api, mutation.profile);
    if (violation !== undefined) caught = { seed, violation };
  }
  if (caught === undefined) escaped++;
  const seconds = ((performance.now() - began) / 1_000).toFixed(1);
  console.log(
    `${mutation.name.padEnd(24)} ${caught === undefined ? "ESCAPED" : `seed ${caught.seed}`} ${seconds} s  ${caught?.violation?.slice(0, 110) ?? ""}`,
  );
}
process.exitCode = escaped > 0 ? 1 : 0;
