"""No amount that is no price becomes one, on any way through AWS's importer; nor does a large list fill the memory."""

import importlib
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.clouds import aws_lists, aws_server
from tests.clouds.aws.helpers import (
    FORMS,
    KNOWN,
    REGION,
    TODAY,
    changed,
    reserved_term,
    row,
)
from tests.clouds.aws_lists import Plan, Product
from tests.clouds.loopback import Loopback

from tightrope.base.catalogue import PriceRow
from tightrope.base.errors import SourceError
from tightrope.clouds.aws import offers_csv, offers_json, refresh, spot
from tightrope.clouds.aws.offers import Listing
from tightrope.clouds.aws.rates import LEAST_USD_PER_HOUR, MOST_USD_PER_HOUR, SkippedRates
from tightrope.clouds.aws.savings_plans import PlanRate
from tightrope.clouds.downloads import Fetcher
from tightrope.clouds.refresh import RefreshQuery

ROOT = Path(__file__).parents[3]


# --------------------------------------------------------------------------------------------------- prices that are not


ODD = st.one_of(
    st.sampled_from(["0", "0.0000000000", "-0.5", "NaN", "nan", "inf", "-Infinity", "abc", "", " ", "1e400", "-1e-400", "1e-30"]),
    st.sampled_from(["1_000", "٣.٥", "0x10", "1,5", "10000.01", "99999999999", "0.0001", "1E+3"]),
    st.decimals(allow_nan=True, allow_infinity=True).map(str),
    st.text(max_size=6),
)
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def check_rows(rows: Iterable[PriceRow]) -> None:
    """Assert that every row is one that a price book may hold."""
    for item in rows:
        assert item.usd_per_hour.is_finite()
        assert LEAST_USD_PER_HOUR <= item.usd_per_hour <= MOST_USD_PER_HOUR
        assert 0 <= item.upfront_usd <= item.usd_per_hour * 8760 * 3
        assert item.interruptions_per_month is None or 0 < item.interruptions_per_month < 1


class Canned(Fetcher):
    """Answers from memory: path → content."""

    def __init__(self, work: Path, contents: Mapping[str, bytes]) -> None:
        super().__init__(work)
        self.contents = contents

    def json(self, url: str, *_: object) -> object:
        """Return a document."""
        return json.loads(self.contents[url.removeprefix("http://127.0.0.1")], parse_float=Decimal)

    def open(self, url: str, *_: object) -> Any:
        """Return a file's content as a stream."""
        return BytesIO(self.contents[url.removeprefix("http://127.0.0.1")])

    def download(self, url: str, *_: object) -> Path:
        """Return a file."""
        path = self.work / url.rpartition("/")[2]
        path.write_bytes(self.contents[url.removeprefix("http://127.0.0.1")])
        return path


class FakeEc2:
    """Answers as boto3's client does, with what a test wants in it."""

    def __init__(self, history: Sequence[Mapping[str, object]] = ()) -> None:
        self.history = history

    def get_paginator(self, _: str) -> "FakeEc2":
        """Return what pages."""
        return self

    def paginate(self, **_: object) -> list[dict[str, object]]:
        """Return the one page."""
        return [{"SpotPriceHistory": self.history}]

    def describe_availability_zones(self) -> dict[str, object]:
        """Return no zones."""
        return {"AvailabilityZones": []}


def canned(
    products: list[Product], listed: list[Plan] | None = None, saved: Mapping[str, Any] = aws_server.SAVED
) -> dict[str, bytes]:
    """Return a whole region's lists."""
    server = Loopback()
    aws_server.serve_indexes(server)
    aws_server.serve_region(server, products=products, listed=listed)
    aws_server.serve_advisor(server, facts=saved)
    contents = {path: route.content for path, route in server.routes.items()}
    return {path: content.encode() if isinstance(content, str) else bytes(content) for path, content in contents.items()}  # type: ignore[arg-type]


def rows_or_refusal(
    work: Path, contents: Mapping[str, bytes], form: str, history: Sequence[Mapping[str, object]] = ()
) -> tuple[PriceRow, ...]:
    """Return the rows that lists give, none where they are refused."""
    ask = RefreshQuery((REGION,), KNOWN, TODAY, "http://127.0.0.1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spot, "_make_client", lambda *_: FakeEc2(history))
        try:
            return refresh.fetch(ask, Canned(work, contents), form).prices  # type: ignore[arg-type]
        except SourceError:
            return ()


@pytest.mark.parametrize("form", FORMS)
@given(odd=ODD, place=st.sampled_from(["on-demand", "No Upfront", "Partial Upfront", "All Upfront"]), part=st.integers(0, 1))
@example(odd="0.0012", place="on-demand", part=0)  # less what spot saves it is too little
@QUICK
def test_no_price_of_an_offer_file_gives_a_bad_row(tmp_path: Path, form: str, odd: str, place: str, part: int) -> None:
    products = aws_lists.catalogue()
    term = changed(products).terms[0] if place == "on-demand" else reserved_term(products, place)
    dimension = term.dimensions[part % len(term.dimensions)]
    listed = aws_lists.plans(products)
    dimension.price = odd
    rows = rows_or_refusal(tmp_path, canned(products, listed), form)
    check_rows(rows)
    assert not rows or row(rows, "c6i.large", "on-demand").usd_per_hour == Decimal("0.085")


@pytest.mark.parametrize("form", FORMS)
@given(odd=ODD, plan=st.integers(0, 11))
@QUICK
def test_no_price_of_a_savings_plan_gives_a_bad_row(tmp_path: Path, form: str, odd: str, plan: int) -> None:
    products = aws_lists.catalogue()
    listed = aws_lists.plans(products)
    listed[plan].rates[changed(products).sku] = odd
    rows = rows_or_refusal(tmp_path, canned(products, listed), form)
    check_rows(rows)
    assert all(item.usd_per_hour <= Decimal("0.8048") for item in rows if item.machine == "g6.xlarge")


@given(
    saved=st.one_of(ODD, st.integers(-200, 200), st.none(), st.booleans(), st.floats()),
    band=st.one_of(st.integers(-2, 8), st.none(), ODD),
)
@QUICK
def test_no_advice_gives_a_bad_row(tmp_path: Path, saved: object, band: object) -> None:
    contents = canned(aws_lists.catalogue(), saved=aws_server.SAVED | {"g6.xlarge": (saved, band)})
    rows = rows_or_refusal(tmp_path, contents, "csv")
    check_rows(rows)
    assert all(item.usd_per_hour <= Decimal("0.8048") for item in rows if item.machine == "g6.xlarge")


@given(odd=ODD)
@QUICK
def test_no_spot_price_gives_a_bad_row(tmp_path: Path, odd: str) -> None:
    said = {"AvailabilityZone": "us-east-1a", "AvailabilityZoneId": "use1-az1", "Timestamp": datetime(2026, 11, 24, tzinfo=UTC)}
    history = [
        {"InstanceType": "g6.xlarge", "SpotPrice": odd, **said},
        {"InstanceType": "c6i.large", "SpotPrice": "0.03", **said},
    ]
    rows = rows_or_refusal(tmp_path, canned(aws_lists.catalogue()), "csv", history)
    check_rows(rows)
    assert not rows or row(rows, "c6i.large", "spot", "use1-az1").usd_per_hour == Decimal("0.03")
    assert all(item.usd_per_hour <= Decimal("8.048") for item in rows if (item.machine, item.offer) == ("g6.xlarge", "spot"))


@pytest.mark.parametrize("missing", ["InstanceType", "AvailabilityZone", "Timestamp", "SpotPrice"])
def test_another_shape_of_the_spot_history_is_refused(missing: str) -> None:
    said = {"InstanceType": "g6.xlarge", "AvailabilityZone": "us-east-1a", "Timestamp": datetime.now(UTC), "SpotPrice": "0.3"}
    with pytest.raises(SourceError, match="expected InstanceType, AvailabilityZone, Timestamp and SpotPrice"):
        spot._fetch_history(
            FakeEc2([{name: value for name, value in said.items() if name != missing}]), ["g6.xlarge"], SkippedRates()
        )


# ---------------------------------------------------------------------------------------------------------------- memory


STATUS = Path("/proc/self/status")


@pytest.mark.skipif(not STATUS.exists(), reason="only Linux tells a process's own peak, without that of the process it came from")
@pytest.mark.parametrize("form", FORMS)
def test_a_large_list_is_never_in_memory_as_a_whole(
    loopback: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    bench = importlib.import_module("benchmarks.refresh_aws")
    monkeypatch.setattr(bench, "OFFERS_MIB", 160.0)
    monkeypatch.setattr(bench, "PLANS_MIB", 40.0)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "a test")
    bench.serve(loopback)
    code = f"{bench.FETCH}\nprint(Path({str(STATUS)!r}).read_text())"
    command = [sys.executable, "-c", code, loopback.url, str(tmp_path / "work"), form, str(bench.ROWS)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - ours alone
    (peak_kib,) = [int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("VmHWM:")]
    assert peak_kib < 160 * 1024


def test_readers_return_texts_alone(tmp_path: Path) -> None:
    contents = canned(aws_lists.catalogue())
    listing, other = (Listing(REGION, frozenset({"g6"})) for _ in range(2))
    path = tmp_path / "offers.csv"
    path.write_bytes(contents[aws_server.offer_path()])
    offers_csv.read_offers(path, listing)
    offers_json.read_offers(BytesIO(contents[aws_server.offer_path(suffix="json")]), other)
    assert listing.products == other.products
    assert {product.machine for product in listing.products.values()} == {"g6.xlarge", "g6.12xlarge"}
    skus = {sku: product.machine for sku, product in listing.products.items()}
    path.write_bytes(contents[aws_server.plan_path()])
    rates = list(offers_csv.read_plans(path, "a list", skus))
    assert rates == list(offers_json.read_plans(BytesIO(contents[aws_server.plan_path(suffix="json")]), "a list", skus))
    assert rates[0] == PlanRate(
        "COMP1NO",
        "ComputeSavingsPlans",
        "No Upfront",
        "1",
        "year",
        "2026-11-01T00:00:00Z",
        rates[0].sku,
        "Hrs",
        "USD",
        "0.643840",
    )
