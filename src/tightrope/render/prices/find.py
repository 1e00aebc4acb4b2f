"""``tightrope prices find`` on the terminal."""

from datetime import date

from rich.console import Console

from tightrope.base.catalogue import OLD_DAYS, SPOT
from tightrope.clouds.search.find import Found, Hit, Query
from tightrope.render.prices import figures
from tightrope.render.table import Column, print_notes, print_table, print_title
from tightrope.render.terminal import say

NOTHING = "no machine matches all of that; loosen a range, or see `tightrope prices find --help`"


def print_found(found: Found, query: Query, limit: int, console: Console, today: date, as_of: date | None = None) -> None:
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


def _columns(found: Found, hits: tuple[Hit, ...], today: date, width: int) -> list[Column]:
    """Return the table; a narrow console loses the architecture, the cloud and the day first."""
    machines = [hit.machine for hit in hits]
    prices = [
        Column(offer, [figures.price(hit.prices[place]) for hit in hits], rank=min(place, 1), right=True)
        for place, offer in enumerate(found.offers)
    ]
    spot = found.offers.index(SPOT) if SPOT in found.offers else None
    bands = [] if spot is None else [Column("interr.", [figures.band(hit.prices[spot]) for hit in hits], 3, right=True)]
    seen = [min(row.seen for row in hit.prices if row is not None) for hit in hits]
    return [
        Column("machine", [figures.name(machine, width) for machine in machines]),
        Column("cloud", [say(machine.cloud) for machine in machines], 7),
        Column("region", [say(hit.region) for hit in hits]),
        Column("gpu", [figures.gpu(machine) for machine in machines]),
        Column("each GiB", [figures.each(machine) for machine in machines], 5, right=True),
        Column("vCPU", [figures.number(machine.vcpu) for machine in machines], 4, right=True),
        Column("GiB", [figures.number(machine.memory_gib) for machine in machines], 4, right=True),
        Column("arch", [say(machine.arch) for machine in machines], 8),
        *prices,
        *bands,
        Column("seen", [figures.day(day, today, OLD_DAYS) for day in seen], 6),
    ]
