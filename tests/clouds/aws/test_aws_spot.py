"""AWS's spot prices: by zone where there are credentials, none of which is ever told; by the Spot Advisor where not."""

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias

import pytest
from tests.clouds import aws_ec2, aws_server
from tests.clouds.aws.helpers import KEY, KNOWN, REGION, SECRET, TODAY, row
from tests.clouds.aws_ec2 import Spot
from tests.clouds.loopback import Loopback

from tightrope.base.catalogue import Catalogue
from tightrope.clouds.aws import spot
from tightrope.clouds.aws.rates import SkippedRates
from tightrope.clouds.downloads import Fetcher
from tightrope.clouds.refresh import RefreshQuery

Fetch: TypeAlias = Callable[..., tuple[Catalogue, list[str]]]


# ------------------------------------------------------------------------------------------------------------------ spot


def test_without_credentials_spot_is_what_the_advisor_says(fetch: Fetch) -> None:
    catalogue, notes = fetch()
    one = row(catalogue.prices, "g6.xlarge", "spot")
    assert (one.usd_per_hour, one.basis, one.zones, one.interruptions_per_month) == (Decimal("0.32192"), "derived", 0, 0.15)
    assert {item.machine: item.interruptions_per_month for item in catalogue.prices if item.offer == "spot"} == {
        "c6i.large": 0.05,
        "c6i.xlarge": 0.10,
        "g6.xlarge": 0.15,
        "p5.48xlarge": 0.20,
        "g6.12xlarge": 0.30,
    }
    assert [note for note in notes if "no spot prices by zone, there are no credentials" in note and "aws configure" in note]


HISTORY = [
    Spot("g6.xlarge", "us-east-1a", "0.300100"),
    Spot("g6.xlarge", "us-east-1a", "0.500000", datetime(2026, 11, 1, tzinfo=UTC)),
    Spot("g6.xlarge", "us-east-1b", "0.500000", datetime(2026, 11, 1, tzinfo=UTC)),
    Spot("g6.xlarge", "us-east-1b", "0.400000"),
    Spot("g6.xlarge", "us-east-1d", "0.350000"),
    Spot("c6i.large", "us-east-1a", "0.030000"),
]


@pytest.mark.usefixtures("_credentials")
def test_spot_prices_are_those_of_each_zone(aws: Loopback, fetch: Fetch) -> None:
    ec2 = aws_ec2.Ec2(HISTORY, page=2)
    aws.serve("/", ec2)
    catalogue, notes = fetch()
    zones = {item.zone: item for item in catalogue.prices if item.machine == "g6.xlarge" and item.offer == "spot"}
    assert {zone: str(item.usd_per_hour) for zone, item in zones.items()} == {
        "": "0.35004",  # the mean is 0.350033…
        "use1-az1": "0.3001",
        "use1-az2": "0.4",
        "use1-az4": "0.35",
    }
    assert (zones[""].zones, zones[""].basis, zones["use1-az1"].zones, zones["use1-az1"].basis) == (3, "derived", 1, "list")
    assert {item.interruptions_per_month for item in zones.values()} == {0.15}
    assert row(catalogue.prices, "g6.xlarge", "on-demand").zones == 3
    assert row(catalogue.prices, "g6.12xlarge", "spot").usd_per_hour == Decimal("2.53088")  # in no zone: the advisor's
    assert [query["Action"] for query in ec2.asked] == ["DescribeSpotPriceHistory"] * 3 + ["DescribeAvailabilityZones"]
    assert ec2.asked[0]["ProductDescription.1"] == "Linux/UNIX"
    assert [query.get("NextToken") for query in ec2.asked[:3]] == [None, "2", "4"]
    assert notes == ["aws us-east-1: left out 1 families that are not in the price book"]


@pytest.mark.usefixtures("_credentials")
def test_zones_keep_their_names_where_their_ids_are_not_to_be_had(aws: Loopback, fetch: Fetch) -> None:
    aws.serve("/", aws_ec2.Ec2(HISTORY, zones_refuse="UnauthorizedOperation"))
    prices = fetch()[0].prices
    assert row(prices, "c6i.large", "spot", "us-east-1a").usd_per_hour == Decimal("0.03")


@pytest.mark.usefixtures("_credentials")
def test_a_refusal_is_told_without_what_is_secret(
    aws: Loopback, fetch: Fetch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    aws.serve("/", aws_ec2.Ec2(HISTORY, refuse="UnauthorizedOperation"))
    catalogue, notes = fetch()
    assert row(catalogue.prices, "g6.xlarge", "spot").usd_per_hour == Decimal("0.32192")
    (told,) = [note for note in notes if "no spot prices by zone" in note]
    assert "UnauthorizedOperation" in told
    assert "ec2:DescribeSpotPriceHistory" in told
    assert KEY in str(aws.seen[-1].headers)  # it was sent, and the server repeats it in its answer
    written = capfd.readouterr()
    for text in (*notes, caplog.text, written.out, written.err, *(item.source for item in catalogue.prices)):
        assert KEY not in text
        assert SECRET not in text


@pytest.mark.usefixtures("_credentials")
def test_an_endpoint_of_the_environment_is_boto3s_own(aws: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aws.serve("/", aws_ec2.Ec2(HISTORY))
    monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", aws.url)
    found = spot.load_history(REGION, sorted(KNOWN), RefreshQuery((REGION,), KNOWN, TODAY), Fetcher(tmp_path), SkippedRates())
    assert found["c6i.large"] == {"use1-az1": Decimal("0.03")}


@pytest.mark.usefixtures("_credentials")
def test_credentials_go_to_no_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spot, "_make_client", lambda *_: pytest.fail("asked"))
    fetcher = Fetcher(tmp_path)
    ask = RefreshQuery((REGION,), KNOWN, TODAY, "https://mirror.example")
    assert spot.load_history(REGION, sorted(KNOWN), ask, fetcher, SkippedRates()) == {}
    assert "credentials are sent only to AWS, not to a mirror" in fetcher.notes[0]


@pytest.mark.usefixtures("_credentials")
def test_a_dead_endpoint_leaves_the_advisors_prices(aws: Loopback, fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    client = spot._make_client
    monkeypatch.setattr(spot, "_make_client", lambda region, ask: client(region, replace(ask, endpoint="http://127.0.0.1:9")))
    monkeypatch.setattr("time.sleep", lambda _: None)
    catalogue, notes = fetch()
    assert row(catalogue.prices, "g6.xlarge", "spot").zones == 0
    assert any("the request failed (EndpointConnectionError)" in note for note in notes)


def test_without_boto3_the_user_is_told_how_to_have_it(fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in {"boto3", "botocore"}]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "botocore", None)
    catalogue, notes = fetch()
    assert row(catalogue.prices, "g6.xlarge", "spot").usd_per_hour == Decimal("0.32192")
    assert any("boto3 is missing" in note and "pip install 'tightrope[aws]'" in note for note in notes)


def test_what_the_advisor_can_not_mean_is_left_out(aws: Loopback, fetch: Fetch) -> None:
    facts = aws_server.SAVED | {"g6.xlarge": (100, 2), "c6i.large": (50, 9), "c6i.xlarge": (-1, 0), "p5.48xlarge": (True, 0)}
    aws_server.serve_advisor(aws, facts=facts)
    catalogue, notes = fetch()
    assert {item.machine for item in catalogue.prices if item.offer == "spot"} == {"g6.12xlarge"}
    assert any(note.startswith("aws spot: left out 4 ×") for note in notes)
