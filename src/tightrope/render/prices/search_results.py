"""``tightrope prices find`` on the terminal."""

from datetime import date

from rich.console import Console

from tightrope.base.catalogue import OLD_DAYS, SPOT
from tightrope.clouds.search.find import Hit, Query, SearchResult
from tightrope.render.prices import price_formats
from tightrope.render.table import TableColumn, print_notes, print_table, print_title
from tightrope.render.terminal import plain_text

NOTHING = "no machine matches all of that; loosen a range, or see `tightrope prices find --help`"


def print_search(found: SearchResult, query: Query, limit: int, console: Console, today: date, as_of: date | None = None) -> None:
    """Print the first ``limit`` machines and regions, and of how many."""
    print_title(console, _asked(query) or "all machines", f"{len(found.hits):,} matched")
    if not found.hits:
        said = (
            f"not sold so; these machines are sold as {', '.join(found.near_offers)} (--offer)" if found.near_offers else NOTHING
        )
        print_notes(console, [said, f"as of {as_of}: a later day may have more" if as_of else ""])
        return
    hits = found.hits[:limit]
    left_out = print_table(console, _columns(found, hits, today, console.width))
    rows = [row for hit in hits for row in hit.prices if row is not None]
    more = f"{limit:,} of {len(found.hits):,} shown; --limit N shows more" if len(found.hits) > limit else ""
    derived = any(row.basis == "derived" for row in rows)
    print_notes(console, [more, "US dollars an hour" + ("; * derived from other figures" if derived else "")], left_out)


def _asked(query: Query) -> str:
    """Return what was asked for, in a few words."""
    lists = (query.gpus, query.machines, query.families, query.regions, query.clouds, query.offers)
    ranges = (("GPUs", query.gpu_count), ("GiB GPU", query.gpu_memory_gib), ("vCPU", query.vcpu), ("GiB", query.memory_gib))
    said = [", ".join(stated) for stated in lists if stated]
    said += [f"{text} {name}" for name, text in ranges if text]
    said += [query.arch] if query.arch else []
    return " · ".join(said + ([f"at most ${query.max_usd_per_hour:g}"] if query.max_usd_per_hour is not None else []))


def _columns(found: SearchResult, hits: tuple[Hit, ...], today: date, width: int) -> list[TableColumn]:
    """Return the table; a narrow console loses the architecture, the cloud and the day first."""
    machines = [hit.machine for hit in hits]
    prices = [
        TableColumn(offer, [price_formats.price(hit.prices[place]) for hit in hits], rank=min(place, 1), right=True)
        for place, offer in enumerate(found.offers)
    ]
    spot = found.offers.index(SPOT) if SPOT in found.offers else None
    bands = (
        [] if spot is None else [TableColumn("interr.", [price_formats.band(hit.prices[spot]) for hit in hits], 3, right=True)]
    )
    seen = [min(row.seen for row in hit.prices if row is not None) for hit in hits]
    return [
        TableColumn("machine", [price_formats.name(machine, width) for machine in machines]),
        TableColumn("cloud", [plain_text(machine.cloud) for machine in machines], 7),
        TableColumn("region", [plain_text(hit.region) for hit in hits]),
        TableColumn("gpu", [price_formats.gpu(machine) for machine in machines]),
        TableColumn("each GiB", [price_formats.each(machine) for machine in machines], 5, right=True),
        TableColumn("vCPU", [price_formats.number(machine.vcpu) for machine in machines], 4, right=True),
        TableColumn("GiB", [price_formats.number(machine.memory_gib) for machine in machines], 4, right=True),
        TableColumn("arch", [plain_text(machine.arch) for machine in machines], 8),
        *prices,
        *bands,
        TableColumn("seen", [price_formats.day(day, today, OLD_DAYS) for day in seen], 6),
    ]
