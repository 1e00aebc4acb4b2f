"""The commitments that may be made: which there are, what they cover, what is left out, and what exists already."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tightrope.base.plan import OfferTerms, Refusal
from tightrope.base.records import Committed, TrafficClass, Workload
from tightrope.base.registry import find_offer
from tightrope.clouds.book import PriceBook
from tightrope.plan.problem.arrays import CommitmentOption, PoolOption
from tightrope.plan.problem.commitment_options import _is_better, find_covers

Found = Callable[..., tuple[tuple[CommitmentOption, ...], tuple[Refusal, ...]]]
RESERVED, FAMILY, ANY = (f"{name}-1y-no-upfront" for name in ("reserved", "instance-savings-plan", "compute-savings-plan"))
PLAN_3Y = "instance-savings-plan-3y-no-upfront"


@pytest.fixture(scope="module")
def options(workload: Workload, book: PriceBook) -> tuple[PoolOption, ...]:
    """Return what us-east-1 sells: two sizes of one family and one of another, each on demand and as spot."""
    variant = workload.variants[0]
    sold = [
        (machine, find_offer(offer).terms(machine.name, "us-east-1", book))
        for machine in book.machines(["c6i.large", "c6i.xlarge", "c7i.large"])
        for offer in ("on-demand", "spot")
    ]
    return tuple(
        PoolOption(variant, machine, "us-east-1", variant.declared[0], terms)
        for machine, terms in sold
        if isinstance(terms, OfferTerms)
    )


@pytest.fixture(scope="module")
def found(workload: Workload, book: PriceBook, options: tuple[PoolOption, ...]) -> Found:
    """Return a function from offers, existing commitments and months to the covers and what is left out."""

    def find(
        *offers: str, existing: tuple[Committed, ...] = (), months: int = 12
    ) -> tuple[tuple[CommitmentOption, ...], tuple[Refusal, ...]]:
        purchase = replace(workload.purchase, offers=("on-demand", "spot", *offers), existing=existing)
        changed = replace(workload, purchase=purchase, future=replace(workload.future, months=months))
        return find_covers(changed, book, options)

    return find


def test_each_scope_is_a_commitment_of_its_own(found: Found) -> None:
    covers, refusals = found(RESERVED, FAMILY, ANY)
    assert refusals == ()
    by = {(cover.offer, cover.scope): cover for cover in covers}
    assert set(by) == {(offer, f"us-east-1/{name}") for offer in (RESERVED, FAMILY) for name in ("c6i", "c7i")} | {(ANY, "")}
    assert {cover.order for cover in covers} == {1, 2, 3}
    assert {cover.term_years for cover in covers} == {1}


def test_a_commitment_covers_the_on_demand_options_of_its_scope_at_the_books_rates(
    found: Found, options: tuple[PoolOption, ...], book: PriceBook
) -> None:
    for cover in found(RESERVED, FAMILY, ANY)[0]:
        for p, option in enumerate(options):
            family = cover.scope.partition("/")[2]
            covered = option.terms.offer == "on-demand" and family in ("", option.machine.family)
            assert bool(cover.covers[p]) is covered
            if covered:
                row = book.find(option.machine.name, "us-east-1", cover.offer)
                assert row is not None
                assert cover.usd_per_hour[p] == float(row.usd_per_hour) < option.terms.usd_per_hour


def test_machines_are_reserved_in_steps_of_the_smallest_and_money_in_any_amount(found: Found, book: PriceBook) -> None:
    steps = {(cover.offer, cover.scope): cover.step_usd_per_hour for cover in found(RESERVED, FAMILY, ANY)[0]}
    smallest = min(
        float(row.usd_per_hour)
        for row in (book.find(machine.name, "us-east-1", RESERVED) for machine in book.machines(["c6i"]))
        if row is not None
    )
    assert steps[RESERVED, "us-east-1/c6i"] == smallest
    assert steps[FAMILY, "us-east-1/c6i"] == steps[ANY, ""] == 0.0


def test_three_years_are_refused_where_one_is_looked_ahead_and_taken_where_three_are(found: Found) -> None:
    covers, refusals = found(PLAN_3Y, months=35)
    assert covers == ()
    assert refusals == (Refusal(PLAN_3Y, "it binds for 3 years, future.months looks 35 ahead"),)
    covers, refusals = found(PLAN_3Y, months=36)
    assert [(one.offer, one.scope, one.term_years) for one in covers] == [
        (PLAN_3Y, "us-east-1/c6i", 3),
        (PLAN_3Y, "us-east-1/c7i", 3),
    ]
    assert refusals == ()


def test_what_is_paid_at_the_start_beats_nothing_upfront_where_it_is_sold(found: Found) -> None:
    upfront = "instance-savings-plan-1y-all-upfront"
    for offers in ((FAMILY, upfront), (upfront, FAMILY)):
        # the shipped list has no price of c7i that is paid at the start
        assert {(one.offer, one.scope) for one in found(*offers)[0]} == {(upfront, "us-east-1/c6i"), (FAMILY, "us-east-1/c7i")}


def test_three_years_at_a_lower_rate_do_not_beat_one_year(found: Found) -> None:
    covers, _ = found(FAMILY, PLAN_3Y, months=36)
    assert {(one.offer, one.scope) for one in covers} == {
        (offer, f"us-east-1/{family}") for offer in (FAMILY, PLAN_3Y) for family in ("c6i", "c7i")
    }


def cover(rates: list[float], term: int = 1, order: int = 1, scope: str = "") -> CommitmentOption:
    return CommitmentOption("aws", "offer", scope, order, term, np.array(rates))


INF = float("inf")


@pytest.mark.parametrize(
    ("other", "mine", "first", "beats"),
    [
        (cover([0.1, 0.2]), cover([0.1, 0.3]), False, True),
        (cover([0.1, INF]), cover([0.1, 0.3]), False, False),  # it covers less
        (cover([0.1, 0.3]), cover([0.1, INF]), False, True),
        (cover([0.1, 0.2]), cover([0.1, 0.2]), False, False),
        (cover([0.1, 0.2]), cover([0.1, 0.2]), True, True),  # the first of equals stays
        (cover([0.1, 0.2], term=3), cover([0.1, 0.3]), True, False),  # it binds longer
        (cover([0.1, 0.2]), cover([0.1, 0.2], term=3), False, True),
        (cover([0.1, 0.2], order=2), cover([0.1, 0.3]), True, False),
        (cover([0.1, 0.2], scope="r/m"), cover([0.1, 0.3]), True, False),
    ],
    ids=["cheaper", "narrower", "wider", "equal", "first-of-equals", "longer", "shorter", "other-order", "other-scope"],
)
def test_what_beats_a_commitment(other: CommitmentOption, mine: CommitmentOption, first: bool, beats: bool) -> None:
    assert _is_better(other, mine, first=first) is beats


def test_a_commitment_made_already_stays_though_a_better_one_is_sold(found: Found) -> None:
    made = Committed("aws", FAMILY, "us-east-1/c6i", 0.5)
    upfront = "instance-savings-plan-1y-all-upfront"
    covers, _ = found(FAMILY, upfront, existing=(made,))
    assert {(one.offer, one.existing_usd_per_hour) for one in covers if one.scope == made.scope} == {
        (FAMILY, 0.5),
        (upfront, 0.0),
    }


@pytest.mark.parametrize(("offers", "months", "may_grow"), [((), 36, False), ((PLAN_3Y,), 12, False), ((PLAN_3Y,), 36, True)])
def test_more_is_made_only_of_what_is_allowed_and_ends_in_time(
    found: Found, offers: tuple[str, ...], months: int, may_grow: bool
) -> None:
    covers, _ = found(*offers, existing=(Committed("aws", PLAN_3Y, "us-east-1/c6i", 0.5),), months=months)
    (made,) = (one for one in covers if one.existing_usd_per_hour)
    assert (made.offer, made.scope, made.existing_usd_per_hour, made.may_grow) == (PLAN_3Y, "us-east-1/c6i", 0.5, may_grow)
    assert made.covers.any()
    # another scope of the same offer comes only with the leave to make new ones
    assert (len(covers) == 2) is may_grow


def test_what_can_not_grow_beats_nothing() -> None:
    assert not _is_better(replace(cover([0.1]), may_grow=False, existing_usd_per_hour=1.0), cover([0.2]), first=True)


def test_a_commitment_that_covers_nothing_here_is_kept_and_covers_nothing(found: Found) -> None:
    made = Committed("aws", FAMILY, "us-west-2/g5", 0.7)
    covers, _ = found(existing=(made,))
    (one,) = covers
    assert (one.offer, one.scope, one.existing_usd_per_hour, one.may_grow) == (FAMILY, "us-west-2/g5", 0.7, False)
    assert not one.covers.any()


def test_two_commitments_of_one_kind_made_already_are_one(found: Found) -> None:
    made = [Committed("aws", FAMILY, "us-east-1/c6i", usd) for usd in (0.5, 0.25)]
    (one,) = found(existing=tuple(made))[0]
    assert one.existing_usd_per_hour == 0.75


def test_less_than_a_week_makes_no_new_commitment_and_uses_those_made(
    workload: Workload, book: PriceBook, options: tuple[PoolOption, ...]
) -> None:
    def day(item: TrafficClass) -> TrafficClass:
        rate = item.demand.rate_per_s[: 2 * int(86_400.0 / item.demand.bin_s)]
        return replace(item, demand=replace(item.demand, rate_per_s=rate))

    purchase = replace(workload.purchase, offers=("on-demand", FAMILY), existing=(Committed("aws", ANY, "", 0.5),))
    short = replace(workload, classes=tuple(day(item) for item in workload.classes), purchase=purchase)
    (one,) = find_covers(short, book, options)[0]
    assert (one.offer, one.may_grow) == (ANY, False)
    assert one.covers.any()
