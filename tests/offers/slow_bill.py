"""The bill again, in plain Python: hour by hour from the sellers' rules in words, apart from the price book's tables of rules.

Reserved machines are counted in vCPUs here, where the product weighs them by their rates; prices must be proportional to vCPUs.
"""

from tests.offers.conftest import MACHINES

from tightrope.base.contracts import Prices
from tightrope.base.plan import Committed, Usage

STAGES = (
    ("reserved-", "convertible-", "resource-commitment-"),
    ("instance-savings-plan-", "savings-plan-", "flexible-commitment-"),
    ("compute-savings-plan-",),
)
"""What comes first, second and third, by the start of the offers' names; no seller sells two of a stage that are not pooled."""
FLEXIBLE = {"c6i", "Dsv5"}
NOT_SOLD = {("reserved-", "p5"), ("convertible-", "p5"), ("flexible-commitment-", "g2")}


def _rate(prices: Prices, machine: str, region: str, offer: str) -> float | None:
    row = prices.find(machine, region, offer)
    return None if row is None else float(row.usd_per_hour)


def _in_scope(item: Committed, cloud: str, region: str, machine: str) -> bool:
    """Read a scope as people write it."""
    family = MACHINES[machine][1]
    if item.cloud != cloud or any(item.offer.startswith(kind) and family == of for kind, of in NOT_SOLD):
        return False
    if not item.scope:
        return True
    place, name = item.scope.split("/")
    names = {machine, family}
    if item.offer.startswith(("reserved-", "convertible-")):
        bought = MACHINES[name][1] if name in MACHINES else name
        names = {family, *(size for size in MACHINES if MACHINES[size][1] == family)} if bought in FLEXIBLE else {machine}
    return place == region and name in names


def slow_hour(usage: Usage, period: int, prices: Prices, committed: list[Committed]) -> float:
    """Return what one hour costs, US dollars."""
    left = [float(hours[period]) for hours in usage.machine_hours]
    purse = [item.usd_per_hour for item in committed]
    for stage in STAGES:
        choices = []
        for k, item in enumerate(committed):
            for at, line in enumerate(usage.lines):
                rate = _rate(prices, line.machine, line.region, item.offer)
                on_demand = _rate(prices, line.machine, line.region, "on-demand")
                if not item.offer.startswith(stage) or line.offer != "on-demand" or rate is None or on_demand is None:
                    continue
                if rate < on_demand and _in_scope(item, line.cloud, line.region, line.machine):
                    whole = item.offer.startswith(("reserved-", "convertible-"))
                    choices.append((MACHINES[line.machine][2] if whole else 0, -(1 - rate / on_demand), rate, at, item.offer, k))
        for vcpu, _, rate, at, _, k in sorted(choices):
            if vcpu:
                units = purse[k] / (rate / vcpu)
                taken = min(left[at] * vcpu, units)
                left[at] -= taken / vcpu
                purse[k] = (units - taken) * (rate / vcpu)
            else:
                taken = min(left[at], purse[k] / rate)
                left[at] -= taken
                purse[k] -= taken * rate
    paid = sum(item.usd_per_hour for item in committed)
    for line, hours in zip(usage.lines, left, strict=True):
        rate = _rate(prices, line.machine, line.region, line.offer)
        assert rate is not None
        paid += hours * rate
    return paid


def slow_bill(usage: Usage, prices: Prices, committed: list[Committed]) -> float:
    """Return the month's bill, US dollars, without what a seller takes off by itself."""
    weights = [float(weight) for weight in usage.hours_per_month]
    return sum(weight * slow_hour(usage, period, prices, committed) for period, weight in enumerate(weights))
