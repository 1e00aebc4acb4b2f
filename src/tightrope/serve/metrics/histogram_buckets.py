"""The borders of the histograms' buckets: a ladder that is the same for all classes, and every promised limit exactly.

All classes share one histogram's borders, so that buckets may be summed over classes and pools.
"""

from collections.abc import Iterable
from typing import NamedTuple

from tightrope.base.plan import ServedClass

ANSWER_LADDER_S = (
    *(round(step * 10.0**power, 6) for power in (-3, -2, -1, 0) for step in (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)),
    *(10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0),
)
"""Of the time of an answer: a quantile read off it is within a fifth or so, and exact at what was promised."""
LADDER_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0)
TOKEN_LADDER_S = (0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
"""Of the time of one token: an engine's step."""


class Borders(NamedTuple):
    """Seconds, rising, for each histogram of times."""

    latency: tuple[float, ...]
    ttft: tuple[float, ...]
    tpot: tuple[float, ...]
    wait: tuple[float, ...]


def borders_for(classes: Iterable[ServedClass]) -> Borders:
    """Return the borders with every limit that was promised, to wait no longer than ``shed_wait_s`` and to be done in the window too."""
    found: dict[str, set[float]] = {
        "latency": set(ANSWER_LADDER_S),
        "ttft": set(ANSWER_LADDER_S),
        "tpot": set(TOKEN_LADDER_S),
        "wait": set(LADDER_S),
    }
    for item in classes:
        for slo in item.slos:
            found[slo.metric].add(float(slo.limit_s))
        if item.shed_wait_s is not None:
            found["wait"].add(float(item.shed_wait_s))
        if item.deferral is not None:
            found["latency"].add(3600.0 * item.deferral.window_h)
    return Borders(*(tuple(sorted(found[name])) for name in Borders._fields))


def batch_sizes(most: int) -> tuple[float, ...]:
    """Return the borders of a batch's size: powers of 2 up to the largest batch, which is one too.

    >>> batch_sizes(24)
    (1.0, 2.0, 4.0, 8.0, 16.0, 24.0)
    """
    powers = [2.0**power for power in range(20) if 2**power < most]
    return (*powers, max(1.0, float(most)))
