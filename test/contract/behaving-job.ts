/** A program in the trainer's place that does what its plan's key says: see Behaviour in jobs.ts. */
const [, exitCode = "70", afterMs = "0", onSigterm = "75"] =
  /^exit-(\w+)-after-(\d+)-sigterm-(\d+|ignored)$/.exec(process.env["ACCRETE_PLAN"] ?? "") ?? [];

process.on("SIGTERM", () => {
  if (onSigterm !== "ignored") process.exit(Number(onSigterm));
});
setTimeout(() => {
  if (exitCode === "SIGKILL" || exitCode === "SIGINT") process.kill(process.pid, exitCode);
  else process.exit(Number(exitCode));
}, Number(afterMs));
const seen = ["ACCRETE_PLAN", "ACCRETE_ATTEMPT", "AWS_BATCH_JOB_ATTEMPT", "ACCRETE_STATE"].map(
  (name) => `${name}=${process.env[name]}`,
);
console.log(`behaving: ${seen.join(" ")} pid=${process.pid}`);
