"""``tightrope prices …``: the price book on the terminal: query ``clouds/search``, print with ``render/prices``."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from tightrope.clouds.book import PriceBook
    from tightrope.clouds.book_parts import BookPart

app = typer.Typer(no_args_is_help=True, help="The price book: find, show, compare, diff, sources, refresh.")
Answer = TypeVar("Answer")
SHOWN = 20

AsOf = Annotated[str, typer.Option(metavar="DATE", help="Prices seen by that day, such as 2026-10-31; default: the newest.")]
Catalogue = Annotated[Path | None, typer.Option(help="Your own folder of machine and price tables, put before ours.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, with everything.")]
Regions = Annotated[list[str] | None, typer.Option("--region", metavar="NAME", help="Region, such as us-east-1 or us-*.")]
Offers = Annotated[list[str] | None, typer.Option("--offer", metavar="NAME", help="Offer, such as spot or reserved-1y*.")]
Clouds = Annotated[list[str] | None, typer.Option("--cloud", metavar="NAME", help="Seller, such as aws.")]
Limit = Annotated[int | None, typer.Option(min=1, max=100_000, help=f"Most rows shown; {SHOWN} on a terminal, all as JSON.")]


def _load_book(as_of: str, catalogue: Path | None) -> "tuple[PriceBook, date]":
    """Return the price book of a day, and the reference day for ages."""
    from tightrope.cli.dates import parse_day, today
    from tightrope.clouds.book import load_price_book

    day = parse_day(as_of, "--as-of")
    return load_price_book(day, catalogue), day or today()


def _load_catalogues(as_of: str, catalogue: Path | None) -> "tuple[tuple[BookPart, ...], PriceBook, date]":
    """Return the catalogues of all days, the price book of one day, and the reference day for ages."""
    from tightrope.cli.dates import parse_day, today
    from tightrope.clouds.book import book_of
    from tightrope.clouds.book_parts import load_parts

    day, parts = parse_day(as_of, "--as-of"), load_parts(catalogue)
    return parts, book_of(parts, day), day or today()


def _query_book(ask: "Callable[[PriceBook], Answer]", book: "PriceBook", catalogue: Path | None) -> "Answer":
    """Return the answer of a book. Of a past day, facts that only the newest book has are called unseen, not unknown.

    Raises ``InputError`` as ``ask`` does.
    """
    from tightrope.base.errors import InputError
    from tightrope.clouds.book import load_price_book

    try:
        return ask(book)
    except InputError as error:
        if book.as_of is None:
            raise
        try:
            ask(load_price_book(None, catalogue))
        except InputError:
            raise error from None
        what = error.what.removeprefix("unknown ")
        of = f"no price of the {what} was" if what != error.what else f"{what} that was"
        msg = f"{of} seen by {book.as_of}"
        raise InputError(msg, resolve="ask for a later day, or leave --as-of out for the newest prices") from error


@app.command()
def find(
    gpu: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Accelerator, such as l4, a100 or tpu-*; none for machines without.")
    ] = None,
    region: Regions = None,
    cloud: Clouds = None,
    machine: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Machine type, such as g6.*.")] = None,
    family: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Machine family, such as g6.")] = None,
    offer: Offers = None,
    gpus: Annotated[str | None, typer.Option(metavar="RANGE", help="Accelerators of a machine: 4, 4+ or 4-16.")] = None,
    gpu_memory: Annotated[str | None, typer.Option(metavar="RANGE", help="GiB of one accelerator.")] = None,
    vcpu: Annotated[str | None, typer.Option(metavar="RANGE", help="vCPUs: 4, 4+ or 4-16.")] = None,
    memory: Annotated[str | None, typer.Option(metavar="RANGE", help="GiB of the machine's memory.")] = None,
    max_usd: Annotated[float | None, typer.Option(min=0, help="Most dollars an hour, under any of the offers.")] = None,
    arch: Annotated[str | None, typer.Option(metavar="NAME", help="amd64 or arm64.")] = None,
    sort: Annotated[
        str, typer.Option(metavar="BY", help="price, per-gpu, per-gib, per-vcpu, vcpu, memory, machine, region or seen.")
    ] = "price",
    limit: Limit = None,
    as_of: AsOf = "",
    catalogue: Catalogue = None,
    as_json: AsJson = False,
) -> None:
    """Find machines by properties, place and price, the cheapest first.

    Names may have * and ? and commas, and options may be repeated.
    """
    from rich.console import Console

    from tightrope.clouds.search.find import Query
    from tightrope.clouds.search.find import find as find_machines
    from tightrope.render.prices.price_json import search_json, text
    from tightrope.render.prices.search_results import print_search

    query = Query(
        gpus=tuple(gpu or ()),
        machines=tuple(machine or ()),
        families=tuple(family or ()),
        regions=tuple(region or ()),
        clouds=tuple(cloud or ()),
        offers=tuple(offer or ()),
        gpu_count=gpus,
        gpu_memory_gib=gpu_memory,
        vcpu=vcpu,
        memory_gib=memory,
        arch=arch,
        max_usd_per_hour=max_usd,
        sort=sort,
    )
    book, day = _load_book(as_of, catalogue)
    found = _query_book(lambda book: find_machines(book, query), book, catalogue)
    if as_json:
        typer.echo(text(search_json(found, limit)))
    else:
        print_search(found, query, limit or SHOWN, Console(), day, book.as_of)


@app.command()
def show(
    machine: Annotated[str, typer.Argument(help="Machine type, such as g6.xlarge; Standard_ may be left off Azure's.")],
    region: Regions = None,
    offer: Offers = None,
    as_of: AsOf = "",
    catalogue: Catalogue = None,
    as_json: AsJson = False,
) -> None:
    """Show one machine: every region and offer, price history, and sources."""
    from rich.console import Console

    from tightrope.clouds.search.machine_sheet import sheet
    from tightrope.render.prices.machine_sheet import print_sheet
    from tightrope.render.prices.price_json import sheet_json, text

    parts, book, day = _load_catalogues(as_of, catalogue)
    found = _query_book(lambda book: sheet(book, machine, region or (), offer or (), parts), book, catalogue)
    if as_json:
        typer.echo(text(sheet_json(found)))
    else:
        print_sheet(found, Console(), day, everything=bool(region or offer))


@app.command()
def compare(
    kind: Annotated[
        list[str], typer.Argument(help='Kind of machine: "24 GiB GPU", l4, "8x h100", "8 vCPU 32 GiB", or a machine to be like.')
    ],
    region: Regions = None,
    as_of: AsOf = "",
    catalogue: Catalogue = None,
    as_json: AsJson = False,
) -> None:
    """Compare similar machines across vendors, each in its cheapest region."""
    from rich.console import Console

    from tightrope.clouds.search.machine_comparison import compare as compare_machines
    from tightrope.clouds.search.machine_comparison import parse_kind
    from tightrope.render.prices.machine_comparison import dense_tflops, print_sides
    from tightrope.render.prices.price_json import sides_json, text

    said = " ".join(kind)
    book, _ = _load_book(as_of, catalogue)
    meant = parse_kind(said, book)
    sides = _query_book(lambda book: compare_machines(book, meant, dense_tflops, region or ()), book, catalogue)
    if as_json:
        typer.echo(text(sides_json(said, sides)))
    else:
        print_sides(said, meant, sides, Console())


@app.command()
def tokens(
    model: Annotated[str, typer.Argument(help="Model by its providers' name, such as gpt-4o or *llama-3.1-8b*.")] = "*",
    provider: Annotated[str, typer.Option(metavar="NAME", help="Provider, such as openai or *azure*.")] = "*",
    limit: Limit = None,
    as_of: AsOf = "",
    as_json: AsJson = False,
) -> None:
    """List the token prices of model providers, the cheapest first."""
    from rich.console import Console

    from tightrope.cli.dates import parse_day
    from tightrope.clouds.token_prices import find_token_prices
    from tightrope.render.prices.price_json import text, tokens_json
    from tightrope.render.prices.tokens import print_tokens

    found = find_token_prices(model, provider, parse_day(as_of, "--as-of"))
    if as_json:
        typer.echo(text(tokens_json(found, limit)))
    else:
        print_tokens(found, model, limit or SHOWN, Console())


@app.command()
def diff(
    since: Annotated[str, typer.Option(metavar="DATE", help="The earlier day, such as 2026-10-31.")],
    until: Annotated[str, typer.Option(metavar="DATE", help="The later day; default: today.")] = "",
    cloud: Clouds = None,
    limit: Limit = None,
    catalogue: Catalogue = None,
    as_json: AsJson = False,
) -> None:
    """List the prices that changed between two days, the new ones, and those no longer listed."""
    from rich.console import Console

    from tightrope.cli.dates import parse_days, today
    from tightrope.clouds.book import load_price_book
    from tightrope.clouds.search.price_changes import changes
    from tightrope.render.prices.changes import print_changes
    from tightrope.render.prices.price_json import changes_json, text

    first, last = parse_days(since, until or today().isoformat())
    found = changes(load_price_book(first, catalogue), load_price_book(last, catalogue), cloud or (), first, last)
    if as_json:
        typer.echo(text(changes_json(found, limit)))
    else:
        print_changes(found, limit or SHOWN, Console())


@app.command()
def sources(cloud: Clouds = None, as_of: AsOf = "", catalogue: Catalogue = None, as_json: AsJson = False) -> None:
    """List the source, age and licence of every price."""
    from rich.console import Console

    from tightrope.clouds.search.origins import origins
    from tightrope.render.prices.origins import print_origins
    from tightrope.render.prices.price_json import origins_json, text

    parts, book, day = _load_catalogues(as_of, catalogue)
    found = _query_book(lambda book: origins(book, parts, day, cloud or ()), book, catalogue)
    if as_json:
        typer.echo(text(origins_json(found, day)))
    else:
        print_origins(found, Console(), day)


@app.command()
def refresh(
    cloud: Annotated[str, typer.Argument(help="Seller whose price lists to fetch, such as aws, azure or gcp.")],
    region: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Region to fetch, such as us-*; default: all of the book."),
    ] = None,
    endpoint: Annotated[str, typer.Option(metavar="URL", help="A mirror that replaces the vendor's hosts.")] = "",
    accept: Annotated[
        bool,
        typer.Option("--accept", help="Accept lists that look wrong: shrunken (missing prices are kept) or far more expensive."),
    ] = False,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="With --accept: missing prices are no longer sold.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fetch a vendor's price lists into your price book; old prices stay until the new ones are complete."""
    from rich.console import Console

    from tightrope.clouds.refresh import refresh as fetch_prices
    from tightrope.clouds.search.name_matching import words
    from tightrope.render.prices.price_json import plain, text
    from tightrope.render.prices.refresh import fetching, print_refreshed

    with fetching(Console(stderr=True)) as bars:
        regions = tuple(name.casefold() for name in words(region or ()))
        refreshed = fetch_prices(
            cloud.strip().casefold(), regions, endpoint=endpoint, accept=accept, withdraw=withdraw, progress=bars
        )
    if as_json:
        typer.echo(text(plain(refreshed)))
    else:
        print_refreshed(refreshed, Console())
