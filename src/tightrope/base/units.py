"""Units: parse user quantities (``250ms``, ``1.5 GiB``, ``40 %``) into the base unit of each kind of number.

Time is seconds, size is bytes (or GiB where a name says so), money is US dollars, a share is a fraction of 1.
A month is 730 hours (8,760 hours of a year / 12), the convention of the vendors' own price pages.
"""

import math
import re
from datetime import UTC, date, datetime
from decimal import Decimal

HOURS_PER_MONTH = 730.0
HOURS_PER_YEAR = 8760
THOUSANDTH_OF_A_CENT = Decimal("0.00001")
"""US dollars; derived prices are rounded up to it."""
HOURS_PER_WEEK = 168
MONTHS_PER_YEAR = 12
SECONDS_PER_HOUR = 3600.0
GIB = 1024**3

SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
BYTES = {
    "B": 1.0,
    "kB": 1e3,
    "KB": 1e3,
    "MB": 1e6,
    "GB": 1e9,
    "TB": 1e12,
    "KiB": 2.0**10,
    "MiB": 2.0**20,
    "GiB": 2.0**30,
    "TiB": 2.0**40,
}
_QUANTITY = re.compile(r"\s*([+-]?(?:\d+(?:_\d+)*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-z%]*)\s*")


def today() -> date:
    """Return the current UTC day, which dates prices."""
    return datetime.now(tz=UTC).date()


def parse_quantity(text: str, units: dict[str, float]) -> float:
    """Return ``text`` in the base unit of ``units``; raise ``ValueError`` naming the accepted units.

    >>> parse_quantity("250 ms", SECONDS)
    0.25
    """
    match = _QUANTITY.fullmatch(text)
    value = float(match[1]) * units.get(match[2], math.nan) if match else math.nan
    if not math.isfinite(value):
        msg = f"got {text!r}, expected a number with one of the units {', '.join(unit or 'none' for unit in units)}"
        raise ValueError(msg)
    return value


def parse_seconds(text: str) -> float:
    """Return a duration in seconds; a unit is required, since a bare number could be seconds or milliseconds.

    >>> parse_seconds("1.5s"), parse_seconds("24h")
    (1.5, 86400.0)
    """
    return parse_quantity(text, SECONDS)


def parse_bytes(text: str) -> float:
    """Return a size in bytes; a unit is required.

    >>> parse_bytes("2 GiB")
    2147483648.0
    """
    return parse_quantity(text, BYTES)


def parse_share(value: str | float) -> float:
    """Return a share as a fraction of 1, from ``"40 %"`` or ``0.4``; raise ``ValueError`` outside 0..1.

    >>> parse_share("40 %"), parse_share(0.4)
    (0.4, 0.4)
    """
    share = parse_quantity(value, {"%": 0.01, "": 1.0}) if isinstance(value, str) else float(value)
    if not 0.0 <= share <= 1.0:
        msg = f"got {value!r}, expected a share from 0 to 1 (or 0 % to 100 %)"
        raise ValueError(msg)
    return share
