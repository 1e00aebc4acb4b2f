"""What our plan costs beside the cheapest of what people use that keeps every promise too, on traffic that none was sized on."""

import csv
import math
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tightrope.clouds.book import load_price_book
from tightrope.demand.workload import load_workload
from tightrope.plan.compare import OURS, Comparison, Row, compare_plans
from tightrope.render.compare import comparison_as_dict

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
    return f"{peer.plan} is nearest; as it ran, our plan costs {grown:.2f} times what its schedule does"


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
