/** The DuckDB that reads Parquet. */
import { join, sep } from "node:path";
import type { DuckDBConnection } from "@duckdb/node-api";

/**
 * In memory: it reaches the given folders and nothing else, loads no extension, and no file's content changes that.
 * @param options.folder that the files are in
 * @param options.scratch where it may write what does not fit into memory
 * @param options.memory bytes that it may use
 */
export async function openDuckDb(options: {
  readonly folder: string;
  readonly scratch: string;
  readonly memory: number;
}): Promise<{ connection: DuckDBConnection; close: () => void }> {
  const { DuckDBInstance } = await import("@duckdb/node-api");
  const instance = await DuckDBInstance.create(":memory:", {
    threads: "1",
    preserve_insertion_order: "true",
    memory_limit: `${options.memory}B`,
    temp_directory: join(options.scratch, "duckdb"),
    autoinstall_known_extensions: "false",
    autoload_known_extensions: "false",
  });
  const connection = await instance.connect();
  const folders = [options.scratch, options.folder].map((folder) => literal(folder + sep));
  await connection.run(`SET allowed_directories = [${folders.join(", ")}]`);
  await connection.run("SET enable_external_access = false");
  await connection.run("SET TimeZone = 'UTC'");
  await connection.run("SET lock_configuration = true");
  const close = (): void => {
    connection.closeSync();
    instance.closeSync();
  };
  return { connection, close };
}

export const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;
export const identifier = (name: string): string => `"${name.replaceAll('"', '""')}"`;
