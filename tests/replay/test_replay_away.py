"""Users who are away from the machines: every answer comes so much later, and nothing else changes."""

from dataclasses import replace

import fleets
import numpy as np

from tightrope.replay.records import ANSWERED
from tightrope.replay.run import replay_fleet


def test_the_way_there_and_back_is_part_of_every_answer_and_of_nothing_else() -> None:
    east, west = fleets.pool(fleets.engine(0.5), 2, name="east"), fleets.pool(fleets.engine(0.4), 1, name="west", group="far")
    made = fleets.fleet(east, west, deferrable=(False, False))
    traffic = fleets.traffic(np.arange(0.0, 400.0, 0.7), kinds=[c % 2 for c in range(572)])
    away = np.array([[0.0, 0.08], [0.12, 0.0]])
    at_home, remote = (
        replay_fleet(one, traffic, duration_s=500.0, block_offset_s=0.0, seed=3) for one in (made, replace(made, away_s=away))
    )
    assert (remote.ended == ANSWERED).all()
    assert np.array_equal(remote.pool, at_home.pool)
    assert np.array_equal(remote.machine_hours, at_home.machine_hours)
    more = away[traffic.traffic_class, remote.pool]
    assert len(np.unique(more)) == 3
    assert np.allclose(remote.latency_s - at_home.latency_s, more)
    assert np.allclose(remote.ttft_s - at_home.ttft_s, more)
    assert np.allclose(remote.tpot_s, at_home.tpot_s)


def test_what_is_never_answered_stays_so() -> None:
    made = replace(fleets.fleet(fleets.pool(fleets.engine(50.0))), away_s=np.array([[0.1]]))
    outcome = replay_fleet(made, fleets.traffic([0.0, 0.0, 0.0]), duration_s=10.0, block_offset_s=0.0, seed=0)
    assert np.array_equal(np.isfinite(outcome.finish_s), outcome.ended == ANSWERED)
