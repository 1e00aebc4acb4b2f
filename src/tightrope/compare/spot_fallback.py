"""Spot machines of one type over all zones, one more than the load asks for, and on-demand while spot is missing.

After SkyServe (Mao et al., "SkyServe: Serving AI Models across Regions and Clouds with Spot Instances", EuroSys 2025,
arXiv:2411.01438; its policy SpotHedge): replicas follow the request rate, spot is over-provisioned by a replica
(``num_overprovision``, here 1), and every spot replica that is not ready has an on-demand one in its place
(``dynamic_ondemand_fallback``). It is scaled by the workload's autoscaler, at the target utilisation of the plain HPA. That knows no
"one more", so its target is lowered by so much as is one machine more on the mean.
"""

from dataclasses import replace

import numpy as np

from tightrope.base.catalogue import ON_DEMAND, SPOT
from tightrope.base.errors import InfeasibleError
from tightrope.base.plan import OfferTerms
from tightrope.base.records import FloatArray, IntArray
from tightrope.base.registry import find_offer
from tightrope.base.units import SECONDS_PER_HOUR
from tightrope.clouds.book import PriceBook
from tightrope.compare.hpa import followed, make_reactive
from tightrope.compare.peer_draft import Draft, MachineLoads, Setting, cheapest, find_lone_solutions
from tightrope.plan.problem.arrays import PoolOption
from tightrope.replay.records import FleetPool

OVERPROVISIONED = 1


def draft_spot_fallback(setting: Setting) -> Draft:
    """Return the spot type that the rule runs most cheaply, with on-demand machines of the same type behind it."""
    problem = setting.problem
    backed = np.array([find_on_demand_twin(option, setting.book) is not None for option in problem.options])
    taken = np.array([option.terms.offer == SPOT for option in problem.options])
    spot = taken & ~problem.metered & backed
    if not spot.any():
        what = "offers: no machine that may serve here is both spot and sold on demand"
        raise InfeasibleError(what, resolve="allow spot in purchase.offers, or more families or regions")
    target = setting.hpa_target / setting.most_headroom

    def hedged(loads: MachineLoads) -> IntArray:
        """Return what an autoscaler runs, and one more."""
        asked = followed(loads, target)
        return asked + OVERPROVISIONED * (asked > 0)

    lone = cheapest(find_lone_solutions(problem, spot, hedged, spread_work=True))
    mean = max(float(lone.interactive.mean()), 1.0 + OVERPROVISIONED)
    draft = make_reactive(setting, lone, target * (mean - OVERPROVISIONED) / mean, least=1 + OVERPROVISIONED)
    allowed = setting.workload.purchase.max_spot_share
    breaks = f"all rests on spot, purchase.max_spot_share allows {allowed:.0%}" if allowed < 1.0 else ""
    return replace(add_fallback(draft, setting.book), breaks=breaks)


def find_on_demand_twin(option: PoolOption, book: PriceBook) -> PoolOption | None:
    """Return the same machine and variant on demand; None where it is not sold so."""
    terms = find_offer(ON_DEMAND).terms(option.machine.name, option.region, book)
    return replace(option, terms=terms) if isinstance(terms, OfferTerms) else None


def add_fallback(draft: Draft, book: PriceBook) -> Draft:
    """Return the draft with an on-demand pool behind each of its pools, empty as long as nothing is missing."""
    twins = [(place, find_on_demand_twin(option, book)) for place, option in enumerate(draft.options)]
    backed = [(place, twin) for place, twin in twins if twin is not None]
    places = [place for place, _ in backed]
    fleet = draft.fleet
    behind = tuple(_build_fallback(fleet.pools[place], twin) for place, twin in backed)
    waiting = np.zeros((len(fleet.allowed), len(behind)), dtype=bool)
    away_s = None if fleet.away_s is None else np.hstack([fleet.away_s, fleet.away_s[:, places]])
    return replace(
        draft,
        options=draft.options + tuple(twin for _, twin in backed),
        fleet=replace(fleet, pools=fleet.pools + behind, allowed=np.hstack([fleet.allowed, waiting]), away_s=away_s),
        machines=np.vstack([draft.machines, *(_estimate_missing(fleet.pools[p], draft.machines[p]) for p in places)]),
        disk_usd_per_hour=np.append(draft.disk_usd_per_hour, draft.disk_usd_per_hour[places]),
    )


def _build_fallback(pool: FleetPool, twin: PoolOption) -> FleetPool:
    """Return the pool that stands in for ``pool``'s missing machines."""
    return replace(
        pool,
        name=f"{pool.name}-fallback",
        backs=pool.name,
        zones=twin.terms.zones,
        interruptions_per_hour=0.0,
        schedule=np.zeros_like(pool.schedule),
        ceiling=0,
    )


def _estimate_missing(pool: FleetPool, machines: FloatArray) -> FloatArray:
    """Return the machines expected to be missing, float64[B]: those interrupted, and those that a rise asks for, while they start."""
    rises = np.maximum(machines - np.roll(machines, 1), 0.0)
    return (machines * pool.interruptions_per_hour + rises) * pool.start_s / SECONDS_PER_HOUR
