"""Sizes of functions and containers, and what an hour of them costs."""

from datetime import date
from decimal import Decimal

import pytest

from tightrope.base.catalogue import UnitPrice
from tightrope.base.errors import UnknownNameError
from tightrope.clouds.book import PriceBook, load_price_book
from tightrope.clouds.service_sizes import SERVICES, find_size


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return load_price_book()


@pytest.mark.parametrize(
    ("name", "vcpu", "memory_mib"),
    [
        ("lambda-1769mb", "1", 1769),
        ("lambda-arm-10240mb", "5.788581", 10240),
        ("fargate-0.25vcpu-0.5gb", "0.25", 512),
        ("fargate-arm-16vcpu-120gb", "16", 122880),
        ("cloud-run-1vcpu-2gb", "1", 2048),
        ("cloud-run-instance-8vcpu-32gb", "8", 32768),
        ("functions-1536mb", "1", 1536),
        ("container-instances-4vcpu-16gb", "4", 16384),
    ],
)
def test_a_size_that_is_sold_is_found(name: str, vcpu: str, memory_mib: int) -> None:
    size = find_size(name)
    assert size is not None
    assert (size.name, size.memory_mib) == (name, memory_mib)
    assert float(size.vcpu) == pytest.approx(float(vcpu), rel=1e-6)
    assert size.machine.family == size.service.name


@pytest.mark.parametrize(
    "name",
    [
        "lambda-100mb",
        "lambda-10241mb",
        "fargate-1vcpu-1gb",
        "fargate-3vcpu-6gb",
        "fargate-8vcpu-17gb",
        "cloud-run-2vcpu-9gb",
        "g4dn.xlarge",
    ],
)
def test_a_size_that_is_not_sold_is_not_found(name: str) -> None:
    assert find_size(name) is None


def test_an_unknown_size_says_which_there_are(book: PriceBook) -> None:
    with pytest.raises(UnknownNameError, match=r"fargate is sold as .*fargate-1vcpu-<2 to 8>gb"):
        book.machine("fargate-1vcpu-1gb")


def test_a_function_costs_its_memory_by_the_second(book: PriceBook) -> None:
    """1,769 MB of AWS Lambda in us-east-1: 1769/1024 GB × 3,600 s × 0.0000166667 USD."""
    row = book.find("lambda-1769mb", "us-east-1", "serverless")
    assert row is not None
    assert float(row.usd_per_hour) == pytest.approx(1769 / 1024 * 3600 * 0.0000166667, rel=1e-12)
    assert book.find("lambda-1769mb", "us-east-1", "on-demand") is None


def test_a_container_costs_vcpus_and_memory(book: PriceBook) -> None:
    """AWS Fargate in us-east-1: 2 × 0.04048 + 4 × 0.004445 USD an hour."""
    row = book.find("fargate-2vcpu-4gb", "us-east-1", "container")
    assert row is not None
    assert row.usd_per_hour == Decimal("0.09874")


def test_both_parts_of_a_function_are_counted(book: PriceBook) -> None:
    """Google Cloud Run in us-central1: (0.000024 + 2 × 0.0000025) × 3,600 USD an hour of answering, the free grant left out."""
    row = book.find("cloud-run-1vcpu-2gb", "us-central1", "serverless")
    assert row is not None
    assert row.usd_per_hour == Decimal("0.1044")


@pytest.mark.parametrize(
    ("region", "usd_per_hour"), [("us-central1", "0.0792"), ("us-west4", "0.09504")], ids=["tier-1", "tier-2"]
)
def test_an_instance_of_cloud_run_costs_less_than_its_time_of_answering(book: PriceBook, region: str, usd_per_hour: str) -> None:
    """(0.000018 + 2 × 0.000002) × 3,600 USD an hour; a fifth more in regions of tier 2."""
    row = book.find("cloud-run-instance-1vcpu-2gb", region, "container")
    assert row is not None
    assert row.usd_per_hour == Decimal(usd_per_hour)
    assert row.basis == "derived"


def test_what_has_no_unit_price_is_not_sold(book: PriceBook) -> None:
    """A region without a price sells nothing: unknown is not zero."""
    assert book.find("cloud-run-instance-1vcpu-2gb", "moon-central1", "container") is None


def test_a_price_rests_on_its_oldest_part() -> None:
    size = find_size("fargate-1vcpu-2gb")
    assert size is not None
    rows = {
        "container-cpu": UnitPrice("aws", "r", "container-cpu", "vCPU-hour", Decimal("0.04"), "list", "one", date(2026, 3, 1)),
        "container-memory": UnitPrice(
            "aws", "r", "container-memory", "GB-hour", Decimal("0.005"), "list", "two", date(2026, 1, 1)
        ),
    }
    row = size.price("r", rows.__getitem__)
    assert (row.usd_per_hour, row.seen, row.source) == (Decimal("0.05"), date(2026, 1, 1), "one; two")


def test_names_of_services_are_families_that_may_be_allowed(book: PriceBook) -> None:
    assert book.machines(SERVICES) == ()
    assert [machine.name for machine in book.machines(["lambda-512mb"])] == ["lambda-512mb"]
