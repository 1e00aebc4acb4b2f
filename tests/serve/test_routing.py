"""Which pool answers: the plan's shares by the hour, else the cheapest that is good enough and answers in time."""

from collections import Counter
from dataclasses import replace

import pytest
from tests.serve.conftest import FakePool

from tightrope.base.plan import RoutingRule, ServedClass
from tightrope.serve.config.settings import ServedModel, ServedPool, Settings
from tightrope.serve.records import Reply
from tightrope.serve.routing import Router

CLASS = ServedClass("now", (), 0.0, answer_within_s=0.1)
MONDAY_S = 345_600.0
"""1970-01-05, 00:00 UTC."""


def served(name: str, **fields: object) -> ServedPool:
    return ServedPool(name, "m", name, **fields)  # type: ignore[arg-type]


def router(pools: list[ServedPool], hour: int = 0, **fields: object) -> tuple[Router, dict[str, FakePool], ServedModel]:
    backends = {pool.name: FakePool(pool) for pool in pools}
    model = ServedModel("m", "classify", tuple(backends), quality_floor=0.9)
    settings = Settings("w", tuple(pools), (model,), (CLASS,), **fields)  # type: ignore[arg-type]
    return Router(settings, backends, lambda: MONDAY_S + 3600.0 * hour), backends, model


def names(order: object) -> list[str]:
    return [backend.pool.name for backend in order]  # type: ignore[attr-defined]


def rules(first: tuple[float, float], second: tuple[float, float]) -> tuple[RoutingRule, ...]:
    return tuple(RoutingRule("now", name, sum(by_block) / 2, by_block) for name, by_block in (("a", first), ("b", second)))


@pytest.mark.parametrize(("hour", "share"), [(0, 0.75), (1, 0.25), (2, 0.75), (169, 0.25)])
def test_the_plan_shares_a_class_out_by_the_hour(hour: int, share: float) -> None:
    found, _, model = router([served("a"), served("b")], hour, routing=rules((0.75, 0.25), (0.25, 0.75)))
    asked = Counter(names(found.order(model, CLASS))[0] for _ in range(1000))
    assert abs(asked["a"] / 1000 - share) < 0.01


def test_the_first_day_says_where_a_week_begins() -> None:
    found, _, model = router([served("a"), served("b")], 0, routing=rules((1.0, 0.0), (0.0, 1.0)), first_day="1970-01-04")
    assert names(found.order(model, CLASS))[0] == "a"  # 24 hours later is an even hour
    found, _, model = router([served("a"), served("b")], 1, routing=rules((1.0, 0.0), (0.0, 1.0)), first_day="1970-01-04")
    assert names(found.order(model, CLASS))[0] == "b"


def test_an_hour_without_a_plan_has_the_shares_of_the_week() -> None:
    found, _, model = router([served("a"), served("b")], 0, routing=rules((0.0, 1.0), (0.0, 0.0)))
    assert names(found.order(model, CLASS))[0] == "a"


def test_a_model_that_is_named_answers_by_its_own_pools() -> None:
    found, _, model = router([served("a"), served("b")], routing=rules((0.9, 0.9), (0.1, 0.1)))
    assert {names(found.order(model, CLASS))[0] for _ in range(100)} == {"a", "b"}
    pools = [served("a"), served("b")]
    only = replace(model, name="only", pools=("b",))
    settings = Settings("w", tuple(pools), (model, only), (CLASS,), routing=rules((1.0, 1.0), (0.0, 0.0)))
    found = Router(settings, {pool.name: FakePool(pool) for pool in pools}, lambda: MONDAY_S)
    assert {tuple(names(found.order(only, CLASS))) for _ in range(100)} == {("b",)}
    assert names(found.order(model, CLASS))[0] == "a"


def test_pools_of_one_group_take_one_anothers_place() -> None:
    pools = [served("a", group="g", requests_per_s=1.0), served("b", group="g", requests_per_s=1.0)]
    found, backends, model = router(pools, routing=rules((0.5, 0.5), (0.5, 0.5)))
    backends["a"].state.in_flight = 3
    assert names(found.order(model, CLASS)) == ["b", "a"]
    backends["b"].state.replicas_ready = 0
    assert names(found.order(model, CLASS)) == ["a", "b"]


def test_without_a_plan_the_cheapest_that_is_good_enough_answers() -> None:
    pools = [
        served("large", usd_per_hour=1.0, requests_per_s=10.0),
        served("small", usd_per_hour=1.0, requests_per_s=100.0, quality=0.95),
        served("bad", usd_per_hour=1.0, requests_per_s=1000.0, quality=0.5),
    ]
    found, backends, model = router(pools)
    assert names(found.order(model, CLASS)) == ["small", "large"]
    backends["small"].state.in_flight = 50  # half a second, and 100 ms are promised
    assert names(found.order(model, CLASS))[0] == "large"


def test_what_answers_cost_is_learned() -> None:
    pools = [served("a", usd_per_hour=1.0, requests_per_s=100.0), served("b", usd_per_hour=1.0, requests_per_s=90.0)]
    found, _, model = router(pools)
    assert names(found.order(model, CLASS))[0] == "a"
    found.learn(Reply("a", "a", compute_nusd=1_000_000), 1)
    assert names(found.order(model, CLASS))[0] == "b"
    found.learn(Reply("b", "b", compute_nusd=9_000_000, cached="hit"), 1)  # what was kept says nothing of an engine
    found.learn(Reply("b", "b", compute_nusd=None), 1)
    assert names(found.order(model, CLASS))[0] == "b"
    found.learn(Reply("b", "b", compute_nusd=16_000_000), 8)
    assert names(found.order(model, CLASS))[0] == "a"


def test_where_no_price_is_known_the_faster_is_the_cheaper() -> None:
    found, _, model = router([served("a", requests_per_s=10.0), served("b", requests_per_s=20.0)])
    assert names(found.order(model, CLASS))[0] == "b"
