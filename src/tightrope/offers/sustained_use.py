"""Google Cloud sustained use: the longer a resource runs in a month, the less its further hours cost. Defines no ``OFFER``.

The discount is automatic: it applies to uncovered on-demand usage of the families named here. A family's machines in a region count
together, layer by layer: a layer's share of the month is the time in which at least that much runs, and each quarter of the month
has its own rate. Google discounts vCPUs and memory separately; here a layer is a layer of spend. The result is the same where both
rise and fall together, as those of one machine type do. The billing hours represent one month. Accounts that are not self-serve do
not get the discount.
Source: Google Cloud documentation, "Sustained use discounts for Compute Engine" (2026).
"""

import numpy as np

from tightrope.base.catalogue import ON_DEMAND
from tightrope.base.contracts import Prices
from tightrope.base.plan import BillLine, Usage
from tightrope.base.records import FloatArray

NAME = "sustained-use"
CLOUD = "gcp"

TWENTY, THIRTY = (1.0, 0.8678, 0.733, 0.6), (1.0, 0.8, 0.6, 0.4)
QUARTER_RATES = {"n1": THIRTY, "n2": TWENTY, "n2d": TWENTY, "c2": TWENTY, "m1": THIRTY, "m2": THIRTY}
"""Family → the charged share of the on-demand price in each quarter of the month."""


def discount_share(family: str, share_of_month: FloatArray) -> FloatArray:
    """Return the discount share of the on-demand price of a layer that runs for this share of the month (any shape).

    >>> discount_share("n1", np.array([0.25, 0.5, 1.0])).round(9).tolist()
    [0.0, 0.05, 0.3]
    """
    quarters = np.clip(np.expand_dims(share_of_month, -1) - np.array([0.0, 0.25, 0.5, 0.75]), 0.0, 0.25)
    return quarters @ (1.0 - np.array(QUARTER_RATES[family]))


def month_discount_usd(family: str, spend: FloatArray, weights: FloatArray) -> float:
    """Return the month's discount on a family's ``spend``, float64[periods] US dollars an hour on demand."""
    order = np.argsort(-spend)
    layers = spend[order] - np.append(spend[order][1:], 0.0)
    month = float(weights.sum())
    return float(layers @ discount_share(family, np.cumsum(weights[order]) / month)) * month


def sustained_use(usage: Usage, prices: Prices) -> tuple[BillLine, ...]:
    """Return a negative line for each discounted pool, in proportion to its share of its family's spend in the region."""
    groups: dict[tuple[str, str], dict[int, FloatArray]] = {}
    for index, line in enumerate(usage.lines):
        row = prices.find(line.machine, line.region, ON_DEMAND) if (line.cloud, line.offer) == (CLOUD, ON_DEMAND) else None
        family = prices.machine(line.machine).family if row is not None else ""
        if row is not None and family in QUARTER_RATES:
            spend = usage.machine_hours[index] * float(row.usd_per_hour)
            groups.setdefault((line.region, family), {})[index] = spend
    bill: list[BillLine] = []
    for (_, family), spends in groups.items():
        total = np.sum(list(spends.values()), axis=0)
        month_usd = float(total @ usage.hours_per_month)
        off = month_discount_usd(family, total, usage.hours_per_month) / month_usd if month_usd > 0.0 else 0.0
        bill += [
            BillLine("discount", usage.lines[index].pool, NAME, -off * float(spend @ usage.hours_per_month))
            for index, spend in spends.items()
            if off > 0.0
        ]
    return tuple(bill)
