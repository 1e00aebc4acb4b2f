"""What a commitment's terms say, and what it costs at its start."""

import statistics
from collections.abc import Callable
from decimal import Decimal

import pytest

from tightrope.base import registry
from tightrope.base.catalogue import OWNED
from tightrope.base.plan import Committed, OfferTerms, Refusal
from tightrope.clouds.book import load_price_book
from tightrope.offers.commitment import upfront_usd

Make = Callable[..., object]
RESERVED, ALL_UPFRONT = "reserved-1y-no-upfront", "reserved-3y-all-upfront"
INSTANCE, COMPUTE = "instance-savings-plan-1y-partial-upfront", "compute-savings-plan-3y-all-upfront"
OFFERS = (RESERVED, ALL_UPFRONT, INSTANCE, COMPUTE)
RATES = {
    (machine, offer): Decimal(rate * share) / 100
    for machine, rate in {"c6i.large": 2, "c6i.xlarge": 4, "g5.xlarge": 10, "g5.2xlarge": 12, "p5.48xlarge": 50}.items()
    for offer, share in {"on-demand": 100, RESERVED: 60, ALL_UPFRONT: 40, INSTANCE: 62, COMPUTE: 55}.items()
}


def _terms(offer: str, machine: str, prices: object, region: str = "us-east-1") -> OfferTerms | Refusal:
    return registry.find_offer(offer).terms(machine, region, prices)


@pytest.mark.parametrize(
    ("offer", "machine", "expected"),
    [
        (RESERVED, "c6i.xlarge", ("us-east-1/c6i", 1, 1.2, 1)),  # flexible: one buys the smallest size
        (RESERVED, "g5.2xlarge", ("us-east-1/g5.2xlarge", 1, 7.2, 1)),  # not flexible: this very size
        (ALL_UPFRONT, "g5.xlarge", ("us-east-1/g5.xlarge", 1, 4.0, 3)),
        (INSTANCE, "g5.2xlarge", ("us-east-1/g5", 2, 0.0, 1)),
        (COMPUTE, "p5.48xlarge", ("", 3, 0.0, 3)),
    ],
)
def test_terms_say_what_one_commitment_covers(
    offer: str, machine: str, expected: tuple[str, int, float, int], make_rates: Make
) -> None:
    terms = _terms(offer, machine, make_rates(RATES))
    assert isinstance(terms, OfferTerms)
    assert (terms.scope, terms.order, terms.step_usd_per_hour, terms.term_years) == expected
    assert (terms.usd_per_hour, terms.interruptions_per_hour) == (float(RATES[machine, offer]), 0.0)


@pytest.mark.parametrize(
    ("offer", "machine", "rates", "reason"),
    [
        (RESERVED, "c6i.large", {}, "the catalogue has no such price"),
        (RESERVED, "p5.48xlarge", RATES, "aws does not sell it for the family p5"),
        (RESERVED, "a", {("a", RESERVED): "1"}, "it saves nothing"),
        (RESERVED, "a", {("a", RESERVED): "1", ("a", "on-demand"): "1"}, "it saves nothing"),
        ("reserved-1y", "a", {("a", "reserved-1y"): "1", ("a", "on-demand"): "2"}, "does not say how aws applies it"),
    ],
)
def test_what_can_not_be_had_is_refused_with_the_reason(
    offer: str, machine: str, rates: dict[tuple[str, str], object], reason: str, make_rates: Make
) -> None:
    refusal = _terms(offer, machine, make_rates(rates))
    assert isinstance(refusal, Refusal)
    assert reason in refusal.reason
    assert refusal.what == f"{machine} us-east-1 {offer}"


@pytest.mark.parametrize(
    ("committed", "usd"),
    [
        (Committed("aws", RESERVED, "us-east-1/g5.xlarge", 12.0), 0.0),
        (Committed("aws", ALL_UPFRONT, "us-east-1/g5.xlarge", 12.0), 12.0 * 8760 * 3),
        (Committed("aws", ALL_UPFRONT, "us-east-1/c6i", 1.6), 1.6 * 8760 * 3),
        (Committed("aws", INSTANCE, "us-east-1/g5", 10.0), 10.0 * 8760 / 2),
        (Committed("aws", COMPUTE, "", 2.0), 2.0 * 8760 * 3),
    ],
    ids=["none", "all, one size", "all, flexible", "half", "all, everywhere"],
)
def test_what_is_paid_at_the_start(committed: Committed, usd: float, make_rates: Make) -> None:
    assert upfront_usd(make_rates(RATES), committed) == pytest.approx(usd)


def test_every_commitment_that_a_seller_has_rules_for_is_an_offer() -> None:
    """The names stand in the sellers' tables and in the modules: neither may have one that the other lacks.

    Machines of one's own are sold by nobody: their rule comes with the user's own table.
    """
    stated = {offer for _, offer in load_price_book().commitments} | {OWNED}
    assert {name for name, offer in registry.load_offers().items() if offer.kind == "commitment"} == stated


@pytest.mark.parametrize(("cloud", "offer"), [("aws", RESERVED), ("azure", "reserved-1y")])
def test_sizes_of_a_flexible_family_cost_what_their_vcpus_do(cloud: str, offer: str) -> None:
    """A size is weighed by its rate, the sellers count units: in flexible families the two agree, but for the list's rounding."""
    book, rule = load_price_book(), load_price_book().commitments[cloud, offer]
    odd: set[tuple[str, str]] = set()
    for region in book.regions(cloud):
        per_vcpu: dict[str, dict[str, float]] = {}
        for machine in book.machines():
            row = book.find(machine.name, region, offer) if machine.cloud == cloud else None
            if row is not None and rule.covers_other_sizes(machine.family):
                per_vcpu.setdefault(machine.family, {})[machine.name] = float(row.usd_per_hour) / machine.vcpu
        for rates in per_vcpu.values():
            usual = statistics.median(rates.values())
            odd |= {(region, name) for name, rate in rates.items() if abs(rate / usual - 1.0) > 0.005}
    assert odd == (
        {("ap-northeast-1", "m7a.medium")} if cloud == "aws" else set()
    )  # 10 % more expensive on demand, by the region's ratio of prices
