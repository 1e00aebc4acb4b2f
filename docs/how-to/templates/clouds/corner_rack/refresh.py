"""Reads the price list of the shop: ``tightrope prices refresh corner-rack``.

The list is JSON, in pages::

    {"prices": [{"machine": "rack-l4", "region": "office", "usd_per_hour": "0.48"}], "next": "/prices?page=2"}

An importer returns what the list says and writes nothing: what is new, changed or gone is found out by ``clouds/refresh.py``.
"""

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from tightrope.base.catalogue import Catalogue, PriceRow
from tightrope.clouds.downloads import Fetcher, reshaped
from tightrope.clouds.refresh import RefreshQuery

LIST = "https://corner-rack.example/prices"
SOURCE = "the shop's price list, corner-rack.example/prices [facts of a public list]"
MOST_USD_PER_HOUR = 10_000


def fetch(ask: RefreshQuery, fetcher: Fetcher) -> Catalogue:
    """Return the on-demand prices of the regions asked for; raise ``SourceError`` where the list has another shape."""

    def next_url(page: Any) -> str | None:  # noqa: ANN401 - what a server sent
        following = _field(page, "next", (str, type(None)))
        return ask.at(f"https://corner-rack.example{following}") if following else None

    rows = [row for page in fetcher.pages(ask.at(LIST), next_url, "prices") for row in _rows(page, ask, fetcher)]
    return Catalogue(prices=tuple(rows))


def _rows(page: object, ask: RefreshQuery, fetcher: Fetcher) -> Iterator[PriceRow]:
    """Yield a page's prices of known machines; what is not known is told to the user."""
    for entry in _field(page, "prices", list):
        name, region = (_field(entry, key, str) for key in ("machine", "region"))
        if name not in ask.machines:
            fetcher.note(f"{name} is not in machines.csv: its prices are left out")
        elif region in ask.regions:
            yield PriceRow("corner-rack", region, name, "on-demand", _usd(entry), 1, None, "list", SOURCE, ask.today)


def _usd(entry: object) -> Decimal:
    """Return a price of more than 0 and less than anybody pays."""
    stated = _field(entry, "usd_per_hour", str)
    try:
        usd = Decimal(stated)
        if 0 < usd < MOST_USD_PER_HOUR:
            return usd
    except InvalidOperation:
        pass
    raise reshaped(LIST, stated, f"usd_per_hour of more than 0 and less than {MOST_USD_PER_HOUR}")


def _field(document: Any, key: str, kind: Any) -> Any:  # noqa: ANN401 - what a server sent
    """Return one field of a JSON object; raise ``SourceError`` unless it is there and of this kind."""
    if not isinstance(document, dict) or key not in document or not isinstance(document[key], kind):
        raise reshaped(LIST, document, f"an object with a field {key!r}")
    return document[key]
