"""Lets the tests of this folder import ``fleets`` and the slow replay, and gives both engines to those that hold for both."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tightrope.replay.records import Fleet, Outcome, Traffic
from tightrope.replay.run import replay_fleet

sys.path.append(str(Path(__file__).parent))


@pytest.fixture(params=["fast", "slow"])
def engine(request: pytest.FixtureRequest) -> Callable[..., Outcome]:
    """Return a replay of a fleet and its traffic over so many seconds (an hour), by the engine or the slow reference."""
    replay = replay_fleet if request.param == "fast" else importlib.import_module("reference").replay_slowly

    def run(what: Fleet, requests: Traffic, seconds: float = 3600.0, **others: object) -> Outcome:
        stated = {"duration_s": seconds, "block_offset_s": 0.0, "seed": 0, "drill": None}
        return replay(what, requests, **(stated | others))  # type: ignore[arg-type]

    return run
