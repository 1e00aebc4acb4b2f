"""The autoscaler on one type, with the commitment that the last 60 days of its own usage would have deserved.

What the consoles recommend (AWS Cost Explorer, "Understanding your Savings Plans recommendations", 2026; Azure Advisor likewise):
``plan/commit/lookback.py``. The past is the part of the traffic that sizing may see, replayed on the autoscaler's own fleet.
"""

from dataclasses import replace

import numpy as np

from tightrope.base.catalogue import ON_DEMAND
from tightrope.base.errors import InfeasibleError
from tightrope.base.plan import Committed
from tightrope.base.records import FloatArray, Workload
from tightrope.base.units import SECONDS_PER_HOUR
from tightrope.compare.hpa import draft_hpa
from tightrope.compare.peer_draft import Draft, Setting
from tightrope.demand.blocks import DAY_S
from tightrope.plan.commit.lookback import DAYS, HOURS_PER_DAY, look_back
from tightrope.plan.fleet.plan_fleet import Stretch, draw_traffic, find_heldout_stretch
from tightrope.plan.problem.commitment_coverage import committed_bill_usd
from tightrope.plan.problem.commitment_options import find_covers
from tightrope.plan.prove.proof import MAX_REPLAYED_REQUESTS
from tightrope.replay.run import replay_fleet

PAST_SEED = 0


def draft_look_back(setting: Setting) -> Draft:
    """Return the autoscaler's plan under the commitment, of those allowed, that would have been cheapest in the past."""
    draft = draft_hpa(setting)
    covers, _ = find_covers(setting.workload, setting.book, draft.options)
    names = list(dict.fromkeys(cover.offer for cover in covers))
    if not names:
        what = "offers: no commitment that this usage could have is allowed, or the trace shows too little to commit on"
        raise InfeasibleError(what, resolve="allow one in purchase.offers, and a trace of which sizing may see a week or more")
    sold = np.array([option.terms.offer == ON_DEMAND for option in draft.options])
    hours = np.where(sold[:, None], count_past_hours(setting.workload, draft), 0.0)
    on_demand = np.array([option.terms.usd_per_hour for option in draft.options])
    offered = [np.array([cover.offer == name for cover in covers]) for name in names]
    tried = [look_back(hours, on_demand, covers, mask) for mask in offered]
    weight = np.ones(hours.shape[1])
    best = min(tried, key=lambda amounts: committed_bill_usd(hours, weight, on_demand, covers, amounts)[0])
    made = tuple(
        Committed(cover.cloud, cover.offer, cover.scope, float(usd)) for cover, usd in zip(covers, best, strict=True) if usd > 0.0
    )
    return replace(draft, committed=made, note=describe_committed(made) or "the past deserved no commitment")


def count_past_hours(workload: Workload, draft: Draft) -> FloatArray:
    """Return the machine-hours of the draft's fleet on the traffic that sizing may see, float64[pools, hours].

    Where that holds more requests than are replayed in reason, only its last days are taken; where even a day does, the hours that the
    rule itself expects.
    """
    end_s = find_heldout_stretch(workload).start_s
    rate = sum(item.demand.requests / item.demand.duration_s for item in workload.classes)
    days = min(float(DAYS), np.floor(MAX_REPLAYED_REQUESTS / max(rate * DAY_S, 1e-9)))
    if days < 1.0:
        blocks = np.arange(min(DAYS * HOURS_PER_DAY, int(end_s // SECONDS_PER_HOUR))) % draft.machines.shape[1]
        return draft.machines[:, blocks]
    past = Stretch(max(0.0, end_s - days * DAY_S), end_s)
    traffic = draw_traffic(workload, past, PAST_SEED)
    length_s = past.end_s - past.start_s
    outcome = replay_fleet(draft.fleet, traffic, duration_s=length_s, block_offset_s=past.start_s, seed=PAST_SEED)
    return outcome.machine_hours


def describe_committed(made: tuple[Committed, ...]) -> str:
    """Say what is committed to; nothing where nothing is."""
    return ", ".join(f"${item.usd_per_hour:,.3f} an hour of {item.offer}" for item in made)
