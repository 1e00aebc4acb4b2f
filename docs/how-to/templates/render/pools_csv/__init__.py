"""The plan's pools as a spreadsheet: one row per pool and hour of the week, the machines wanted in it.

Copy the folder to ``src/tightrope/render/``.
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from tightrope.base.plan import Plan

COLUMNS = ("pool", "cloud", "region", "machine", "variant", "offer", "block", "machines")


@dataclass(frozen=True, slots=True)
class PoolsCsv:
    """Writes ``pools.csv``."""

    name: str = "pools-csv"
    next_command: str = ""

    def render(self, plan: Plan) -> dict[Path, str]:
        """Return one file; a plan without pools gives its header alone."""
        sheet = io.StringIO()
        writer = csv.writer(sheet, lineterminator="\n")
        writer.writerow(COLUMNS)
        for pool in plan.pools:
            what = (pool.name, pool.cloud, pool.region, pool.machine, pool.variant, pool.offer)
            writer.writerows((*what, block, machines) for block, machines in enumerate(pool.schedule))
        return {Path("pools.csv"): sheet.getvalue()}


RENDERER = PoolsCsv()
