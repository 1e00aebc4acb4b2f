"""Settings of engines: a bound that nothing exceeds, a choice that carries more, and no measurement for nothing."""

from dataclasses import replace

import numpy as np
import pytest

from tightrope.base.records import Demand, EngineModel, Profile, Provenance, RequestEngine, Slo, TokenEngine, TrafficClass
from tightrope.plan.problem.capacity import Capacity, CapacityTable, measure_capacity
from tightrope.plan.problem.demand_week import ClassDemand
from tightrope.plan.problem.engine_settings import bound_throughput, compute_speed, find_faster_settings, keep_best

TOKENS = TokenEngine(0.002, 0.02, 4e-4, 1e-8, 200_000, 64, 2048, 30.0)
"""A full step takes 0.8 s, a step of 256 tokens 0.1 s."""
BATCHES = RequestEngine((0.1, 0.12, 0.14, 0.4), 5.0)
"""A batch of 4 is slower per item than one of 3."""


def sized(*slos: Slo, rate_per_s: float, tokens: tuple[int, int] = (1, 1), name: str = "c") -> ClassDemand:
    inputs, outputs = (np.full(50, size, dtype=np.int64) for size in tokens)
    demand = Demand(60.0, np.full(10, rate_per_s), inputs, outputs, 1.0, np.zeros(0), "by hand")
    week = np.full(168, rate_per_s)
    return ClassDemand(TrafficClass(name, slos, None, 0.0, 0.0, 0.0, 0.0, demand), week, week, week, "")


def profile(engine: EngineModel, replicas: int = 1, **more: tuple[Profile, ...]) -> Profile:
    return Profile("m/v", "x", engine, replicas, Provenance("measured", "by hand", 0.1), **more)


CHAT = sized(Slo("ttft", 0.95, 3.0), Slo("tpot", 0.95, 0.15), rate_per_s=3.0, tokens=(800, 40))


@pytest.mark.parametrize(
    "engine",
    [TOKENS, replace(TOKENS, chunk_tokens=128), replace(TOKENS, max_sequences=4), replace(TOKENS, kv_capacity_tokens=3000)],
)
def test_no_engine_exceeds_its_bound(engine: TokenEngine) -> None:
    found = measure_capacity(engine, CHAT.traffic_class).raw_per_s
    assert 0.0 < found <= bound_throughput(engine, CHAT.traffic_class.demand) * (1.0 + 1e-6)


def test_the_bound_is_what_its_formula_says() -> None:
    # 40 answers' tokens over 64 sequences are fewer steps than 840 tokens over chunks of 2,048
    steps = max(40 / 64, 840 / 2048)
    expected_s = steps * 0.002 + max(steps * 0.02, 840 * 4e-4) + 40 * (800 + 20) * 1e-8
    assert 1.0 / bound_throughput(TOKENS, CHAT.traffic_class.demand) == pytest.approx(expected_s)


def test_shorter_steps_are_chosen_where_long_prompts_hold_up_those_who_read() -> None:
    table = CapacityTable()
    found = list(find_faster_settings(profile(TOKENS), [CHAT], table))
    assert any(other.setting.startswith("steps of") for other in found)
    as_it_is = compute_speed(table.find(TOKENS, CHAT.traffic_class), CHAT)
    assert max(compute_speed(table.find(other.engine, CHAT.traffic_class), CHAT) for other in found) > 1.02 * as_it_is


def test_a_smaller_batch_is_chosen_where_the_largest_is_slow() -> None:
    # two batches of 4 take 0.8 s, which the promise does not allow
    item = sized(Slo("latency", 0.95, 0.5), rate_per_s=20.0)
    found = list(find_faster_settings(profile(BATCHES), [item], CapacityTable()))
    assert [other.setting for other in found] == ["batches of up to 2"]


@pytest.mark.parametrize(
    ("engine", "item"),
    [
        (TOKENS, sized(Slo("ttft", 0.95, 3.0), rate_per_s=3.0, tokens=(800, 40))),
        (TOKENS, sized(Slo("tpot", 0.95, 2.0), rate_per_s=3.0, tokens=(800, 40))),
        (TOKENS, sized(Slo("tpot", 0.95, 0.001), rate_per_s=3.0, tokens=(800, 40))),
        (BATCHES, sized(Slo("latency", 0.95, 5.0), rate_per_s=20.0)),
    ],
    ids=["first-token-only", "no-step-breaks-it", "missed-when-idle", "no-batch-breaks-it"],
)
def test_nothing_is_tried_where_a_cut_can_not_help(engine: EngineModel, item: ClassDemand) -> None:
    assert list(find_faster_settings(profile(engine), [item], CapacityTable())) == []


def test_more_chips_an_engine_keep_a_promise_that_one_chip_can_not() -> None:
    item = sized(Slo("ttft", 0.95, 0.25), rate_per_s=1.0, tokens=(800, 40))
    fast = replace(TOKENS, weights_s=0.006, per_token_s=1.2e-4)
    narrow = profile(TOKENS, 4, wider=(profile(fast, 1),))
    table = CapacityTable()
    assert table.find(TOKENS, item.traffic_class).limit_per_s == 0.0
    found = list(find_faster_settings(narrow, [item], table))
    assert found == [narrow.wider[0]]
    assert table.find(fast, item.traffic_class).limit_per_s > 0.0


def test_the_engine_stays_as_it_is_unless_another_carries_more() -> None:
    first, second = (sized(Slo("latency", 0.95, 1.0), rate_per_s=rate, name=name) for rate, name in ((5.0, "a"), (1.0, "b")))
    plain, cut, narrow = (profile(BATCHES), profile(BATCHES), profile(BATCHES, 2))

    def carries(a: float, b: float) -> dict[str, Capacity]:
        return {"a": Capacity(a, a, a, 1, {}), "b": Capacity(b, b, b, 1, {})}

    assert keep_best([(plain, carries(10.0, 10.0)), (cut, carries(10.1, 10.1))], [first, second]) == [0]
    assert keep_best([(plain, carries(10.0, 10.0)), (cut, carries(12.0, 10.0))], [first, second]) == [1]
    assert keep_best([(plain, carries(10.0, 10.0)), (cut, carries(12.0, 8.0))], [first, second]) == [1, 0]
    assert keep_best([(plain, carries(10.0, 10.0)), (narrow, carries(6.0, 6.0))], [first, second]) == [1]
