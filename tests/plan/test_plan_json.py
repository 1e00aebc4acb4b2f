"""A fleet with everything a fleet can have survives its plan's file to the last bit."""

import re
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tightrope.base.errors import InputError
from tightrope.base.levers import CascadePart
from tightrope.base.plan import Plan
from tightrope.base.records import RequestEngine, ScalingLimit, ScalingPolicy, ScalingRule, TokenEngine, Workload
from tightrope.plan.plan_json import (
    build_answer_cache,
    build_served_classes,
    build_serving,
    rebuild_fleet,
    variant_shares,
    warn_of_prefixes,
)
from tightrope.render.plan_json import RENDERER
from tightrope.render.plan_json.load import load_plan
from tightrope.replay.records import Fleet, FleetClass, FleetPool, ResponseCache, Traffic

FIXTURE = runpy.run_path(str(Path(__file__).parents[1] / "render" / "plan_fixture.py"))
THIRD = 1.0 / 3.0


def full_fleet() -> Fleet:
    """Return a fleet that uses every field, with figures that no decimal holds."""
    base = FleetPool(
        name="base",
        group="a",
        engine=TokenEngine(THIRD / 100, THIRD / 10, THIRD * 1e-4, THIRD * 1e-6, 60_000, 64, 2048, 40 * THIRD),
        engines_per_machine=2,
        requests_per_s=THIRD,
        start_s=100 * THIRD,
        zones=3,
        interruptions_per_hour=0.0,
        schedule=np.arange(168, dtype=np.int64),
        ceiling=250,
        deferrable_limit=9,
        load_s=40 * THIRD,
        concurrency=7 * THIRD,
        failures_per_hour=THIRD * 1e-5,
        prefix_block_tokens=512,
        cooldown_s=500 * THIRD,
    )
    spot = replace(base, name="spot", interruptions_per_hour=THIRD * 1e-3, schedule=base.schedule[::-1].copy())
    backup = replace(base, name="backup", backs="spot", schedule=np.zeros(168, dtype=np.int64))
    small = replace(
        base,
        name="small",
        group="b",
        engine=RequestEngine((THIRD / 10, THIRD / 7), THIRD, (16, 64), ((THIRD / 30, THIRD / 10), (THIRD / 20, THIRD / 7))),
        max_wait_s=THIRD / 50,
        prefix_block_tokens=0,
        keep_alive_s=900 * THIRD,
        metered=True,
        answer_s=(THIRD / 5, THIRD / 90),
    )
    classes = (
        FleetClass("web", priority=3, answer_within_s=THIRD, shed_wait_s=10 * THIRD, retries=2, retry_after_s=THIRD),
        FleetClass("web-again", answer_within_s=2 * THIRD, follows="web", follow_share=THIRD / 2),
        FleetClass("night", deferrable=True),
    )
    share = np.zeros((3, 2, 168))
    share[1, 0] = 1.0
    share[0, 0], share[0, 1] = THIRD * np.arange(168) / 168, 1.0 - THIRD * np.arange(168) / 168
    allowed = np.array([[False] * 4, [False] * 4, [True, True, False, False]])
    up = ScalingLimit((ScalingRule("percent", 100 * THIRD, 15.0),), "min")
    scaling = ScalingPolicy(
        True, 2 * THIRD, 1.5, 0.1, 15.0, 30.0, 300.0, 90 * THIRD, 60.0, "concurrency", up, ScalingLimit((), "disabled")
    )
    return Fleet(
        (base, spot, backup, small), classes, ("a", "b"), share, allowed, scaling, ResponseCache(100, 600 * THIRD, THIRD / 100)
    )


def plan_of(fleet: Fleet, workload: Workload) -> Plan:
    """Return a plan that holds the fleet; all else in it is another's."""
    web, night = workload.classes
    first = replace(web, part=CascadePart("asked"), whole_slos=web.slos)
    again = replace(web, name="web-again", part=CascadePart("asked", "web", THIRD / 2), whole_slos=web.slos)
    workload = replace(workload, classes=(first, again, night))
    template = FIXTURE["BASE"]
    pools = tuple(
        replace(
            template,
            name=pool.name,
            variant=pool.group,
            zones=pool.zones,
            max_replicas=pool.ceiling,
            schedule=tuple(int(count) for count in pool.schedule),
            serving=build_serving(fleet, place),
        )
        for place, pool in enumerate(fleet.pools)
    )
    made: Plan = FIXTURE["make_plan"](
        pools=pools,
        classes=build_served_classes(workload, fleet),
        variant_shares=variant_shares(fleet),
        scaling=fleet.scaling,
        cache=build_answer_cache(fleet),
    )
    return made


def test_every_field_of_a_fleet_survives_the_file(workload: Workload, tmp_path: Path) -> None:
    fleet = full_fleet()
    path = tmp_path / "plan.json"
    path.write_text(RENDERER.render(plan_of(fleet, workload))[Path("plan.json")], encoding="utf-8")
    again = rebuild_fleet(load_plan(path))
    for mine, other in zip(again.pools, fleet.pools, strict=True):
        assert mine.schedule.tobytes() == other.schedule.tobytes()
        assert repr(replace(mine, schedule=other.schedule)) == repr(other)  # Python 3.13 compares arrays even with themselves
    assert again.share.tobytes() == fleet.share.tobytes()
    assert again.allowed.tolist() == fleet.allowed.tolist()
    assert (again.classes, again.groups, again.scaling, again.cache) == (fleet.classes, fleet.groups, fleet.scaling, fleet.cache)


def test_every_field_is_used_by_the_fleet_above() -> None:
    fleet = full_fleet()
    for name in FleetPool.__dataclass_fields__:
        assert len({repr(getattr(pool, name)) for pool in fleet.pools}) > 1 or getattr(fleet.pools[0], name)
    for name in FleetClass.__dataclass_fields__:
        assert len({repr(getattr(item, name)) for item in fleet.classes}) > 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pools": ()}, r"plan\.pools is \(\), expected at least one"),
        ({"classes": ()}, r"plan\.classes is \(\), expected at least one"),
        ({"variant_shares": ()}, "a share of 'web' for some variant"),
    ],
)
def test_what_no_replay_could_run_on_is_refused(workload: Workload, change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        rebuild_fleet(replace(plan_of(full_fleet(), workload), **change))  # type: ignore[arg-type]


def traffic_in_blocks_of(size: int) -> Traffic:
    """Return prompts of 100, 1,100, ... 9,100 tokens whose blocks of one size are all listed."""
    tokens = np.arange(10, dtype=np.int64) * 1000 + 100
    start = np.concatenate([[0], np.cumsum(-(-tokens // size))])
    ones = np.ones(10, dtype=np.int64)
    return Traffic(np.arange(10.0), 0 * ones, tokens, ones, block_start=start, blocks=np.arange(int(start[-1]), dtype=np.int64))


def test_blocks_that_no_cache_can_use_or_of_another_size_are_said(workload: Workload) -> None:
    fleet, traffic = full_fleet(), traffic_in_blocks_of(512)
    bare = replace(fleet, pools=tuple(replace(pool, prefix_block_tokens=0) for pool in fleet.pools))
    small = replace(fleet, pools=tuple(replace(pool, prefix_block_tokens=16) for pool in fleet.pools[:3]))
    assert warn_of_prefixes(plan_of(fleet, workload), traffic) == []
    assert warn_of_prefixes(plan_of(bare, workload), replace(traffic, block_start=None, blocks=None)) == []
    (none,) = warn_of_prefixes(plan_of(bare, workload), traffic)
    assert "no pool has a prefix cache" in none
    (other,) = warn_of_prefixes(plan_of(small, workload), traffic)
    assert "a block for every 484 prompt tokens, and a prefix cache has blocks of 16" in other
    assert len(warn_of_prefixes(plan_of(fleet, workload), traffic_in_blocks_of(16))) == 1


def with_figure(record: Any, path: str, value: Any) -> Any:
    """Return the record with another value at a dotted path, whose numbers are places in tuples."""
    head, _, rest = path.partition(".")
    if head.isdigit():
        inner = with_figure(record[int(head)], rest, value) if rest else value
        return (*record[: int(head)], inner, *record[int(head) + 1 :])
    return replace(record, **{head: with_figure(getattr(record, head), rest, value) if rest else value})


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("pools.0.zones", -1, "0 or more"),
        ("pools.0.max_replicas", 1_000_001, "0 or more and at most 1000000"),
        ("pools.0.serving.engines_per_machine", 0, "1 or more and at most 1024"),
        ("pools.0.serving.requests_per_s", 0.0, "more than 0"),
        ("pools.0.serving.concurrency", 0.0, "more than 0"),
        ("pools.0.serving.start_s", -1.0, "0 or more"),
        ("pools.0.serving.load_s", -1.0, "0 or more"),
        ("pools.0.serving.load_s", 1e9, "at most start_s, of which it is a part: 33.3333"),
        ("pools.0.serving.interruptions_per_hour", -1e-9, "0 or more"),
        ("pools.0.serving.failures_per_hour", -1e-9, "0 or more"),
        ("pools.0.serving.deferrable_limit", -1, "0 or more"),
        ("pools.0.serving.max_wait_s", -1.0, "0 or more"),
        ("pools.3.serving.keep_alive_s", -5.0, "0 or more"),
        ("pools.0.serving.prefix_block_tokens", -1, "0 or more"),
        ("pools.3.serving.prefix_block_tokens", 16, "0: a request engine keeps no prompts"),
        ("pools.0.serving.backs", "base", "a pool that does not rest on this one"),
        ("pools.1.serving.backs", "backup", "a pool that does not rest on this one"),
        ("pools.0.serving.backs", "bakcup", "one of 'backup', 'base', 'small', 'spot'"),
        ("pools.0.serving.engine.load_s", -1.0, "0 or more"),
        ("pools.0.serving.engine.chunk_tokens", 0, "1 or more"),
        ("pools.3.serving.engine.service_s", (0.1, 0.0), "times of more than 0 s"),
        ("pools.3.serving.engine.lengths", (16, 16), "lengths of 1 or more that rise"),
        ("pools.3.serving.engine.service_by_length_s", ((0.1, 0.2),), "a row for each of service_s"),
        ("pools.3.serving.engine.service_by_length_s", ((0.1, 0.2), (0.1,)), "a row for each of service_s"),
        ("pools.3.serving.engine.service_by_length_s", ((0.1, 0.0), (0.1, 0.2)), "times of more than 0 s"),
        ("pools.0.schedule", (1,) * 167, "168, one for each hour of the week"),
        ("classes.0.egress_bytes_per_request", -1.0, "0 or more"),
        ("classes.0.priority", 10**10, "-1000000000 or more and at most 1000000000"),
        ("classes.0.answer_within_s", -1.0, "more than 0"),
        ("classes.0.shed_wait_s", -1.0, "0 or more"),
        ("classes.0.retries", -1, "0 or more and at most 100"),
        ("classes.0.retries", 101, "0 or more and at most 100"),
        ("classes.0.retry_after_s", 0.0, "more than 0"),
        ("classes.0.slos.0.percentile", 1.0, "a share between 0 and 1"),
        ("classes.0.slos.0.limit_s", 0.0, "more than 0"),
        ("classes.2.deferral.release_h", 25.0, "0 or more and at most 24"),
        ("variant_shares.0.share_by_block", (1.5,) * 168, "values from 0 to 1"),
        ("scaling.sync_s", 0.001, "1 or more"),
        ("scaling.target_utilisation", 0.0, "more than 0 and at most 2"),
        ("scaling.max_surge", 0.5, "1 or more"),
        ("scaling.tolerance", -1.0, "0 or more and at most 1"),
        ("scaling.metric_lag_s", -30.0, "0 or more and at most 86400"),
        ("scaling.metric_window_s", 0.0, "more than 0 and at most 86400"),
        ("scaling.downscale_stabilization_s", 1e9, "0 or more and at most 86400"),
        ("scaling.upscale_stabilization_s", -1.0, "0 or more and at most 86400"),
        ("scaling.machine_start_s", -1.0, "0 or more"),
        ("scaling.scale_up.rules.0.value", 0.0, "more than 0"),
        ("scaling.scale_up.rules.0.period_s", 0.0, "more than 0 and at most 1800"),
        ("scaling.scale_up.rules", (), "at least one, or select 'disabled'"),
        ("cache.entries", 0, "1 or more and at most 1000000000"),
        ("cache.ttl_s", -10.0, "more than 0"),
        ("cache.hit_s", -1.0, "0 or more"),
        ("pools.0.serving.start_s", float("nan"), "0 or more"),
    ],
)
def test_a_figure_that_would_hang_crash_or_mean_nothing_is_refused_by_name(
    workload: Workload, path: str, value: object, expected: str
) -> None:
    plan = with_figure(plan_of(full_fleet(), workload), path, value)
    with pytest.raises(InputError) as caught:
        rebuild_fleet(plan)
    field = re.sub(r"\.(\d+)", r"[\1]", path)
    assert str(caught.value).startswith(f"plan.{field} is ")
    assert f"expected {expected}" in str(caught.value)
    assert caught.value.resolve == "plan again, or correct the file"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("pools.0.zones", 0),
        ("pools.3.serving.keep_alive_s", 0.0),
        ("pools.0.serving.backs", "backup"),
        ("pools.0.serving.deferrable_limit", 0),
        ("classes.0.shed_wait_s", 0.0),
        ("scaling.sync_s", 1.0),
        ("scaling.tolerance", 0.0),
        ("scaling.metric_lag_s", 0.0),
        ("cache.hit_s", 0.0),
    ],
)
def test_what_is_odd_but_has_a_meaning_is_taken(workload: Workload, path: str, value: object) -> None:
    """A region whose zones nobody counted has 0; a pool may back one that backs another."""
    assert len(rebuild_fleet(with_figure(plan_of(full_fleet(), workload), path, value)).pools) == 4
