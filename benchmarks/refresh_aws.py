"""How fast AWS's own price lists are refreshed, and in how much memory, from a server that makes them up as it sends them."""

import csv
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias

from tests.clouds import aws_bulk, aws_ec2, aws_lists, aws_server
from tests.clouds.loopback import Loopback

from benchmarks.processes import run_measured

NAME = "refresh-aws"
DOC = (
    "a region's offer file of 400 MiB and Savings Plans of 100 MiB, fetched and read as CSV (and JSON); target 300 MiB of memory"
)
OFFERS_MIB = float(os.environ.get("TIGHTROPE_REFRESH_MIB", "400"))
"""AWS's own file of us-east-1 has hundreds of megabytes."""
PLANS_MIB = OFFERS_MIB / 4
PEER_MIB = min(OFFERS_MIB, 20.0)
ROWS = 122
"""What is found: on-demand, Reserved, Savings Plan and spot rows of the five machines that count, those of zones among them."""
TARGET_MIB = 300.0
PEER_RUNS = 3
REGION = "us-east-1"
Maker: TypeAlias = Callable[[Iterable[aws_lists.Product], float], list[aws_bulk.Part]]
CSV_MARK, JSON_MARK = b"\n", b'"rateCode"'
FETCH = """
import sys
from datetime import date
from pathlib import Path
from tightrope.clouds import aws
from tightrope.clouds.aws.refresh import fetch
from tightrope.clouds.downloads import Fetcher
from tightrope.clouds.refresh import RefreshQuery
known = {machine.name: machine for machine in aws.CLOUD.catalogue().machines}
found = fetch(RefreshQuery(("us-east-1",), known, date.today(), sys.argv[1]), Fetcher(Path(sys.argv[2])), sys.argv[3])
assert len(found.prices) == int(sys.argv[4]), len(found.prices)
"""
LOAD = "import json, sys; assert json.load(open(sys.argv[1], 'rb'))['terms']['Reserved']"


def run() -> dict:
    """Return the megabytes a second of a whole refresh from CSV, beside those of ``csv.reader`` on a smaller file."""
    with tempfile.TemporaryDirectory() as folder, Loopback() as server:
        serve(server)
        facts = {form: measure(server, Path(folder), form) for form in ("csv", "json")}
        small = Path(folder) / "small"
        write(small, aws_bulk.offer_csv(aws_lists.catalogue(), PEER_MIB))
        peer = small.stat().st_size / 1e6 / timed(read_csv_plainly, small)
        write(small, aws_bulk.offer_json(aws_lists.catalogue(), PEER_MIB))
        json_peer = small.stat().st_size / 1e6 / timed(read_json_plainly, small)
        _, peer_mib = run_measured([sys.executable, "-c", LOAD, str(small)])
    value = facts["csv"]["mb_per_s"]
    return {
        "name": NAME,
        "value": value,
        "unit": "MB/s",
        "peer": f"csv.reader on an offer file of {PEER_MIB:.0f} MiB, without fetching it",
        "peer_value": peer,
        "ratio": value / peer,
        "detail": {
            "clock": "a whole process: start, fetching from this machine, reading, rows; peers read a file that is there",
            "csv": facts["csv"],
            "json": facts["json"] | {"ratio": facts["json"]["mb_per_s"] / json_peer},
            "json_peer": f"json.load of {PEER_MIB:.0f} MiB: {json_peer:.0f} MB/s in {peer_mib:.0f} MiB",
            "target_mib": TARGET_MIB,
        },
    }


def serve(server: Loopback) -> None:
    """Serve one region's lists, each made up as it is sent."""
    machines = aws_lists.catalogue(REGION)
    aws_server.serve_indexes(server)
    aws_server.serve_region(server, REGION)
    aws_server.serve_advisor(server)
    for form in ("csv", "json"):
        offers, plans = files(form)
        server.serve(aws_server.offer_path(REGION, form), lambda _, make=offers: aws_bulk.sent(make(machines, OFFERS_MIB)))
        server.serve(aws_server.plan_path(REGION, form), lambda _, make=plans: aws_bulk.sent(make(machines, PLANS_MIB)))
    server.serve("/", aws_ec2.Ec2([aws_ec2.Spot("g6.xlarge", f"{REGION}{zone}", "0.3") for zone in "abcd"]))


def files(form: str) -> tuple[Maker, Maker]:
    """Return the makers of both files of one format."""
    return (aws_bulk.offer_csv, aws_bulk.plan_csv) if form == "csv" else (aws_bulk.offer_json, aws_bulk.plan_json)


def measure(server: Loopback, folder: Path, form: str) -> dict[str, float]:
    """Return how fast a process of its own refreshes from one format, and its peak."""
    offers, plans = files(form)
    mark = CSV_MARK if form == "csv" else JSON_MARK
    sizes = [
        aws_bulk.measured(make(aws_lists.catalogue(REGION), size), mark)
        for make, size in ((offers, OFFERS_MIB), (plans, PLANS_MIB))
    ]
    keys = {"AWS_ACCESS_KEY_ID": "benchmark", "AWS_SECRET_ACCESS_KEY": "benchmark", "AWS_EC2_METADATA_DISABLED": "true"}
    command = [sys.executable, "-c", FETCH, server.url, str(folder / form), form, str(ROWS)]
    wall_s, peak_mib = run_measured(command, os.environ | keys)
    size, rows = sum(size for size, _ in sizes), sum(marks for _, marks in sizes)
    return {
        "mb": size / 1e6,
        "prices": rows,
        "wall_s": wall_s,
        "mb_per_s": size / 1e6 / wall_s,
        "prices_per_s": rows / wall_s,
        "peak_mib": peak_mib,
    }


def write(path: Path, parts: list[aws_bulk.Part]) -> None:
    """Write a file."""
    with path.open("wb") as file:
        file.writelines(aws_bulk.sent(parts))


def timed(read: Callable[[Path], int], path: Path) -> float:
    """Return the seconds that a reader needs, which must find something: the best of a few, for so small a file."""
    found: list[float] = []
    for _ in range(PEER_RUNS):
        start = time.perf_counter()
        assert read(path)
        found.append(time.perf_counter() - start)
    return min(found)


def read_csv_plainly(path: Path) -> int:
    """Return how many prices of Linux machines of shared tenancy the standard library finds in an offer file."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        names = [next(rows) for _ in range(6)][5]
        wanted = [("Operating System", "Linux"), ("Pre Installed S/W", "NA"), ("Tenancy", "Shared"), ("CapacityStatus", "Used")]
        places = [(names.index(name), value) for name, value in wanted]
        return sum(all(row[place] == value for place, value in places) for row in rows)


def read_json_plainly(path: Path) -> int:
    """Return the same of an offer file in JSON."""
    with path.open("rb") as file:
        document = json.load(file)
    wanted = [("operatingSystem", "Linux"), ("preInstalledSw", "NA"), ("tenancy", "Shared"), ("capacitystatus", "Used")]
    kept = [
        sku for sku, item in document["products"].items() if all(item["attributes"].get(name) == value for name, value in wanted)
    ]
    return sum(len(terms.get(sku, ())) for terms in document["terms"].values() for sku in kept)
