"""Cascades: the least escalated share, promises that hold whatever depends on what, and the cheaper way taken."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.base.errors import InputError
from tightrope.base.records import Workload
from tightrope.clouds.book import PriceBook
from tightrope.plan.problem.cascade import answer_directly, asked_as, find_least_escalated, get_promises, split_by_cascade
from tightrope.plan.prove.choices import take_choices
from tightrope.plan.prove.proof import Bench, prove
from tightrope.plan.prove.tuning import tune
from tightrope.replay.traffic import as_asked

STATED = """\
    quality_floor: 0.9
    cascade:
      small: small/int8
      large: big/fp32
      curve: [{escalated: 0 %, quality: 0.8}, {escalated: 25 %, quality: 0.9}, {escalated: 100 %, quality: 1.0}]
      within: 150 ms
"""


@pytest.fixture(scope="module")
def cascaded(load: Callable[..., Workload]) -> Workload:
    return load(("    quality_floor: 0.9\n", STATED))


@given(steps=st.lists(st.tuples(st.floats(0.05, 1.0), st.floats(0.0, 1.0)), min_size=1, max_size=6), floor=st.floats(0.0, 7.0))
def test_no_mix_of_thresholds_reaches_the_floor_with_less(steps: list[tuple[float, float]], floor: float) -> None:
    curve = tuple(zip(*np.cumsum(np.array(steps), axis=0).T.tolist(), strict=True))
    found = find_least_escalated(curve, floor)
    pairs = [(one, other) for one in curve for other in curve]
    mixed = [
        (part * one[0] + (1 - part) * other[0], part * one[1] + (1 - part) * other[1])
        for one, other in pairs
        for part in np.linspace(0.0, 1.0, 41)
    ]
    reaching = [share for share, quality in mixed if quality >= floor]
    if found is None:
        assert not reaching
    else:
        assert not reaching or found <= min(reaching) + 1e-9
        assert curve[0][0] - 1e-9 <= found <= curve[-1][0] + 1e-9


def test_a_class_becomes_two_with_the_time_between_them(cascaded: Workload) -> None:
    split = split_by_cascade(cascaded, "web")
    assert split is not None
    first, escalated = split.classes[:2]
    web = cascaded.classes[0]
    # p95 in 900 ms: half of the 5 % for the small model, half for the quarter that goes on
    assert (first.name, escalated.name) == ("web-first", "web-escalated")
    assert [(slo.percentile, slo.limit_s) for slo in first.slos] == [(pytest.approx(0.975), 0.15)]
    assert [(slo.percentile, slo.limit_s) for slo in escalated.slos] == [(pytest.approx(0.9), pytest.approx(0.75))]
    assert escalated.demand.requests == pytest.approx(0.25 * web.demand.requests)
    assert first.demand.requests == web.demand.requests
    sent = first.egress_bytes_per_request * first.demand.requests + escalated.egress_bytes_per_request * escalated.demand.requests
    assert sent == pytest.approx(web.egress_bytes_per_request * web.demand.requests)
    serves = {variant.name: variant.serves for variant in split.variants}
    assert serves == {
        "big/fp32": {"night": 1.0, "web-escalated": 1.0},
        "big/int8": {"night": 1.0},
        "small/int8": {"web-first": 1.0},
    }


@given(late_first=st.floats(0.0, 0.025), share=st.floats(0.01, 1.0), late_second=st.floats(0.0, 1.0))
def test_the_two_promises_keep_the_one(late_first: float, share: float, late_second: float) -> None:
    # whoever is late was late at the small model, or escalated and late at the large one
    allowed = min(0.5, 0.05 / (2.0 * share))
    assert late_first + share * min(late_second, allowed) <= 0.05 + 1e-12


def test_the_cascade_is_taken_where_it_is_cheaper(cascaded: Workload, book: PriceBook, bench: Any) -> None:
    near = replace(cascaded, where=replace(cascaded.where, regions={"aws": ("us-east-1",)}))
    large, _, small = near.variants
    near = replace(near, variants=(large, replace(small, serves={"web": 0.01})))
    chosen, rejected = take_choices(near, book, bench.table)
    assert [item.name for item in chosen.classes] == ["web-first", "web-escalated", "night"]
    assert [problem.interactive for problem in rejected] == [("web",)]
    assert chosen.direct is not None
    assert [item.name for item in chosen.direct.classes] == ["web", "night"]
    # a large model that gets everything anyway makes the small one a waste
    curve = ((1.0, 0.95),)
    web = near.classes[0]
    assert web.cascade is not None
    useless = replace(near, classes=(replace(web, cascade=replace(web.cascade, curve=curve)), *near.classes[1:]))
    direct, rejected = take_choices(useless, book, bench.table)
    assert direct.direct is None
    assert [item.name for item in direct.classes] == ["web", "night"]
    assert [problem.interactive for problem in rejected] == [("web-first", "web-escalated")]
    # where the curve stays below the floor, there is nothing to choose
    low = replace(near, classes=(replace(web, cascade=replace(web.cascade, curve=((0.5, 0.85),))), *near.classes[1:]))
    assert split_by_cascade(low, "web") is None
    assert answer_directly(low, "web").classes[0].cascade is None


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("within: 150 ms", "within: 2 s", "promised an answer in 0.9 s"),
        ("small: small/int8", "small: small/fp8", "small/fp8"),
        ("{escalated: 25 %, quality: 0.9}", "{escalated: 25 %, quality: 0.7}", "never falls"),
        ("large: big/fp32", "large: small/int8", "two variants"),
        ("0.9}, {escalated: 100 %, quality: 1.0}]", "0.85}]", "reaches a quality of 0.85, and its floor is 0.9"),
    ],
    ids=["no-time-left", "unknown-variant", "falling-curve", "twice-the-same", "below-the-floor"],
)
def test_what_can_not_be_a_cascade_is_refused(load: Callable[..., Workload], old: str, new: str, match: str) -> None:
    with pytest.raises(InputError, match=match):
        load(("    quality_floor: 0.9\n", STATED.replace(old, new)))


def test_a_plan_with_a_cascade_is_proven_end_to_end(cascaded: Workload, book: PriceBook, bench: Any) -> None:
    near = replace(cascaded, where=replace(cascaded.where, regions={"aws": ("us-east-1",)}))
    large, _, small = near.variants
    near = replace(near, variants=(large, replace(small, serves={"web": 0.01})))
    chosen, _ = take_choices(near, book, bench.table)
    taken = Bench(chosen, book, bench.table)
    proof = prove(taken, tune(taken))
    web, escalated = (next(item for item in proof.fleet.classes if item.name == name) for name in ("web-first", "web-escalated"))
    assert (web.follows, escalated.follows, escalated.follow_share) == ("", "web-first", pytest.approx(0.25))
    # what is escalated may take until the promise ends, whenever the small model had answered
    assert escalated.answer_within_s == 0.9
    # the promise that was stated is judged, on every request once
    (evidence,) = [item for item in proof.evidence if item.slo.startswith("latency") and "surge" not in item.window]
    assert (evidence.traffic_class, evidence.target) == ("web", 0.95)
    outcome = proof.outcomes[0]
    asked = int((outcome.traffic.traffic_class == proof.fleet.classes.index(web)).sum())
    went_on = outcome.traffic.traffic_class == proof.fleet.classes.index(escalated)
    assert evidence.requests == len(proof.outcomes) * asked
    assert np.count_nonzero(went_on) == pytest.approx(0.25 * asked, abs=1)
    # both machines' times are in it: nothing that went on is answered before the small model was done
    both = outcome.traffic.after
    assert both is not None
    answered = went_on & np.isfinite(outcome.finish_s)
    assert answered.any()
    assert (outcome.finish_s[answered] > outcome.finish_s[both[answered]]).all()
    late = sum(
        float((as_asked(item).latency_s[as_asked(item).traffic.traffic_class == 0] > 0.9).sum()) for item in proof.outcomes
    )
    assert evidence.attainment == pytest.approx(1.0 - late / evidence.requests)


def test_the_file_of_a_cascade_takes_the_class_that_was_stated(cascaded: Workload) -> None:
    split = split_by_cascade(cascaded, "web")
    assert split is not None
    first, escalated, night = split.classes
    assert get_promises(first) == ("web", cascaded.classes[0].slos, None)
    assert get_promises(escalated) == ("web-escalated", (), None)
    assert get_promises(night) == ("night", night.slos, night.deferral)
    assert [asked_as(item) for item in split.classes] == ["web", "web", "night"]
