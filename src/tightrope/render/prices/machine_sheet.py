"""``tightrope prices show`` on the terminal."""

from dataclasses import replace
from datetime import date

from rich.console import Console
from rich.text import Text

from tightrope.base.catalogue import OLD_DAYS, ON_DEMAND, SPOT, MachineType
from tightrope.clouds.search.machine_sheet import History, OfferQuote, PriceStep, Sheet
from tightrope.clouds.search.name_matching import FIRST_OFFERS
from tightrope.clouds.search.origins import sources_of
from tightrope.render import formats
from tightrope.render.prices import price_formats
from tightrope.render.table import TableColumn, indent_table, print_notes, print_table
from tightrope.render.terminal import grid, labelled_grid, plain_text

MOST_QUOTES = 40
"""More than these are told by the best commitment of each term, unless a region or an offer is named."""


def print_sheet(sheet: Sheet, console: Console, today: date, *, everything: bool) -> None:
    """Print a machine's facts, its prices, how they went, and where they stand; ``everything`` keeps every commitment."""
    machine = sheet.machine
    console.print(plain_text(machine.name, "bold"), plain_text(f"{machine.cloud} · family {machine.family}", "dim"), sep="  ")
    console.print()
    console.print(indent_table(_facts(machine)))
    quotes = sheet.quotes if everything or len(sheet.quotes) <= MOST_QUOTES else _best(sheet)
    if not quotes:
        print_notes(console, ["no price is known; add one in a folder of your own (--catalogue)"])
        return
    sources = list(dict.fromkeys(part for quote in quotes for part in sources_of(quote.row.source)))
    left_out = print_table(console, _columns(quotes, sources, today, console.width))
    hidden = len(sheet.quotes) - len(quotes)
    notes = [
        f"{formats.count(hidden, 'more expensive commitment')} not shown; --region or --offer shows all" if hidden else "",
        "US dollars an hour, what is paid upfront spread over the term"
        + ("; * derived from other figures" if any(quote.row.basis == "derived" for quote in quotes) else ""),
    ]
    print_notes(console, notes, left_out)
    _print_rest(sheet, sources, console)


def _facts(machine: MachineType) -> Text:
    """Return what the machine is, in a line."""
    said = [f"{machine.vcpu} vCPU", f"{machine.memory_gib:g} GiB", machine.arch]
    if machine.accelerators:
        each = f"{machine.accelerator_memory_gib:g} GiB each" if machine.accelerator_memory_gib else "memory unknown"
        said.insert(0, f"{machine.accelerators} × {machine.accelerator}, {each}")
    said += [f"network up to {machine.network_gbps:g} Gbit/s"] if machine.network_gbps else []
    return plain_text(" · ".join(said))


def _best(sheet: Sheet) -> tuple[OfferQuote, ...]:
    """Return the quotes less the commitments that another of the same region and term undercuts."""
    cheapest: dict[tuple[str, int | None], OfferQuote] = {}
    for quote in sheet.quotes:
        place = quote.row.region, sheet.terms.get(quote.row.offer)
        if quote.row.offer not in FIRST_OFFERS and (
            place not in cheapest or quote.row.usd_per_hour < cheapest[place].row.usd_per_hour
        ):
            cheapest[place] = quote
    return tuple(quote for quote in sheet.quotes if quote.row.offer in FIRST_OFFERS or quote in cheapest.values())


def _columns(quotes: tuple[OfferQuote, ...], sources: list[str], today: date, width: int) -> list[TableColumn]:
    """Return one row a quote, its region named once: beside it, or above it where the console is narrow."""
    rows = [quote.row for quote in quotes]
    first = [place == 0 or rows[place - 1].region != row.region for place, row in enumerate(rows)]
    upfront = [plain_text(price_formats.usd(row.upfront_usd, 0) if row.upfront_usd else "") for row in rows]
    columns = [
        TableColumn("region", [plain_text(row.region if new else "") for row, new in zip(rows, first, strict=True)]),
        TableColumn("offer", [plain_text(row.offer) for row in rows]),
        TableColumn("$/h", [price_formats.price(row) for row in rows], right=True),
        TableColumn("off", [_off(quote) for quote in quotes], 1, right=True),
        TableColumn("upfront $", upfront, 5, right=True),
        TableColumn("interr.", [price_formats.band(row) if row.offer == SPOT else Text("") for row in rows], 2, right=True),
        TableColumn("zones", [Text(str(row.zones) if row.zones else price_formats.UNKNOWN) for row in rows], 7, right=True),
        TableColumn("zone by zone", [_zones(quote) for quote in quotes], 4),
        TableColumn("seen", [price_formats.day(row.seen, today, OLD_DAYS) for row in rows], 3),
        TableColumn("source", [_numbers(row.source, sources) for row in rows], 1),
    ]
    return columns if width >= price_formats.WIDE else _with_headings(columns)


def _with_headings(columns: list[TableColumn]) -> list[TableColumn]:
    """Return a table whose first column stands as lines of its own above the rows that it is filled in."""
    heads, *rest = columns
    cells: list[list[Text]] = [[] for _ in rest]
    for place, head in enumerate(heads.cells):
        if head.plain:
            for column in cells:
                column.append(Text(""))
            cells[0][-1] = head
        for column, source in zip(cells, rest, strict=True):
            column.append(source.cells[place])
        cells[0][-1] = Text("  ").append_text(cells[0][-1])
    return [replace(column, cells=filled) for column, filled in zip(rest, cells, strict=True)]


def _off(quote: OfferQuote) -> Text:
    """Return what a quote saves; nothing for on-demand itself."""
    return Text("") if quote.row.offer == ON_DEMAND else price_formats.off(quote.share_off)


def _numbers(source: str, sources: list[str]) -> Text:
    """Return the numbers of a row's sources in the list below the table."""
    return Text(" ".join(str(sources.index(part) + 1) for part in sources_of(source)), "dim")


def _zones(quote: OfferQuote) -> Text:
    """Return the range of the prices that hold in single zones."""
    prices = sorted(row.usd_per_hour for row in quote.zones)
    if not prices:
        return Text("")
    low, high = price_formats.usd(prices[0]), price_formats.usd(prices[-1])
    return Text(f"{low}–{high} ({len(prices)})" if low != high else f"{low} ({len(prices)})")


def _print_rest(sheet: Sheet, sources: list[str], console: Console) -> None:
    """Print how prices went, and the sources that the table's numbers stand for."""
    table = labelled_grid("left")
    label = "history"
    for history in sheet.histories:
        table.add_row(label, _course(history))
        label = ""
    console.print()
    if sheet.histories:
        console.print(indent_table(table))
        console.print()
    numbered = grid("right!", "left")
    numbered.add_row("", Text("sources", "dim"))
    for number, source in enumerate(sources, 1):
        numbered.add_row(Text(str(number), "dim"), plain_text(source, "dim"))
    console.print(indent_table(numbered))


def _course(history: History) -> Text:
    """Return how one price went, such as ``us-east-1 on-demand  0.9000 (2026-05-01) → 0.8048 (2026-07-20, −10.6 %)``."""
    place = " ".join(filter(None, (history.region, history.zone, history.offer)))
    course = plain_text(f"{place}  ")
    before: PriceStep | None = None
    for step in history.steps:
        course.append(" → " if before else "")
        course.append(price_formats.usd(step.usd_per_hour) if step.usd_per_hour is not None else "withdrawn")
        course.append(f" ({step.seen}{', yours' if step.own else ''}", "dim")
        rise = price_formats.rise(before.usd_per_hour if before else None, step.usd_per_hour)
        if rise.plain:
            course.append(", ", "dim").append_text(rise)
        course.append(")", "dim")
        before = step
    return course
