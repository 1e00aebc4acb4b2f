"""AWS's price lists as CSV, read with DuckDB: hundreds of megabytes as a stream, a few thousand rows in memory.

Five rows describe the file, the sixth names the columns, each further row is one price with all attributes of its product. The
columns are found by name; a missing one means that the list has another shape.
"""

import csv
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tightrope.clouds.aws.offers import KEPT, METERS, Listing, ListPrice
from tightrope.clouds.aws.savings_plans import KINDS, PlanRate
from tightrope.clouds.downloads import is_zipped, opened, reshaped

ABOUT_ROWS = 5
HEADER_BYTES = 64 * 1024
"""A longer row of column names is refused."""
MEMORY_LIMIT, BUFFER_BYTES = "96MB", 4 * 1024**2
"""One thread and a small buffer read as fast as a list comes, in half the memory of DuckDB's own settings."""
BATCH_ROWS = 2000
ATTRIBUTES = {
    "instanceType": "Instance Type",
    "vcpu": "vCPU",
    "memory": "Memory",
    "networkPerformance": "Network Performance",
    "operatingSystem": "Operating System",
    "preInstalledSw": "Pre Installed S/W",
    "tenancy": "Tenancy",
    "capacitystatus": "CapacityStatus",
    "gpu": "GPU",
    "marketoption": "MarketOption",
}
"""A machine's attributes: the name in JSON → the column."""
PLACE = {"usagetype": "usageType", "regionCode": "Region Code", "fromRegionCode": "From Region Code"}
"""Attributes of every product."""
PRICE_COLUMNS = (
    *("SKU", "TermType", "OfferTermCode", "EffectiveDate", "Unit", "Currency", "PricePerUnit"),
    *("LeaseContractLength", "PurchaseOption", "OfferingClass", "StartingRange"),
)
"""The columns of a price, in the order of ``ListPrice``."""
MAY_LACK = frozenset({"GPU", "MarketOption", "Region Code", "From Region Code"})
"""Columns that older lists lack."""
OF_MACHINES = frozenset({*ATTRIBUTES.values(), "LeaseContractLength", "PurchaseOption", "OfferingClass"})
"""Columns that only the list of machines has."""
PLAN_COLUMNS = (
    *("SKU", "Product Family", "PurchaseOption", "LeaseContractLength", "LeaseContractLengthUnit", "EffectiveDate"),
    *("DiscountedSKU", "Unit", "Currency", "DiscountedRate"),
)
"""The columns of a plan's rate, in the order of ``PlanRate``."""


@dataclass(frozen=True, slots=True)
class _Sheet:
    """A price list's columns."""

    path: Path
    where: str
    names: list[str]
    version: str
    may_lack: frozenset[str] = frozenset()

    def place(self, name: str) -> str:
        """Return the SQL of one column's text, empty for a missing optional one; raise ``SourceError`` for any other missing one."""
        if name in self.names:
            return f"coalesce(c{self.names.index(name)}, '')"
        if name in self.may_lack:
            return "''"
        raise reshaped(self.where, ", ".join(self.names), f"a column {name!r}")


def read_offers(path: Path, listing: Listing) -> None:
    """Fill a listing from an offer file (gzip or not); raise ``SourceError`` for another shape than known."""
    sheet = _open_sheet(path, listing.where, MAY_LACK if listing.families else MAY_LACK | OF_MACHINES)
    listing.version = sheet.version
    attributes = (ATTRIBUTES if listing.families else {}) | PLACE
    columns = ["Product Family", *PRICE_COLUMNS, *attributes.values()]
    for family, *cells in _read_rows(sheet, columns, _build_condition(sheet, listing), {}):
        price, facts = cells[: len(PRICE_COLUMNS)], dict(zip(attributes, cells[len(PRICE_COLUMNS) :], strict=True))
        if listing.keep(price[0], family, facts):
            listing.prices.append(ListPrice(*price))


def _build_condition(sheet: _Sheet, listing: Listing) -> str:
    """Return the SQL condition of relevant rows: machines by ``KEPT``, and usage types that end with a meter's."""
    usage = sheet.place(PLACE["usagetype"])
    metered = [f"ends_with({usage}, '{meter.usage}')" for meter in METERS[listing.service]]
    machines = [f"{sheet.place(ATTRIBUTES[name])} = '{value}'" for name, value in KEPT.items()] if listing.families else ["false"]
    return f"({' AND '.join(machines)}) OR {' OR '.join(metered)}"


def read_plans(path: Path, where: str, skus: Mapping[str, str]) -> Iterator[PlanRate]:
    """Yield a Savings Plan file's rates of these products (SKU → machine); raise ``SourceError`` for another shape than known."""
    sheet = _open_sheet(path, where)
    condition = (
        f"{sheet.place('DiscountedSKU')} IN (SELECT unnest($skus)) AND {sheet.place('Product Family')} IN (SELECT unnest($kinds))"
    )
    for cells in _read_rows(sheet, PLAN_COLUMNS, condition, {"skus": list(skus), "kinds": list(KINDS)}):
        yield PlanRate(*cells)


def _open_sheet(path: Path, where: str, may_lack: frozenset[str] = frozenset()) -> _Sheet:
    """Return a file's columns and version from its first rows."""
    try:
        with opened(path) as file:
            lines = [file.readline(HEADER_BYTES).decode("utf-8-sig") for _ in range(ABOUT_ROWS + 1)]
        about = dict(row[:2] for row in csv.reader(lines[:ABOUT_ROWS], strict=True) if len(row) > 1)
        names = next(csv.reader(lines[ABOUT_ROWS:], strict=True), list[str]())
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise reshaped(where, error, "a CSV file in UTF-8") from error
    if "SKU" not in names:
        raise reshaped(where, lines[ABOUT_ROWS], "the names of the columns in the sixth row")
    return _Sheet(path, where, names, about.get("Version", ""), may_lack)


def _read_rows(sheet: _Sheet, columns: Sequence[str], condition: str, values: Mapping[str, object]) -> Iterator[tuple[str, ...]]:
    """Yield these columns of the rows that fulfil a condition."""
    import duckdb  # heavy, and only needed once a list is really read

    typed = ", ".join(f"c{index}: 'VARCHAR'" for index in range(len(sheet.names)))
    compression = "gzip" if is_zipped(sheet.path) else "none"
    query = f"""SELECT {", ".join(map(sheet.place, columns))} FROM read_csv($path, auto_detect=false, header=false,
        skip={ABOUT_ROWS + 1}, delim=',', quote='"', escape='"', compression='{compression}',
        buffer_size={BUFFER_BYTES}, columns={{{typed}}})
        WHERE {condition}"""  # noqa: S608 - names are numbered, not taken from the file
    settings: dict[str, str | bool | int | float | list[str]] = {
        "threads": 1,
        "memory_limit": MEMORY_LIMIT,
        "temp_directory": str(sheet.path.parent),
        "preserve_insertion_order": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    try:
        with duckdb.connect(config=settings) as connection:
            connection.execute(query, {"path": str(sheet.path), **values})
            while batch := connection.fetchmany(BATCH_ROWS):
                yield from batch
    except duckdb.Error as error:
        raise reshaped(sheet.where, str(error).partition("\n")[0], f"rows of {len(sheet.names)} columns") from error
