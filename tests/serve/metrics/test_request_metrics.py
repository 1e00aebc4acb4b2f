"""What is counted, what is promised, and that nothing a client says makes series without end."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from watched import POOLS, Clock, Standing, call, kept, make, read, value

from tightrope.base.metrics import EVERYWHERE, METRICS
from tightrope.base.plan import ServedClass
from tightrope.base.records import Slo
from tightrope.serve.interfaces import PoolLoad
from tightrope.serve.metrics.prometheus_text import SLOTS, WINDOW_S, EventRate, Histogram
from tightrope.serve.metrics.request_metrics import MOST_REASONS, MOST_TENANTS, Metrics
from tightrope.serve.records import Reply

# ------------------------------------------------------------------------------------------------------------- the series


def test_every_family_is_shown_with_its_kind_and_labels() -> None:
    metrics = make()
    metrics.watch([Standing(pool, PoolLoad(1)) for pool in POOLS])
    metrics.arrived("chat", "small")
    metrics.shed("chat", "rate")
    metrics.deferred("index", 3, 60.0)
    metrics.budget_left("t", 1.0)
    metrics.month_to_date("small", 2.0)
    metrics.usd_per_1000_requests("chat", 0.1)
    found = {family.name: family for family in text_string_to_metric_families(metrics.exposition().decode())}
    assert {name.removesuffix("_total") for name in METRICS} == set(found)
    for name, metric in METRICS.items():
        family = found[name.removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.kind, metric.help)
        assert family.samples, name
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == {*EVERYWHERE, *metric.labels}, sample


def test_what_is_counted_is_there_at_0_from_the_start() -> None:
    samples = read(make())
    for cls in ("chat", "search", "index"):
        for pool in ("small", "large"):
            for outcome in ("ok", "error", "shed", "late"):
                assert value(samples, "requests_total", cls=cls, pool=pool, outcome=outcome) == 0
            assert value(samples, "arrivals_total", cls=cls, pool=pool) == 0
            assert value(samples, "latency_seconds_count", cls=cls, pool=pool) == 0
            assert value(samples, "usd_total", cls=cls, pool=pool, driver="compute") == 0
        assert value(samples, "cache_requests_total", cls=cls, result="hit") == 0
        assert value(samples, "shed_requests_total", cls=cls, reason="wait") == 0
    assert kept(samples, "chat", "ttft p95 <= 400 ms") == (0, 0)
    assert kept(samples, "index", "done in time") == (0, 0)
    assert not any(samples.values())


def test_what_is_not_known_is_not_shown_as_0() -> None:
    metrics = make()
    metrics.watch([Standing(POOLS[0], PoolLoad(0)), Standing(POOLS[1], PoolLoad(2))])
    metrics.spent("chat", "small", "compute", None)
    metrics.deferred("index", 0, None)
    samples = read(metrics)
    assert value(samples, "utilisation_ratio", pool="small") is None, "nothing is ready"
    assert value(samples, "utilisation_ratio", pool="large") is None, "what it sustains is not known"
    assert value(samples, "usd_per_hour", pool="small", offer="on-demand") == 0
    assert value(samples, "usd_per_hour", pool="large", offer="spot") is None, "its price is not known"
    assert value(samples, "month_to_date_usd", pool="small") is None
    assert value(samples, "deferred_requests", cls="index") == 0
    assert value(samples, "deferred_slack_seconds", cls="index") is None
    assert value(read(make()), "replicas", pool="small", state="ready") is None, "nobody was asked yet"


def test_only_pairs_that_meet_are_kept() -> None:
    pairs = [("chat", "large"), ("search", "small")]
    few = read(make(pairs=pairs))
    assert value(few, "arrivals_total", cls="chat", pool="large") == 0
    assert value(few, "arrivals_total", cls="chat", pool="small") is None
    assert value(few, "queue_requests", cls="chat", pool="small") is None
    assert len(few) < len(read(make())) / 2


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=12), st.text(min_size=1, max_size=12))
def test_names_are_read_back_as_they_are(cls: str, tenant: str) -> None:
    metrics = Metrics("shop", POOLS, (ServedClass(cls, (Slo("latency", 0.9, 1.0),), 0.0),))
    metrics.budget_left(tenant, 1.5)
    metrics.arrived(cls, "small")
    samples = read(metrics)
    assert value(samples, "arrivals_total", cls=cls, pool="small") == 1
    assert value(samples, "budget_left_usd", tenant=tenant) == 1.5


def test_nothing_that_a_client_says_makes_series_without_end() -> None:
    metrics = make()
    for number in range(3 * MOST_TENANTS):
        name = f"n{number}"
        metrics.budget_left(name, number)
        metrics.shed("chat", name)
        metrics.shed(name, "rate")
        metrics.arrived(name, name)
        metrics.ended(call(name), None, "error", 101.0, pool=name)
        metrics.spent(name, name, name, 1)
        metrics.cache(name, hit=True)
        metrics.waited(name, name, 0.1)
    samples = read(metrics)
    assert sum(name == "tightrope_budget_left_usd" for name, _ in samples) == MOST_TENANTS + 1
    assert (
        sum(name == "tightrope_shed_requests_total" and ("class", "chat") in labels for name, labels in samples)
        <= MOST_REASONS + 1
    )
    assert sum(count for (name, _), count in samples.items() if name == "tightrope_shed_requests_total") == 6 * MOST_TENANTS
    assert value(samples, "arrivals_total", cls="other", pool="other") == 3 * MOST_TENANTS
    assert value(samples, "requests_total", cls="other", pool="other", outcome="error") == 3 * MOST_TENANTS
    assert len(samples) < len(read(make())) + MOST_TENANTS + 500


def test_counts_from_many_threads_are_exact() -> None:
    metrics, each = make(), 5000

    def work(_: int) -> None:
        for _ in range(each):
            metrics.arrived("chat", "small")
            metrics.waited("chat", "small", 0.2)
            metrics.batch("small", 3, 0.1)
            metrics.spent("chat", "small", "compute", 7)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    samples = read(metrics)
    assert value(samples, "arrivals_total", cls="chat", pool="small") == 4 * each
    assert value(samples, "wait_seconds_count", cls="chat", pool="small") == 4 * each
    assert value(samples, "batch_requests_sum", pool="small") == 3 * 4 * each
    assert value(samples, "usd_total", cls="chat", pool="small", driver="compute") == pytest.approx(7 * 4 * each / 1e9)


# ------------------------------------------------------------------------------------------------------ histograms, rates


@given(st.lists(st.floats(0, 5), max_size=40), st.lists(st.floats(0.01, 4), min_size=1, max_size=6, unique=True))
def test_a_bucket_holds_what_is_not_above_its_border(values: list[float], borders: list[float]) -> None:
    histogram = Histogram(tuple(sorted(borders)))
    for item in values:
        histogram.observe(item)
    for place, border in enumerate((*histogram.borders, inf)):
        assert sum(histogram.counts[: place + 1]) == sum(item <= border for item in values)
    assert histogram.total == pytest.approx(sum(values))


def test_each_limit_is_a_border() -> None:
    samples = read(make())
    for name, cls, limit in (
        ("time_to_first_token_seconds", "chat", "0.4"),
        ("time_per_output_token_seconds", "chat", "0.12"),
        ("latency_seconds", "search", "0.07"),
        ("latency_seconds", "index", "28800.0"),
        ("wait_seconds", "search", "0.035"),
    ):
        assert value(samples, f"{name}_bucket", cls=cls, pool="large", le=limit) == 0, name
    assert value(samples, "batch_requests_bucket", pool="small", le="24.0") == 0


@settings(deadline=None)
@given(st.lists(st.floats(0, 400), max_size=60), st.floats(0, 100))
def test_a_rate_is_that_of_the_last_whole_seconds(times: list[float], later: float) -> None:
    rate, begin = EventRate(0.0), 0
    for at in sorted(times):
        rate.add(at)
    now = int(max(times, default=0.0) + later)
    span = min(WINDOW_S, now - begin)
    expected = sum(now - span <= int(at) < now for at in times) / span if span else float(len(times))
    assert rate.per_s(now) == pytest.approx(expected)
    assert len(rate._counts) == SLOTS


def test_utilisation_is_the_rate_over_what_ready_replicas_sustain() -> None:
    clock = Clock()
    metrics = make(clock=clock)
    metrics.watch(
        [
            Standing(
                POOLS[0],
                PoolLoad(3, replicas_starting=1, replicas_draining=2, replicas_down=9, in_flight=5, held=2, waiting={"chat": 4}),
            )
        ]
    )
    for _ in range(120):
        clock.now_s += 0.5
        metrics.arrived("chat", "small")
        metrics.arrived("search", "small")
        metrics.arrived("chat", "large")
    clock.now_s += 1.0
    samples = read(metrics)
    assert value(samples, "utilisation_ratio", pool="small") == pytest.approx(4.0 / 30.0, rel=0.03)
    assert value(samples, "usd_per_hour", pool="small", offer="on-demand") == 6 * 0.25
    assert value(samples, "requests_in_flight", pool="small") == 5
    assert value(samples, "held_requests", pool="small") == 2
    assert value(samples, "queue_requests", pool="small", cls="chat") == 4
    states = {state: value(samples, "replicas", pool="small", state=state) for state in ("ready", "starting", "draining", "down")}
    assert states == {"ready": 3, "starting": 1, "draining": 2, "down": 9}


def test_what_is_read_at_a_scrape_is_read_anew_each_time() -> None:
    metrics, months = make(), iter((1.5, 2.5))
    metrics.watch([], lambda: metrics.month_to_date("small", next(months)))
    assert value(read(metrics), "month_to_date_usd", pool="small") == 1.5
    assert value(read(metrics), "month_to_date_usd", pool="small") == 2.5


# --------------------------------------------------------------------------------------------------------------- promises

LATE, TTFT, TPOT = "latency p99 <= 70 ms", "ttft p95 <= 400 ms", "tpot p95 <= 120 ms"
STREAM: Mapping[str, Any] = {"first_token_s": 100.375, "output_tokens": 11}


@pytest.mark.parametrize(
    ("cls", "more", "reply", "outcome", "now_s", "slo", "expected"),
    [
        ("search", {}, {}, "ok", 100.07, LATE, (1, 0)),
        ("search", {}, {}, "ok", 100.0701, LATE, (0, 1)),
        ("search", {}, None, "shed", 100.01, LATE, (0, 1)),
        ("search", {}, None, "error", 100.01, LATE, (0, 1)),
        ("search", {"gone": True}, None, "error", 100.01, LATE, (0, 0)),
        ("search", {"gone": True}, None, "error", 100.5, LATE, (0, 1)),
        ("search", {}, {}, "error", 100.01, LATE, (0, 1)),
        ("chat", {}, STREAM, "ok", 101.5, TTFT, (1, 0)),
        ("chat", {}, STREAM, "ok", 101.5, TPOT, (1, 0)),
        ("chat", {}, STREAM, "ok", 101.7, TPOT, (0, 1)),
        ("chat", {}, {**STREAM, "first_token_s": 100.5}, "ok", 101.5, TTFT, (0, 1)),
        ("chat", {}, {"output_tokens": 9}, "ok", 101.5, TTFT, (0, 0)),
        ("chat", {}, {"first_token_s": 100.1, "output_tokens": 1}, "ok", 101.5, TPOT, (0, 0)),
        ("chat", {}, {"output_tokens": 9, "cached": "hit"}, "ok", 100.1, TTFT, (1, 0)),
        ("chat", {}, {"cached": "hit"}, "ok", 100.1, TTFT, (0, 0)),
        ("chat", {}, None, "shed", 100.1, TPOT, (0, 1)),
        ("chat", {"gone": True}, None, "error", 109.0, TPOT, (0, 0)),
        ("index", {"deadline_s": 200.0}, {}, "ok", 199.0, "done in time", (1, 0)),
        ("index", {"deadline_s": 200.0}, {}, "ok", 201.0, "done in time", (0, 1)),
        ("index", {"deadline_s": 200.0}, None, "error", 150.0, "done in time", (0, 0)),
        ("index", {"deadline_s": 200.0}, None, "late", 201.0, "done in time", (0, 1)),
        ("index", {}, {}, "ok", 199.0, "done in time", (0, 0)),
    ],
)
def test_promises(
    cls: str, more: dict[str, Any], reply: dict[str, Any] | None, outcome: Any, now_s: float, slo: str, expected: tuple[int, int]
) -> None:
    metrics = make()
    metrics.ended(call(cls, **more), reply if reply is None else Reply("small", "m/int8", **reply), outcome, now_s)
    samples = read(metrics)
    assert kept(samples, cls, slo) == expected
    assert value(samples, "requests_total", cls=cls, pool="" if reply is None else "small", outcome=outcome) == 1


def test_work_that_is_never_done_misses_its_deadline() -> None:
    metrics = make()
    metrics.expired("index", 40)
    assert kept(read(metrics), "index", "done in time") == (0, 40)


def test_a_cascade_is_judged_once_under_the_class_that_was_asked() -> None:
    slo = Slo("latency", 0.95, 0.07)
    first = ServedClass("ask first", (slo,), 0.0, asked_as="ask")
    second = ServedClass("ask again", (slo,), 0.0, asked_as="ask", follows="ask first")
    metrics = make((first, second))
    for name in ("ask", "ask first"):
        metrics.ended(call(name), Reply("large", "m/fp32"), "ok", 100.05)
    metrics.arrived("ask again", "large")
    samples = read(metrics)
    assert kept(samples, "ask", "latency p95 <= 70 ms") == (2, 0)
    assert [dict(labels)["class"] for name, labels in samples if name == "tightrope_promises_total"] == ["ask", "ask"]
    assert value(samples, "requests_total", cls="ask", pool="large", outcome="ok") == 2
    assert value(samples, "arrivals_total", cls="ask again", pool="large") == 1


def test_an_answer_is_counted_with_its_times_and_tokens() -> None:
    metrics = make()
    small = Reply("small", "m/int8", input_tokens=20, output_tokens=3)
    metrics.ended(call("chat"), Reply("large", "m/fp32", input_tokens=20, escalated_from=small, **STREAM), "ok", 101.5)
    metrics.ended(call("chat"), Reply("large", "m/fp32", input_tokens=20, output_tokens=11, cached="hit"), "ok", 100.2)
    samples = read(metrics)
    where = {"cls": "chat", "pool": "large"}
    assert value(samples, "latency_seconds_sum", **where) == pytest.approx(1.7)
    assert value(samples, "time_to_first_token_seconds_count", **where) == 2
    assert value(samples, "time_per_output_token_seconds_sum", **where) == pytest.approx(0.1125)
    assert value(samples, "tokens_total", kind="input", **where) == 20, "of an answer from the cache they were counted before"
    assert value(samples, "tokens_total", kind="output", **where) == 11
    assert value(samples, "tokens_total", kind="output", cls="chat", pool="small") == 3, "the first of a cascade"
