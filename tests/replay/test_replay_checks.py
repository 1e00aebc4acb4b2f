"""The door of the replay: what compiled code cannot look after is refused, in words."""

from dataclasses import replace

import numpy as np
import pytest
from fleets import FIXED, engine, fleet, pool, replay, traffic

from tightrope.replay.records import Fleet, ResponseCache, Traffic

ONE = fleet(pool(engine(1.0)))
THREE = traffic([1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("requests", "words"),
    [
        (replace(THREE, time_s=np.array([1.0, np.nan, 3.0])), "time_s: got a time that is not finite"),
        (replace(THREE, time_s=np.array([1.0, np.inf, 3.0])), "time_s: got a time that is not finite"),
        (replace(THREE, time_s=np.array([1.0, 3.0, 2.0])), "time_s: got times that go back, expected them in order"),
        (replace(THREE, time_s=np.array([-1.0, 2.0, 3.0])), "time_s: got -1 s, expected 0 s or later"),
        (replace(THREE, traffic_class=np.array([0, 1, 0])), "traffic_class: got 0 to 1, expected 0 to 0"),
        (replace(THREE, traffic_class=np.array([0, -1, 0])), "traffic_class: got -1 to 0"),
        (replace(THREE, output_tokens=np.ones(2, dtype=np.int64)), "output_tokens: got 2 values, expected 3"),
        (replace(THREE, key=np.zeros(4, dtype=np.int64)), "key: got 4 values, expected 3"),
        (replace(THREE, block_start=np.array([0, 1, 2]), blocks=np.arange(2)), "block_start: got 3 places up to 2, expected 4"),
        (replace(THREE, block_start=np.array([0, 1, 2, 9]), blocks=np.arange(2)), "block_start: got 4 places up to 9"),
        (replace(THREE, block_start=np.array([0, 2, 1, 2]), blocks=np.arange(2)), "block_start: got 4 places up to 2"),
    ],
)
def test_traffic_that_does_not_fit_is_refused(requests: Traffic, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace(".", r"\.")):
        replay(ONE, requests)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (replace(ONE, share=np.ones((1, 2, 168))), "share: got"),
        (replace(ONE, allowed=np.ones((2, 1), dtype=bool)), "allowed: got"),
        (fleet(pool(engine(1.0), requests_per_s=0.0)), "pool 'pool': requests_per_s: got 0, expected more than 0"),
        (replace(ONE, cache=ResponseCache(0, 60.0)), "cache.entries: got 0, expected 1 or more, or no cache"),
        (replace(ONE, scaling=replace(FIXED, sync_s=0.0)), "scaling.sync_s: got 0 s"),
        (replace(ONE, scaling=replace(FIXED, metric_lag_s=-30.0)), "scaling.metric_lag_s: got -30 s"),
        (
            replace(ONE, pools=(replace(ONE.pools[0], schedule=np.ones(24, dtype=np.int64)),)),
            "schedule: got 24 hours, expected 168",
        ),
    ],
)
def test_a_fleet_that_does_not_fit_is_refused(what: Fleet, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replay(what, THREE)
