#!/usr/bin/env node
/** The package's command. An older Node stops at the first import of main.ts, with words that help nobody. */
const LEAST = 24;

if (Number(process.versions.node.split(".")[0]) >= LEAST) await import("./main.ts");
else {
  console.error(
    `Node ${LEAST} or newer is needed, and this is ${process.versions.node}.\nwhat to do: install it, or in your project \`npm install --save-dev node@${LEAST}\` and \`npm rebuild --ignore-scripts=false node\`: npx and npm scripts use that one then.`,
  );
  process.exitCode = 1;
}
