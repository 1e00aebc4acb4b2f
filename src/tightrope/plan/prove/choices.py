"""What is decided before the fleet: whether a class is answered by its cascade, and how large the cache of answers is.

Each choice makes another workload of the one stated. They are compared by what whole machines cost in a few hours, one choice after the
other; what was not taken counts towards the bound, so that no plan with another of these choices costs less than it says.
"""

from collections.abc import Callable
from dataclasses import replace

from tightrope.base.errors import InfeasibleError
from tightrope.base.records import Workload
from tightrope.base.units import HOURS_PER_MONTH
from tightrope.clouds.book import PriceBook
from tightrope.plan.problem.arrays import Problem
from tightrope.plan.problem.capacity import CapacityTable
from tightrope.plan.problem.cascade import answer_directly, split_by_cascade
from tightrope.plan.problem.response_cache import (
    apply_cache,
    has_keys,
    list_cache_sizes,
    measure_hit_share,
    node_usd_per_hour,
    with_nodes,
)
from tightrope.plan.prove.proof import Bench, estimate_relaxed_usd
from tightrope.plan.solve.region_ranking import MOST_JUDGED, estimate_usd


def take_choices(
    workload: Workload, book: PriceBook, table: CapacityTable, progress: Callable[[str], None] = lambda _: None
) -> tuple[Workload, tuple[Problem, ...]]:
    """Return the workload to plan, and the problems of the choices not taken.

    Raises ``InfeasibleError`` where nothing can serve a class, whatever is chosen.
    """
    rejected: list[Problem] = []
    for item in workload.classes:
        if item.cascade is not None:
            progress(f"cascade of {item.name}")
            choices = [answer_directly(workload, item.name), split_by_cascade(workload, item.name)]
            direct = workload.direct or choices[0]
            workload, others = _choose_cheapest([choice for choice in choices if choice is not None], book, table)
            taken = any(part.name == item.name for part in workload.classes)
            workload = replace(workload, direct=workload.direct if taken else direct)
            rejected += others
    cache = workload.cache
    if cache is None or not has_keys(workload):
        return workload if cache is None else replace(workload, cache=with_nodes(cache, book)), tuple(rejected)
    if not cache.auto:
        return apply_cache(workload, with_nodes(cache, book)), tuple(rejected)
    progress("size of the cache")
    chosen, others = _choose_cheapest(_list_cache_choices(workload, book, table), book, table)
    return chosen, (*rejected, *others)


def _list_cache_choices(workload: Workload, book: PriceBook, table: CapacityTable) -> list[Workload]:
    """Return the workload without a cache, and with the size that saves most if the fleet's cost falls with the hits."""
    cache = workload.cache
    assert cache is not None  # noqa: S101 - the caller has one
    usd_per_month = node_usd_per_hour(cache, book, workload.where.regions) * HOURS_PER_MONTH
    sizes = [apply_cache(workload, size) for size in list_cache_sizes(workload, cache, book)]
    fleet_usd = min(estimate_relaxed_usd(problem) for problem in Bench(sizes[0], book, table).regions({}))

    def estimate(sized: Workload) -> float:
        nodes = sized.cache.nodes if sized.cache is not None else 0
        return nodes * usd_per_month + fleet_usd * (1.0 - measure_hit_share(sized))

    return [sizes[0], min(sizes[1:], key=estimate)]


def _choose_cheapest(choices: list[Workload], book: PriceBook, table: CapacityTable) -> tuple[Workload, list[Problem]]:
    """Return the choice that is judged cheapest, the first of equals, and the problems of the others."""
    found: list[tuple[float, Workload, list[Problem]]] = []
    refused: list[InfeasibleError] = []
    for choice in choices:
        try:
            problems = Bench(choice, book, table).regions({})
        except InfeasibleError as error:
            refused.append(error)
            continue
        found.append((min(map(estimate_usd, problems[:MOST_JUDGED])), choice, problems))
    if not found:
        raise refused[0]
    best = min(range(len(found)), key=lambda place: found[place][0])
    return found[best][1], [problem for place, (_, _, problems) in enumerate(found) if place != best for problem in problems]
