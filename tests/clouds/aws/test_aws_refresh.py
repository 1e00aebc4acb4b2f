"""AWS's importer against a server that speaks as AWS does: which rows it makes of the lists, and what it leaves out."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import TypeAlias

import pytest
from tests.clouds import aws_lists, aws_server
from tests.clouds.aws.helpers import FORMS, KNOWN, REGION, TODAY, changed, changed_plans, offers_of, reserved_term, row
from tests.clouds.aws_lists import Dimension, Term
from tests.clouds.loopback import Loopback

from tightrope.base.catalogue import Catalogue

Fetch: TypeAlias = Callable[..., tuple[Catalogue, list[str]]]


# -------------------------------------------------------------------------------------------------------------- the rows


def test_on_demand_rows_are_those_of_plain_linux_machines(fetch: Fetch) -> None:
    prices = fetch()[0].prices
    found = {item.machine: item for item in prices if item.offer == "on-demand"}
    assert {name: str(item.usd_per_hour) for name, item in found.items()} == {
        "g6.xlarge": "0.8048",
        "g6.12xlarge": "4.6016",
        "c6i.large": "0.085",
        "c6i.xlarge": "0.17",
        "p5.48xlarge": "55.04",
    }
    one = found["g6.xlarge"]
    assert (one.cloud, one.region, one.zones, one.basis, one.seen, one.upfront_usd) == ("aws", REGION, 0, "list", TODAY, 0)
    assert one.source == "AWS Price List, offer file AmazonEC2 of us-east-1, version 20261120120000 [public price list]"


def test_reserved_rows_hold_all_that_is_paid(fetch: Fetch) -> None:
    prices = fetch()[0].prices
    assert len(offers_of(prices, "g6.xlarge")) == 1 + 12 + 12 + 1
    assert not {offer for offer in offers_of(prices, "p5.48xlarge") if offer.startswith(("reserved", "convertible"))}
    none = row(prices, "g6.xlarge", "reserved-1y-no-upfront")
    assert (none.usd_per_hour, none.upfront_usd) == (Decimal("0.56336"), 0)  # 0.8048 × 0.7
    part = row(prices, "g6.xlarge", "convertible-1y-partial-upfront")
    assert part.upfront_usd == 2644  # half of 0.8048 × 0.75 × 8,760
    assert part.usd_per_hour == Decimal("0.60363")  # 0.3018 + 2,644 / 8,760 = 0.6036265, rounded up
    whole = row(prices, "g6.xlarge", "reserved-3y-all-upfront")
    assert (whole.usd_per_hour, whole.upfront_usd) == (Decimal("0.4024"), 10575)  # 10,575 / 26,280 = 0.402397, rounded up


@pytest.mark.parametrize("gzip", [False, True])
def test_both_formats_give_the_same_rows(aws: Loopback, fetch: Fetch, gzip: bool) -> None:
    aws_server.serve_region(aws, gzip=gzip)
    by_csv, by_json = (fetch(form)[0] for form in FORMS)
    assert len(by_csv.prices) == 118
    assert by_csv == by_json
    asked = {path for path in aws.requests if path.endswith(("index.csv", "index.json"))}
    assert asked >= {aws_server.offer_path(suffix=form) for form in FORMS} | {aws_server.plan_path(suffix=form) for form in FORMS}


def test_what_the_index_does_not_call_an_index_is_read_as_it_is_named(aws: Loopback, fetch: Fetch) -> None:
    whole = fetch()[0]
    for path in (aws_server.index_path(), aws_server.PLAN_INDEX):
        text = str(aws.routes[path].content)
        aws.serve(path, text.replace("/index.json", "/mirrored.json"))
    for path in (aws_server.offer_path(suffix="json"), aws_server.plan_path(suffix="json")):
        aws.routes[path.replace("index", "mirrored")] = aws.routes[path]
    del aws.requests[:]
    assert fetch()[0] == whole
    assert not [path for path in aws.requests if path.endswith(".csv") and ("AmazonEC2" in path or "SavingsPlan" in path)]


def test_each_region_has_its_own_rows(aws: Loopback, fetch: Fetch) -> None:
    regions = ("eu-west-1", REGION)
    aws_server.serve_indexes(aws, regions)
    dearer = aws_lists.catalogue("eu-west-1")
    changed(dearer).terms[0].dimensions[0].price = "0.9000000000"
    aws_server.serve_region(aws, "eu-west-1", products=dearer)
    aws_server.serve_advisor(aws, regions)
    prices = fetch(regions=regions)[0].prices
    found = {item.region: item.usd_per_hour for item in prices if (item.machine, item.offer) == ("g6.xlarge", "on-demand")}
    assert found == {"eu-west-1": Decimal("0.9"), REGION: Decimal("0.8048")}


def test_older_lists_lack_a_few_columns(aws: Loopback, fetch: Fetch) -> None:
    whole = fetch()[0]
    columns = [name for name in aws_lists.EC2_COLUMNS if name not in {"GPU", "Region Code"}]
    aws.serve(aws_server.offer_path(), aws_lists.as_csv(aws_lists.ec2_rows(aws_lists.catalogue()), columns))
    assert fetch()[0].prices == whole.prices


def test_a_capacity_block_is_told_from_a_machine_by_its_price_where_the_list_does_not_say(aws: Loopback, fetch: Fetch) -> None:
    columns = [name for name in aws_lists.EC2_COLUMNS if name != "MarketOption"]
    aws.serve(aws_server.offer_path(), aws_lists.as_csv(aws_lists.ec2_rows(aws_lists.catalogue()), columns))
    catalogue, notes = fetch()
    assert row(catalogue.prices, "p5.48xlarge", "on-demand").usd_per_hour == Decimal("55.04")
    assert "aws us-east-1: left out 1 × implausible price of a machine (p5.48xlarge)" in notes


# -------------------------------------------------------------------------------------------------------------- machines


@pytest.mark.parametrize("form", FORMS)
def test_a_new_size_of_a_known_family_is_described(aws: Loopback, fetch: Fetch, form: str) -> None:
    known = {name: machine for name, machine in KNOWN.items() if name not in {"g6.12xlarge", "c6i.xlarge"}}
    catalogue, notes = fetch(form, known=known)
    found = {machine.name: machine for machine in catalogue.machines}
    assert set(found) == {"g6.12xlarge", "c6i.xlarge"}
    g6, c6i = found["g6.12xlarge"], found["c6i.xlarge"]
    assert (g6.family, g6.vcpu, g6.memory_gib, g6.arch, g6.network_gbps) == ("g6", 48, 192.0, "amd64", 40.0)
    assert (g6.accelerator, g6.accelerators, g6.accelerator_memory_gib) == ("l4", 4, 24)
    assert (c6i.accelerator, c6i.accelerators, c6i.network_gbps) == ("", 0, 12.5)
    assert len(offers_of(catalogue.prices, "g6.12xlarge")) == 26
    assert "aws us-east-1: left out 1 families that are not in the price book" in notes


@pytest.mark.parametrize(
    "attributes", [{"memory": "NA"}, {"vcpu": "0"}, {"vcpu": "many"}, {"gpu": ""}, {"gpu": "0.5"}, {"gpu": "0"}], ids=str
)
def test_a_size_that_is_not_described_is_left_out(aws: Loopback, fetch: Fetch, attributes: dict[str, str]) -> None:
    products = aws_lists.catalogue()
    changed(products, "g6.12xlarge").attributes.update(attributes)
    aws_server.serve_region(aws, products=products)
    catalogue, notes = fetch(known={name: machine for name, machine in KNOWN.items() if name != "g6.12xlarge"})
    assert not catalogue.machines
    assert not offers_of(catalogue.prices, "g6.12xlarge")
    assert "aws us-east-1: left out 1 × machine with incomplete attributes (g6.12xlarge)" in notes


# ----------------------------------------------------------------------------------------------------------------- dates


@pytest.mark.parametrize("form", FORMS)
def test_the_newest_price_in_force_holds(aws: Loopback, fetch: Fetch, form: str) -> None:
    products = aws_lists.catalogue()
    changed(products).terms += [
        Term("EARLIER", [Dimension("Hrs", "0.7")], effective="2026-10-01"),
        Term("TODAY", [Dimension("Hrs", "0.81")], effective="2026-11-25"),
        Term("TOMORROW", [Dimension("Hrs", "0.9")], effective="2026-11-26"),
    ]
    aws_server.serve_region(aws, products=products)
    catalogue, notes = fetch(form)
    assert row(catalogue.prices, "g6.xlarge", "on-demand").usd_per_hour == Decimal("0.81")
    assert "aws us-east-1: left out 1 × price not yet in force (g6.xlarge)" in notes


def test_two_prices_at_once_are_none(aws: Loopback, fetch: Fetch) -> None:
    products = aws_lists.catalogue()
    changed(products).terms.append(Term("OTHER", [Dimension("Hrs", "0.9")]))
    aws_server.serve_region(aws, products=products)
    catalogue, notes = fetch()
    assert not offers_of(catalogue.prices, "g6.xlarge")  # without it nothing can be compared with on-demand
    assert "aws us-east-1: left out 1 × on-demand with two prices at once (g6.xlarge)" in notes


# -------------------------------------------------------------------------------------------------------- reserved terms


@pytest.mark.parametrize(
    ("payment", "dimensions"),
    [
        ("No Upfront", [Dimension("Quantity", "100"), Dimension("Hrs", "0.5")]),
        ("No Upfront", []),
        ("Partial Upfront", [Dimension("Hrs", "0.28")]),
        ("Partial Upfront", [Dimension("Quantity", "2468")]),
        ("All Upfront", [Dimension("Hrs", "0.0000000000")]),
        ("All Upfront", [Dimension("Hrs", "-0.1"), Dimension("Quantity", "4935")]),
        ("All Upfront", [Dimension("Hrs", "0.1"), Dimension("Quantity", "2000")]),
        ("All Upfront", [Dimension("Quantity", "-4935"), Dimension("Hrs", "0")]),
        ("All Upfront", [Dimension("Quantity", "8000"), Dimension("Hrs", "0")]),  # 0.913 an hour: more than on demand
    ],
)
def test_a_reserved_term_that_lacks_a_part_is_left_out(
    aws: Loopback, fetch: Fetch, payment: str, dimensions: list[Dimension]
) -> None:
    products = aws_lists.catalogue()
    reserved_term(products, payment).dimensions = dimensions
    aws_server.serve_region(aws, products=products)
    by_csv, by_json = (fetch(form)[0] for form in FORMS)
    offer = f"reserved-1y-{payment.lower().replace(' ', '-')}"
    assert offer not in offers_of(by_csv.prices, "g6.xlarge")
    assert len(offers_of(by_csv.prices, "g6.xlarge")) == 25
    assert by_csv == by_json


def test_unknown_terms_are_left_out_and_told(aws: Loopback, fetch: Fetch) -> None:
    products = aws_lists.catalogue()
    reserved_term(products, "No Upfront").attributes["LeaseContractLength"] = "5yr"
    aws_server.serve_region(aws, products=products)
    catalogue, notes = fetch()
    assert len(offers_of(catalogue.prices, "g6.xlarge")) == 25
    assert "aws us-east-1: left out 1 × unknown term '5yr', 'No Upfront', 'standard' (g6.xlarge)" in notes


# --------------------------------------------------------------------------------------------------------- savings plans


@pytest.mark.parametrize("form", FORMS)
def test_the_two_kinds_of_savings_plan_are_never_mixed(fetch: Fetch, form: str) -> None:
    prices = fetch(form)[0].prices
    for years, left in ((1, Decimal("0.8")), (3, Decimal("0.6"))):
        compute = row(prices, "g6.xlarge", f"compute-savings-plan-{years}y-no-upfront")
        instance = row(prices, "g6.xlarge", f"instance-savings-plan-{years}y-no-upfront")
        assert compute.usd_per_hour == Decimal("0.8048") * left
        assert instance.usd_per_hour == Decimal("0.8048") * (left - Decimal("0.05"))
    assert {offer.rpartition("-savings-plan")[0] for offer in offers_of(prices, "g6.xlarge")} == {"", "compute", "instance"}


def test_a_savings_plan_is_paid_as_it_says(fetch: Fetch) -> None:
    prices = fetch()[0].prices
    half = row(prices, "c6i.large", "compute-savings-plan-1y-partial-upfront")
    whole = row(prices, "c6i.large", "instance-savings-plan-3y-all-upfront")
    assert half.upfront_usd == half.usd_per_hour * 8760 / 2
    assert whole.upfront_usd == whole.usd_per_hour * 8760 * 3
    assert row(prices, "c6i.large", "compute-savings-plan-1y-no-upfront").upfront_usd == 0


def test_a_region_without_savings_plans_says_so(aws: Loopback, fetch: Fetch) -> None:
    aws.serve(aws_server.PLAN_INDEX, json.dumps({"regions": []}))
    catalogue, notes = fetch()
    assert len(offers_of(catalogue.prices, "g6.xlarge")) == 14
    assert "aws us-east-1: AWS lists no Savings Plans for the region" in notes


@pytest.mark.parametrize(
    "facts", [{"effective": "2027-01-01T00:00:00Z"}, {"length_unit": "month"}, {"payment": "Deferred"}], ids=str
)
def test_a_plan_that_is_not_known_or_not_in_force_is_left_out(aws: Loopback, fetch: Fetch, facts: dict[str, str]) -> None:
    aws_server.serve_region(aws, listed=changed_plans(**facts))
    by_csv, by_json = (fetch(form) for form in FORMS)
    assert len(offers_of(by_csv[0].prices, "g6.xlarge")) == 25
    assert any("left out 5 ×" in note for note in by_csv[1])
    assert by_csv == by_json


# ------------------------------------------------------------------------------------------------------ a bad connection


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("gzip", [False, True])
def test_throttling_and_cuts_change_nothing(aws: Loopback, fetch: Fetch, form: str, gzip: bool) -> None:
    whole = fetch(form)[0]
    aws_server.serve_region(aws, gzip=gzip)
    offers, plans = aws_server.offer_path(suffix=form), aws_server.plan_path(suffix=form)
    aws.fail(aws_server.INDEX, 429, retry_after="0")
    aws.fail(offers, 503, 503)
    aws.fail(plans, 429, retry_after="1")
    aws.cut(offers, 700, 900)
    aws.cut(aws_server.ADVISOR, 100)
    del aws.requests[:]
    assert fetch(form)[0] == whole
    assert aws.requests.count(offers) == 5
    assert [request.headers["Range"] for request in aws.seen if request.path == offers and "Range" in request.headers] == [
        "bytes=700-",
        "bytes=1600-",
    ]
