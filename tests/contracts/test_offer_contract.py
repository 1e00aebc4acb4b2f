"""What every offer must keep, whoever wrote it: real prices of the shipped catalogues, usage made by hand."""

import math
import pickle
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.base import registry
from tightrope.base.catalogue import PriceRow
from tightrope.base.contracts import Offer
from tightrope.base.plan import BillLine, Committed, OfferTerms, Refusal, Usage, UsageLine
from tightrope.base.records import FloatArray
from tightrope.clouds.book import PriceBook, load_price_book
from tightrope.offers.bill import charge_fleet, used_shares

HOURS_PER_MONTH = np.array([200.0, 300.0, 230.0])
DRIVERS = {"compute", "commitment unused"}


@cache
def _book() -> PriceBook:
    """Return the book of all clouds."""
    return load_price_book()


SERVICE_SIZES = {
    "lambda-1769mb": "us-east-1",
    "lambda-arm-512mb": "us-west-2",
    "fargate-1vcpu-2gb": "us-east-1",
    "fargate-4vcpu-8gb": "us-west-2",
}
"""Sizes of functions and containers → a region of theirs."""
WITHOUT_SHIPPED_MACHINES = {"owned", "token-api", "token-api-batch"}
"""What is one's own, and what has no machine-hours: tests/offers has tests of theirs."""


@cache
def _sold(offer: Offer) -> tuple[PriceRow, ...]:
    """Return rows of what the offer sells: of every thirteenth on demand, so that each family and region is among them, and services."""
    rows = sorted((row for row in _book().rows.values() if row.offer == "on-demand"), key=lambda row: (row.machine, row.region))
    sold = tuple(row for row in rows[::13] if not isinstance(offer.terms(row.machine, row.region, _book()), Refusal))
    sizes = (_book().find(size, region, offer.name) for size, region in SERVICE_SIZES.items())
    return sold + tuple(row for row in sizes if row is not None)


OFFERS = [(name, offer) for name, offer in sorted(registry.load_offers().items()) if _sold(offer)]
"""Those that the shipped prices have a rate of."""


@pytest.fixture(params=[offer for _, offer in OFFERS], ids=[name for name, _ in OFFERS], scope="module")
def offer(request: pytest.FixtureRequest) -> Offer:
    """Return each discovered offer that the shipped prices have a rate of."""
    return request.param


@pytest.fixture(scope="module")
def book() -> PriceBook:
    """Return the book of all clouds."""
    return _book()


@cache
def _lines(offer: Offer) -> tuple[UsageLine, ...]:
    """Return lines of three machines that the offer sells, under every pay-as-you-go offer they are sold in."""
    sold = _sold(offer)
    ways = [way for way in registry.load_offers().values() if way.kind == "pay-as-you-go"]
    return tuple(
        UsageLine(f"{row.machine} {way.name}", row.cloud, row.region, row.machine, way.name)
        for row in sold[:: max(1, len(sold) // 3)][:3]
        if row.cloud == sold[0].cloud
        for way in ways
        if not isinstance(way.terms(row.machine, row.region, _book()), Refusal)
    )


@cache
def _scopes(offer: Offer) -> tuple[str, ...]:
    """Return the scopes of all commitments that cover some of the lines; none of a way to pay as you go."""
    terms = [offer.terms(line.machine, line.region, _book()) for line in _lines(offer) if offer.kind == "commitment"]
    return tuple(dict.fromkeys(item.scope for item in terms if isinstance(item, OfferTerms)))


def _committed(offer: Offer, usd_per_hour: float) -> list[Committed]:
    """Return the same amount committed to each scope."""
    return [Committed(_lines(offer)[0].cloud, offer.name, scope, usd_per_hour) for scope in _scopes(offer)]


def _usage(lines: tuple[UsageLine, ...], seed: int, factor: float = 1.0) -> Usage:
    hours: FloatArray = np.random.default_rng(seed).uniform(0.0, 20.0, (len(lines), len(HOURS_PER_MONTH)))
    return Usage(lines, factor * hours, HOURS_PER_MONTH)


def _total(bill: tuple[BillLine, ...]) -> float:
    return sum(line.usd for line in bill)


def test_the_shipped_offers_are_discovered() -> None:
    assert {"on-demand", "spot", "compute-savings-plan-1y-no-upfront", "reserved-1y", "flexible-commitment-3y"} <= dict(
        OFFERS
    ).keys()


def test_an_offer_without_a_shipped_price_is_a_commitment_that_a_refresh_can_bring(book: PriceBook) -> None:
    """So that no offer is left out here unseen: its seller has a rule for it."""
    missing = registry.load_offers().keys() - dict(OFFERS).keys()
    assert missing - WITHOUT_SHIPPED_MACHINES <= {name for _, name in book.commitments}


def test_it_travels_between_processes(offer: Offer) -> None:
    assert pickle.loads(pickle.dumps(offer)) == offer  # noqa: S301 - made in this line


def test_terms_rest_on_a_row_in_force_or_give_a_reason(offer: Offer, book: PriceBook) -> None:
    for machine, region in sorted({(machine, region) for machine, region, _ in book.rows})[::17]:
        terms = offer.terms(machine, region, book)
        if isinstance(terms, Refusal):
            assert terms.reason
            assert machine in terms.what
            continue
        assert (terms.offer, terms.machine, terms.region) == (offer.name, machine, region)
        assert terms.row == book.find(machine, region, terms.row.offer)
        assert 0 < terms.usd_per_hour <= float(terms.row.usd_per_hour)
        assert 0 <= terms.interruptions_per_hour < math.inf
        assert terms.zones == terms.row.zones
        assert (terms.order > 0, terms.term_years > 0) == (offer.kind == "commitment",) * 2
        assert terms.step_usd_per_hour >= 0


def test_an_unknown_machine_is_refused(offer: Offer, book: PriceBook) -> None:
    assert isinstance(offer.terms("no-such-machine", "nowhere", book), Refusal)


def test_no_usage_costs_nothing(offer: Offer, book: PriceBook) -> None:
    bill, rest = offer.charge(_usage(_lines(offer), 1, 0.0), book, _committed(offer, 0.0))
    assert _total(bill) == 0
    assert not rest.machine_hours.any()


@given(seed=st.integers(0, 2**32 - 1), factor=st.floats(0.01, 100), commitment=st.floats(0, 500))
def test_charge_is_linear(offer: Offer, book: PriceBook, seed: int, factor: float, commitment: float) -> None:
    lines = _lines(offer)
    once = _total(offer.charge(_usage(lines, seed), book, _committed(offer, commitment))[0])
    scaled = _total(offer.charge(_usage(lines, seed, factor), book, _committed(offer, factor * commitment))[0])
    assert scaled == pytest.approx(factor * once, rel=1e-9, abs=1e-9)


@given(seed=st.integers(0, 2**32 - 1), commitment=st.floats(0, 500))
def test_hours_are_charged_or_left_over(offer: Offer, book: PriceBook, seed: int, commitment: float) -> None:
    """What the bill's compute lines pay for, at the offer's own rate, and what is left over are the whole usage, pool by pool."""
    usage = _usage(_lines(offer), seed)
    before = usage.machine_hours.copy()
    bill, rest = offer.charge(usage, book, _committed(offer, commitment))
    assert np.array_equal(usage.machine_hours, before)
    left = {line.pool: hours for line, hours in zip(rest.lines, rest.machine_hours @ HOURS_PER_MONTH, strict=True)}
    paid = {line.pool: line.usd for line in bill if line.driver == "compute"}
    for line, hours in zip(usage.lines, before @ HOURS_PER_MONTH, strict=True):
        terms = offer.terms(line.machine, line.region, book)
        assert not isinstance(terms, Refusal)
        charged = paid.get(line.pool, 0.0) / terms.usd_per_hour
        assert charged + left.get(line.pool, 0.0) == pytest.approx(hours, rel=1e-9)


@given(seed=st.integers(0, 2**32 - 1), commitment=st.floats(0, 500))
def test_bill_lines_are_well_formed(offer: Offer, book: PriceBook, seed: int, commitment: float) -> None:
    bill, rest = offer.charge(_usage(_lines(offer), seed), book, _committed(offer, commitment))
    assert all(line.offer == offer.name and line.driver in DRIVERS and line.usd >= 0 for line in bill)
    assert rest.machine_hours.shape == (len(rest.lines), len(HOURS_PER_MONTH))
    assert (rest.machine_hours >= 0).all()
    if offer.kind == "commitment":
        committed = _committed(offer, commitment)
        unused = [line.offer for line in bill if line.driver == "commitment unused"]
        assert unused == [item.offer for item in committed]
        assert _total(bill) == pytest.approx(len(committed) * commitment * float(HOURS_PER_MONTH.sum()))


def test_the_whole_bill_leaves_nothing_unpaid(offer: Offer, book: PriceBook) -> None:
    usage = _usage(_lines(offer), 7)
    plain, bill = charge_fleet(usage, book, ()), charge_fleet(usage, book, _committed(offer, 0.5))
    assert {line.pool for line in bill if line.driver == "compute"} == {line.pool for line in usage.lines}
    assert _total(bill) <= _total(plain) + 1e-9
    if offer.kind == "commitment":
        assert all(share == 1.0 for share in used_shares(usage, book, _committed(offer, 0.001)))
