/** Reads one item, whatever its format. Only the reader does this: what is read may crash the libraries that read it. */
import type { SharpConstructor } from "sharp";
import type { DataConfig } from "../protocol/data-config.ts";
import { openBytes } from "./byte-source.ts";
import { openCsv } from "./csv-scan.ts";
import { LABEL_KINDS, type FileToRead, type Layout, type RecordsOfItem } from "./item-records.ts";
import { openJsonl } from "./jsonl-scan.ts";
import { openParquet } from "./parquet-scan.ts";
import { idxRecord, readIdx } from "./read-idx.ts";
import { IMAGE_RECORD, openImages, readImage } from "./read-images.ts";
import { addCategories, readTable, type FeatureRoom } from "./read-table.ts";
import { countFile, openText, readText } from "./read-text.ts";
import type { Column } from "./schema.ts";
import { Cells, type TableScan } from "./table-scan.ts";

export interface ItemReader {
  /** Loads the format's library, so that no item is blamed for the time that takes. */
  open(data: DataConfig): Promise<void>;
  /** @param layout null: this file defines it @returns of a table: features that the next one is written over @throws {BadItem} */
  read(file: FileToRead, data: DataConfig, layout: Layout | null): Promise<RecordsOfItem & Pick<Layout, "columns">>;
  /** @returns a table's columns, with this file's categories as well @throws {BadItem} */
  survey(file: FileToRead, data: DataConfig, columns: readonly Column[]): Promise<readonly Column[]>;
  /** Text: adds how often each token is in the file. @throws {BadItem} */
  count(file: FileToRead, data: DataConfig, counts: Map<string, number>): Promise<void>;
  /** Where a record is, for messages: "line 7", "record 3". */
  where(file: FileToRead, data: DataConfig, record: number): Promise<string>;
}

/** @param options.scratch for temporary files @param options.memory bytes of the process */
export function openItemReader(options: { readonly scratch: string; readonly memory: number }): ItemReader {
  let sharp: SharpConstructor | undefined;
  const room: FeatureRoom = { features: new Float32Array(0) };
  // the other half is for the texts and numbers that come out of it
  const memory = Math.floor(options.memory / 2);
  const openTable = async ({ path }: FileToRead, data: DataConfig): Promise<TableScan> => {
    const { format } = data;
    const bytesMax = data.limits.bytes;
    if (format === "parquet") return openParquet(path, { scratch: options.scratch, bytesMax, memory });
    const source = openBytes(path, bytesMax);
    if (format === "text") return openText(source, data);
    return format === "jsonl" ? openJsonl(source) : openCsv(source, format === "tsv" ? "\t" : data.delimiter);
  };
  const readRecords = async (
    file: FileToRead,
    data: DataConfig,
    layout: Layout | null,
  ): Promise<RecordsOfItem & Pick<Layout, "columns">> => {
    const kind = LABEL_KINDS[data.task];
    if (data.format === "idx") return { ...(await readIdx(file.path, kind, data.limits.bytes)), columns: null };
    if (data.format === "text") {
      const read = await readText(await openTable(file, data), { data, kind, vocabulary: layout?.vocabulary ?? [] });
      return { ...read, columns: null };
    }
    if (data.format !== "images")
      return readTable(await openTable(file, data), { data, kind, columns: layout?.columns ?? null, room });
    sharp ??= await openImages();
    const shape = layout?.shape ?? data.imageShape;
    const read = await readImage(sharp, file, { shape, prefix: data.prefix, kind, bytesMax: data.limits.bytes });
    return { ...read, columns: null };
  };
  return {
    async open({ format }) {
      if (format === "images") sharp ??= await openImages();
    },
    read: readRecords,
    survey: async (file, data, columns) => addCategories(await openTable(file, data), columns),
    count: async (file, data, counts) => countFile(await openTable(file, data), data, counts),
    async where(file, data, record) {
      if (data.format === "idx") return idxRecord(record);
      if (data.format === "images") return IMAGE_RECORD;
      return placeOf(await openTable(file, data), record);
    },
  };
}

async function placeOf(scan: TableScan, record: number): Promise<string> {
  let [at, place] = [0, ""];
  await scan.read(new Cells(scan.names.length, []), () => {
    place = scan.place();
    return at++ < record;
  });
  return place;
}
