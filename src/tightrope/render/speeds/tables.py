"""``tightrope perf list``, ``show`` and ``compare`` on the terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from tightrope.plan.problem.speed_table import SpeedRow
from tightrope.render import formats
from tightrope.render.table import TableColumn, print_notes, print_table, print_title
from tightrope.render.terminal import labelled_grid, plain_text

LEAST_NAME = 12


def rate(item: SpeedRow) -> str:
    """Return what one machine sustains, such as ``0.93/s``; what is paid by the request has no such figure."""
    if item.requests_per_s is None:
        return "by request"
    return f"{item.requests_per_s:,.0f}/s" if item.requests_per_s >= 100 else f"{item.requests_per_s:.3g}/s"


def latency(item: SpeedRow) -> str:
    """Return the latency of an idle engine, and what of its promise that is: ``2.17 s, 54 %``."""
    if item.idle_latency_s is None or item.promise_used is None:
        return ""
    return f"{formats.duration(1e3 * item.idle_latency_s)}, {formats.percent(item.promise_used, 0 if item.promise_used >= 0.01 else 2)}"


def known(item: SpeedRow) -> str:
    """Return how the profile is known, such as ``modelled, ±25 %``."""
    return f"{formats.KINDS[item.provenance]}, ±{formats.percent(item.error_band, 0)}"


def dollars(amount: float | None) -> str:
    """Return a price of a million, three digits of it; empty where it is of nothing.

    >>> dollars(0.043827), dollars(62.49), dollars(1250.0), dollars(None)
    ('$0.0438', '$62.5', '$1,250', '')
    """
    if amount is None:
        return ""
    return f"${amount:,.0f}" if amount >= 1000 else f"${amount:.3g}"


def print_speeds(speeds: Sequence[SpeedRow], limit: int, console: Console, front: frozenset[SpeedRow] = frozenset()) -> None:
    """Print the ways to serve each class, at most ``limit`` a class, the cheapest first; those on the front are marked."""
    left_out: list[str] = []
    notes: list[str] = []
    for name in dict.fromkeys(item.traffic_class for item in speeds):
        group = [item for item in speeds if item.traffic_class == name]
        promises = sorted({item.nearest_promise for item in group} - {""})
        print_title(console, name, " · ".join(promises) or "deferrable work")
        left_out += print_table(console, _columns(group[:limit], front))
        if len(group) > limit:
            notes.append(f"{name}: {len(group) - limit:,} more expensive ones are not shown; --limit N shows more")
        console.print()
    notes.append(
        "$ of a machine that is busy all the time at the rate it sustains within the promises; idle hours are the plan's to say"
    )
    print_notes(console, notes, left_out)


def _columns(group: Sequence[SpeedRow], front: frozenset[SpeedRow]) -> list[TableColumn]:
    """Return the table of one class."""
    machines = [plain_text(item.machine, "green" if item in front else "") for item in group]
    return [
        TableColumn("", [Text("●" if item in front else "", "green") for item in group]),
        TableColumn("machine", machines, crop=LEAST_NAME),
        TableColumn("variant", [plain_text(item.variant) for item in group], crop=LEAST_NAME),
        TableColumn("offer", [plain_text(item.offer) for item in group], 1, crop=LEAST_NAME),
        TableColumn("region", [plain_text(item.region) for item in group], 4),
        TableColumn("sustains", [Text(rate(item)) for item in group], right=True),
        TableColumn("$ / M requests", [Text(dollars(item.usd_per_million_requests)) for item in group], right=True),
        TableColumn("$ / M tokens", [Text(dollars(item.usd_per_million_tokens)) for item in group], 3, right=True),
        TableColumn("idle, of its promise", [Text(latency(item)) for item in group], 2, right=True),
        TableColumn("quality", [Text(f"{item.quality:g}") for item in group], 3, right=True),
        TableColumn("known", [plain_text(known(item)) for item in group], 5),
        TableColumn("setting", [plain_text(item.setting) for item in group], 6),
    ]


def print_one(speeds: Sequence[SpeedRow], console: Console) -> None:
    """Print all that is known of one variant on one machine: where it can be had for how much, and where its figures come from."""
    first = speeds[0]
    print_title(console, f"{first.variant} on {first.machine}", f"quality {first.quality:g}")
    table = labelled_grid("left")
    for source in dict.fromkeys((item.source, known(item)) for item in speeds):
        table.add_row("rests on", plain_text(f"{source[1]}: {source[0]}"))
    console.print(table)
    for name in dict.fromkeys(item.traffic_class for item in speeds):
        group = [item for item in speeds if item.traffic_class == name]
        columns = [
            TableColumn(name, [plain_text(f"{item.cloud} {item.region}") for item in group]),
            TableColumn("offer", [plain_text(item.offer) for item in group]),
            TableColumn("$ an hour", [Text(dollars(item.usd_per_hour)) for item in group], 1, right=True),
            TableColumn("sustains", [Text(rate(item)) for item in group], right=True),
            TableColumn("$ / M requests", [Text(dollars(item.usd_per_million_requests)) for item in group], right=True),
            TableColumn("$ / M tokens", [Text(dollars(item.usd_per_million_tokens)) for item in group], 2, right=True),
            TableColumn("idle, of its promise", [Text(latency(item)) for item in group], 3, right=True),
            TableColumn("setting", [plain_text(item.setting) for item in group], 4),
        ]
        print_table(console, columns)
