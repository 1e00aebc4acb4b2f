"""Where what is answered: traffic and what stands in a region, in the objective and on the bill."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from tightrope.base.plan import BillLine
from tightrope.base.records import FloatArray, IntArray, TrafficClass, Workload
from tightrope.base.units import SECONDS_PER_HOUR
from tightrope.clouds.book import PriceBook
from tightrope.plan.problem.arrays import Problem, restrict
from tightrope.plan.problem.cost_lines import build_network_lines
from tightrope.plan.problem.network import Around, Place, Served, around


def get_place(problem: Problem, option: int) -> Place:
    """Return where an option answers."""
    return Place(problem.options[option].machine.cloud, problem.options[option].region)


def add_traffic_costs(problem: Problem, workload: Workload, book: PriceBook) -> Problem:
    """Return the problem with what requests cost to move and what its regions cost to open.

    The objective holds what one place costs more than the cheapest; the rest no decision changes: it is the problem's constant.
    """
    surrounding = around(workload, book)
    names = (*problem.interactive, *problem.deferrable)
    usd = _moved_usd(problem, surrounding)
    able = np.vstack([(problem.mu > 0.0).any(axis=2), problem.work_per_s > 0.0])
    least = np.where(able, usd, np.inf).min(axis=1, initial=np.inf)
    least = np.where(np.isfinite(least), least, 0.0)
    more = np.where(able, usd - least[:, None], 0.0)
    count = len(problem.interactive)
    expected = _compute_expected_part(problem, surrounding)
    always_usd, beside_machines_usd = _standing_usd(problem, surrounding)
    moved_usd = sum(surrounding.requests[name] * usd for name, usd in zip(names, least, strict=True))
    return replace(
        problem,
        usd_per_request=problem.usd_per_request + more[:count],
        usd_per_work=problem.usd_per_work + more[count:] * expected[:, None],
        constant_usd_per_month=always_usd + float(moved_usd),
        standing_usd_per_month=beside_machines_usd,
    )


def _standing_usd(problem: Problem, surrounding: Around) -> tuple[float, float]:
    """Return what stands in the problem's regions whatever is decided, and what more where a machine runs: US dollars a month.

    Where services may take the place of machines, a plan without any needs no control plane; of several regions it is not known in
    which machines stand, so that the cheapest counts.
    """
    places = {get_place(problem, p) for p in range(len(problem.options))}
    ours = {place for place in places if place.cloud in surrounding.workload.where.regions} or places
    if not problem.metered.any():
        return sum(surrounding.standing_usd(ours, surrounding.entries(ours)).values()), 0.0
    entries = surrounding.entries(ours) if len(ours) == 1 else set()
    always_usd = sum(surrounding.standing_usd(set(), entries).values())
    of_machines = {get_place(problem, int(p)) for p in np.flatnonzero(~problem.metered)}
    with_usd = [sum(surrounding.standing_usd({place}, entries).values()) for place in of_machines]
    return always_usd, min(with_usd, default=always_usd) - always_usd


def split_by_machines(problem: Problem) -> Iterator[tuple[Problem, float]]:
    """Yield the problem and what its plans cost besides, US dollars a month; those without machines apart where these pay less."""
    if problem.standing_usd_per_month > 0.0:
        yield restrict(problem, problem.metered), problem.constant_usd_per_month
    yield problem, problem.constant_usd_per_month + problem.standing_usd_per_month


def _moved_usd(problem: Problem, surrounding: Around) -> FloatArray:
    """Return what moving one request costs, float64[C + deferrable classes, P] US dollars."""
    classes = {item.name: item for item in surrounding.workload.classes}
    places = [get_place(problem, p) for p in range(len(problem.options))]
    names = (*problem.interactive, *problem.deferrable)
    known = {
        (name, place): sum(surrounding.request_usd(classes[name], place).values()) for name in names for place in set(places)
    }
    return np.array([[known[name, place] for place in places] for name in names]).reshape(len(names), len(places))


def _compute_expected_part(problem: Problem, surrounding: Around) -> FloatArray:
    """Return what part of the work planned for is expected, float64[deferrable classes]: plans hold a headroom, bills do not."""
    months = problem.block_hours.sum() / problem.blocks
    planned = np.zeros(len(problem.deferrable))
    for window in problem.windows:
        planned[window.traffic_class] += window.requests * months
    expected = np.array([surrounding.requests[name] for name in problem.deferrable])
    return np.divide(expected, planned, out=np.ones(len(planned)), where=planned > 0.0)


def count_served_by_place(problem: Problem, surrounding: Around, share: FloatArray, work: FloatArray) -> Served:
    """Return how many requests of each class are answered in each place in a month.

    ``share`` is float64[C, P, B] and ``work`` float64[windows, P, B], of a solution.
    """
    places = [get_place(problem, p) for p in range(len(problem.options))]
    monthly = SECONDS_PER_HOUR * problem.mean_rate * problem.block_hours
    done = {name: np.einsum("pb,b->p", share[c], monthly[c]) for c, name in enumerate(problem.interactive)}
    cached = {
        item.name for item in surrounding.workload.classes if isinstance(item, TrafficClass) and item.demand.cached is not None
    }
    for name in cached & done.keys():  # what the cache answers is sent as well, from where the others are
        done[name] *= surrounding.requests[name] / max(float(done[name].sum()), 1e-12)
    for d, name in enumerate(problem.deferrable):
        mine = [(window.requests, work[w].sum(axis=1)) for w, window in enumerate(problem.windows) if window.traffic_class == d]
        total = sum(requests for requests, _ in mine)
        if total > 0.0:
            done[name] = surrounding.requests[name] / total * sum(requests * part for requests, part in mine)
    served: Served = {name: {} for name in done}
    for name, by_option in done.items():
        for place, requests in zip(places, by_option, strict=True):
            if requests > 0.0:
                served[name][place] = served[name].get(place, 0.0) + float(requests)
    return served


def find_variants_by_place(problem: Problem, machines: IntArray) -> dict[Place, set[str]]:
    """Return which variants run on machines in each place; ``machines`` is int64[P, B]."""
    found: dict[Place, set[str]] = {}
    for p in np.flatnonzero(machines.any(axis=1)):
        found.setdefault(get_place(problem, int(p)), set()).add(problem.options[int(p)].variant.name)
    return found


def plan_around(
    workload: Workload, book: PriceBook, problem: Problem, machines: IntArray, share: FloatArray, work: FloatArray
) -> tuple[tuple[BillLine, ...], list[str]]:
    """Return the lines of a solution's bill that do not depend on its machines, and which prices are missing from it."""
    surrounding = around(workload, book)
    served, variants = count_served_by_place(problem, surrounding, share, work), find_variants_by_place(problem, machines)
    return build_network_lines(workload, surrounding, served, variants), surrounding.list_missing_prices(served, variants)
