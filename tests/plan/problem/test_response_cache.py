"""Caches of answers: hits counted as the textbook counts them, spared load, sizes weighed against what they cost."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.base.errors import InputError
from tightrope.base.records import CachePolicy, Workload
from tightrope.clouds.book import PriceBook
from tightrope.demand.blocks import split_demand
from tightrope.demand.request_keys import without_cached
from tightrope.plan.fleet.plan_fleet import Stretch, draw_traffic
from tightrope.plan.problem.assembly import build_problem
from tightrope.plan.problem.capacity import CapacityTable
from tightrope.plan.problem.demand_week import size_classes
from tightrope.plan.problem.network import around, count_monthly_requests
from tightrope.plan.problem.placement import count_served_by_place
from tightrope.plan.problem.response_cache import (
    apply_cache,
    count_entries_per_node,
    drop_hits,
    find_hits,
    list_cache_sizes,
    measure_hit_share,
    node_usd_per_hour,
    warn_of_cache,
    with_nodes,
)
from tightrope.plan.prove.choices import take_choices
from tightrope.plan.solve.decomposition import solve

CACHE = CachePolicy(entries=50, ttl_s=3600.0, bytes_per_entry=64e6, machine="c6i.large", auto=True)


def keyed(workload: Workload, hours: float = 14 * 24.0) -> Workload:
    """Return the small workload with a trace of 60,000 single requests, three in four of them for one of 100 keys."""
    random = np.random.default_rng(0)
    web = workload.classes[0]
    arrival_s = np.sort(random.uniform(0.0, hours * 3600.0, 60_000))
    key = np.where(random.random(len(arrival_s)) < 0.75, random.zipf(1.3, len(arrival_s)) % 100, 100 + np.arange(len(arrival_s)))
    ones = np.ones(len(arrival_s), dtype=np.int64)
    rate = np.bincount((arrival_s / 60.0).astype(np.int64), minlength=int(hours * 60.0)) / 60.0
    demand = replace(
        web.demand,
        bin_s=60.0,
        rate_per_s=rate,
        arrival_s=arrival_s,
        input_tokens=ones,
        output_tokens=ones,
        key=key.astype(np.int64),
    )
    return replace(workload, classes=(replace(web, demand=demand), *workload.classes[1:]))


@given(
    key=st.lists(st.integers(-1, 6), min_size=1, max_size=60),
    entries=st.integers(1, 8),
)
def test_without_an_age_limit_hits_are_mattsons_stack_distances(key: list[int], entries: int) -> None:
    # a request hits a cache of n entries where fewer than n other keys came since the last of its own (Mattson et al., 1970)
    expected = []
    for place, name in enumerate(key):
        before = [other for other in range(place) if key[other] == name]
        between = {other for other in key[before[-1] + 1 : place] if other >= 0} if before else set()
        expected.append(name >= 0 and bool(before) and len(between) < entries)
    time_s = np.arange(len(key), dtype=np.float64)
    found = find_hits(time_s, np.array(key), np.zeros(len(key)), entries, 1e9)
    assert found.tolist() == expected


@pytest.mark.parametrize(
    ("ttl_s", "answer_s", "expected"),
    [(10.0, 0.0, [0, 1, 1, 0, 1]), (100.0, 0.0, [0, 1, 1, 1, 1]), (100.0, 5.0, [0, 0, 1, 1, 1]), (100.0, np.inf, [0] * 5)],
    ids=["grown-old", "fresh", "not-made-yet", "never-made"],
)
def test_an_answer_is_given_from_when_it_is_made_to_when_it_is_old(ttl_s: float, answer_s: float, expected: list[int]) -> None:
    # made at 0, it is given at 4 and 9; at 12 it is older than 10 s and made anew
    time_s = np.array([0.0, 4.0, 9.0, 12.0, 14.0])
    found = find_hits(time_s, np.zeros(5, dtype=np.int64), np.full(5, answer_s), 4, ttl_s)
    assert found.tolist() == [bool(value) for value in expected]


def test_what_is_cached_leaves_the_demand_and_nothing_else_does(workload: Workload) -> None:
    marked = apply_cache(keyed(workload), replace(CACHE, auto=False))
    demand = marked.classes[0].demand
    assert demand.cached is not None
    asked = without_cached(demand, 0.0)
    assert 0.3 < measure_hit_share(marked) < 0.75
    assert asked.requests == pytest.approx(demand.requests * (1.0 - float(demand.cached.mean())))
    assert len(asked.arrival_s) == int((~demand.cached).sum())
    assert (asked.rate_per_s <= demand.rate_per_s + 1e-12).all()
    # of requests that are only expected, none is taken for a hit
    grown = (1.0 + 0.5) * without_cached(demand, 0.5).requests
    assert grown == pytest.approx(1.5 * demand.requests - float(demand.cached.sum()))
    sized = size_classes(marked, {}, 165.0)[0]
    assert sized.expected.mean() < 0.7 * size_classes(keyed(workload), {}, 165.0)[0].expected.mean()


def test_parts_of_a_trace_keep_their_keys(workload: Workload) -> None:
    demand = apply_cache(keyed(workload), CACHE).classes[0].demand
    split = split_demand(demand, 0.3)
    for part in (split.sizing, split.heldout):
        assert part.key is not None
        assert part.cached is not None
        assert len(part.key) == len(part.cached) == len(part.arrival_s)
    assert demand.key is not None
    assert split.heldout.key is not None
    assert split.heldout.key.tolist() == demand.key[-len(split.heldout.key) :].tolist()


@pytest.mark.parametrize("growth", [0.0, 0.5], ids=["recorded", "drawn"])
def test_the_proof_replays_the_keys(workload: Workload, growth: float) -> None:
    stated = keyed(workload)
    web = replace(stated.classes[0], growth=growth)
    asked = replace(stated, classes=(web, *stated.classes[1:]))
    traffic = draw_traffic(asked, Stretch(86_400.0, 2 * 86_400.0), 1)
    assert traffic.key is not None
    mine = traffic.key[traffic.traffic_class == 0]
    first, last = np.searchsorted(web.demand.arrival_s, [86_400.0, 2 * 86_400.0])
    assert web.demand.key is not None
    recorded = web.demand.key[first:last] * 2
    if not growth:
        assert mine.tolist() == recorded.tolist()
    # what is drawn beside the recorded requests has no key: it is no hit that nobody saw
    assert len(mine) == pytest.approx((1.0 + growth) * len(recorded), rel=0.05)
    names, counts = np.unique(mine[mine >= 0], return_counts=True)
    seen = dict(zip(*np.unique(web.demand.key * 2, return_counts=True), strict=True))
    assert all(count <= seen[name] for name, count in zip(names, counts, strict=True))


def test_a_cache_is_taken_where_it_spares_more_than_it_costs(workload: Workload, book: PriceBook, bench: Any) -> None:
    stated = keyed(workload, hours=0.5)
    stated = replace(stated, variants=stated.variants[:1], where=replace(stated.where, regions={"aws": ("us-east-1",)}))
    chosen, rejected = take_choices(replace(stated, cache=CACHE), book, bench.table)
    assert chosen.cache is not None
    assert chosen.cache.nodes >= 1
    assert chosen.cache.entries == chosen.cache.nodes * count_entries_per_node(CACHE, book)
    assert rejected
    dear = replace(CACHE, machine="c6i.32xlarge", bytes_per_entry=200e9)
    none, _ = take_choices(replace(stated, cache=dear), book, CapacityTable())
    assert none.cache is not None
    assert (none.cache.entries, none.cache.nodes) == (0, 0)


def test_stated_entries_need_whole_nodes(workload: Workload, book: PriceBook) -> None:
    # c6i.large has 4 GiB, three quarters of it for entries of 64 MB: 50
    assert count_entries_per_node(CACHE, book) == 50
    assert with_nodes(replace(CACHE, entries=101, auto=False), book).nodes == 3
    assert [size.nodes for size in list_cache_sizes(keyed(workload), replace(CACHE, bytes_per_entry=640e6), book)][:4] == [
        0,
        1,
        2,
        4,
    ]
    with pytest.raises(InputError, match="does not fit"):
        count_entries_per_node(replace(CACHE, bytes_per_entry=1e12), book)
    with pytest.raises(InputError, match="no on-demand price"):
        node_usd_per_hour(CACHE, book, {"gcp": ("us-central1",)})


def test_what_a_cache_does_not_do_is_said(workload: Workload) -> None:
    marked = apply_cache(keyed(workload), replace(CACHE, auto=False, nodes=1))
    assert warn_of_cache(marked) == []
    assert warn_of_cache(drop_hits(marked)) == []
    assert all(item.demand.cached is None for item in drop_hits(marked).classes)
    assert "names no keys" in warn_of_cache(replace(workload, cache=CACHE))[0]
    assert "costs more" in warn_of_cache(replace(marked, cache=replace(CACHE, entries=0)))[0]
    assert "not in the bill" in warn_of_cache(replace(marked, cache=replace(CACHE, machine="")))[0]


def test_a_workload_states_a_cache_by_its_machine(load: Callable[..., Workload]) -> None:
    text = "cache: {entries: auto, ttl: 1 h, bytes_per_entry: 4 kB, machine: c6i.large}\nproof:"
    assert load(("proof:", text)).cache == CachePolicy(0, 3600.0, 0.0, 4000.0, "c6i.large", 0, auto=True)
    with pytest.raises(InputError, match="together"):
        load(("proof:", "cache: {entries: 5, ttl: 1 h, machine: c6i.large}\nproof:"))
    with pytest.raises(InputError, match="weighs"):
        load(("proof:", "cache: {entries: auto, ttl: 1 h}\nproof:"))


def test_hours_without_requests_have_no_machines(workload: Workload, book: PriceBook) -> None:
    # web sleeps from 00:00 to 06:00, and the night's work may be done before and after
    web = workload.classes[0]
    hours = np.arange(len(web.demand.rate_per_s)) * web.demand.bin_s // 3600.0 % 24
    quiet = replace(web.demand, rate_per_s=np.where(hours < 6, 0.0, web.demand.rate_per_s))
    near = replace(
        workload, classes=(replace(web, demand=quiet),), where=replace(workload.where, regions={"aws": ("us-east-1",)})
    )
    problem = build_problem(near, book, CapacityTable(), {})
    machines = solve(problem).machines.sum(axis=0)
    asleep = np.arange(168) % 24 < 5
    assert (machines[asleep] == 0).all()
    assert (machines[~asleep] > 0).all()


def test_what_the_cache_answers_is_sent_all_the_same(workload: Workload, book: PriceBook) -> None:
    near = replace(keyed(workload), where=replace(workload.where, regions={"aws": ("us-east-1",)}))
    marked = apply_cache(near, replace(CACHE, auto=False))
    problem = build_problem(marked, book, CapacityTable(), {})
    solution = solve(problem)
    served = count_served_by_place(problem, around(marked, book), solution.share, solution.work)
    assert sum(served["web"].values()) == pytest.approx(count_monthly_requests(near)["web"])
