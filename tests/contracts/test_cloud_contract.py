"""What every cloud must keep, whoever wrote it."""

from collections import Counter, defaultdict
from datetime import date
from itertools import pairwise

import pytest

from tightrope.base import registry
from tightrope.base.contracts import Cloud
from tightrope.clouds.book import PriceBook, load_price_book

CLOUDS = sorted(registry.load_clouds().items())
FIRST_CLOUD = date(2006, 8, 25)
"""The day EC2 opened: nothing was seen before."""


@pytest.fixture(params=[cloud for _, cloud in CLOUDS], ids=[name for name, _ in CLOUDS])
def cloud(request: pytest.FixtureRequest) -> Cloud:
    """Return each discovered cloud."""
    return request.param


@pytest.fixture(scope="module")
def book() -> PriceBook:
    """Return the book of all clouds."""
    return load_price_book()


def test_some_cloud_is_discovered() -> None:
    assert "aws" in dict(CLOUDS)


def test_everything_carries_its_name_source_and_date(cloud: Cloud) -> None:
    for fact in [*cloud.catalogue().machines, *cloud.catalogue().prices, *cloud.catalogue().unit_prices]:
        assert fact.cloud == cloud.name
        assert len(fact.source) > 10
        assert not fact.source.startswith("@")
        assert fact.seen > FIRST_CLOUD


def test_faces_are_true(cloud: Cloud) -> None:
    has = {
        "machines": bool(cloud.catalogue().machines),
        "prices": bool(cloud.catalogue().prices),
        "spot": any(row.offer == "spot" for row in cloud.catalogue().prices),
        "commitments": bool(cloud.catalogue().commitments),
        "unit_prices": bool(cloud.catalogue().unit_prices),
        "refresh": bool(cloud.importer),
    }
    assert cloud.faces == {face for face, there in has.items() if there}


def test_the_same_facts_every_time(cloud: Cloud) -> None:
    assert cloud.catalogue().machines == cloud.catalogue().machines
    assert cloud.catalogue().prices == cloud.catalogue().prices
    assert cloud.catalogue().unit_prices == cloud.catalogue().unit_prices


def test_machines_are_whole(cloud: Cloud) -> None:
    names = Counter(machine.name for machine in cloud.catalogue().machines)
    assert max(names.values()) == 1
    for machine in cloud.catalogue().machines:
        assert machine.vcpu > 0
        assert machine.memory_gib > 0
        assert machine.family
        assert machine.arch in {"amd64", "arm64"}
        assert machine.accelerator == machine.accelerator.lower()
        assert bool(machine.accelerator) == (machine.accelerators > 0) == (machine.accelerator_memory_gib > 0), machine


def test_all_sellers_state_the_same_memory_of_the_same_chip() -> None:
    """Two boards of one name (40 and 80 GiB) are far apart; closer than 10 %, one seller rounds what another does not."""
    stated = defaultdict(set)
    for _, seller in CLOUDS:
        for machine in seller.catalogue().machines:
            stated[machine.accelerator].add(machine.accelerator_memory_gib)
    assert stated["l4"] == {24}
    for accelerator, memories in stated.items():
        for small, large in pairwise(sorted(memories)):
            assert large > 1.1 * small, (accelerator, small, large)


def test_prices_name_what_exists(cloud: Cloud) -> None:
    machines = {machine.name for machine in cloud.catalogue().machines}
    assert {row.machine for row in cloud.catalogue().prices} <= machines
    rules = {rule.offer for rule in cloud.catalogue().commitments}
    assert {row.offer for row in cloud.catalogue().prices} <= {*registry.load_offers(), *rules, "owned"}


def test_prices_are_positive_and_dated_once(cloud: Cloud) -> None:
    dated = Counter((row.machine, row.region, row.offer, row.zone, row.seen) for row in cloud.catalogue().prices)
    assert not dated or max(dated.values()) == 1
    for row in cloud.catalogue().prices:
        assert row.usd_per_hour.is_finite()
        assert row.usd_per_hour > 0
        assert row.zones >= 0
        assert row.basis in {"list", "derived"}
        assert row.interruptions_per_month is None or 0 <= row.interruptions_per_month < 1


def test_every_other_offer_is_cheaper_than_on_demand(cloud: Cloud, book: PriceBook) -> None:
    for row in book.rows.values():
        on_demand = book.find(row.machine, row.region, "on-demand")
        if row.cloud == cloud.name and row.offer != "on-demand" and on_demand:
            assert row.usd_per_hour < on_demand.usd_per_hour, row


def test_unit_prices_are_positive_or_say_that_they_are_free(cloud: Cloud) -> None:
    for row in cloud.catalogue().unit_prices:
        assert row.unit
        assert row.item
        assert row.usd > 0 or (row.usd == 0 and row.source.startswith("free")), row


def test_its_machines_are_in_the_book(cloud: Cloud, book: PriceBook) -> None:
    assert all(book.machine(machine.name) == machine for machine in cloud.catalogue().machines)
    assert cloud.name in book.clouds
