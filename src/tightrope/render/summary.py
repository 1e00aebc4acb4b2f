"""The plan on the terminal: today's bill beside the plan's, what runs, what saves, and what it rests on."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tightrope.base.plan import Plan
from tightrope.render import explanation_formats, formats
from tightrope.render.terminal import add_rows, grid, labelled_grid, plain_text, promise_grid

WIDE = 100
"""Columns from which a console has room for the notes."""
MOST_NOTED = 4
"""Most entries of one kind said here; the rest are counted and stand in the report."""
Row: TypeAlias = "tuple[str, RenderableType]"


def print_summary(plan: Plan, console: Console, elapsed_s: float | None = None, report: Path | None = None) -> None:
    """Print the plan for a person, fitted to the console's width; ``elapsed_s`` is how long planning took."""
    console.print(plain_text(plan.workload, "bold"), plain_text(plan.horizon, "dim"), sep="  ")
    width = console.width
    sections = [_headline(plan), _drivers(plan), _pools(plan, width), _saves(plan, width), _reasons(plan, elapsed_s, report)]
    for section in sections:
        if section.row_count:
            console.print()
            console.print(Padding(section, (0, 0, 0, 2), expand=False))


def _headline(plan: Plan) -> Table:
    """Return today's bill, the plan's and the bound, one under the other."""
    table = labelled_grid("left", "right!", "left!")
    if formats.has_today(plan):
        table.add_row("today", plain_text(formats.fleet_of(plan.today_cost_lines)), _month(plan.today_monthly_cost_usd), "")
    colour = "bold green" if plan.saving_fraction > 0 else "bold"
    table.add_row(
        "this plan",
        plain_text(formats.count(plan.pools, "pool")),
        _month(plan.monthly_cost_usd, "bold"),
        Text(formats.change(plan), colour),
    )
    if plan.cost_range is not None:
        table.add_row(
            "", "within its profiles' error bands", plain_text(f"{explanation_formats.cost_range(plan.cost_range)} / month"), ""
        )
    if plan.replay_monthly_cost_usd > 0:
        table.add_row("as it ran", "scaled by traffic never sized on", _month(plan.replay_monthly_cost_usd), "")
    table.add_row(
        "lower bound",
        "no schedule for this demand costs less",
        _month(plan.lower_bound_monthly_usd),
        f"gap {formats.percent(plan.gap_fraction)}",
    )
    if plan.status != "proven":
        table.add_row("", "", "", "")
        table.add_row(Text("NOT PROVEN", "bold red"), plain_text(formats.missed_promises(plan), "red"), "", "")
    return table


def _month(usd: float, style: str = "") -> Text:
    """Return an amount per month."""
    return Text(f"{formats.usd(usd)} / month", style=style)


def _drivers(plan: Plan) -> Table:
    """Return the bill by cost driver, today beside the plan."""
    table = grid("left!", "right!", "right!")
    today = formats.has_today(plan)
    table.add_row(*(Text(head, "dim") for head in ("bill by driver", "today" if today else "", "this plan")))
    rows = [*formats.by_driver(plan), ("total", plan.today_monthly_cost_usd, plan.monthly_cost_usd)]
    for driver, now, planned in rows:
        style = "bold" if driver == "total" else ""
        table.add_row(
            plain_text(driver, style), Text(formats.usd(now) if today else "", style), Text(formats.usd(planned), style)
        )
    return table


def _pools(plan: Plan, width: int) -> Table:
    """Return what runs: one row per pool, its region below the machine where the console is narrow."""
    table = grid("left", "left", "left", "left", "right!", "left")
    table.add_row(*(Text(head, "dim") for head in ("pool", "machine", "variant", "offer", "replicas", "when")))
    for pool in plan.pools:
        machine = Text("\n" if width < WIDE else " ").join([plain_text(pool.machine), plain_text(pool.region, "dim")])
        cells = (plain_text(text) for text in (pool.variant, pool.offer, formats.replicas(pool), formats.active_hours(pool)))
        table.add_row(plain_text(pool.name), machine, *cells)
    return table


def _saves(plan: Plan, width: int) -> Table:
    """Return routing, commitments and one bar per lever."""
    table = labelled_grid("left")
    add_rows(table, "route", map(plain_text, formats.routes(plan)))
    add_rows(table, "commit", map(plain_text, formats.commitments(plan)))
    add_rows(table, "what saves", _bars(plan, width))
    return table


def _bars(plan: Plan, width: int) -> Iterator[RenderableType]:
    """Yield the levers that move the bill as bars, then name those that do not."""
    moving = [lever for lever in plan.levers if abs(lever.saving_usd) >= formats.NOTHING_USD]
    idle = [lever.name for lever in plan.levers if lever not in moving]
    if moving:
        table = grid("left!", "right!", "left!", *(["left"] if width >= WIDE else []))
        longest, room = max(abs(lever.saving_usd) for lever in moving), max(8, min(28, width - 56))
        for lever in moving:
            bar = "▇" * max(1, round(room * abs(lever.saving_usd) / longest))
            style = "green" if lever.saving_usd > 0 else "red"
            cells = [plain_text(lever.name), Text(formats.usd(lever.saving_usd)), Text(bar, style), plain_text(lever.note, "dim")]
            table.add_row(*cells[: len(table.columns)])
        yield table
    if idle:
        yield plain_text(f"nothing here: {', '.join(idle)}", "dim")


def _reasons(plan: Plan, elapsed_s: float | None, report: Path | None) -> Table:
    """Return the promises with their evidence, what the plan rests on, what to watch, and where to go next."""
    table = labelled_grid("left")
    proof = (
        [promise_grid(plan.evidence), plain_text(formats.proof(plan), "dim")]
        if plan.evidence
        else [plain_text("no promise was replayed", "bold red")]
    )
    add_rows(table, "promises", proof)
    add_rows(table, "robust", [plain_text(formats.robustness(plan))] if plan.robustness else [])
    add_rows(table, "tuned", map(plain_text, plan.tuned))
    add_rows(table, "rests on", map(plain_text, _first(f"{use.profile}: {formats.band(use)}" for use in plan.provenance)))
    asked = f"as known on {plan.prices_as_of}: " if plan.prices_as_of else ""
    dates = f"{asked}{formats.source_dates(plan.price_sources)}; each is in the report"
    add_rows(table, "prices", [plain_text(dates)] if plan.price_sources else [])
    add_rows(
        table,
        "watch out",
        [plain_text(text, "yellow") for text in plan.warnings]
        + [plain_text(text) for text in _first(explanation_formats.sensitivities(plan))],
    )
    if not plan.explained:
        add_rows(table, "more", [plain_text("--explain: next-best plans, break-evens, the worth of every offer", "dim")])
    add_rows(table, "report", [plain_text(str(report), "bold")] if report else [])
    add_rows(table, "planned in", [plain_text(f"{elapsed_s:.1f} s", "dim")] if elapsed_s is not None else [])
    return table


def _first(entries: Iterable[str]) -> list[str]:
    """Return the first entries and how many are left for the report."""
    said = list(entries)
    rest = len(said) - MOST_NOTED
    return said if rest <= 1 else [*said[:MOST_NOTED], f"and {rest} more, in the report"]
