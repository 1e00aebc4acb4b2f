"""Plans of one workload beside each other: a table on the terminal, and JSON."""

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from tightrope.base.plan import Evidence
from tightrope.compare.comparison import OURS, Comparison, PoolUse, Row
from tightrope.render import formats
from tightrope.render.plain import Json, plain
from tightrope.render.table import TableColumn, print_notes, print_table, print_title
from tightrope.render.terminal import plain_text

MOST_NAMED = 4
"""Most pools of a plan in the table; the rest are counted and stand in the JSON."""
NO_PLAN = "–"


def comparison_as_dict(comparison: Comparison) -> dict[str, Json]:
    """Return the comparison as plain JSON values, ``schema_version`` first; what is not known is left out."""
    found = plain(comparison)
    assert isinstance(found, dict)  # noqa: S101 - a record is an object
    rows: list[Json] = []
    for row in comparison.rows:
        said = plain(row)
        assert isinstance(said, dict)  # noqa: S101
        rows.append(said | {"proven": row.proven, "meets_all": row.meets_all})
    peer, ratio = comparison.cheapest_peer, comparison.ratio
    verdict: dict[str, Json] = {} if peer is None else {"cheapest_peer": _name(peer)}
    verdict |= {} if ratio is None else {"ratio": plain(ratio)}
    return found | {"rows": rows} | verdict


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print the comparison for a person, fitted to the console's width."""
    seeds = formats.count(comparison.seeds, "seed")
    print_title(console, comparison.workload, f"every plan replayed on {comparison.window}, {seeds}; US dollars a month")
    left_out = print_table(console, _columns(comparison))
    print_notes(console, [_verdict(comparison), *_notes(comparison)], left_out)


def _columns(comparison: Comparison) -> list[TableColumn]:
    """Return the table: one column for each promise, in the order in which they first come."""
    rows = comparison.rows
    promises = dict.fromkeys(_promise(item) for row in rows for item in row.evidence)
    return [
        TableColumn("plan", [plain_text(_name(row), "bold" if row.plan == OURS else "") for row in rows]),
        TableColumn("machines", [_machines(row) for row in rows], 3),
        TableColumn("planned", [_usd(row.planned_usd_per_month) for row in rows], 2, right=True),
        TableColumn("as it ran", [_usd(row.replayed_usd_per_month) for row in rows], right=True),
        *(TableColumn(_head(promise), [_attained(row, promise) for row in rows], 1, right=True) for promise in promises),
        TableColumn("meets all", [_meets(row) for row in rows]),
    ]


def _promise(item: Evidence) -> tuple[str, str, str]:
    """Return what a promise is known by: its class, itself, and where it is a surge's, that."""
    return item.traffic_class, item.slo, "surge" if item.window.endswith("surge on top") else ""


def _head(promise: tuple[str, str, str]) -> str:
    """Return a promise in a few short lines."""
    traffic_class, slo, surge = promise
    return formats.strip_controls(f"{traffic_class} {surge}".strip()) + "\n" + "\n≤".join(formats.strip_controls(slo).split(" ≤"))


def _attained(row: Row, promise: tuple[str, str, str]) -> Text:
    """Return the share of requests within the promise, red where it is not proven."""
    found = [item for item in row.evidence if _promise(item) == promise]
    if not found:
        return Text(NO_PLAN, "dim")
    return Text(formats.attainment(found[0]), "" if found[0].verdict == "proven" else "red")


def _name(row: Row) -> str:
    """Return a plan's name, with the factor by which it is sized up."""
    return f"{row.plan} ×{row.sized:.2f}" if row.sized > 1.0 else row.plan


def _usd(amount: float | None) -> Text:
    """Return an amount a month; a dash where there is no plan."""
    return Text(NO_PLAN, "dim") if amount is None else Text(formats.usd(amount))


def _meets(row: Row) -> Text:
    """Return whether a plan may stand for ours."""
    if row.meets_all:
        return Text("✓", "green")
    return Text("✗", "bold red") if row.evidence else Text(NO_PLAN, "dim")


def _machines(row: Row) -> Text:
    """Return what runs, a line for each pool."""
    lines = [_pool(pool) for pool in row.pools[:MOST_NAMED]]
    if (more := len(row.pools) - MOST_NAMED) > 0:
        lines.append(f"and {more} more")
    return Text("\n").join([plain_text(line) for line in lines])


def _pool(pool: PoolUse) -> str:
    """Return a pool, such as ``2–5 × g6.xlarge spot, int8``."""
    count = f"{pool.least}" if pool.least == pool.most else f"{pool.least}–{pool.most}"
    return f"{count} × {pool.machine} {pool.offer}, {pool.variant.split('/')[-1]}"


def _verdict(comparison: Comparison) -> str:
    """Say how our plan stands to the cheapest that meets all."""
    peer, ours = comparison.cheapest_peer, comparison.ours
    if peer is None:
        return "no other plan keeps every promise on this traffic" if any(row.plan != OURS for row in comparison.rows) else ""
    if ours is None:
        return f"the cheapest that meets all: {_name(peer)}"
    if comparison.ratio is None:
        return f"{OURS} is not proven; the cheapest that meets all: {_name(peer)}"
    return (
        f"{OURS} costs {formats.percent(comparison.ratio)} of the cheapest other plan that meets all, {_name(peer)}, as both ran"
    )


def _notes(comparison: Comparison) -> Iterator[str]:
    """Yield what each plan is, and what is to be known of it."""
    said: set[str] = set()
    for row in comparison.rows:
        if row.plan not in said:
            yield f"{row.plan}: {row.words}"
        said.add(row.plan)
        if note := "; ".join(filter(None, (row.breaks, row.note))):
            yield f"{_name(row)}: {note}"
    if any(row.sized > 1.0 for row in comparison.rows):
        yield "×1.12: where a rule misses a promise, sized up in the steps that our own plan has, until it keeps all or the steps end"
