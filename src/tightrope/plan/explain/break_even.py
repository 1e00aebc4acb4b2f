"""Where the answer changes: prices and amounts of traffic at which another plan is as good, found by planning again."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from tightrope.base.catalogue import ON_DEMAND
from tightrope.base.explanation import BreakEven
from tightrope.base.records import FloatArray
from tightrope.demand.blocks import DAY_S
from tightrope.plan.commit.future_costs import build_option_key
from tightrope.plan.explain.alternatives import plan_without
from tightrope.plan.explain.baseline import Baseline, Mask, Progress, plan_again, reprice_pools, scale_prices, scale_traffic
from tightrope.plan.problem.arrays import CommitmentOption, Problem
from tightrope.plan.problem.commitment_coverage import break_even_utilisation

PRECISION = 0.01
"""Relative width at which a bisection stops."""
REACH = 4.0
"""Prices are looked at up to so many times today's, and down to that part of it."""
TRAFFIC_REACH = 256.0
HOURS_PER_DAY = 24.0
NO_TOKENS = 2
"""Tokens read and written by a request that is not counted in tokens: one each (``records.Demand``)."""


def bisect(holds: Callable[[float], bool], low: float, high: float, precision: float = PRECISION) -> float | None:
    """Return the factor in [low, high] up to which ``holds`` is true, by bisection of its logarithm; None where it does not turn.

    The returned factor is the middle of an interval of the relative width ``precision``: it holds below, and not above.

    >>> round(bisect(lambda factor: factor < 3.0, 1.0, 8.0, 1e-6), 3)
    3.0
    """
    if not holds(low) or holds(high):
        return None
    while high / low > 1.0 + precision:
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if holds(middle) else (low, middle)
    return float(np.sqrt(low * high))


@dataclass(frozen=True, slots=True)
class BreakEvenRace:
    """Some options of the plan against the best plan without them."""

    ground: Baseline
    mine: Mask
    """bool[P] of ``ground.whole``: the options whose price is in question."""
    rival_usd: float
    """What the best plan without them costs a month."""
    pools: Mask
    """bool[P]: the pools to be sized again at every price."""
    chosen: bool = False
    """Whether a plan may leave some of them closed, so that no more are open than may be."""

    def pays(self, factor: float) -> bool:
        """Return whether the plan with these options, at this many times their price, is better by what a pool must be worth."""
        whole = self.ground.whole
        priced = scale_prices(whole, np.where(self.mine, factor, 1.0), np.ones(len(whole.covers)))
        if self.chosen:
            solution = plan_again(self.ground, priced, self.pools)
            usd = None if solution is None else solution.usd_per_month
        else:
            usd = reprice_pools(self.ground, priced, self.pools)
        return usd is not None and usd * (1.0 + whole.pool_worth) < self.rival_usd


def find_break_evens(ground: Baseline, progress: Progress) -> tuple[BreakEven, ...]:
    """Return where the answer changes: spot's price, the price of today's machines, hours for commitments, traffic for token APIs."""
    found: list[BreakEven] = []
    for ask in (_find_spot_break_even, _find_machine_break_evens):
        progress(f"explain: {ask.__name__.strip('_').replace('_', ' ')}")
        found += ask(ground)
    found += _find_commitment_break_evens(ground)
    progress("explain: self-hosting or a token API")
    return (*found, *_find_api_break_even(ground))


def _race_without(ground: Baseline, mine: Mask) -> BreakEvenRace | None:
    """Return the rivalry of the plan's pools with the best plan without ``mine`` (bool[P]); None where there is none."""
    rival = plan_without(ground, {build_option_key(ground.whole.options[p]) for p in np.flatnonzero(mine)})
    return None if rival is None else BreakEvenRace(ground, mine, rival.usd_per_month, ground.opened)


def _find_spot_break_even(ground: Baseline) -> Iterator[BreakEven]:
    """Yield the price from which the plan is better off without spot."""
    opened = ground.whole.interruptible & ground.opened
    if not opened.any():
        return
    most = int(np.flatnonzero(opened)[np.argmax(_count_hours(ground, opened))])
    machine = ground.whole.options[most].machine.name
    yield _record_price(
        ground,
        "spot stops paying above",
        most,
        _find_price_factor(ground, ground.whole.interruptible),
        f"of {machine}, all spot alike",
    )


def _find_machine_break_evens(ground: Baseline) -> Iterator[BreakEven]:
    """Yield, for each of today's types, the on-demand price up to which the plan runs it, or below which it would."""
    for machine in dict.fromkeys(pool.machine for pool in ground.workload.today):
        mine = np.array([(o.machine.name, o.terms.offer) == (machine, ON_DEMAND) for o in ground.whole.options], dtype=np.bool_)
        if not mine.any():
            continue
        place = int(np.flatnonzero(mine)[0])
        if (mine & ground.opened).any():
            yield _record_price(ground, f"{machine} on demand stays in the plan up to", place, _find_price_factor(ground, mine))
        else:
            rivals = BreakEvenRace(ground, mine, ground.proof.solution.usd_per_month, ground.opened | mine, chosen=True)
            yield _record_price(
                ground, f"{machine} on demand, as today, would be run below", place, bisect(rivals.pays, 1.0 / REACH, 1.0)
            )


def _find_price_factor(ground: Baseline, mine: Mask) -> float | None:
    """Return up to what multiple of their price the plan is better off with the options of ``mine`` (bool[P]); None beyond reach."""
    rivals = _race_without(ground, mine)
    return None if rivals is None else bisect(rivals.pays, 1.0, REACH)


def _record_price(ground: Baseline, what: str, option: int, factor: float | None, note: str = "") -> BreakEven:
    """Return a break-even in the price of one option."""
    now = ground.whole.options[option].terms.usd_per_hour
    said = note if factor is not None else "; ".join(filter(None, (note, f"not within a factor of {REACH:g}")))
    return BreakEven(what, "US dollars an hour", None if factor is None else now * factor, now, said)


def _count_hours(ground: Baseline, mine: Mask) -> FloatArray:
    """Return machine-hours a month of the options in ``mine``, float64[those]."""
    solution = ground.proof.solution
    by_option = zip(solution.problem.options, solution.machines @ solution.problem.block_hours, strict=True)
    hours = {build_option_key(option): float(row) for option, row in by_option}
    return np.array([hours.get(build_option_key(ground.whole.options[p]), 0.0) for p in np.flatnonzero(mine)])


def _find_commitment_break_evens(ground: Baseline) -> Iterator[BreakEven]:
    """Yield how many hours a day a machine must run for a commitment to pay: of each kind, on each of the plan's machines on demand."""
    problem = ground.proof.problem
    own = problem.usd_per_hour - problem.disk_usd_per_hour
    machines = ground.proof.solution.machines
    for p in np.flatnonzero(machines.any(axis=1)):
        option = problem.options[p]
        if option.terms.offer != ON_DEMAND:
            continue
        runs = HOURS_PER_DAY * float(np.average(machines[p] > 0, weights=problem.block_hours))
        for cover in _list_by_offer(problem, int(p)):
            share = float(break_even_utilisation(own, cover)[p])
            what = f"{cover.offer} for {option.machine.name} pays from"
            yield BreakEven(what, "hours a day", HOURS_PER_DAY * share, runs, "beside the hours that the first machine runs")


def _list_by_offer(problem: Problem, option: int) -> list[CommitmentOption]:
    """Return the commitments that cover an option: one of each name."""
    covers = [cover for cover in problem.covers if cover.covers[option]]
    return list({cover.offer: cover for cover in sorted(covers, key=lambda c: -c.usd_per_hour[option])}.values())


def _find_api_break_even(ground: Baseline) -> Iterator[BreakEven]:
    """Yield the traffic above which machines of one's own choice are cheaper than buying every answer by the token."""
    whole = ground.whole
    if not whole.metered.any() or whole.metered.all():
        return

    def bought(factor: float) -> bool:
        """Return whether buying is cheaper at so much traffic."""
        problem = scale_traffic(ground, factor)
        hosted, metered = (plan_again(ground, problem, keep) for keep in (~problem.metered, problem.metered))
        return metered is not None and (hosted is None or metered.usd_per_month <= hosted.usd_per_month)

    factor = bisect(bought, 1.0 / TRAFFIC_REACH, TRAFFIC_REACH, 0.05)
    now, unit = _describe_volume(ground)
    note = "" if factor is not None else f"the same answer within a factor of {TRAFFIC_REACH:g}"
    yield BreakEven("self-hosting beats buying answers above", unit, None if factor is None else now * factor, now, note)


def _describe_volume(ground: Baseline) -> tuple[float, str]:
    """Return how many tokens a day all classes read and write, or requests where they are not counted in tokens."""
    per_day = [DAY_S * item.demand.requests / item.demand.duration_s * (1.0 + item.growth) for item in ground.workload.classes]
    tokens = [item.demand.input_tokens + item.demand.output_tokens for item in ground.workload.classes]
    if all(sample.max(initial=0) > NO_TOKENS for sample in tokens):
        return float(np.dot(per_day, [sample.mean() for sample in tokens])), "tokens a day"
    return float(sum(per_day)), "requests a day"
