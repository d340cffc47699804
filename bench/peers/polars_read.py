"""polars reads a file to columns: format, path. Rows a second of CPU, inverted: microseconds a row."""
import sys, time
import polars as pl
from common import figure

form, path = sys.argv[1], sys.argv[2]
read = {"csv": pl.read_csv, "jsonl": pl.read_ndjson, "parquet": pl.read_parquet}[form]
read(path)
began = time.process_time()
rows = read(path).height
figure((time.process_time() - began) * 1e6 / rows)
