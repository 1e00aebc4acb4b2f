"""What our plan costs beside the cheapest of what people use that keeps every promise too, on traffic that none was sized on.

Measured 2026-11-25, ours over the cheapest peer that keeps every promise, whole bills, US dollars a month as replayed:

| workload | ours | cheapest peer | ratio | the target of 0.60 |
|---|---|---|---|---|
| azure-code | 3,458 | 6,500 single-type | 0.53 | met |
| azure-conversation | 3,428 | 5,285 look-back | 0.65 | missed |
| servegen-m-small | 2,607 | 3,046 look-back | 0.86 | missed |
| vision | 802 | 1,025 single-type | 0.78 | missed; of the machines alone about 0.59 |

Why it is missed, by planning again with one thing changed (planned cost, ours at the headroom that was tuned):

- Spot that survives a zone. The workloads ask that spot pools carry 70 % of their load without their largest zone, so two spot machines
  count as 1.4. No peer without our levers buys that. Without it azure-conversation costs 3,127 and not 3,397 (0.59 of look-back),
  servegen 2,489 and not 2,709.
- Half of the load at most may rest on spot, at 0.42 of on-demand. With no limit 2,557 and 2,110; with neither rule 2,271 and 1,857.
- Whole machines. Peaks are 5 to 8 machines of $1.86 an hour, nights 2. The linear relaxation, which buys parts, costs 2,807 and 2,145.
- Unexpected traffic, in servegen: hours of the days that prove carry up to twice what sizing saw on the mean, so 1.4 times the peaks seen
  are planned for.
- What nobody can save: of vision's bill $484 is sent data and what stands around the machines.

The peers are not tuned by us beyond their own rules; they are sized up on the very days that prove, where they miss. ``single-type`` has
our schedules and offers, at the peaks that were seen.
"""

import csv
import math
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tightrope.clouds.book import load_price_book
from tightrope.compare.comparison import OURS, Comparison, Row, compare_plans
from tightrope.demand.workload import load_workload
from tightrope.render.comparison import comparison_as_dict

NAME = "plan-compare"
DOC = "our monthly cost as replayed, over that of the cheapest peer that keeps every promise, on four workloads; target 60 % each"
TARGET_RATIO = 0.6
ROOT = Path(__file__).parents[1]
WORKLOADS, DATA = ROOT / "benchmarks" / "workloads", ROOT / "benchmarks" / "data"
LAID = {
    "azure-conversation": ("conversation", ROOT / "examples" / "chatgenius" / "traffic" / "chat_tokens.csv"),
    "azure-code": ("code", DATA / "azure_code_tokens.csv"),
}
"""Workload whose hour is laid over a day → its column of ``azure_minutes.csv``, its sizes."""
NAMES = ("servegen-m-small", *LAID, "vision")
DAYS = 14
PEAK_HOUR, LEAST_OF_PEAK = 15.0, 0.25
"""The declared cycle: a sine of a day, the trace's own rate at its highest, a quarter of it at night."""
OUR_LEVERS = "single-type"
"""The peer that has our schedules and mixes spot with on-demand: what people run has neither."""


def daily_cycle(seconds: np.ndarray) -> np.ndarray:
    """Return the part of the trace's rate at each time, float64[times].

    >>> daily_cycle(np.array([15.0, 3.0]) * 3600).round(6).tolist()
    [1.0, 0.25]
    """
    middle, swing = (1.0 + LEAST_OF_PEAK) / 2.0, (1.0 - LEAST_OF_PEAK) / 2.0
    return middle + swing * np.cos((seconds / 86_400.0 - PEAK_HOUR / 24.0) * 2.0 * math.pi)


def laid_rates(column: str) -> list[tuple[int, float]]:
    """Return the start and rate of every minute of ``DAYS``: the hour of the trace again and again, times the cycle."""
    with (DATA / "azure_minutes.csv").open(encoding="utf-8", newline="") as file:
        counts = np.array([float(row[column]) for row in csv.DictReader(file)])
    seconds = 60 * np.arange(DAYS * 1440)
    rates = np.resize(counts / 60.0, len(seconds)) * daily_cycle(seconds)
    return list(zip(seconds.tolist(), rates.tolist(), strict=True))


def laid_out(name: str, folder: Path) -> Path:
    """Return the workload's file; one that needs its rates written is copied into ``folder`` with them."""
    stated = WORKLOADS / f"{name}.yaml"
    if name not in LAID:
        return stated
    column, sizes = LAID[name]
    lines = "".join(f"{second},{rate:.6f}\n" for second, rate in laid_rates(column))
    (folder / "rates.csv").write_text(f"t_s,rate_per_s\n{lines}", encoding="utf-8")
    shutil.copy(sizes, folder / "tokens.csv")
    return Path(shutil.copy(stated, folder / stated.name))


def compared(name: str) -> Comparison:
    """Return the comparison on one workload."""
    book = load_price_book()
    with tempfile.TemporaryDirectory() as folder:
        return compare_plans(load_workload(laid_out(name, Path(folder)), book), book)


def ratio_to(ours: Row | None, peer: Row | None) -> float | None:
    """Return our cost over a peer's, as replayed; None where either is missing."""
    if ours is None or peer is None or not ours.proven or not peer.replayed_usd_per_month:
        return None
    return (ours.replayed_usd_per_month or 0.0) / peer.replayed_usd_per_month


def machines_ratio(comparison: Comparison) -> float | None:
    """Return our cost over the cheapest peer's without what no machine costs, as replayed; None where either is missing."""
    ours, peer = comparison.ours, comparison.cheapest_peer
    if comparison.ratio is None or ours is None or peer is None:
        return None
    of_ours, of_peer = ((row.replayed_usd_per_month or 0.0) - (row.around_usd_per_month or 0.0) for row in (ours, peer))
    return of_ours / of_peer if of_peer > 0.0 else None


def cheapest(rows: list[Row]) -> Row | None:
    """Return the row that cost least as it ran."""
    return min(rows, key=lambda row: row.replayed_usd_per_month or math.inf, default=None)


def said(comparison: Comparison, seconds: float) -> dict[str, Any]:
    """Return what is shown of one workload: every plan's cost, what it attains, and ours over the cheapest that keeps all."""
    rows = comparison_as_dict(comparison)["rows"]
    kept = [row for row in comparison.rows if row.proven and row.plan != OURS]
    theirs = [row for row in kept if row.meets_all and row.plan != OUR_LEVERS]
    return {
        "ratio": comparison.ratio,
        "cheapest_peer": comparison.cheapest_peer.plan if comparison.cheapest_peer else None,
        "ratio_of_machines": machines_ratio(comparison),
        "ratio_to_any_that_keeps_the_promises": ratio_to(comparison.ours, cheapest(kept)),
        "ratio_to_those_without_our_levers": ratio_to(comparison.ours, cheapest(theirs)),
        "window": comparison.window,
        "plans": rows,
        "seconds": seconds,
        "note": note_of(comparison),
    }


def note_of(comparison: Comparison) -> str:
    """Say why the target is missed, where it is."""
    ours, peer, ratio = comparison.ours, comparison.cheapest_peer, comparison.ratio
    if ours is None or not ours.proven:
        return "our own plan is not proven"
    if peer is None or ratio is None:
        return "no peer keeps every promise, even sized up"
    if ratio <= TARGET_RATIO:
        return ""
    grown = (ours.replayed_usd_per_month or 0.0) / (ours.planned_usd_per_month or math.nan)
    of_machines = machines_ratio(comparison)
    apart = f", {of_machines:.2f} of the machines alone" if of_machines is not None else ""
    return f"{peer.plan} is nearest{apart}; as it ran, our plan costs {grown:.2f} times what its schedule does"


def run() -> dict[str, Any]:
    """Return the sum of our costs over that of the cheapest peers; each workload's own stands in the detail."""
    found: dict[str, dict[str, Any]] = {}
    ours_usd = peers_usd = 0.0
    for name in NAMES:
        began_s = time.perf_counter()
        comparison = compared(name)
        found[name] = said(comparison, time.perf_counter() - began_s)
        if comparison.ratio is not None and comparison.ours and comparison.cheapest_peer:
            ours_usd += comparison.ours.replayed_usd_per_month or 0.0
            peers_usd += comparison.cheapest_peer.replayed_usd_per_month or 0.0
    return {
        "name": NAME,
        "value": ours_usd,
        "unit": "USD/month",
        "peer": "the cheapest of seven other ways to plan that keep every promise",
        "peer_value": peers_usd,
        "ratio": ours_usd / peers_usd if peers_usd else math.nan,
        "detail": {
            "target_ratio": TARGET_RATIO,
            "ratios": {name: one["ratio"] for name, one in found.items()},
            "notes": {name: one["note"] for name, one in found.items() if one["note"]},
            "workloads": found,
        },
    }
