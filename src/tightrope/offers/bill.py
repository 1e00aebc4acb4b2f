"""The exact monthly bill of a fleet: commitments first, in the seller's order, then pay-as-you-go for the remaining usage.

Automatic discounts (``sustained_use.py``) come last.
The planner's cost and the replay's bill both come from here. The module defines no ``OFFER``.
"""

import math
from collections.abc import Sequence

import numpy as np

from tightrope.base import registry
from tightrope.base.contracts import Offer, Prices
from tightrope.base.errors import InputError
from tightrope.base.plan import BillLine, Committed, Usage
from tightrope.offers.commitment_application import UNUSED
from tightrope.offers.sustained_use import sustained_use


def _group_commitments(prices: Prices, committed: Sequence[Committed]) -> list[tuple[Offer, list[int]]]:
    """Return each seller's commitments of one order, by index, with the offer that charges them, in order of application."""
    groups: dict[tuple[str, int], list[int]] = {}
    for place, item in enumerate(committed):
        usd = item.usd_per_hour
        if registry.find_offer(item.offer).kind != "commitment" or not (math.isfinite(usd) and usd >= 0):
            msg = f"commitment {item.offer!r}: got {usd!r} USD an hour, expected a commitment offer and an amount of 0 or more"
            raise InputError(msg, resolve="correct the commitment's name or amount")
        groups.setdefault((item.cloud, prices.commitment(item.cloud, item.offer).order), []).append(place)
    return [(registry.find_offer(committed[groups[key][0]].offer), groups[key]) for key in sorted(groups)]


def _check_usage(usage: Usage) -> None:
    """Raise ``InputError`` unless the arrays fit together and hold finite hours of 0 or more."""
    shape = (len(usage.lines), len(usage.hours_per_month))
    amounts = (usage.machine_hours, *usage.units.values())
    valid = all(bool(np.all(np.isfinite(part) & (part >= 0))) for part in (*amounts, usage.hours_per_month))
    if any(part.shape != shape for part in amounts) or not valid:
        msg = f"usage cannot be billed: machine-hours {usage.machine_hours.shape}, expected {shape}, each finite and 0 or more"
        raise InputError(msg, resolve="report this with the workload that led to it")


def charge_fleet(usage: Usage, prices: Prices, committed: Sequence[Committed]) -> tuple[BillLine, ...]:
    """Return every line of the month's bill, in US dollars.

    Raises ``InputError`` if the catalogue has no price for some machine-hours, or if a commitment is invalid.
    """
    _check_usage(usage)
    bill: list[BillLine] = []
    for offer, places in _group_commitments(prices, committed):
        lines, usage = offer.charge(usage, prices, [committed[place] for place in places])
        bill += lines
    discount = sustained_use(usage, prices)
    for name in sorted({line.offer for line in usage.lines}):
        lines, usage = registry.find_offer(name).charge(usage, prices, ())
        bill += lines
    used = np.any([usage.machine_hours, *usage.units.values()], axis=(0, 2))
    unpaid = [line for line, any_used in zip(usage.lines, used, strict=True) if any_used]
    if unpaid:
        machine, region, offer = unpaid[0].machine, unpaid[0].region, unpaid[0].offer
        msg = f"pool {unpaid[0].pool!r} cannot be billed: the catalogue has no {offer} price of {machine} in {region}"
        raise InputError(msg, resolve="choose another offer, region or machine, or add a price row to your own catalogue")
    return (*bill, *discount)


def used_shares(usage: Usage, prices: Prices, committed: Sequence[Committed]) -> tuple[float, ...]:
    """Return each commitment's utilisation in [0, 1], in the order of ``committed``; 1 for a commitment of 0 dollars."""
    _check_usage(usage)
    unused_usd: dict[int, float] = {}
    for offer, places in _group_commitments(prices, committed):
        lines, usage = offer.charge(usage, prices, [committed[place] for place in places])
        unused_usd |= zip(places, (line.usd for line in lines if line.driver == UNUSED), strict=True)
    paid_usd = [item.usd_per_hour * float(usage.hours_per_month.sum()) for item in committed]
    return tuple(max(0.0, 1.0 - unused_usd[place] / usd) if usd > 0.0 else 1.0 for place, usd in enumerate(paid_usd))
