"""How prices, shares, accelerators and days are said, the same in every table."""

from datetime import date
from decimal import Decimal

from rich.text import Text

from tightrope.base.catalogue import MachineType, PriceRow
from tightrope.clouds.search import price_changes
from tightrope.render import formats
from tightrope.render.terminal import plain_text

UNKNOWN = "—"
DERIVED = "*"
OLD_STYLE = "yellow"
WIDE = 100
"""Columns from which a console has room for long names."""


def usd(amount: Decimal | float, digits: int = 4) -> str:
    """Return US dollars an hour, without the sign, to a hundredth of a cent; small ones to three digits.

    >>> usd(Decimal("0.526")), usd(Decimal("98.32")), usd(Decimal("0.0000166667")), usd(Decimal("1204.5"))
    ('0.5260', '98.3200', '0.0000167', '1,204.5000')
    """
    while digits < 12 and 0 < abs(amount) < 10 ** (2 - digits) and round(amount, digits) != amount:
        digits += 1
    return f"{amount:,.{digits}f}"


def price(row: PriceRow | None) -> Text:
    """Return a row's price, derived ones with a mark and others with a space in its place, so that digits stand under digits."""
    if row is None:
        return Text(f"{UNKNOWN} ", "dim")
    return Text(usd(row.usd_per_hour) + (DERIVED if row.basis == "derived" else " "))


def off(share: float | None) -> Text:
    """Return what a price is of another one: ``−62 %``; a dash where it is not known.

    >>> off(0.621).plain, off(-0.04).plain, off(None).plain
    ('−62 %', '+4 %', '—')
    """
    if share is None:
        return Text(UNKNOWN, "dim")
    return Text(f"{'−' if share >= 0 else '+'}{formats.percent(abs(share), 0)}", "green" if share > 0 else "")


def rise(old: Decimal | None, new: Decimal | None) -> Text:
    """Return how much more expensive something became: ``+4.2 %``, red; a fall is green; nothing where there is none to compare.

    >>> rise(Decimal("0.500"), Decimal("0.521")).plain, rise(Decimal(25), Decimal(14)).plain, rise(None, Decimal(1)).plain
    ('+4.2 %', '−44.0 %', '')
    """
    share = price_changes.rise(old, new)
    if share is None:
        return Text("")
    return Text(f"{'+' if share > 0 else '−'}{formats.percent(abs(share))}", "red" if share > 0 else "green")


def band(row: PriceRow | None) -> Text:
    """Return the share of machines interrupted in a month at most, as the seller's band has it; a dash where it is not known."""
    if row is None or row.interruptions_per_month is None:
        return Text(UNKNOWN, "dim")
    return Text(formats.percent(row.interruptions_per_month, 0))


def name(machine: MachineType, width: int) -> Text:
    """Return a machine's name, on a narrow console without Azure's ``Standard_``, which may be left off when it is typed too."""
    return plain_text(machine.name if width >= WIDE else machine.name.removeprefix("Standard_"))


def gpu(machine: MachineType) -> Text:
    """Return the accelerators of a machine, such as ``4 × l4``; nothing where there is none."""
    return plain_text(f"{machine.accelerators} × {machine.accelerator}" if machine.accelerators else "")


def each(machine: MachineType) -> Text:
    """Return the GiB of one accelerator; nothing where there is none."""
    return number(machine.accelerator_memory_gib) if machine.accelerators else Text("")


def number(value: float | None) -> Text:
    """Return a figure without needless digits; a dash where it is not known.

    >>> number(22.4).plain, number(16.0).plain, number(1234567).plain, number(None).plain
    ('22.4', '16', '1,234,567', '—')
    """
    if value is None:
        return Text(UNKNOWN, "dim")
    return Text(f"{value:,.1f}".removesuffix(".0"))


def day(seen: date, today: date | None = None, old_days: int = 0) -> Text:
    """Return a day; marked where it is more than ``old_days`` before ``today``."""
    old = today is not None and (today - seen).days > old_days
    return Text(seen.isoformat(), OLD_STYLE if old else "dim")
