"""The tables of ``tightrope serve --top``: pools, classes and promises over a window, fitted to the console's width."""

import re
from collections.abc import Callable
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.text import Text

from tightrope.render import words
from tightrope.render.table import INDENT, Column, fitted, indented
from tightrope.render.terminal import say
from tightrope.serve.watch.readings import Window

LEAST_NAME = 12
BUSY = 1.0
"""More than the replicas sustain within the promises."""
PERCENTILE = re.compile(r" p([\d.]+) ")
IN_FLIGHT, REQUESTS = "tightrope_requests_in_flight", "tightrope_requests_total"
LATENCY, FIRST_TOKEN = "tightrope_latency_seconds", "tightrope_time_to_first_token_seconds"


def view(window: Window, url: str, width: int, at: datetime | None = None) -> RenderableType:
    """Return all of it."""
    over = "since its start" if window.whole else f"the last {window.seconds:.0f} s"
    when = (at or datetime.now(UTC)).strftime("%H:%M:%S")
    parts: list[RenderableType] = [say(f"{' '.join(window.names(IN_FLIGHT, 'workload'))}  {url}  {over}, {when} UTC", "bold")]
    for columns in (_pools(window), _classes(window), _promises(window)):
        if columns[0].cells:
            table, _ = fitted(columns, width - INDENT)
            parts += [Text(), indented(table)]
    return Group(*parts)


def _pools(window: Window) -> list[Column]:
    """Return the table of pools."""
    names = window.names(IN_FLIGHT, "pool")

    def column(head: str, cell: Callable[[str], Text], rank: int = 0) -> Column:
        return Column(head, [cell(name) for name in names], rank, right=True)

    return [
        Column("pool", [say(name) for name in names], crop=LEAST_NAME),
        column("ready", lambda name: _ready(window, name), 2),
        column("req/s", lambda name: rate(window.per_s("tightrope_arrivals_total", pool=name)), 1),
        column("in flight", lambda name: count(window.now(IN_FLIGHT, pool=name)), 3),
        column("waits p95", lambda name: seconds(window.quantile(0.95, "tightrope_wait_seconds", pool=name)), 5),
        column("p95", lambda name: seconds(window.quantile(0.95, LATENCY, pool=name)), 1),
        column("batch", lambda name: _batch(window, name), 6),
        column("busy", lambda name: _busy(window.now("tightrope_utilisation_ratio", pool=name)), 1),
        column("$/h", lambda name: cents(window.now("tightrope_usd_per_hour", pool=name)), 1),
        column("month", lambda name: cents(window.now("tightrope_month_to_date_usd", pool=name)), 7),
        column("notices", lambda name: count(window.now("tightrope_spot_notices_total", pool=name) or None), 8),
    ]


def _classes(window: Window) -> list[Column]:
    """Return the table of classes."""
    names = window.names(REQUESTS, "class")

    def column(head: str, cell: Callable[[str], Text], rank: int = 0) -> Column:
        return Column(head, [cell(name) for name in names], rank, right=True)

    def part(outcome: str) -> Callable[[str], Text]:
        return lambda name: share(window.share(REQUESTS, {"outcome": outcome}, cls=name), bad=True)

    return [
        Column("class", [say(name) for name in names], crop=LEAST_NAME),
        column("req/s", lambda name: rate(window.per_s(REQUESTS, cls=name)), 1),
        column("p95", lambda name: seconds(window.quantile(0.95, LATENCY, cls=name)), 1),
        column("1st token p95", lambda name: seconds(window.quantile(0.95, FIRST_TOKEN, cls=name)), 5),
        column("shed", part("shed"), 2),
        column("errors", part("error"), 3),
        column("cache hits", lambda name: share(window.share("tightrope_cache_requests_total", {"result": "hit"}, cls=name)), 4),
        column("$/1k", lambda name: dollars(window.now("tightrope_usd_per_1000_requests", cls=name)), 1),
        column("not done", lambda name: count(window.now("tightrope_deferred_requests", cls=name)), 6),
    ]


def _promises(window: Window) -> list[Column]:
    """Return the table of promises: the share that kept each."""
    metric = "tightrope_promises_total"
    pairs = [(labels["class"], labels["slo"]) for labels, _ in window.last.series.get(metric, ()) if labels["kept"] == "true"]

    def kept(cls: str, slo: str) -> Text:
        found = window.share(metric, {"kept": "true"}, cls=cls, slo=slo)
        percentile = PERCENTILE.search(slo)
        target = float(percentile[1]) / 100.0 if percentile else 1.0
        return Text("") if found is None else Text(words.percent(found, 2), "bold red" if found < target else "green")

    return [
        Column("promise to", [say(cls) for cls, _ in pairs], crop=LEAST_NAME),
        Column("", [say(slo) for _, slo in pairs]),
        Column("kept", [kept(*pair) for pair in pairs], right=True),
        Column("of", [count(window.grew(metric, cls=cls, slo=slo)) for cls, slo in pairs], 1, right=True),
    ]


def _ready(window: Window, pool: str) -> Text:
    """Return the replicas that are ready, and those that start or are missing."""
    states = {state: window.now("tightrope_replicas", pool=pool, state=state) for state in ("ready", "starting", "down")}
    more = "".join(f" {sign}{states[state]:.0f}" for state, sign in (("starting", "+"), ("down", "−")) if states[state])
    return Text("") if states["ready"] is None else Text(f"{states['ready']:.0f}{more}", "red" if states["down"] else "")


def _batch(window: Window, pool: str) -> Text:
    """Return the mean size of the batches."""
    batches = window.grew("tightrope_batch_requests_count", pool=pool)
    return Text(f"{window.grew('tightrope_batch_requests_sum', pool=pool) / batches:.1f}" if batches > 0 else "")


def _busy(utilisation: float | None) -> Text:
    """Return a utilisation."""
    return Text("") if utilisation is None else Text(words.percent(utilisation, 0), "bold red" if utilisation > BUSY else "")


def rate(per_s: float | None) -> Text:
    """Return requests a second."""
    return Text("" if per_s is None else f"{per_s:,.1f}" if per_s < 100 else f"{per_s:,.0f}")


def count(number: float | None) -> Text:
    """Return a number of things."""
    return Text("" if number is None else f"{number:,.0f}")


def seconds(found: float | None) -> Text:
    """Return a time."""
    return Text("" if found is None else words.duration(1000.0 * found))


def cents(usd: float | None) -> Text:
    """Return US dollars to the cent, large amounts to the dollar."""
    return Text("" if usd is None else words.usd(usd, 0 if usd >= 1000 else 2))


def dollars(usd: float | None) -> Text:
    """Return US dollars, three digits of small amounts: a thousand requests may cost less than a cent."""
    return Text("" if usd is None else words.usd(usd) if usd >= 1000 else f"${usd:.3g}")


def share(found: float | None, *, bad: bool = False) -> Text:
    """Return a share; of what is bad more than one in a hundred is red."""
    return Text("") if found is None else Text(words.percent(found, 1), "red" if bad and found > 0.01 else "")
