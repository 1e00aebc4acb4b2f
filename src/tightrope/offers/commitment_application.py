"""Application of one seller's commitments of one order to the usage, hour by hour. The module defines no ``OFFER``.

In each billing hour a commitment may cover every on-demand machine-hour within its scope, in part too. Pairs of commitment and
usage with the highest saving over on-demand come first; among equals, the lowest rate of the commitment; until the commitments or
the usage are used up. The unused part of a commitment is lost, uncovered usage is charged on demand. Spot is never covered.
Commitments to machines of a family go to its smallest sizes first.
Sources: AWS Savings Plans user guide, "Understanding how Savings Plans apply to your usage", and Amazon EC2 user guide, "How
Reserved Instances are applied"; Microsoft documentation, "How an Azure savings plan discount is applied" and "Instance size
flexibility"; Google Cloud documentation, "Resource-based committed use discounts" and "Compute flexible committed use discounts"
(all 2026).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np

from tightrope.base.catalogue import ON_DEMAND, CommitmentRule
from tightrope.base.contracts import Prices
from tightrope.base.plan import BillLine, Committed, Usage, UsageLine
from tightrope.base.records import FloatArray
from tightrope.base.scope import format_scope, resolve_scope

UNUSED = "commitment unused"
"""Driver of the unused part of a commitment."""


@dataclass(frozen=True, slots=True, order=True)
class _Pair:
    """A commitment and a usage line that it may cover, by their indices; pairs compare as the seller orders them."""

    size_vcpu: int
    """The size under a commitment to machines, because the smallest come first; else 0."""
    paid_share: Decimal
    """The commitment's rate over the on-demand rate: exact, so that ties are ties."""
    usd_per_hour: Decimal
    line: int
    offer: str
    """Breaks ties by name: no seller states the order of two commitments that save the same on the same usage."""
    commitment: int


def _find_pairs(rule: CommitmentRule, offer: str, lines: Sequence[UsageLine], prices: Prices) -> Iterator[tuple[str, _Pair]]:
    """Yield each usage line that an offer can cover, as a pair with commitment 0, and the scope of the covering commitment."""
    for index, line in enumerate(lines):
        if line.offer != ON_DEMAND or line.cloud != rule.cloud:
            continue
        row, on_demand = (prices.find(line.machine, line.region, name) for name in (offer, ON_DEMAND))
        if row is None or on_demand is None or row.usd_per_hour >= on_demand.usd_per_hour:
            continue
        machine = prices.machine(line.machine)
        if machine.family not in rule.excluded_families.split():
            size_vcpu = machine.vcpu if rule.scope == "machine" else 0
            share = row.usd_per_hour / on_demand.usd_per_hour
            yield format_scope(rule, machine, line.region), _Pair(size_vcpu, share, row.usd_per_hour, index, offer, 0)


def _order_pairs(usage: Usage, prices: Prices, committed: Sequence[Committed]) -> list[_Pair]:
    """Return the pairs in the seller's order of coverage."""
    found: list[_Pair] = []
    for cloud, offer in dict.fromkeys((item.cloud, item.offer) for item in committed):
        rule = prices.commitment(cloud, offer)
        covers = list(_find_pairs(rule, offer, usage.lines, prices))
        scopes = {scope for scope, _ in covers}
        for index, item in enumerate(committed):
            if (item.cloud, item.offer) == (cloud, offer):
                stated = item.scope if item.scope in scopes else resolve_scope(item, rule, prices)
                found += [replace(pair, commitment=index) for scope, pair in covers if scope == stated]
    return sorted(found)


def settle(usage: Usage, prices: Prices, committed: Sequence[Committed]) -> tuple[tuple[BillLine, ...], Usage]:
    """Return the bill of one seller's commitments of one order, and the remaining usage.

    One line for each covered pool and offer, in the order of coverage; then one for each commitment's unused part, in the order of
    ``committed``.
    """
    hours, weights = usage.machine_hours.copy(), usage.hours_per_month
    committed_usd = np.array([item.usd_per_hour for item in committed], dtype=np.float64)
    left_usd: FloatArray = np.repeat(committed_usd[:, None], len(weights), axis=1)
    used_usd: dict[tuple[str, str], float] = {}
    for pair in _order_pairs(usage, prices, committed):
        rate = float(pair.usd_per_hour)
        full = hours[pair.line] * rate
        paid = np.minimum(full, left_usd[pair.commitment])
        left_usd[pair.commitment] -= paid
        # full coverage leaves exactly zero
        hours[pair.line] = np.where(paid < full, np.maximum(hours[pair.line] - paid / rate, 0.0), 0.0)
        usd = float(paid @ weights)
        if usd > 0.0:
            key = (usage.lines[pair.line].pool, committed[pair.commitment].offer)
            used_usd[key] = used_usd.get(key, 0.0) + usd
    bill = [BillLine("compute", pool, offer, usd) for (pool, offer), usd in used_usd.items()]
    bill += [BillLine(UNUSED, "", item.offer, float(left @ weights)) for item, left in zip(committed, left_usd, strict=True)]
    return tuple(bill), replace(usage, machine_hours=hours)
