"""The exact monthly bill of a fleet: commitments first, in the seller's order, then pay-as-you-go on what they leave.

The planner's cost and the replay's bill both come from here. It carries no ``OFFER``.
"""

import math

import numpy as np

from tightrope.base import registry
from tightrope.base.contracts import Offer, Prices
from tightrope.base.errors import InputError
from tightrope.base.plan import BillLine, Usage

APPLICATION_ORDER = ("compute-savings-plan-1y-no-upfront",)
"""Commitments in the order in which the seller applies them; any other comes after, by name."""


def _commitment_offers(commitments: dict[str, float]) -> list[tuple[Offer, float]]:
    """Return the offers committed to with their US dollars an hour, in the order they apply."""
    for name, usd_per_hour in commitments.items():
        if registry.find_offer(name).kind != "commitment" or not (math.isfinite(usd_per_hour) and usd_per_hour >= 0):
            msg = f"commitment {name!r}: got {usd_per_hour!r} USD an hour, expected a commitment offer and an amount of 0 or more"
            raise InputError(msg, resolve="correct the commitment's name or amount")
    rank = {name: index for index, name in enumerate(APPLICATION_ORDER)}
    names = sorted(commitments, key=lambda name: (rank.get(name, len(rank)), name))
    return [(registry.find_offer(name), commitments[name]) for name in names]


def _check_usage(usage: Usage) -> None:
    """Raise ``InputError`` unless the arrays fit together and hold finite hours of 0 or more."""
    shape = (len(usage.lines), len(usage.hours_per_month))
    valid = all(bool(np.all(np.isfinite(hours) & (hours >= 0))) for hours in (usage.machine_hours, usage.hours_per_month))
    if usage.machine_hours.shape != shape or not valid:
        msg = f"usage can not be billed: machine-hours {usage.machine_hours.shape}, expected {shape}, each finite and 0 or more"
        raise InputError(msg, resolve="report this with the workload that led to it")


def charge_fleet(usage: Usage, prices: Prices, commitments: dict[str, float]) -> tuple[BillLine, ...]:
    """Return every line of the month's bill, in US dollars; ``commitments`` maps offer to US dollars an hour.

    Raises ``InputError`` where machine-hours stay unpaid, because the catalogue has no price for them.
    """
    _check_usage(usage)
    bill: list[BillLine] = []
    for offer, usd_per_hour in _commitment_offers(commitments):
        lines, usage = offer.charge(usage, prices, usd_per_hour)
        bill += lines
    for name in sorted({line.offer for line in usage.lines}):
        lines, usage = registry.find_offer(name).charge(usage, prices, 0.0)
        bill += lines
    unpaid = [line for line, hours in zip(usage.lines, usage.machine_hours, strict=True) if hours.any()]
    if unpaid:
        machine, region, offer = unpaid[0].machine, unpaid[0].region, unpaid[0].offer
        msg = f"pool {unpaid[0].pool!r} can not be billed: {machine} is not sold {offer} in {region}"
        raise InputError(msg, resolve="choose another offer, region or machine, or add a price row to your own catalogue")
    return tuple(bill)
