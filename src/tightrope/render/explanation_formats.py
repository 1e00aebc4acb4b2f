"""How an explanation is said, the same in the report and on the terminal."""

from tightrope.base.explanation import BindingLimit, BreakEven, CostRange, WhatIf
from tightrope.base.plan import Plan
from tightrope.render import formats

METHODS = {"duals": "by the relaxation's prices", "relaxations": "by two relaxations", "plans": "by two plans"}
NOT_EXPLAINED = (
    "The next-best plans, the break-evens and the worth of every offer are found by planning many times over: add --explain."
)
"""What a plan that was made without ``--explain`` leaves out."""
NO_PLAN = "these pools do not keep the promises"


def limit_value(item: BindingLimit) -> str:
    """Return what one step of a limit is worth, such as ``spot-share: one point more saves $4.10 a month``."""
    return f"{item.name}: {item.step} saves {formats.usd(item.usd)} a month"


def cost_difference(more_usd: float | None, cost_usd: float | None) -> str:
    """Return a difference beside the plan, in dollars and per cent of the plan.

    >>> cost_difference(102.0, 906.0), cost_difference(-20.0, 180.0), cost_difference(None, None)
    ('+$102 (+13 %)', '−$20 (−10 %)', 'these pools do not keep the promises')
    """
    if more_usd is None or cost_usd is None:
        return NO_PLAN
    before = cost_usd - more_usd
    if before <= 0.0:
        return formats.signed_usd(more_usd)
    return f"{formats.signed_usd(more_usd)} ({'+' if more_usd > 0 else ''}{formats.percent(more_usd / before, 0)})"


def sensitivity(item: WhatIf) -> str:
    """Return what another world would cost, such as ``traffic +25 %: +$102 (+13 %) a month``."""
    said = cost_difference(item.more_usd, item.monthly_cost_usd)
    return f"{item.what}: {said}" if item.more_usd is None else f"{item.what}: {said} a month"


def cost_range(cost: CostRange) -> str:
    """Return the range of a cost, such as ``$690–$1,010``."""
    high = "no plan" if cost.high_usd is None else formats.usd(cost.high_usd)
    return f"{formats.usd(cost.low_usd)}–{high}"


def amount(value: float | None, unit: str) -> str:
    """Return a figure with its unit.

    >>> amount(0.24113, "US dollars an hour"), amount(3_140_000.0, "tokens a day"), amount(15.31, "hours a day")
    ('$0.2411 an hour', '3.14 M tokens a day', '15.3 hours a day')
    """
    if value is None:
        return formats.UNKNOWN
    if unit == "US dollars an hour":
        return f"${value:,.4f} an hour"
    for size, name in ((1e9, "G "), (1e6, "M ")):
        if abs(value) >= size:
            return f"{value / size:.3g} {name}{unit}"
    return f"{value:,.0f} {unit}" if abs(value) >= 1000 else f"{value:.3g} {unit}"


def distance(item: BreakEven) -> str:
    """Return how far today's figure is from the break-even, in per cent of today's; empty where either is not known."""
    if item.value is None or not item.now:
        return ""
    change = item.value / item.now - 1.0
    if abs(change) >= 10.0:
        return f"{item.value / item.now:.3g} times"
    return f"{'+' if change > 0 else ''}{formats.percent(change, 0)}"


def break_even(item: BreakEven) -> str:
    """Return a break-even as a sentence, such as ``spot stops paying above $0.24 an hour (now $0.16 an hour, +53 %)``."""
    if item.value is None:
        now = f" (now {amount(item.now, item.unit)})" if item.now is not None else ""
        return f"{item.what} …: {item.note or formats.UNKNOWN}{now}"
    parts = [f"now {amount(item.now, item.unit)}" if item.now is not None else "", distance(item), item.note]
    said = ", ".join(part for part in parts if part)
    return f"{item.what} {amount(item.value, item.unit)}" + (f" ({said})" if said else "")


def sensitivities(plan: Plan) -> list[str]:
    """Return one line for each other world."""
    return [sensitivity(item) for item in plan.sensitivities]
