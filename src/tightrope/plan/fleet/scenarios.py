"""What might go wrong on recorded traffic: more of it, no cache, or a drill at the busiest time.

``surge=2x`` joins each recorded request by a copy of it, at a time drawn within half a minute of its own, so that the day keeps its
shape and its bursts; ``surge=1.5x`` does it for half of them, ``surge=0.5x`` leaves every other out. A copy asks what its original
asked, of the same size.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tightrope.base.errors import InputError, build_unknown_name_error
from tightrope.base.records import FloatArray
from tightrope.plan.fleet.recorded_traffic import RecordedTraffic
from tightrope.replay.records import Drill, DrillKind, Fleet, Traffic
from tightrope.replay.traffic import take_requests

DRILLS: tuple[DrillKind, ...] = ("zone-loss", "spot-zone-loss", "spot-storm", "metrics-loss")
SURGE, NO_CACHE = "surge", "no-cache"
NAMES = (*DRILLS, f"{SURGE}=2x", NO_CACHE)
DRILL_S = 1800.0
"""A drill lasts for the busiest half hour, or half of a shorter trace."""
FIRST_S = 60.0
"""No drill begins earlier: the fleet is there first, and then something is taken from it."""
NEAR_S = 30.0
"""How far from its original a surge's copy may come."""
MOST_SURGE = 100.0


@dataclass(frozen=True, slots=True)
class ReplayScenario:
    """What is changed, together."""

    surge: float = 1.0
    no_cache: bool = False
    drill: DrillKind | None = None

    def __str__(self) -> str:
        """Return its names as the command line takes them."""
        surge = [f"{SURGE}={self.surge:g}x"] if self.surge != 1.0 else []
        return " + ".join([*([self.drill] if self.drill else []), *surge, *([NO_CACHE] if self.no_cache else [])])


AS_RECORDED = ReplayScenario()


def parse_scenarios(stated: Sequence[str]) -> ReplayScenario:
    """Return what the names ask for together; raise ``InputError`` for an unknown one, for two drills and for two surges."""
    found = ReplayScenario()
    for text in stated:
        name, _, figure = text.partition("=")
        if name == SURGE:
            found = replace(found, surge=_parse_factor(text, figure, found.surge))
        elif text == NO_CACHE:
            found = replace(found, no_cache=True)
        else:
            found = _add_drill(found, text)
    return found


def _add_drill(scenario: ReplayScenario, text: str) -> ReplayScenario:
    """Return the scenario with the drill of that name."""
    kind = next((kind for kind in DRILLS if kind == text), None)
    if kind is None:
        raise build_unknown_name_error(text, kind="scenario", known=NAMES)
    if scenario.drill not in {None, kind}:
        msg = f"two drills at once: {scenario.drill} and {kind}"
        raise InputError(msg, resolve="replay them one after the other; a surge and no-cache may join either")
    return replace(scenario, drill=kind)


def _parse_factor(text: str, figure: str, before: float) -> float:
    """Return the factor of ``surge=2x``; ``before`` is that of a surge already stated, 1 where there is none."""
    try:
        factor = float(figure.removesuffix("x"))
    except ValueError:
        factor = np.nan
    if not 0.0 < factor <= MOST_SURGE:
        msg = f"scenario {text!r}: expected a factor of the traffic above 0 and up to {MOST_SURGE:g}"
        raise InputError(msg, resolve="write it as surge=2x")
    if factor == 1.0:
        msg = f"scenario {text!r} leaves the traffic as it was recorded"
        raise InputError(msg, resolve="leave it out, or give another factor, such as surge=2x")
    if before != 1.0:
        msg = f"two surges at once: {SURGE}={before:g}x and {text}"
        raise InputError(msg, resolve="give one factor")
    return factor


def surged(traffic: Traffic, factor: float, duration_s: float, seed: int) -> Traffic:
    """Return ``factor`` times the requests; the same seed draws the same ones.

    Each request is there ``floor(factor)`` times, and once more with the probability of the rest; all but the first of each
    original come at a time drawn evenly within ``NEAR_S`` of its own, and inside the replay.
    """
    if factor == 1.0:
        return traffic
    random = np.random.default_rng([seed, 1])
    count = len(traffic.time_s)
    times = np.full(count, int(factor)) + (random.random(count) < factor % 1.0)
    rows = np.repeat(np.arange(count), times)
    copies = np.concatenate([[False], rows[1:] == rows[:-1]]) if len(rows) else np.zeros(0, dtype=bool)
    moved = take_requests(traffic, rows)
    low, high = np.maximum(moved.time_s - NEAR_S, 0.0), np.minimum(moved.time_s + NEAR_S, duration_s)
    time_s = np.where(copies, random.uniform(low, high), moved.time_s)
    return take_requests(replace(moved, time_s=time_s), np.argsort(time_s, kind="stable"))


def drop_caches(fleet: Fleet) -> Fleet:
    """Return the fleet with neither a cache of answers nor prefix caches."""
    return replace(fleet, cache=None, pools=tuple(replace(pool, prefix_block_tokens=0) for pool in fleet.pools))


def find_busiest_s(time_s: FloatArray, duration_s: float, length_s: float) -> float:
    """Return the start of the ``length_s`` with the most requests, in whole minutes from 0.

    >>> find_busiest_s(np.array([10.0, 100.0, 130.0, 170.0]), 300.0, 60.0)
    120.0
    """
    minutes = max(1, int(np.ceil(duration_s / 60.0)))
    counts = np.bincount(np.minimum((time_s / 60.0).astype(np.int64), minutes - 1), minlength=minutes)
    width = max(1, min(round(length_s / 60.0), minutes))
    total = np.concatenate([[0], np.cumsum(counts)])
    return 60.0 * float(np.argmax(total[width:] - total[:-width]))


def place_drills(kind: DrillKind, fleet: Fleet, recorded: RecordedTraffic) -> tuple[Drill, ...]:
    """Return the drill at the traffic's busiest time: one for each zone that may be lost, else one."""
    length_s = min(DRILL_S, recorded.duration_s / 2.0)
    counted = [index for index, item in enumerate(fleet.classes) if not item.deferrable] or list(range(len(fleet.classes)))
    time_s = recorded.traffic.time_s[np.isin(recorded.traffic.traffic_class, counted)]
    start_s = max(find_busiest_s(time_s, recorded.duration_s, length_s), min(FIRST_S, recorded.duration_s - length_s))
    return tuple(Drill(kind, start_s, start_s + length_s, zone) for zone in _find_zones(kind, fleet))


def _find_zones(kind: DrillKind, fleet: Fleet) -> range:
    """Return the zones whose loss may differ."""
    if kind not in {"zone-loss", "spot-zone-loss"}:
        return range(1)
    pools = [pool for pool in fleet.pools if kind == "zone-loss" or pool.interruptions_per_hour > 0.0]
    return range(max([pool.zones for pool in pools], default=1) or 1)
