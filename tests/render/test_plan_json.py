"""plan.json: stable bytes, exact figures, and back again; what is not a plan is refused with the field named."""

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_fixture import VARIATIONS, check_golden, make_plan

from tightrope.base.errors import InputError
from tightrope.base.plan import Plan
from tightrope.render.plan_json import RENDERER
from tightrope.render.plan_json.dump import plan_as_dict
from tightrope.render.plan_json.load import load_plan
from tightrope.render.reference import plan_reference

FILE = Path("plan.json")
MONEY = st.floats(-1e6, 1e6)


def text_of(plan: Plan) -> str:
    return RENDERER.render(plan)[FILE]


def write(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    document = json.loads(text_of(make_plan()))
    change(document)
    path = folder / "plan.json"
    path.write_text(json.dumps(document))
    return path


def test_golden() -> None:
    check_golden("plan.json", text_of(make_plan()))


def test_the_version_comes_first_and_every_field_is_there() -> None:
    document = json.loads(text_of(make_plan()))
    assert next(iter(document)) == "schema_version"
    assert set(document) == {field.name for field in fields(Plan)}


def test_a_schedule_is_one_line() -> None:
    assert sum('"schedule": [' in line and line.endswith("],") for line in text_of(make_plan()).splitlines()) == 3


def test_equal_plans_have_equal_bytes_whatever_the_order_of_their_dictionaries() -> None:
    plan = make_plan()
    turned = replace(plan, charts=dict(reversed(plan.charts.items())))
    assert turned == plan
    assert text_of(turned) == text_of(plan)


def test_what_a_replay_computes_with_is_exact_to_the_last_bit(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    plan = make_plan(monthly_cost_usd=1 / 3)
    path.write_text(text_of(plan), encoding="utf-8")
    again = load_plan(path)
    assert again.monthly_cost_usd != plan.monthly_cost_usd
    assert [pool.serving for pool in again.pools] == [pool.serving for pool in plan.pools]
    assert (again.classes, again.scaling, again.cache) == (plan.classes, plan.scaling, plan.cache)
    assert again.variant_shares == plan.variant_shares


def test_what_is_not_there_is_left_out() -> None:
    document = json.loads(text_of(make_plan(cache=None)))
    assert "cache" not in document
    assert "deferral" not in document["classes"][0]
    assert "keep_alive_s" not in document["pools"][0]["serving"]


@pytest.mark.parametrize("name", VARIATIONS)
def test_round_trip(tmp_path: Path, name: str) -> None:
    plan = VARIATIONS[name]()
    path = tmp_path / "plan.json"
    path.write_text(text_of(plan), encoding="utf-8")
    again = load_plan(path)
    assert text_of(again) == text_of(plan)
    assert json.loads(text_of(plan)) == plan_as_dict(again)
    assert (again.workload, again.pools, again.commitments) == (plan.workload, plan.pools, plan.commitments)


@given(MONEY)
def test_figures_are_exact_to_a_billionth(value: float) -> None:
    written = json.loads(text_of(make_plan(monthly_cost_usd=value)))["monthly_cost_usd"]
    assert abs(written - value) <= 1e-9
    assert str(written) != "-0.0"


def test_numpy_figures_are_plain_numbers() -> None:
    plan = make_plan(charts={"demand:chat": [np.float64(0.5), np.float32(0.25), np.int64(3)]})
    assert plan_as_dict(plan)["charts"] == {"demand:chat": [0.5, 0.25, 3]}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_unknown_figure_is_never_written(value: float) -> None:
    evidence = replace(make_plan().evidence[0], p95_ms=value)
    with pytest.raises(InputError, match=r"evidence\[0\]\.p95_ms is (nan|inf), expected a number"):
        RENDERER.render(make_plan(evidence=(evidence,)))


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "an older version": (lambda d: d.update(schema_version=1), "schema_version is 1: an older release .*\nResolve: plan again"),
    "the last version": (lambda d: d.update(schema_version=2), "schema_version is 2: an older release .*\nResolve: plan again"),
    "another version": (lambda d: d.update(schema_version=4), "schema_version is 4, expected 3"),
    "version as truth": (lambda d: d.update(schema_version=True), "schema_version is True, expected 3"),
    "an engine of neither kind": (
        lambda d: d["pools"][0]["serving"]["engine"].pop("kv_capacity_tokens"),
        r"pools\[0\]\.serving\.engine has no field 'kv_capacity_tokens'",
    ),
    "a number for truth": (lambda d: d["scaling"].update(enabled=1), r"plan\.scaling\.enabled is 1, expected true or false"),
    "null for what may be left out": (lambda d: d.update(cache=None), r"plan\.cache is None, expected an object"),
    "no version": (lambda d: d.pop("schema_version"), "has no schema_version"),
    "field missing": (lambda d: d["pools"][1].pop("machine"), r"plan\.pools\[1\] has no field 'machine'"),
    "field unknown": (
        lambda d: d["pools"][1].update(machin="x"),
        r"plan\.pools\[1\] has an unknown field 'machin'\nResolve: use machine",
    ),
    "NaN": (lambda d: d.update(gap_fraction=float("nan")), "a figure is NaN, expected a number"),
    "text for a number": (lambda d: d.update(gap_fraction="3"), r"plan\.gap_fraction is '3', expected a number"),
    "truth for a number": (lambda d: d.update(gap_fraction=True), "expected a number"),
    "number for text": (lambda d: d.update(workload=3), r"plan\.workload is 3, expected text"),
    "fraction for a count": (lambda d: d["pools"][0].update(zones=2.5), r"pools\[0\]\.zones is 2\.5, expected a whole number"),
    "another word": (lambda d: d.update(status="maybe"), r"plan\.status is 'maybe', expected 'proven' or 'not proven'"),
    "no list": (lambda d: d.update(pools={}), r"plan\.pools is \{\}, expected a list"),
    "no record": (lambda d: d.update(levers=[1]), r"plan\.levers\[0\] is 1, expected an object"),
    "no object": (lambda d: d.update(charts=[]), r"plan\.charts is \[\], expected an object"),
    "null": (lambda d: d.update(horizon=None), r"plan\.horizon is None, expected text"),
    "beyond floats": (lambda d: d.update(gap_fraction=10**400), "expected a finite number"),
    "long text": (lambda d: d.update(gap_fraction="x" * 500), "x…, expected a number"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_not_a_plan_names_the_field(tmp_path: Path, name: str) -> None:
    change, message = BROKEN[name]
    path = write(tmp_path, change)
    with pytest.raises(InputError, match=message) as caught:
        load_plan(path)
    assert str(path) in str(caught.value)
    assert "\nResolve: " in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", r"plan.json:1: this is not JSON"),
        (b'{\n"schema_version": 1,\n oops}', r"plan.json:3: this is not JSON"),
        (b'{"a": 1, "a": 2}', "'a' is given twice"),
        (b"\xff\xfe\x00", "not text in UTF-8"),
        (b"[" * 200_000, "nested too deeply"),
        (b"[1, 2]", "has no schema_version"),
        (b'{"schema_version": ' + b"1" * 5000 + b"}", "not JSON"),
        (b'{"schema_version": 1e999}', "schema_version is inf"),
    ],
)
def test_garbage_is_refused(tmp_path: Path, raw: bytes, message: str) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(raw)
    with pytest.raises(InputError, match=message):
        load_plan(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(InputError, match="cannot read"):
            load_plan(path)


def test_a_huge_file_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    with path.open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(InputError, match="larger than 64 MiB"):
        load_plan(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(field=st.sampled_from([field.name for field in fields(Plan)]), value=JSON)
def test_any_value_in_any_field_is_a_plan_or_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, field: str, value: object
) -> None:
    path = write(tmp_path_factory.mktemp("fuzz"), lambda document: document.update({field: value}))
    try:
        plan = load_plan(path)
    except InputError:
        return
    assert text_of(plan)


def test_the_reference_names_every_field_of_every_record() -> None:
    page = plan_reference()
    for name in ("schema_version", "traffic_class", "attainment_low", "share_by_block", "usd_per_hour", "error_band"):
        assert f"`{name}`" in page
    assert plan_reference() == page
