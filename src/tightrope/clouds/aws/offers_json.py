"""AWS's price lists as JSON, read with ijson: one event at a time, in one pass; only relevant objects are built.

AWS writes products before terms, and terms name products by SKU; in another order the list has another shape.
"""

import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import BinaryIO, NoReturn, TypeAlias, cast

import ijson

from tightrope.clouds.aws.offers import Listing, ListPrice
from tightrope.clouds.aws.savings_plans import KINDS, PlanRate
from tightrope.clouds.downloads import reshaped

BUFFER_BYTES = 256 * 1024
STARTS, ENDS = frozenset({"start_map", "start_array"}), frozenset({"end_map", "end_array"})
Event: TypeAlias = tuple[str, object]


class _OffersReader:
    """Streams a JSON document that is never in memory as a whole."""

    def __init__(self, stream: BinaryIO, where: str) -> None:
        """Read from a stream; ``where`` is the list's name in messages."""
        self.where = where
        self._events = cast("Iterator[Event]", ijson.basic_parse(stream, buf_size=BUFFER_BYTES))

    def fail(self, got: object, expected: str) -> NoReturn:
        """Raise ``SourceError``."""
        raise reshaped(self.where, got, expected)

    def keys(self, what: str, begun: Event | None = None) -> Iterator[str]:
        """Yield the keys of the next (or begun) object; the caller reads each value before the next key."""
        event, value = begun or next(self._events)
        if event != "start_map":
            self.fail(event if value is None else value, f"an object as {what}")
        for event, value in self._events:
            if event == "end_map":
                return
            yield str(value)

    def items(self, what: str) -> Iterator[Event]:
        """Yield the first event of each item of the next array; the caller reads the rest of the item."""
        event, value = next(self._events)
        if event != "start_array":
            self.fail(event if value is None else value, f"an array as {what}")
        for event, value in self._events:
            if event == "end_array":
                return
            yield event, value

    def value(self, begun: Event | None = None) -> object:
        """Return the next value, or the value that begins with an event."""
        event, value = begun or next(self._events)
        if event == "start_map":
            return {key: self.value() for key in self.keys("a value", (event, value))}
        if event == "start_array":
            listed: list[object] = []
            while (begun := next(self._events))[0] != "end_array":
                listed.append(self.value(begun))
            return listed
        return value

    def record(self, what: str, begun: Event | None = None) -> dict[str, object]:
        """Return the next (or begun) object."""
        value = self.value(begun)
        if not isinstance(value, dict):
            self.fail(value, f"an object as {what}")
        return cast("dict[str, object]", value)

    def skip(self) -> None:
        """Skip the next value."""
        depth = 0
        for event, _ in self._events:
            if event in STARTS:
                depth += 1
            elif event in ENDS:
                depth -= 1
            if depth == 0:
                return

    def text(self, record: Mapping[str, object], *names: str) -> str:
        """Return the text (or number) at the end of a path of names; raise ``SourceError`` where there is none."""
        found: object = record
        for name in names:
            if not isinstance(found, dict) or name not in found:
                self.fail(found, f"a field {'.'.join(names)!r}")
            found = cast("dict[str, object]", found)[name]
        if isinstance(found, bool) or not isinstance(found, str | int | Decimal):
            self.fail(found, f"text in {'.'.join(names)!r}")
        return str(found)


@contextmanager
def _open_reader(stream: BinaryIO, where: str) -> Iterator[_OffersReader]:
    """Provide a reader; raise ``SourceError`` if the document is not JSON or is truncated."""
    try:
        yield _OffersReader(stream, where)
    except (ijson.JSONError, UnicodeDecodeError, OSError, EOFError, zlib.error, RecursionError) as error:
        raise reshaped(where, error, "a JSON document") from error


def read_offers(stream: BinaryIO, listing: Listing) -> None:
    """Fill a listing from an offer file; raise ``SourceError`` for another shape than known."""
    with _open_reader(stream, listing.where) as reader:
        found: list[str] = []
        for name in reader.keys("the list"):
            if name == "version":
                listing.version = str(reader.value())
            elif name == "products":
                _read_products(reader, listing)
            elif name == "terms" and "products" in found:
                _read_terms(reader, listing)
            else:
                reader.skip()
            found.append(name)
        _check_order(reader, found)


def read_plans(stream: BinaryIO, where: str, skus: Mapping[str, str]) -> Iterator[PlanRate]:
    """Yield a Savings Plan file's rates of these products (SKU → machine); raise ``SourceError`` for another shape than known."""
    with _open_reader(stream, where) as reader:
        plans: dict[str, tuple[str, str]] = {}
        found: list[str] = []
        for name in reader.keys("the list"):
            if name == "products":
                plans = dict(_parse_plan(reader, begun) for begun in reader.items("products"))
            elif name == "terms" and "products" in found:
                yield from _read_plan_rates(reader, plans, skus)
            else:
                reader.skip()
            found.append(name)
        _check_order(reader, found)


def _check_order(reader: _OffersReader, found: list[str]) -> None:
    """Raise ``SourceError`` unless there were products, then terms."""
    if [name for name in found if name in {"products", "terms"}] != ["products", "terms"]:
        reader.fail(", ".join(found), "products, then terms")


def _read_products(reader: _OffersReader, listing: Listing) -> None:
    """Keep the products that count."""
    for sku in reader.keys("products"):
        product = reader.record("a product")
        attributes = product.get("attributes")
        if not isinstance(attributes, dict):
            reader.fail(product, "a product with attributes")
        listing.keep(sku, str(product.get("productFamily")), {str(name): str(value) for name, value in attributes.items()})


def _read_terms(reader: _OffersReader, listing: Listing) -> None:
    """Add the prices of the kept products to a listing."""
    for kind in reader.keys("terms"):
        if kind not in {"OnDemand", "Reserved"}:
            reader.skip()
            continue
        for sku in reader.keys(f"terms of kind {kind}"):
            if not listing.counts(sku):
                reader.skip()
                continue
            for name in reader.keys("terms of a product"):
                listing.prices += _parse_prices(reader, sku, kind, reader.record(f"the term {name}"))


def _parse_prices(reader: _OffersReader, sku: str, kind: str, term: dict[str, object]) -> Iterator[ListPrice]:
    """Yield a term's prices."""
    dimensions, about = term.get("priceDimensions"), term.get("termAttributes")
    if not isinstance(dimensions, dict) or not isinstance(about, dict):
        reader.fail(term, "a term with priceDimensions and termAttributes")
    code, effective = reader.text(term, "offerTermCode"), reader.text(term, "effectiveDate")
    terms = [str(about.get(name, "")) for name in ("LeaseContractLength", "PurchaseOption", "OfferingClass")]
    for dimension in cast("dict[str, dict[str, object]]", dimensions).values():
        unit, money = reader.text(dimension, "unit"), dimension.get("pricePerUnit")
        if not isinstance(money, dict) or not money:
            reader.fail(dimension, "a price in pricePerUnit")
        begin = reader.text(dimension, "beginRange") if "beginRange" in dimension else ""
        currency = "USD" if "USD" in money else str(next(iter(money)))
        price = reader.text(dimension, "pricePerUnit", currency)
        yield ListPrice(sku, kind, code, effective, unit, currency, price, *terms, begin=begin)


def _parse_plan(reader: _OffersReader, begun: Event) -> tuple[str, tuple[str, str]]:
    """Return a plan's SKU, its kind and its payment option."""
    plan = reader.record("a plan", begun)
    attributes = plan.get("attributes")
    payment = str(attributes.get("purchaseOption", "")) if isinstance(attributes, dict) else ""
    return reader.text(plan, "sku"), (reader.text(plan, "productFamily"), payment)


def _read_plan_rates(reader: _OffersReader, plans: Mapping[str, tuple[str, str]], skus: Mapping[str, str]) -> Iterator[PlanRate]:
    """Yield the rates of all plans."""
    for name in reader.keys("terms"):
        if name != "savingsPlan":
            reader.skip()
            continue
        for begun in reader.items("plans"):
            yield from _read_rates(reader, plans, skus, begun)


def _read_rates(
    reader: _OffersReader, plans: Mapping[str, tuple[str, str]], skus: Mapping[str, str], begun: Event
) -> Iterator[PlanRate]:
    """Yield the rates of one plan; its description comes before them."""
    about: dict[str, object] = {}
    for name in reader.keys("a plan", begun):
        if name != "rates":
            about[name] = reader.value()
            continue
        plan = reader.text(about, "sku")
        if plan not in plans:
            reader.fail(plan, "plans that are among the products")
        kind, payment = plans[plan]
        if kind not in KINDS:
            reader.skip()
            continue
        years, unit = (reader.text(about, "leaseContractLength", part) for part in ("duration", "unit"))
        terms = (plan, kind, payment, years, unit, reader.text(about, "effectiveDate"))
        for rate in reader.items("rates"):
            yield from _parse_rate(reader, reader.record("a rate", rate), terms, skus)


def _parse_rate(
    reader: _OffersReader, rate: dict[str, object], plan: tuple[str, str, str, str, str, str], skus: Mapping[str, str]
) -> Iterator[PlanRate]:
    """Yield one rate, if its product counts."""
    sku = reader.text(rate, "discountedSku")
    if sku in skus:
        money = (reader.text(rate, "discountedRate", part) for part in ("currency", "price"))
        yield PlanRate(*plan, sku, reader.text(rate, "unit"), *money)
