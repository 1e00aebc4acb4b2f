"""The parts of a process as settings say them: how much deferrable work is taken, and which series there are."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.serve.conftest import FakePool
from tests.serve.protocols.front_door import asked

from tightrope.base.plan import RoutingRule, ServedClass
from tightrope.base.records import Deferral
from tightrope.serve.access.keyfile import create_key
from tightrope.serve.assembly import _counts_machines, _pairs, _room, assemble
from tightrope.serve.config.settings import ServedModel, ServedPool, Settings, Upstream
from tightrope.serve.jobs.service import MOST


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


@pytest.mark.parametrize(
    ("usd_per_hour", "rate", "counted"),
    [(1.0, 0.0, True), (1.0, 2.0, True), (0.0, 2.0, False), (None, 0.0, True), (0.0, 0.0, True)],
    ids=["machines", "both", "tokens", "unknown", "free"],
)
def test_machines_are_counted_where_they_are_paid_for_beside_tokens_too(
    usd_per_hour: float | None, rate: float, counted: bool
) -> None:
    upstream = Upstream("openai", ("http://127.0.0.1:1",))
    assert (
        _counts_machines(ServedPool("a", "m", "a", None, upstream, usd_per_hour=usd_per_hour, usd_per_million_output_tokens=rate))
        is counted
    )


def test_the_metrics_ask_for_a_key_where_the_settings_say_so(tmp_path: Path) -> None:
    keys = {}
    for scope in ("infer", "metrics"):
        stated = {"name": scope, "tenant": "t", "scopes": [scope], "created": datetime.now(UTC)}
        _, keys[scope] = create_key(tmp_path / "keys.json", stated)
    pools, models = (ServedPool("a", "m", "a"),), (ServedModel("m", "embed", ("a",)),)

    async def run(*, metrics_key: bool) -> list[int]:
        process = assemble(
            Settings("w", pools, models, (ServedClass("c", (), 0.0),), keys=tmp_path / "keys.json", metrics_key=metrics_key)
        )
        try:
            headers = [{}, *({"Authorization": f"Bearer {key}"} for key in keys.values())]
            return [(await asked(process.app, "GET", "/metrics", headers=sent)).status for sent in headers]
        finally:
            await process.keys.stop()

    assert asyncio.run(run(metrics_key=True)) == [401, 403, 200]
    assert asyncio.run(run(metrics_key=False)) == [200, 200, 200]
