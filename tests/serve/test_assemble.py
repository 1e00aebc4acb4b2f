"""The parts of a process as settings say them: how much work that can wait is taken, and which series there are."""

from types import SimpleNamespace
from typing import Any

from tests.serve.conftest import FakePool

from tightrope.base.plan import RoutingRule, ServedClass
from tightrope.base.records import Deferral
from tightrope.serve.assemble import _pairs, _room
from tightrope.serve.jobs.service import MOST
from tightrope.serve.settings import ServedModel, ServedPool, Settings


def gateway(*pools: FakePool) -> Any:
    return SimpleNamespace(backends={pool.pool.name: pool for pool in pools})


def test_as_much_work_that_can_wait_is_taken_as_was_planned() -> None:
    pools = [FakePool(ServedPool(name, "m", name, deferrable_limit=limit)) for name, limit in (("a", 8), ("b", 2), ("c", 0))]
    room = _room(gateway(*pools))
    pools[0].state.replicas_ready = 3
    assert room() == 3 * 8 + 2
    pools[0].state.replicas_ready = pools[1].state.replicas_ready = 0
    assert room() == 1  # so that a pool at zero is woken
    assert _room(gateway(pools[2]))() == MOST


def test_only_classes_and_pools_that_meet_have_series() -> None:
    now, later = ServedClass("now", (), 0.0), ServedClass("later", (), 0.0, deferral=Deferral(0.0, 1.0))
    pools = tuple(ServedPool(name, "m", name) for name in "ab")
    models = (ServedModel("m", "embed", ("a",), classes=("now",)), ServedModel("n", "embed", ("b",)))
    settings = Settings("w", pools, models, (now, later))
    assert _pairs(settings) == [("now", "a"), ("now", "b"), ("later", "b")]
    planned = Settings("w", pools, models, (now, later), (RoutingRule("now", "b", 1.0, (1.0,)),))
    assert _pairs(planned) == [("now", "b"), ("later", "a"), ("later", "b")]
