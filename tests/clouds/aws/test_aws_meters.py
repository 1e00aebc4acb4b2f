"""AWS's unit prices: storage, traffic, NAT gateways and load balancers, with their tiers."""

import json
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.clouds import aws_lists, aws_server
from tests.clouds.aws.helpers import FORMS, REGION, TODAY
from tests.clouds.aws_lists import Dimension, Product, Term
from tests.clouds.loopback import Loopback

from tightrope.base.catalogue import Catalogue, UnitPrice
from tightrope.base.errors import SourceError
from tightrope.clouds.aws.meters import unit_prices
from tightrope.clouds.aws.offers import METERS, Listing, ListPrice
from tightrope.clouds.aws.rates import SkippedRates
from tightrope.clouds.book import load_price_book

Fetch: TypeAlias = Callable[..., tuple[Catalogue, list[str]]]
EGRESS = {"100": "0.09", "10240": "0.085", "51200": "0.07", "153600": "0.05"}


def tiers(prices: Iterable[UnitPrice], item: str) -> dict[str, str]:
    return {str(price.above): str(price.usd) for price in prices if price.item == item}


def transfers() -> list[Product]:
    """Return what the offer file of data transfer sells, the traffic to the internet first."""
    return aws_lists.metered()["AWSDataTransfer"]


@pytest.mark.parametrize("form", FORMS)
def test_unit_prices_are_told_as_the_book_counts(fetch: Fetch, form: str) -> None:
    prices = fetch(form)[0].unit_prices
    assert {item: tiers(prices, item) for item in {price.item for price in prices}} == {
        "block-storage": {"0": "0.08"},
        "internet-egress": EGRESS,
        "inter-zone-transfer": {"0": "0.01"},
        "load-balancer": {"0": "0.0225"},
        "load-balancer-traffic": {"0": "0.008"},
        "nat-gateway": {"0": "0.045"},
        "nat-gateway-traffic": {"0": "0.045"},
        "object-storage": {"0": "0.023", "51200": "0.022"},
        "object-storage-reads": {"0": "0.4"},
        "object-storage-writes": {"0": "5"},
    }
    one = next(price for price in prices if price.item == "internet-egress")
    assert (one.cloud, one.region, one.unit, one.basis, one.seen) == ("aws", REGION, "GB", "list", TODAY)
    assert one.source == "AWS Price List, offer file AWSDataTransfer of us-east-1, version 20261120120000 [public price list]"


def test_they_are_named_as_those_that_ship() -> None:
    shipped = {(row.item, row.unit) for row in load_price_book().every_row() if isinstance(row, UnitPrice) and row.cloud == "aws"}
    assert {(meter.item, meter.unit) for meters in METERS.values() for meter in meters} <= shipped


def test_most_regions_put_a_code_before_what_they_sell(aws: Loopback, fetch: Fetch) -> None:
    usual = fetch()[0].unit_prices
    coded = aws_lists.metered(REGION, "EUW2-")
    plain = [product for product in aws_lists.catalogue() if product.family == "Compute Instance"]
    aws_server.serve_region(aws, products=plain + coded["AmazonEC2"], others=coded)
    catalogue, notes = fetch()
    assert catalogue.unit_prices == usual
    assert not [note for note in notes if "unit price" in note]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ([("0", "0"), ("100", "0.09"), ("10240", "0.085")], {"100": "0.09", "10240": "0.085"}),
        ([("0", "0.0"), ("1", "0.09")], {"100": "0.09"}),
        ([("0", "0"), ("1024", "0.09")], {"1024": "0.09"}),
        ([("0", "0")], {}),
        ([("0", "0.09"), ("100", "0")], {}),
        ([("0", "0.09"), ("100", "-0.05")], {}),
        ([("0", "0.09"), ("100", "101")], {}),
        ([("0", "0.00000009")], {}),
        ([("-5", "0.09")], {}),
        ([("10240", "0.085")], {}),
    ],
    ids=str,
)
def test_what_is_free_at_first_is_a_bound(
    aws: Loopback, fetch: Fetch, form: str, told: list[tuple[str, str]], kept: dict[str, str]
) -> None:
    products = transfers()
    products[0].terms[0].dimensions = [Dimension("GB", usd, begin=begin) for begin, usd in told]
    aws_server.serve_region(aws, others={"AWSDataTransfer": products})
    prices = fetch(form)[0].unit_prices
    assert tiers(prices, "internet-egress") == kept
    assert tiers(prices, "inter-zone-transfer") == {"0": "0.01"}


def test_another_unit_is_left_out_and_told(aws: Loopback, fetch: Fetch) -> None:
    products = transfers()
    products[1].terms[0].dimensions = [Dimension("TB", "10")]
    aws_server.serve_region(aws, others={"AWSDataTransfer": products})
    catalogue, notes = fetch()
    assert not tiers(catalogue.unit_prices, "inter-zone-transfer")
    assert "aws us-east-1: left out 1 × unit price per 'TB' instead of GB (inter-zone-transfer)" in notes


def test_what_is_said_in_two_ways_is_left_out_and_told(aws: Loopback, fetch: Fetch) -> None:
    products = transfers()
    twice = Product("TWICE", products[1].attributes, [Term("JRTCKXETXF", [Dimension("GB", "0.02")])], "Data Transfer")
    aws_server.serve_region(aws, others={"AWSDataTransfer": [*products, twice]})
    catalogue, notes = fetch()
    assert not tiers(catalogue.unit_prices, "inter-zone-transfer")
    assert "aws us-east-1: left out 1 × unit price with two different values (inter-zone-transfer)" in notes
    twice.terms[0].dimensions[0].price = "0.0100"
    aws_server.serve_region(aws, others={"AWSDataTransfer": [*products, twice]})
    assert tiers(fetch()[0].unit_prices, "inter-zone-transfer") == {"0": "0.01"}


@pytest.mark.parametrize("form", FORMS)
def test_the_newest_unit_price_in_force_holds(aws: Loopback, fetch: Fetch, form: str) -> None:
    products = transfers()
    products[1].terms += [
        Term("NEWER", [Dimension("GB", "0.011")], effective="2026-11-20"),
        Term("NEXT", [Dimension("GB", "0.02")], effective="2026-12-01"),
    ]
    aws_server.serve_region(aws, others={"AWSDataTransfer": products})
    assert tiers(fetch(form)[0].unit_prices, "inter-zone-transfer") == {"0": "0.011"}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("dimension", "said"),
    [(Dimension("GB", "0.01", "CNY"), "prices in USD"), (Dimension("GB", "cheap"), "a price in US dollars")],
    ids=["currency", "no number"],
)
def test_another_shape_of_a_unit_price_is_refused(
    aws: Loopback, fetch: Fetch, form: str, dimension: Dimension, said: str
) -> None:
    products = transfers()
    products[1].terms[0].dimensions = [dimension]
    aws_server.serve_region(aws, others={"AWSDataTransfer": products})
    with pytest.raises(SourceError, match=f"offer file AWSDataTransfer of us-east-1.*{said}"):
        fetch(form)


@pytest.mark.parametrize("column", ["usageType", "StartingRange", "Product Family", "Unit"])
def test_a_missing_column_of_unit_prices_is_refused(aws: Loopback, fetch: Fetch, column: str) -> None:
    columns = [name for name in aws_lists.EC2_COLUMNS if name not in {*aws_lists.OF_MACHINES, column}]
    aws.serve(
        aws_server.offer_path(service="AmazonS3"), aws_lists.as_csv(aws_lists.ec2_rows(aws_lists.metered()["AmazonS3"]), columns)
    )
    with pytest.raises(SourceError, match=f"offer file AmazonS3 of us-east-1.*expected a column '{column}'"):
        fetch()


def test_a_service_that_is_not_listed_leaves_its_unit_prices(aws: Loopback, fetch: Fetch) -> None:
    aws_server.serve_indexes(aws, services=("AmazonEC2", "AmazonS3"))
    aws.serve(aws_server.index_path("AmazonS3"), json.dumps({"regions": {}}))
    catalogue, notes = fetch()
    assert {price.item for price in catalogue.unit_prices} == {"block-storage", "nat-gateway", "nat-gateway-traffic"}
    for service in ("AWSDataTransfer", "AmazonS3", "AWSELB"):
        assert f"aws us-east-1: AWS's Price List has no {service} there, its unit prices stay as they are" in notes


ODD = st.one_of(
    st.sampled_from(["0", "-1", "NaN", "inf", "abc", "", "1e400", "1e-30", "100.01", "0.0004"]),
    st.decimals(allow_nan=True, allow_infinity=True).map(str),
    st.text(max_size=5),
)


@given(usd=ODD, begin=ODD, other=ODD)
@settings(max_examples=300, deadline=None)
def test_no_amount_gives_a_bad_unit_price(usd: str, begin: str, other: str) -> None:
    for service, meters in METERS.items():
        listing = Listing(REGION, service=service, metered={meter.item: meter for meter in meters})
        for meter in meters:
            unit = min(meter.units)
            for price, start in ((usd, begin), (other, "0")):
                listing.prices.append(ListPrice(meter.item, "OnDemand", "TERM", "2026-11-01", unit, "USD", price, begin=start))
        try:
            found = list(unit_prices(listing, TODAY, SkippedRates()))
        except SourceError:
            continue
        for price in found:
            assert price.usd.is_finite()
            assert Decimal("0.0005") <= price.usd <= 100
            assert price.above.is_finite()
            assert price.above >= 0
        assert len({(price.item, price.above) for price in found}) == len(found)


def test_a_region_of_the_list_that_is_not_ours_is_left() -> None:
    listing = Listing(REGION, service="AWSDataTransfer")
    assert not listing.keep("A", "Data Transfer", {"usagetype": "DataTransfer-Out-Bytes", "fromRegionCode": "us-west-2-lax-1"})
    assert listing.keep("B", "Data Transfer", {"usagetype": "DataTransfer-Out-Bytes", "fromRegionCode": REGION})
    assert not listing.keep("C", "Data Transfer", {"usagetype": "XDataTransfer-Out-Bytes"})
    assert list(listing.metered) == ["B"]
