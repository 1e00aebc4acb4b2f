"""Machines that the user owns: what they cost an hour, worked out from what was paid for them and what they draw.

Comes in: ``owned.csv`` of the user's own catalogue folder, a row for each kind of machine and site. Goes out: the rows of a cloud
named ``owned``, whose regions are the sites and whose one offer is ``owned``. There is no ``CLOUD`` here: what nobody has declared
has no price.

An hour costs three things::

    capital   (purchase − residual / (1 + r)^n) × r / (1 − (1 + r)^−n) / 8,760
    power     watts / 1,000 × PUE × tariff
    overhead  a month's × 12 / 8,760

The first is the capital recovery factor of engineering economics, as in the simple levelized cost of NREL's Annual Technology Baseline
(``i (1 + i)^n / ((1 + i)^n − 1)``), after the residual value is discounted to the day of purchase. Spreading capital over the life,
and power times PUE, follow Barroso, Hölzle and Ranganathan, The Datacenter as a Computer (3rd edition, 2018), chapter 6.
The hours are all of a year: a machine that is owned costs as much idle as busy, but for its power, of which ``power_watts`` is the mean.
"""

from dataclasses import MISSING, dataclass, fields
from datetime import date
from decimal import ROUND_UP, Decimal, localcontext
from pathlib import Path

from tightrope.base.catalogue import OWNED, Catalogue, MachineType, PriceRow, Stock, UnitPrice
from tightrope.base.errors import InputError
from tightrope.base.units import HOURS_PER_MONTH, HOURS_PER_YEAR, THOUSANDTH_OF_A_CENT
from tightrope.clouds.catalogue_tables import (
    COLUMNS,
    TEXT,
    CatalogueTable,
    Column,
    check_repeats,
    numeric,
    parse_column,
    read_table,
)

MOST_USD_PER_HOUR = 1_000_000
IN_THE_OVERHEAD = ("internet-egress", "inter-zone-transfer", "object-storage", "block-storage")
"""What a plan has to know the price of in every region."""

# ------------------------------------------------------------------------------------------------------------- the file


@dataclass(frozen=True, slots=True)
class OwnedMachine:
    """A row of ``owned.csv``: one kind of machine at one site, as its owner declares it."""

    name: str
    site: str
    vcpu: int
    memory_gib: float
    arch: str
    accelerator: str
    accelerators: int
    accelerator_memory_gib: float
    quantity: int
    """How many of them exist at the site."""
    purchase_usd: Decimal
    """What one of them cost, delivered and installed; 0 where it is written off."""
    life_years: Decimal
    interest_rate: Decimal
    """What the money costs, a share a year: the rate of the loan, or what it would earn elsewhere."""
    power_watts: Decimal
    """Mean draw at the wall while it serves."""
    pue: Decimal
    """Power of the whole room ÷ power of its machines; 1 where nothing is cooled."""
    usd_per_kwh: Decimal
    overhead_usd_per_month: Decimal
    """Space, hands, network, spare parts, for one of them."""
    seen: date
    """The day on which all of this was true."""
    residual_usd: Decimal = Decimal(0)
    """What it will sell for at the end of its life."""
    network_gbps: float | None = None
    family: str = ""
    """Empty: its name."""

    @property
    def machine_type(self) -> MachineType:
        """Return what the machine is, as the price book knows it."""
        return MachineType(
            OWNED,
            self.name,
            self.family or self.name,
            self.vcpu,
            self.memory_gib,
            self.arch,
            self.accelerator,
            self.accelerators,
            self.accelerator_memory_gib,
            "as its owner declares it in owned.csv",
            self.seen,
            self.network_gbps,
        )

    @property
    def parts_usd_per_hour(self) -> tuple[Decimal, Decimal, Decimal]:
        """Return what capital, power and overhead cost, US dollars an hour."""
        capital = capital_usd_per_year(self.purchase_usd, self.residual_usd, self.life_years, self.interest_rate)
        power = self.power_watts / 1000 * self.pue * self.usd_per_kwh
        return capital / HOURS_PER_YEAR, power, self.overhead_usd_per_month / Decimal(HOURS_PER_MONTH)

    @property
    def source(self) -> str:
        """Return how the price came about, with every figure in it."""
        capital, power, overhead = self.parts_usd_per_hour
        percent = (100 * self.interest_rate).normalize()
        left = f", then sold for {self.residual_usd:,f}" if self.residual_usd else ""
        return (
            f"owned.csv, {self.quantity} of them at {self.site}: "
            f"{capital:.5f} for {self.purchase_usd:,f} USD over {self.life_years:f} years at {percent:f} % a year{left}"
            f" + {power:.5f} for {self.power_watts:f} W × PUE {self.pue:f} × {self.usd_per_kwh:f} USD per kWh"
            f" + {overhead:.5f} for {self.overhead_usd_per_month:,f} USD a month of overhead"
        )


def capital_usd_per_year(purchase_usd: Decimal, residual_usd: Decimal, life_years: Decimal, interest_rate: Decimal) -> Decimal:
    """Return the yearly payment, at the end of each year of the life, that is worth the purchase less the discounted residual.

    >>> round(capital_usd_per_year(Decimal(10_000), Decimal(0), Decimal(5), Decimal("0.05")), 2)  # 10,000 × 0.230975
    Decimal('2309.75')
    >>> capital_usd_per_year(Decimal(10_000), Decimal(1_000), Decimal(5), Decimal(0))
    Decimal('1800')
    """
    with localcontext(prec=60):  # a rate near 0 cancels most digits
        grown = (1 + interest_rate) ** life_years
        if grown == 1:
            return (purchase_usd - residual_usd) / life_years
        return (purchase_usd - residual_usd / grown) * interest_rate / (1 - 1 / grown)


MONEY = Column(numeric(Decimal, zero=True), "US dollars, 0 or more")
OWN_COLUMNS = {
    "arch": Column({"amd64": "amd64", "arm64": "arm64"}.__getitem__, "amd64 or arm64"),
    "quantity": Column(numeric(int, zero=False), "a whole number of 1 or more"),
    "purchase_usd": MONEY,
    "residual_usd": MONEY,
    "overhead_usd_per_month": MONEY,
    "usd_per_kwh": Column(numeric(Decimal, zero=True, below=100), "US dollars for a kilowatt-hour, 0 or more and less than 100"),
    "life_years": Column(numeric(Decimal, zero=False, below=51), "years, more than 0 and less than 51"),
    "interest_rate": Column(numeric(Decimal, zero=True, below=1), "a share a year from 0 to less than 1, 0.06 for 6 %"),
    "power_watts": Column(numeric(Decimal, zero=False, below=1_000_000), "watts, more than 0"),
    "pue": Column(lambda cell: 1 + numeric(Decimal, zero=True, below=9)(str(Decimal(cell) - 1)), "1 or more, and less than 10"),
    "family": Column(str.strip, "a name, or nothing"),
}


def _column(name: str, default: object) -> Column:
    """Return how a column is read; an empty cell of one that may be left out is its default."""
    column = OWN_COLUMNS.get(name) or COLUMNS.get(name) or TEXT
    if default is MISSING:
        return column
    return Column(lambda cell: column.parse(cell) if cell.strip() else default, column.expected)


def _read(path: Path) -> tuple[CatalogueTable, tuple[OwnedMachine, ...]]:
    """Return the file's cells and its rows, one for each name and site."""
    defaults = {field.name: field.default for field in fields(OwnedMachine)}
    required = [name for name, default in defaults.items() if default is MISSING]
    table = read_table(path, required, [name for name in defaults if name not in required])
    given = [name for name in defaults if name in table.columns]
    values = {name: parse_column(table, name, _column(name, defaults[name])) for name in given}
    check_repeats(table, list(zip(values.get("name", ()), values.get("site", ()), strict=True)))
    rows = zip(*values.values(), strict=True)
    return table, tuple(OwnedMachine(**dict(zip(given, row, strict=True))) for row in rows)


# ------------------------------------------------------------------------------------------------------ machines and prices


def _check_chips(table: CatalogueTable, rows: tuple[OwnedMachine, ...]) -> None:
    """Raise ``InputError`` unless accelerator, count and memory are all there or all absent."""
    for index, row in enumerate(rows):
        if not bool(row.accelerator) == (row.accelerators > 0) == (row.accelerator_memory_gib > 0):
            got = f"{row.accelerators} × {row.accelerator!r} of {row.accelerator_memory_gib:g} GiB"
            msg = f"got {got}, expected a model, a count and its memory, or nothing, 0 and 0"
            raise InputError(
                msg, where=table.where(index), resolve="fill in accelerator, accelerators and accelerator_memory_gib"
            )


def _check_worth(table: CatalogueTable, rows: tuple[OwnedMachine, ...]) -> None:
    """Raise ``InputError`` for a machine that would sell for more than it cost, or that costs nothing or absurdly much."""
    for index, row in enumerate(rows):
        if row.residual_usd > row.purchase_usd:
            msg = f"{row.name} would sell for {row.residual_usd} USD, more than the {row.purchase_usd} that it cost"
            raise InputError(msg, where=table.where(index), resolve="correct residual_usd or purchase_usd")
        usd_per_hour = sum(row.parts_usd_per_hour)
        if not 0 < usd_per_hour < MOST_USD_PER_HOUR:
            msg = f"{row.name} costs {usd_per_hour:.2f} USD an hour, expected more than 0 and less than {MOST_USD_PER_HOUR}"
            raise InputError(
                msg, where=table.where(index), resolve="correct purchase_usd, life_years, usd_per_kwh or overhead_usd_per_month"
            )


def _machines(table: CatalogueTable, rows: tuple[OwnedMachine, ...]) -> tuple[MachineType, ...]:
    """Return each machine once; one name for two different machines is an error."""
    found: dict[str, tuple[int, OwnedMachine]] = {}
    for index, row in enumerate(rows):
        first, other = found.setdefault(row.name, (index, row))
        if _what(row) != _what(other):
            msg = f"{row.name} is another machine than in line {table.lines[first]}: got {_what(row)}, expected {_what(other)}"
            raise InputError(msg, where=table.where(index), resolve="give it a name of its own, or correct the row")
    return tuple(row.machine_type for _, row in found.values())


def _what(row: OwnedMachine) -> tuple[object, ...]:
    """Return what makes two machines the same, whenever it was declared."""
    kind = row.machine_type
    chip = (kind.accelerator, kind.accelerators, kind.accelerator_memory_gib)
    return (kind.family, kind.vcpu, kind.memory_gib, kind.arch, *chip, kind.network_gbps)


def _price(row: OwnedMachine) -> PriceRow:
    """Return what the machine costs an hour, rounded up to a thousandth of a cent."""
    usd_per_hour = sum(row.parts_usd_per_hour, Decimal(0)).quantize(THOUSANDTH_OF_A_CENT, ROUND_UP)
    return PriceRow(OWNED, row.site, row.name, OWNED, usd_per_hour, 1, None, "derived", row.source, row.seen)


def _stock(row: OwnedMachine) -> Stock:
    """Return how many there are, and what of their hour is power: never more than all of it, which the price is rounded up from."""
    _, power, _ = row.parts_usd_per_hour
    return Stock(row.name, row.site, row.quantity, power, row.source, row.seen)


def _included(rows: tuple[OwnedMachine, ...]) -> tuple[UnitPrice, ...]:
    """Return the unit prices of every site: what a plan asks for is in the overhead, and free."""
    since: dict[str, date] = {}
    for row in rows:
        since[row.site] = min(row.seen, since.get(row.site, row.seen))
    source = "free: network and disks are in the overhead that owned.csv states; a row in unit_prices.csv stands before this"
    return tuple(
        UnitPrice(OWNED, site, item, "GB-month" if "storage" in item else "GB", Decimal(0), "derived", source, seen)
        for site, seen in since.items()
        for item in IN_THE_OVERHEAD
    )


def load_owned(path: Path) -> Catalogue:
    """Return the machines, hourly prices and unit prices of an ``owned.csv``; a site has one zone.

    Raises
    ------
    InputError
        With file, line and remedy: no readable table, an unknown, missing or repeated column, a cell that is not what its column
        holds, a machine twice at one site, one name for two machines, a residual above the purchase, or a machine that costs nothing.

    """
    table, rows = _read(path)
    _check_chips(table, rows)
    _check_worth(table, rows)
    stocks = tuple(map(_stock, rows))
    return Catalogue(_machines(table, rows), tuple(map(_price, rows)), _included(rows), stocks=stocks)
