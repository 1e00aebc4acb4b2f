"""The plan on the terminal: today's bill beside the plan's, the pools, the savings, and the evidence."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tightrope.base.plan import Plan
from tightrope.render import explanation_formats, formats, plan_warnings
from tightrope.render.terminal import GAP, LABEL_WIDTH, add_rows, grid, labelled_grid, pack, plain_text, promise_grid

WIDE = 132
"""Columns from which a console has room for the levers' notes."""
INDENT = 2
NOTE_WIDTH = 32
"""Cells for the note beside an amount."""
MOST_LISTED = 4
"""Most entries of one kind in the summary; the report lists the rest."""
Row: TypeAlias = "tuple[str, RenderableType]"


def print_summary(plan: Plan, console: Console, elapsed_s: float | None = None, report: Path | None = None) -> None:
    """Print the plan for a person, fitted to the console's width; ``elapsed_s`` is how long planning took."""
    width = console.width - INDENT
    title = f"{plan.workload}  {plan.horizon}"
    if cell_len(title) <= console.width:
        console.print(plain_text(plan.workload, "bold"), plain_text(plan.horizon, "dim"), sep="  ")
    else:
        console.print(plain_text(plan.workload, "bold"))
        console.print(Padding(pack(plan.horizon.split(" · "), width, style="dim"), (0, 0, 0, INDENT), expand=False))
    sections = [
        _headline(plan),
        _verdict(plan),
        _drivers(plan),
        _pools(plan, width),
        _savings(plan, width),
        _reasons(plan, width, elapsed_s, report),
    ]
    for section in sections:
        if not isinstance(section, Table) or section.row_count:
            console.print()
            console.print(Padding(section, (0, 0, 0, INDENT), expand=False))


def _headline(plan: Plan) -> Table:
    """Return today's bill, the plan's and the lower bound, one below the other."""
    table = labelled_grid("left", "right!", "left!")
    if formats.has_today(plan):
        table.add_row(
            "today", pack(formats.fleet_parts(plan.today_cost_lines), NOTE_WIDTH), _month(plan.today_monthly_cost_usd), ""
        )
    colour = "bold green" if plan.saving_fraction > 0 else "bold"
    table.add_row(
        "this plan",
        plain_text(formats.count(plan.pools, "pool")),
        _month(plan.monthly_cost_usd, "bold"),
        Text(formats.change(plan), colour),
    )
    if plan.cost_range is not None:
        table.add_row("", "within the error bands", plain_text(f"{explanation_formats.cost_range(plan.cost_range)} / month"), "")
    if plan.replay_monthly_cost_usd > 0:
        table.add_row("as it ran", "replayed on held-out traffic", _month(plan.replay_monthly_cost_usd), "")
    table.add_row(
        "lower bound",
        "no schedule costs less",
        _month(plan.lower_bound_monthly_usd),
        f"gap {formats.percent(plan.gap_fraction)}",
    )
    return table


def _verdict(plan: Plan) -> Table:
    """Return which promises are not proven; an empty table where all are."""
    table = labelled_grid("left")
    if plan.status != "proven":
        table.add_row(Text("NOT PROVEN", "bold red"), plain_text(formats.missed_promises(plan), "red"))
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


def _pools(plan: Plan, width: int) -> RenderableType:
    """Return one row per pool, or a block of two lines per pool where the console has no room for whole rows."""
    heads = ("pool", "machine", "variant", "offer", "replicas", "when")
    rows = [
        (pool.name, (pool.machine, pool.region), pool.variant, pool.offer, formats.replicas(pool), formats.active_hours(pool))
        for pool in plan.pools
    ]
    for separator in (" ", "\n"):
        cells = [heads, *((name, separator.join(map(formats.strip_controls, machine)), *rest) for name, machine, *rest in rows)]
        if sum(map(_column_width, zip(*cells, strict=True))) - GAP <= width:
            break
    else:
        return _pool_blocks(plan, width)
    table = grid("left", "left", "left", "left", "right!", "left")
    table.add_row(*(Text(head, "dim") for head in heads))
    for name, machine, *rest in rows:
        table.add_row(
            plain_text(name),
            Text(separator).join([plain_text(machine[0]), plain_text(machine[1], "dim")]),
            *map(plain_text, rest),
        )
    return table


def _column_width(cells: Iterable[str]) -> int:
    """Return the cells of the console that a column takes with the gap behind it."""
    return max(cell_len(line) for cell in cells for line in cell.split("\n")) + GAP


def _pool_blocks(plan: Plan, width: int) -> Table:
    """Return each pool's name above its facts, every fact whole."""
    table = grid("left")
    table.add_row(Text("pools", "dim"))
    for pool in plan.pools:
        count = formats.replicas(pool) if pool.serving.metered else f"{formats.replicas(pool)} × {pool.machine}"
        facts = [count, *([pool.machine] if pool.serving.metered else []), pool.region, pool.variant, pool.offer]
        facts += [] if pool.serving.metered else [formats.active_hours(pool)]
        table.add_row(plain_text(pool.name))
        table.add_row(Padding(pack(facts, width - INDENT), (0, 0, 0, INDENT), expand=False))
    return table


def _savings(plan: Plan, width: int) -> Table:
    """Return routing, commitments and one bar per lever."""
    room = width - LABEL_WIDTH - GAP
    table = labelled_grid("left")
    add_rows(table, "route", (_route(line, room) for line in formats.routes(plan)))
    add_rows(table, "commit", map(plain_text, formats.commitments(plan)))
    add_rows(table, "savings", _bars(plan, width + INDENT))
    return table


def _route(line: str, width: int) -> Text:
    """Return one class with its pools; where they need more lines, the further ones are indented."""
    name, arrow, pools = line.partition(" → ")
    shares = pools.split(", ")
    pieces = [f"{name}{arrow}".rstrip(), *(f"{share}," for share in shares[:-1]), shares[-1]]
    return Text(pack(pieces, width - INDENT, " ").plain.replace("\n", "\n" + INDENT * " "), overflow="fold")


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


def _reasons(plan: Plan, width: int, elapsed_s: float | None, report: Path | None) -> Table:
    """Return the promises with their evidence, the grounds of the plan, the warnings, and the next steps."""
    table = labelled_grid("left")
    room = width - LABEL_WIDTH - GAP
    proof = (
        [promise_grid(plan.evidence, room), plain_text(formats.proof(plan), "dim")]
        if plan.evidence
        else [plain_text("no promise was replayed", "bold red")]
    )
    add_rows(table, "promises", proof)
    add_rows(table, "drills", [pack(formats.drills(plan), room, "; ")] if plan.robustness else [])
    add_rows(table, "tuned", map(plain_text, plan.tuned))
    add_rows(table, "rests on", map(plain_text, _first(f"{use.profile}: {formats.band(use)}" for use in plan.provenance)))
    known = f"as known on {plan.prices_as_of}: " if plan.prices_as_of else ""
    dates = f"{known}{formats.source_dates(plan.price_sources)}; each is in the report"
    add_rows(table, "prices", [plain_text(dates)] if plan.price_sources else [])
    add_rows(table, "what if", map(plain_text, _first(explanation_formats.sensitivities(plan))))
    add_rows(table, "watch out", [Text(line, "yellow", overflow="fold") for line in _warning_lines(plan, room)])
    if not plan.explained:
        add_rows(table, "more", [plain_text("--explain: next-best plans, break-evens, every warning", "dim")])
    add_rows(table, "report", [plain_text(str(report), "bold")] if report else [])
    add_rows(table, "planned in", [plain_text(f"{elapsed_s:.1f} s", "dim")] if elapsed_s is not None else [])
    return table


def _warning_lines(plan: Plan, width: int) -> list[str]:
    """Return at most ``plan_warnings.MOST_LINES`` lines: the most costly warnings whole, and how many the lines leave out."""
    entries = [pack(text.split(), width, " ").plain.split("\n") for text in plan_warnings.group_warnings(plan)]
    unplanned = plan_warnings.unplanned_options(plan)
    last = [f"{formats.count(unplanned, 'option')} not planned with: see --explain"] if unplanned else []
    room = plan_warnings.MOST_LINES - len(last)
    if sum(map(len, entries)) <= room:
        return [line for entry in entries for line in entry] + last
    shown: list[str] = []
    for number, entry in enumerate(entries):
        if len(shown) + len(entry) > room - 1:
            return [*shown, f"and {formats.count(len(entries) - number, 'more warning')}: see --explain", *last]
        shown += entry
    return shown


def _first(entries: Iterable[str]) -> list[str]:
    """Return the first entries and how many only the report lists."""
    listed = list(entries)
    rest = len(listed) - MOST_LISTED
    return listed if rest <= 1 else [*listed[:MOST_LISTED], f"and {rest} more, in the report"]
