"""A fleet with everything a fleet can have survives its plan's file to the last bit."""

import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tightrope.base.errors import InputError
from tightrope.base.plan import Plan
from tightrope.base.records import RequestEngine, ScalingLimit, ScalingPolicy, ScalingRule, TokenEngine, Workload
from tightrope.plan.written import answer_cache, rebuild_fleet, served_classes, serving_of, variant_shares
from tightrope.render.plan_json import RENDERER
from tightrope.render.plan_json.load import load_plan
from tightrope.replay.records import Fleet, FleetClass, FleetPool, ResponseCache

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
    )
    spot = replace(base, name="spot", interruptions_per_hour=THIRD * 1e-3, schedule=base.schedule[::-1].copy())
    backup = replace(base, name="backup", backs="spot", schedule=np.zeros(168, dtype=np.int64))
    small = replace(
        base,
        name="small",
        group="b",
        engine=RequestEngine((THIRD / 10, THIRD / 7), THIRD),
        max_wait_s=THIRD / 50,
        prefix_block_tokens=0,
        keep_alive_s=900 * THIRD,
    )
    classes = (
        FleetClass("web", priority=3, answer_within_s=THIRD, shed_wait_s=10 * THIRD, retries=2, retry_after_s=THIRD),
        FleetClass("night", deferrable=True),
    )
    share = np.zeros((2, 2, 168))
    share[0, 0], share[0, 1] = THIRD * np.arange(168) / 168, 1.0 - THIRD * np.arange(168) / 168
    allowed = np.array([[False] * 4, [True, True, False, False]])
    up = ScalingLimit((ScalingRule("percent", 100 * THIRD, 15.0),), "min")
    scaling = ScalingPolicy(
        True, 2 * THIRD, 1.5, 0.1, 15.0, 30.0, 300.0, 90 * THIRD, 60.0, "concurrency", up, ScalingLimit((), "disabled")
    )
    return Fleet(
        (base, spot, backup, small), classes, ("a", "b"), share, allowed, scaling, ResponseCache(100, 600 * THIRD, THIRD / 100)
    )


def plan_of(fleet: Fleet, workload: Workload) -> Plan:
    """Return a plan that holds the fleet; all else in it is another's."""
    template = FIXTURE["BASE"]
    pools = tuple(
        replace(
            template,
            name=pool.name,
            variant=pool.group,
            zones=pool.zones,
            max_replicas=pool.ceiling,
            schedule=tuple(int(count) for count in pool.schedule),
            serving=serving_of(fleet, place),
        )
        for place, pool in enumerate(fleet.pools)
    )
    made: Plan = FIXTURE["make_plan"](
        pools=pools,
        classes=served_classes(workload, fleet),
        variant_shares=variant_shares(fleet),
        scaling=fleet.scaling,
        cache=answer_cache(fleet),
    )
    return made


def test_every_field_of_a_fleet_survives_the_file(workload: Workload, tmp_path: Path) -> None:
    fleet = full_fleet()
    path = tmp_path / "plan.json"
    path.write_text(RENDERER.render(plan_of(fleet, workload))[Path("plan.json")], encoding="utf-8")
    again = rebuild_fleet(load_plan(path))
    for mine, other in zip(again.pools, fleet.pools, strict=True):
        assert mine.schedule.tobytes() == other.schedule.tobytes()
        assert replace(mine, schedule=other.schedule) == other
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
