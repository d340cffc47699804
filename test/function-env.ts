/** The environment of the functions where S3, SQS and Batch are servers of the test. */
export function functionEnv(at: { readonly cloud: string; readonly batch: string }): Record<string, string> {
  return {
    AWS_REGION: "eu-central-1",
    AWS_ACCESS_KEY_ID: "AKIATEST",
    AWS_SECRET_ACCESS_KEY: "test",
    AWS_ENDPOINT_URL: at.cloud,
    AWS_ENDPOINT_URL_BATCH: at.batch,
    ACCRETE_STATE: "s3://state/digits",
    ACCRETE_DATA: "s3://data",
    ACCRETE_ACCOUNT: "123456789012",
    ACCRETE_DATA_ACCOUNT: "123456789012",
    ACCRETE_TICKS: `${at.cloud}/123456789012/ticks`,
    ACCRETE_JOB_QUEUE: "spot",
    ACCRETE_ONDEMAND_JOB_QUEUE: "ondemand",
    ACCRETE_JOB_DEFINITION: "digits:1",
    ACCRETE_IMAGE: "image:1",
    ACCRETE_METRICS: "prod-digits",
    ACCRETE_TOPIC: "",
  };
}
