"""How long a trace of 10 million requests takes to load, and how much memory, each in a fresh process."""

import csv
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from benchmarks.processes import run_measured

NAME = "trace-load"
DOC = "10 million requests with token counts from CSV (and Parquet); target 10 s within 1,536 MiB"
ROWS = 10_000_000
PEER_ROWS = 500_000
TARGET_S, TARGET_MIB = 10.0, 1536
LOAD = """
import sys
from pathlib import Path
from tightrope.demand.trace import load_arrivals
assert len(load_arrivals(Path(sys.argv[1])).arrival_s) == int(sys.argv[2])
"""


def run() -> dict:
    """Return the wall time of a process that loads the CSV, beside that of ``csv.reader`` on fewer rows, scaled by rows."""
    with tempfile.TemporaryDirectory() as folder:
        table, parquet, small = (Path(folder) / name for name in ("trace.csv", "trace.parquet", "small.csv"))
        write_trace(parquet, table, ROWS)
        write_trace(None, small, PEER_ROWS)
        csv_s, csv_mib = run_measured([sys.executable, "-c", LOAD, str(table), str(ROWS)])
        parquet_s, parquet_mib = run_measured([sys.executable, "-c", LOAD, str(parquet), str(ROWS)])
        peer_s = read_plainly(small) * ROWS / PEER_ROWS
    return {
        "name": NAME,
        "value": csv_s,
        "unit": "s",
        "peer": f"csv.reader and float() on {PEER_ROWS:,} rows, scaled by rows",
        "peer_value": peer_s,
        "ratio": csv_s / peer_s,
        "detail": {
            "rows": ROWS,
            "csv_peak_mib": csv_mib,
            "parquet_s": parquet_s,
            "parquet_peak_mib": parquet_mib,
            "target_s": TARGET_S,
            "target_mib": TARGET_MIB,
        },
    }


def write_trace(parquet: Path | None, table: Path, rows: int) -> None:
    """Write ``rows`` requests over two weeks, in order, with made-up sizes."""
    step_s = 14 * 86_400 / rows
    made = f"""SELECT round(i * {step_s} + {step_s} * ((i * 7919) % 1000) / 1000, 3) AS time_s,
               1 + (i * 7919) % 4000 AS input_tokens, 1 + (i * 104729) % 1000 AS output_tokens FROM range({rows}) t(i)"""  # noqa: S608
    with duckdb.connect(config={"threads": 2}) as connection:
        connection.execute(f"COPY ({made}) TO '{table}' (HEADER)")
        if parquet is not None:
            connection.execute(f"COPY ({made}) TO '{parquet}'")


def read_plainly(path: Path) -> float:
    """Return the seconds that the standard library needs for the same columns."""
    start = time.perf_counter()
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        columns = list(zip(*((float(row[0]), int(row[1]), int(row[2])) for row in rows), strict=True))
    assert len(columns[0]) == PEER_ROWS
    return time.perf_counter() - start
