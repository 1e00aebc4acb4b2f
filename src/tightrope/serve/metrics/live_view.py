"""The tables of ``tightrope serve --top``: pools, classes and promises, fitted to the console's width."""

from collections.abc import Callable, Sequence
from datetime import datetime
from math import floor, log10
from typing import TypeVar

from rich.console import Group, RenderableType
from rich.text import Text

from tightrope.render import formats
from tightrope.render.table import INDENT, TableColumn, fit_table, indent_table
from tightrope.render.terminal import plain_text
from tightrope.serve.metrics.live_figures import ClassFigures, Figures, PoolFigures, PromiseFigures

LEAST_NAME = 12
BUSY = 1.0
"""Beyond it is more than the replicas sustain within the promises."""
BAD = 0.01
"""Share of what is turned away or fails that is shown in red."""
Row = TypeVar("Row")
Number = float | None


def view(figures: Figures, url: str, width: int, at: datetime) -> RenderableType:
    """Return all of it; ``at`` is now, in UTC."""
    over = "since its start" if figures.since_start else f"the last {figures.seconds:.0f} s"
    parts: list[RenderableType] = [plain_text(f"{figures.workload}  {url}  {over}, {at:%H:%M:%S} UTC", "bold")]
    for columns in (_pools(figures.pools), _classes(figures.classes), _promises(figures.promises)):
        if columns[0].cells:
            table, _ = fit_table(columns, width - INDENT)
            parts += [Text(), indent_table(table)]
    return Group(*parts)


def _pools(rows: Sequence[PoolFigures]) -> list[TableColumn]:
    """Return the table of pools."""
    return [
        TableColumn("pool", [plain_text(row.pool) for row in rows], crop=LEAST_NAME),
        _column("ready", rows, _ready, 2),
        _column("req/s", rows, lambda row: _rate(row.requests_per_s), 1),
        _column("in flight", rows, lambda row: _count(row.in_flight), 3),
        _column("waits p95", rows, lambda row: _seconds(row.wait_p95_s), 5),
        _column("p95", rows, lambda row: _seconds(row.latency_p95_s), 1),
        _column("batch", rows, lambda row: Text("" if row.batch is None else f"{row.batch:.1f}"), 6),
        _column("busy", rows, lambda row: _share(row.utilisation, beyond=BUSY, digits=0), 1),
        _column("$/h", rows, lambda row: _cents(row.usd_per_hour), 1),
        _column("month", rows, lambda row: _cents(row.month_to_date_usd), 7),
        _column("notices", rows, lambda row: _count(row.spot_notices or None), 8),
    ]


def _classes(rows: Sequence[ClassFigures]) -> list[TableColumn]:
    """Return the table of classes."""
    return [
        TableColumn("class", [plain_text(row.traffic_class) for row in rows], crop=LEAST_NAME),
        _column("req/s", rows, lambda row: _rate(row.requests_per_s), 1),
        _column("p95", rows, lambda row: _seconds(row.latency_p95_s), 1),
        _column("1st token p95", rows, lambda row: _seconds(row.first_token_p95_s), 5),
        _column("shed", rows, lambda row: _share(row.shed, beyond=BAD), 2),
        _column("errors", rows, lambda row: _share(row.errors, beyond=BAD), 3),
        _column("cache hits", rows, lambda row: _share(row.cache_hits), 4),
        _column("$/1k", rows, lambda row: _dollars(row.usd_per_1000_requests), 1),
        _column("not done", rows, lambda row: _count(row.deferred), 6),
    ]


def _promises(rows: Sequence[PromiseFigures]) -> list[TableColumn]:
    """Return the table of promises: the share that kept each."""
    return [
        TableColumn("promise to", [plain_text(row.traffic_class) for row in rows], crop=LEAST_NAME),
        TableColumn("", [plain_text(row.slo) for row in rows]),
        _column("kept", rows, _kept),
        _column("of", rows, lambda row: _count(row.requests), 1),
    ]


def _column(head: str, rows: Sequence[Row], cell: Callable[[Row], Text], rank: int = 0) -> TableColumn:
    """Return a column of figures."""
    return TableColumn(head, [cell(row) for row in rows], rank, right=True)


def _ready(row: PoolFigures) -> Text:
    """Return the replicas that are ready, and those that start or are missing."""
    if row.ready is None:
        return Text()
    more = "".join(f" {sign}{number:.0f}" for number, sign in ((row.starting, "+"), (row.down, "−")) if number)
    return Text(f"{row.ready:.0f}{more}", "red" if row.down else "")


def _kept(row: PromiseFigures) -> Text:
    """Return the share that kept a promise, and whether that is enough."""
    return Text() if row.kept is None else Text(formats.percent(row.kept, 2), "green" if row.kept >= row.target else "bold red")


def _rate(per_s: Number) -> Text:
    """Return requests a second."""
    return Text("" if per_s is None else f"{per_s:,.1f}" if per_s < 100 else f"{per_s:,.0f}")


def _count(number: Number) -> Text:
    """Return a number of things."""
    return Text("" if number is None else f"{number:,.0f}")


def _seconds(found: Number) -> Text:
    """Return a time."""
    return Text("" if found is None else formats.duration(1000.0 * found))


def _cents(usd: Number) -> Text:
    """Return US dollars to the cent, large amounts to the dollar."""
    return Text("" if usd is None else formats.usd(usd, 0 if usd >= 1000 else 2))


def _dollars(usd: Number) -> Text:
    """Return US dollars, three digits of small amounts: a thousand requests may cost less than a cent.

    >>> [_dollars(usd).plain for usd in (None, 0.0, 2.528e-05, 0.0123, 4.5, 20.0, 1234.5)]
    ['', '$0', '$0.0000253', '$0.0123', '$4.50', '$20.0', '$1,234']
    """
    if usd is None or usd >= 1000:
        return Text("" if usd is None else formats.usd(usd))
    return Text(f"${usd:.{2 - floor(log10(usd))}f}" if usd > 0 else "$0")


def _share(found: Number, *, beyond: float = float("inf"), digits: int = 1) -> Text:
    """Return a share, red beyond what it should be."""
    return Text() if found is None else Text(formats.percent(found, digits), "bold red" if found > beyond else "")
