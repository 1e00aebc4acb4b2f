"""A plan's warnings as a reader needs them: warnings of one kind in one line, the most costly first.

``plan.json`` holds every warning as a sentence. A sentence of an unknown form stays as it is.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tightrope.base.plan import Plan
from tightrope.render import formats

NOT_PLANNED = re.compile(r"\bnot planned with\b")
PROFILE = re.compile(r" is \w+, ±(?P<percent>[\d.]+) ?%")
OLD_PRICES = re.compile(r"^(?P<offer>.+?) prices are up to (?P<days>[\d,]+) days old")
REFRESH = re.compile(r"`tightrope prices refresh (?P<cloud>\S+)`")
NOT_BILLED = re.compile(r"^not in (either|the) bill\b")
USD = re.compile(r"\$(\d[\d,]*(?:\.\d+)?)")
SHARED_DRIVERS = frozenset({"egress", "network", "storage"})
"""Cost drivers whose prices belong to no offer."""
MOST_LINES = 7
"""Most lines of warnings that a reader sees at once; the rest is folded or counted."""
UNPROVEN, COSTED, OTHER, NOTE = range(4)
"""Ranks of a warning: no proof, a known cost, an unknown cost, a remark on both bills."""


@dataclass(frozen=True, slots=True)
class PlanWarning:
    """One line about the plan."""

    text: str
    rank: int = OTHER
    usd_per_month: float = 0.0
    """Cost at stake, where it is known."""


def rank_warnings(plan: Plan) -> list[str]:
    """Return every warning except on options that are not planned with, the most costly first."""
    return _sort(_assess(plan, text) for text in plan.warnings if not NOT_PLANNED.search(text))


def group_warnings(plan: Plan) -> list[str]:
    """Return the same warnings with one line for all modelled profiles and one for all old prices."""
    profiles = [text for text in plan.warnings if PROFILE.search(text)]
    prices = [text for text in plan.warnings if OLD_PRICES.search(text) or REFRESH.search(text)]
    found = [_assess(plan, text) for text in plan.warnings if text not in {*profiles, *prices} and not NOT_PLANNED.search(text)]
    found += [_group_profiles(plan, profiles)] if len(profiles) > 1 else [_assess(plan, text) for text in profiles]
    found += [_group_prices(plan, prices)] if any(map(OLD_PRICES.search, prices)) else [_assess(plan, text) for text in prices]
    return _sort(found)


def unplanned_options(plan: Plan) -> list[str]:
    """Return the warnings on offers and services that the workload allows and the plan cannot use."""
    return [text for text in plan.warnings if NOT_PLANNED.search(text)]


def _sort(found: Iterable[PlanWarning]) -> list[str]:
    """Return the texts by rank and cost; equals keep their order."""
    return [item.text for item in sorted(found, key=lambda item: (item.rank, -item.usd_per_month))]


def _assess(plan: Plan, text: str) -> PlanWarning:
    """Return one warning with the cost at stake: its own amounts, its profile's error band, or the spend at old prices."""
    if text.startswith("not proven"):
        return PlanWarning(text, UNPROVEN)
    if NOT_BILLED.match(text):
        return PlanWarning(text, NOTE)
    if PROFILE.search(text):
        return PlanWarning(text, COSTED, _band_usd(plan))
    if old := OLD_PRICES.match(text):
        return PlanWarning(text, COSTED, _spend_usd(plan, old["offer"]))
    amounts = [float(amount.replace(",", "")) for amount in USD.findall(text)]
    if amounts:
        return PlanWarning(text, COSTED, max(amounts) - min(amounts) if len(amounts) > 1 else amounts[0])
    return PlanWarning(text)


def _band_usd(plan: Plan) -> float:
    """Return how much more a month may cost within the error bands of the plan's profiles."""
    high = None if plan.cost_range is None else plan.cost_range.high_usd
    return 0.0 if high is None else max(0.0, high - plan.monthly_cost_usd)


def _spend_usd(plan: Plan, offer: str) -> float:
    """Return what the plan spends a month under an offer, or on drivers whose prices belong to none."""
    offers = {item.offer for item in plan.cost_lines}
    lines = [item for item in plan.cost_lines if (item.offer == offer if offer in offers else item.driver in SHARED_DRIVERS)]
    return sum(max(0.0, item.usd) for item in lines)


def _group_profiles(plan: Plan, texts: list[str]) -> PlanWarning:
    """Return one line for all profiles with a wide error band."""
    bands = sorted({float(found["percent"]) for text in texts if (found := PROFILE.search(text))})
    usd = _band_usd(plan)
    band = f"±{bands[0]:g}" + (f"–{bands[-1]:g}" if len(bands) > 1 else "")
    cost = f" (up to {formats.signed_usd(usd)} a month)" if usd else ""
    return PlanWarning(f"{len(texts)} modelled profiles, {band} %{cost}: measure them", COSTED, usd)


def _group_prices(plan: Plan, texts: list[str]) -> PlanWarning:
    """Return one line for all old prices, with the commands that fetch new ones."""
    old = [found for text in texts if (found := OLD_PRICES.match(text))]
    days = max(int(found["days"].replace(",", "")) for found in old)
    clouds = [cloud for text in texts for cloud in REFRESH.findall(text)]
    usd = sum(_spend_usd(plan, found["offer"]) for found in old)
    command = f": `tightrope prices refresh {clouds[0] if len(clouds) == 1 else 'CLOUD'}`" if clouds else ""
    return PlanWarning(f"prices up to {days:,} days old{command}", COSTED, usd)
