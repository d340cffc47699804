/** `node --import ./end-with-input.ts program`: the program ends when its standard input does, so with whoever has started it. */
process.stdin.once("end", () => process.kill(process.pid, "SIGTERM")).resume();
