/** Folders with the code of the two functions, and whose it is: `pipelineCode()` makes them. */
export interface PipelineCode {
  /** index.mjs and config.json */
  readonly intake: string;
  /** index.mjs, config.json and the pipeline's model.mjs */
  readonly ledger: string;
  /** of accrete */
  readonly version: string;
}
