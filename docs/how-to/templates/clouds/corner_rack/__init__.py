"""A cloud of one machine: a server in the corner of the office, priced by what it cost and what it draws.

Copy the folder to ``src/tightrope/clouds/`` and change the rows; nothing else has to know.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from tightrope.base.contracts import Face
from tightrope.base.records import MachineType, PriceRow, UnitPrice

SEEN = date(2026, 10, 1)
PURCHASE_USD, LIFE_MONTHS = Decimal(2920), 36
POWER_KW, USD_PER_KWH = Decimal("0.25"), Decimal("0.20")
USD_PER_HOUR = PURCHASE_USD / (LIFE_MONTHS * 730) + POWER_KW * USD_PER_KWH
"""Straight-line over its life, 730 hours a month, plus electricity at full draw."""


@dataclass(frozen=True, slots=True)
class CornerRack:
    """One machine, one region, one offer."""

    name: str = "corner-rack"
    faces: frozenset[Face] = frozenset({"machines", "prices"})

    def machines(self) -> tuple[MachineType, ...]:
        """Return the one machine."""
        rack = MachineType(
            cloud=self.name,
            name="rack-l4",
            family="rack",
            vcpu=16,
            memory_gib=64.0,
            arch="x86_64",
            accelerator="l4",
            accelerators=1,
            accelerator_memory_gib=24.0,
            source="delivery note of the server",
            seen=SEEN,
        )
        return (rack,)

    def prices(self) -> tuple[PriceRow, ...]:
        """Return its price; a new invoice becomes a new row with its own date."""
        row = PriceRow(
            cloud=self.name,
            region="office",
            machine="rack-l4",
            offer="on-demand",
            usd_per_hour=USD_PER_HOUR,
            zones=1,
            interruptions_per_month=None,
            basis="derived",
            source=f"invoice of {PURCHASE_USD} USD over {LIFE_MONTHS} months, {POWER_KW} kW at {USD_PER_KWH} USD per kWh",
            seen=SEEN,
        )
        return (row,)

    def unit_prices(self) -> tuple[UnitPrice, ...]:
        """Return nothing: ``unit_prices`` is not among the faces."""
        return ()


CLOUD = CornerRack()
