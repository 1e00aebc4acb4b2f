"""From outcomes to figures: what became of each class, what each pool did, and the series that the time-line draws."""

import numpy as np

from tightrope.base.plan import Evidence, Plan, ServedClass
from tightrope.base.records import FloatArray, IntArray, TokenEngine
from tightrope.base.replay_report import ClassOutcome, DrillEvidence, PoolOutcome, Spread
from tightrope.base.units import SECONDS_PER_HOUR
from tightrope.replay.evidence import deadlines_s, has_metric, judge_all, metric_s
from tightrope.replay.records import ANSWERED, CACHED, NO_POOL, SHED, TOO_LARGE, UNANSWERED, Drill, Outcome
from tightrope.replay.traffic import as_asked


def gather_trial_evidence(
    plan: Plan, outcomes: list[Outcome], *, start_s: float, window: str, seeds: tuple[int, ...]
) -> tuple[Evidence, ...]:
    """Judge every promise of every class; ``start_s`` is the time of the plan's week at which the replays start."""
    promised = [(item.asked_as or item.name, item.slos, item.deferral) for item in plan.classes]
    return judge_all([as_asked(outcome) for outcome in outcomes], promised, start_s=start_s, window=window, seeds=seeds)


def drill_evidence(plan: Plan, outcomes: list[Outcome], drill: Drill | None, start_s: float) -> tuple[DrillEvidence, ...]:
    """Return how each promise was kept for the requests that arrived during the drill; nothing where there was none."""
    if drill is None:
        return ()
    found: list[DrillEvidence] = []
    outcomes = [as_asked(outcome) for outcome in outcomes]
    for index, item in enumerate(plan.classes):
        for place, name, target in _list_promises(item):
            kept = np.concatenate([_evaluate_requests(item, place, outcome, index, drill, start_s) for outcome in outcomes])
            if len(kept):
                found.append(
                    DrillEvidence(item.asked_as or item.name, name, len(kept) / len(outcomes), float(kept.mean()), target)
                )
    return tuple(found)


def _list_promises(item: ServedClass) -> list[tuple[int, str, float]]:
    """Return each promise of a class: its place (-1 for a deadline), its name, the share promised."""
    if item.deferral is not None:
        return [(-1, "done in time", 1.0)]
    return [(place, str(slo), slo.percentile) for place, slo in enumerate(item.slos)]


def _evaluate_requests(item: ServedClass, place: int, outcome: Outcome, index: int, drill: Drill, start_s: float) -> np.ndarray:
    """Return whether the promise was kept, bool[requests of the class that arrived during the drill]."""
    time_s = outcome.traffic.time_s
    mine = (outcome.traffic.traffic_class == index) & (time_s >= drill.start_s) & (time_s < drill.end_s)
    if item.deferral is not None:
        return outcome.finish_s[mine] <= deadlines_s(time_s[mine], start_s, item.deferral)
    slo = item.slos[place]
    mine &= has_metric(outcome, slo.metric)
    return metric_s(outcome, slo.metric)[mine] <= slo.limit_s


def summarise_classes(plan: Plan, outcomes: list[Outcome]) -> tuple[ClassOutcome, ...]:
    """Return what became of every class that had requests."""
    tokens = any(isinstance(pool.serving.engine, TokenEngine) for pool in plan.pools)
    prefix = any(pool.serving.prefix_block_tokens for pool in plan.pools)
    found = []
    for index, item in enumerate(plan.classes):
        mine = [outcome.traffic.traffic_class == index for outcome in outcomes]
        if any(rows.any() for rows in mine):
            found.append(_summarise_class(item.name, outcomes, mine, tokens=tokens, prefix=prefix))
    return tuple(found)


def _summarise_class(name: str, outcomes: list[Outcome], mine: list[np.ndarray], *, tokens: bool, prefix: bool) -> ClassOutcome:
    """Return what became of one class; ``mine`` is bool[requests] for each outcome."""
    counts = np.sum([np.bincount(one.ended[rows], minlength=6) for one, rows in zip(outcomes, mine, strict=True)], axis=0)
    mean = counts / len(outcomes)
    ended = [rows & np.isin(one.ended, (ANSWERED, CACHED)) for one, rows in zip(outcomes, mine, strict=True)]
    worked = [rows & (one.ended == ANSWERED) for one, rows in zip(outcomes, mine, strict=True)]
    many = [rows & has_metric(one, "tpot") for one, rows in zip(outcomes, worked, strict=True)]
    spared, read = (
        float(sum(column[rows].sum() for column, rows in zip(columns, worked, strict=True)))
        for columns in ([one.prefix_tokens for one in outcomes], [one.traffic.input_tokens for one in outcomes])
    )
    known = prefix and all(one.traffic.blocks is not None for one in outcomes)
    return ClassOutcome(
        name=name,
        requests=float(mean.sum()),
        answered=float(mean[ANSWERED]),
        cached=float(mean[CACHED]),
        shed=float(mean[SHED]),
        too_large=float(mean[TOO_LARGE]),
        no_pool=float(mean[NO_POOL]),
        unanswered=float(mean[UNANSWERED]),
        prompt_tokens=read / len(outcomes),
        prefix_share=spared / read if known and read else None,
        latency=_compute_spread([one.latency_s[rows] for one, rows in zip(outcomes, ended, strict=True)]),
        ttft=_compute_spread([one.ttft_s[rows] for one, rows in zip(outcomes, ended, strict=True)]) if tokens else None,
        tpot=_compute_spread([one.tpot_s[rows] for one, rows in zip(outcomes, many, strict=True)]) if tokens else None,
        queue=_compute_spread([one.queue_s[rows] for one, rows in zip(outcomes, worked, strict=True)]),
    )


def _compute_spread(times_s: list[FloatArray]) -> Spread | None:
    """Return the percentiles of all times together, None where there are none."""
    flat = np.concatenate(times_s)
    if not len(flat):
        return None
    return Spread(*(1000.0 * float(value) for value in np.quantile(flat, [0.5, 0.95, 0.99])))


def summarise_pools(plan: Plan, outcomes: list[Outcome], duration_s: float) -> tuple[PoolOutcome, ...]:
    """Return what every pool did in a stretch of that length."""
    hours = np.mean([outcome.machine_hours for outcome in outcomes], axis=0)
    busy = np.mean([outcome.busy_hours for outcome in outcomes], axis=0)
    answered, late = (
        np.mean([_count_by_pool(outcome, len(plan.pools), after_s) for outcome in outcomes], axis=0)
        for after_s in (-np.inf, duration_s)
    )
    machines = hours / np.clip(duration_s / SECONDS_PER_HOUR - np.arange(hours.shape[1]), 1e-9, 1.0)
    return tuple(
        PoolOutcome(
            name=pool.name,
            machine=pool.machine,
            offer=pool.offer,
            requests=float(answered[place]),
            late=float(late[place]),
            machine_hours=float(hours[place].sum()),
            least_machines=float(machines[place].min()),
            most_machines=float(machines[place].max()),
            utilisation=float(busy[place] / total) if (total := hours[place].sum()) > 0.0 else None,
        )
        for place, pool in enumerate(plan.pools)
    )


def _count_by_pool(outcome: Outcome, pools: int, after_s: float) -> IntArray:
    """Return the requests that each pool's engines answered later than ``after_s``, int64[pools]."""
    answered = outcome.pool[(outcome.ended == ANSWERED) & (outcome.finish_s > after_s)]
    return np.bincount(answered[answered >= 0], minlength=pools)
