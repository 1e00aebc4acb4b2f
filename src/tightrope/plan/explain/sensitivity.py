"""What the plan would cost if the world were different: prices, traffic, and the machines as fast as their profiles' bands allow."""

import numpy as np

from tightrope.base.explanation import CostRange, WhatIf
from tightrope.plan.commit.future_costs import build_option_key
from tightrope.plan.explain.baseline import (
    Baseline,
    Progress,
    find_open_options,
    reprice_pools,
    scale_prices,
    scale_speed,
    scale_traffic,
)
from tightrope.plan.problem.arrays import Problem

PRICE_STEP, TRAFFIC_STEP = 0.25, 0.25
MOST_BAND = 0.9
"""Widest band by which a profile is taken to be too slow: beyond, a machine would need no time at all."""


def find_range(ground: Baseline, base_usd: float | None, progress: Progress) -> CostRange | None:
    """Return what the plan costs with its own pools where every profile errs by its band, to either side.

    A band is of the time that work takes: at ± b, a machine does 1 / (1 + b) to 1 / (1 - b) of what is planned. None without profiles.
    """
    band = np.array([option.profile.provenance.error_band for option in ground.whole.options])
    if not band[ground.opened].any():
        return None
    progress("explain: every profile faster by its error band")
    low = reprice_pools(ground, scale_speed(ground.whole, 1.0 / (1.0 - np.minimum(band, MOST_BAND))), ground.opened)
    progress("explain: every profile slower by its error band")
    high = reprice_pools(ground, scale_speed(ground.whole, 1.0 / (1.0 + band)), ground.opened)
    if base_usd is None or low is None:
        return None
    usd = ground.usd_per_month
    return CostRange(usd + min(0.0, low - base_usd), None if high is None else usd + max(0.0, high - base_usd))


def find_sensitivities(ground: Baseline, base_usd: float | None, progress: Progress, *, full: bool) -> tuple[WhatIf, ...]:
    """Return what the plan would cost a month with its own pools, sized again; ``full`` looks at every offer and to both sides.

    ``base_usd`` is what the same pools cost as things are, sized by the same search.
    """
    found = []
    for what, problem in list_what_ifs(ground, full=full):
        progress(f"explain: {what}")
        usd = reprice_pools(ground, problem, _find_opened(ground, problem))
        if base_usd is None or usd is None:
            found.append(WhatIf(what))
        else:
            found.append(WhatIf(what, ground.usd_per_month + usd - base_usd, usd - base_usd))
    return tuple(found)


def _find_opened(ground: Baseline, problem: Problem) -> np.ndarray:
    """Return the plan's options in a problem that may have others than ``ground.whole``, bool[P]."""
    used = {build_option_key(option) for option in find_open_options(ground.proof.solution)}
    return np.array([build_option_key(option) in used for option in problem.options], dtype=np.bool_)


def list_what_ifs(ground: Baseline, *, full: bool) -> list[tuple[str, Problem]]:
    """Return the worlds to plan for, each in words."""
    whole = ground.whole
    steps = (PRICE_STEP, -PRICE_STEP) if full else (PRICE_STEP,)
    found = [(f"traffic {_describe_step(step)}", scale_traffic(ground, 1.0 + step)) for step in steps]
    offers = np.array([option.terms.offer for option in whole.options])
    paid = sorted({str(offer) for offer in offers[ground.opened]})
    for offer in paid if full else [offer for offer in paid if whole.interruptible[ground.opened & (offers == offer)].any()]:
        for step in steps:
            factor = np.where(offers == offer, 1.0 + step, 1.0)
            found.append((f"{offer} prices {_describe_step(step)}", scale_prices(whole, factor, np.ones(len(whole.covers)))))
    made = ground.proof.solution.commitments > 0.0
    for offer in (
        sorted({cover.offer for cover, yes in zip(ground.proof.problem.covers, made, strict=True) if yes}) if full else ()
    ):
        for step in steps:
            factor = np.array([1.0 + step if cover.offer == offer else 1.0 for cover in whole.covers])
            found.append((f"{offer} rates {_describe_step(step)}", scale_prices(whole, np.ones(len(offers)), factor)))
    return found


def _describe_step(step: float) -> str:
    """Return a step in words."""
    return f"{'+' if step > 0 else '−'}{abs(step):.0%}".replace("%", " %")
