/** Reads one item, whatever its format. Only the reader does this: what is read may crash the libraries that read it. */
import type { DuckDBConnection } from "@duckdb/node-api";
import type { SharpConstructor } from "sharp";
import type { DataConfig } from "../protocol/data-config.ts";
import type { FileToRead, LabelKind, Layout, RecordsOfItem } from "./item-records.ts";
import { lineOfRecord } from "./csv-scan.ts";
import { idxRecord, readIdx } from "./read-idx.ts";
import { IMAGE_RECORD, openImages, readImage } from "./read-images.ts";
import { addCategories, readTable } from "./read-table.ts";
import type { Column } from "./schema.ts";
import { lineOfJsonRecord, openCsv, openDuckDb, openJsonl, type TableSource } from "./table-source.ts";

export interface ItemReader {
  /** Loads the format's library, so that no item is blamed for the time that takes. */
  open(data: DataConfig): Promise<void>;
  /** @param layout null: this file defines it @throws {BadItem} */
  read(file: FileToRead, data: DataConfig, layout: Layout | null): Promise<RecordsOfItem & Pick<Layout, "columns">>;
  /** @returns a table's columns, with this file's categories as well @throws {BadItem} */
  survey(file: FileToRead, data: DataConfig, columns: readonly Column[]): Promise<readonly Column[]>;
  /** Where a record is, for messages: "line 7", "record 3". */
  where(file: FileToRead, data: DataConfig, record: number): Promise<string>;
}

/** @param options.folder that the files are in @param options.scratch for temporary files @param options.memory bytes of the process */
export function openItemReader(options: {
  readonly folder: string;
  readonly scratch: string;
  readonly memory: number;
}): ItemReader {
  let duckDb: DuckDBConnection | undefined;
  let sharp: SharpConstructor | undefined;
  const tables = async (): Promise<DuckDBConnection> =>
    // the other half is for the texts and numbers that come out of it
    (duckDb ??= (await openDuckDb({ ...options, memory: Math.floor(options.memory / 2) })).connection);
  const openTable = async ({ path }: FileToRead, { format }: DataConfig): Promise<TableSource> => {
    if (format === "jsonl") return openJsonl(path);
    return openCsv(await tables(), path);
  };
  const readRecords = async (
    file: FileToRead,
    data: DataConfig,
    layout: Layout | null,
  ): Promise<RecordsOfItem & Pick<Layout, "columns">> => {
    const kind: LabelKind = data.task === "classification" ? "class" : "value";
    if (data.format === "idx") return { ...(await readIdx(file.path, kind, data.limits.bytes)), columns: null };
    if (data.format !== "images")
      return readTable(await openTable(file, data), { data, kind, columns: layout?.columns ?? null });
    sharp ??= await openImages();
    const shape = layout?.shape ?? data.imageShape;
    const read = await readImage(sharp, file, { shape, prefix: data.prefix, kind, bytesMax: data.limits.bytes });
    return { ...read, columns: null };
  };
  return {
    async open({ format }) {
      if (format === "csv") await tables();
      if (format === "images") sharp ??= await openImages();
    },
    read: readRecords,
    survey: async (file, data, columns) => addCategories(await openTable(file, data), columns),
    async where({ path }, { format }, record) {
      if (format === "idx") return idxRecord(record);
      if (format === "images") return IMAGE_RECORD;
      return `line ${await (format === "csv" ? lineOfRecord(path, record + 1) : lineOfJsonRecord(path, record))}`;
    },
  };
}
