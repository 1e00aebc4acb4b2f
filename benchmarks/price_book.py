"""How long the whole price book takes to load, and what it weighs, each in a fresh process."""

import json
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import tightrope.clouds

NAME = "price-book"
DOC = "every cloud's machines and prices from the package; targets 100 ms to load, 2 MiB in the wheel"
TARGET_MS, TARGET_MIB = 100.0, 2.0
REPEATS = 7
LOAD = """
import json, re, time
from pathlib import Path
from tightrope.clouds import book
def mib(what):
    return int(re.search(rf"{what}:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
before_mib = mib("VmRSS")
began_s, began_cpu_s = time.perf_counter(), time.process_time()
loaded = book.load_price_book()
took = [1000 * (time.perf_counter() - began_s), 1000 * (time.process_time() - began_cpu_s)]
print(json.dumps(took + [mib("VmHWM") - before_mib, len(list(loaded.every_row())), len(loaded.machine_types)]))
"""
FOLDER = Path(tightrope.clouds.__file__).parent


def run() -> dict:
    """Return the fastest of several loads, beside ``csv.DictReader`` with as little sense made of the cells."""
    loads = [json.loads(_printed(LOAD)) for _ in range(REPEATS)]
    value_ms, cpu_ms, more_mib, rows, machines = min(loads)
    peer_ms = min(float(_printed(PLAIN, str(FOLDER))) for _ in range(REPEATS))
    return {
        "name": NAME,
        "value": value_ms,
        "unit": "ms",
        "peer": "csv.DictReader, dates and Decimals made of the cells, no checks",
        "peer_value": peer_ms,
        "ratio": value_ms / peer_ms,
        "detail": {
            "rows_in_force": rows,
            "rows_in_all": sum(path.read_text(encoding="utf-8").count("\n") - 1 for path in FOLDER.glob("*/*prices.csv")),
            "machine_types": machines,
            "cpu_ms": cpu_ms,
            "peak_mib": more_mib,
            "packed_mib": packed_mib(),
            "target_ms": TARGET_MS,
            "target_packed_mib": TARGET_MIB,
        },
    }


PLAIN = """
import csv, sys, time
from datetime import date
from decimal import Decimal
from pathlib import Path
began_s = time.perf_counter()
kept = []
for path in sorted(Path(sys.argv[1]).glob("*/*.csv")):
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            for name in ("usd_per_hour", "usd", "share_off", "upfront_usd"):
                if row.get(name):
                    row[name] = Decimal(row[name])
            if row.get("seen"):
                row["seen"] = date.fromisoformat(row["seen"])
            kept.append(row)
print(1000 * (time.perf_counter() - began_s))
"""


def _printed(program: str, *arguments: str) -> str:
    """Return what a fresh Python prints."""
    return subprocess.run([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True, check=True).stdout


def packed_mib() -> float:
    """Return the size of every table, packed as a wheel packs it, MiB."""
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(FOLDER.glob("*/*.csv")):
            archive.write(path, str(path.relative_to(FOLDER)))
    return len(packed.getvalue()) / 1024**2
