"""Google's price lists: both forms, told by a server on the loopback, read into the same rows; nothing odd gets through."""

import json
import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st
from tests.clouds import gcp_server as server
from tests.clouds.gcp_server import TOKEN, V1, V2_PRICES, V2_SKUS, Fact, decoys, facts, serve
from tests.clouds.loopback import Loopback

from tightrope.base.catalogue import ON_DEMAND, SPOT, Catalogue, MachineType, PriceRow
from tightrope.base.errors import MissingExtraError, SourceError, UnreachableError
from tightrope.clouds import gcp
from tightrope.clouds.book import load_price_book
from tightrope.clouds.downloads import Fetcher
from tightrope.clouds.gcp.auth import headers_for
from tightrope.clouds.gcp.refresh import fetch
from tightrope.clouds.gcp.skus import OFFERS, every_series, kinds, read_description, series_of
from tightrope.clouds.refresh import RefreshQuery, refresh

TODAY = date(2026, 11, 25)
MACHINES = {machine.name: machine for machine in gcp.CLOUD.catalogue().machines}
ONE_YEAR, THREE_YEARS = "resource-commitment-1y", "resource-commitment-3y"


@pytest.fixture(scope="session")
def key_pem() -> str:
    """Return the private key of a service account that nobody has."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, loopback: Loopback, key_pem: str) -> None:
    """Let Google's library find a service account whose tokens come from the loopback, and look nowhere else."""
    account = {
        "type": "service_account",
        "project_id": "test",
        "private_key_id": "1",
        "private_key": key_pem,
        "client_email": "reader@test.iam.gserviceaccount.com",
        "token_uri": f"{loopback.url}/token",
    }
    path = tmp_path / "account.json"
    path.write_text(json.dumps(account), encoding="utf-8")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.setenv("NO_GCE_CHECK", "true")


@pytest.fixture
def fetcher(tmp_path: Path) -> Fetcher:
    """Return a fetcher that does not wait."""
    return Fetcher(tmp_path / "work", sleep=lambda _: None, tries=4)


def _ask(loopback: Loopback, *machines: str, regions: tuple[str, ...] = ("us-central1",), version: str = "v1") -> RefreshQuery:
    wanted = {name: MACHINES[name] for name in machines} or MACHINES
    return RefreshQuery(regions, wanted, TODAY, loopback.url + ("/v2beta" if version == "v2beta" else ""))


def _usd(listed: Catalogue) -> dict[tuple[str, str, str], Decimal]:
    return {(row.machine, row.region, row.offer): row.usd_per_hour for row in listed.prices}


class Told(Fetcher):
    """Gives pages without a server."""

    def __init__(self, work: Path, told: dict[str, list[Any]]) -> None:
        """Tell the pages of each list, by the end of its path."""
        super().__init__(work)
        self.told = told

    def pages(self, url: str, *_: Any) -> Iterator[object]:
        """Yield what is told, as it is parsed."""
        path = url.partition("?")[0]
        yield from next(pages for end, pages in self.told.items() if path.endswith(end))


# ------------------------------------------------------------------------------------------------------------------- rows


@pytest.mark.parametrize("version", ["v1", "v2beta"])
def test_machines_are_added_up_from_their_parts(loopback: Loopback, fetcher: Fetcher, version: str) -> None:
    serve(loopback, [*facts("us-central1", "europe-west4"), *decoys("us-central1")])
    usd = _usd(fetch(_ask(loopback, "g2-standard-4", "ct6e-standard-8t", "n2-standard-4", version=version), fetcher))
    on_demand = Decimal("0.708")  # 4 × 0.025 + 16 × 0.003 + 0.56
    assert usd == {
        ("g2-standard-4", "us-central1", ON_DEMAND): on_demand,
        ("g2-standard-4", "us-central1", SPOT): on_demand * Decimal("0.4"),
        ("g2-standard-4", "us-central1", ONE_YEAR): on_demand * Decimal("0.63"),
        ("g2-standard-4", "us-central1", THREE_YEARS): on_demand * Decimal("0.45"),
        ("ct6e-standard-8t", "us-central1", ON_DEMAND): Decimal("21.6"),
        ("ct6e-standard-8t", "us-central1", SPOT): Decimal("8.64"),
        ("ct6e-standard-8t", "us-central1", ONE_YEAR): Decimal("13.608"),
        ("ct6e-standard-8t", "us-central1", THREE_YEARS): Decimal("9.72"),
        ("n2-standard-4", "us-central1", ON_DEMAND): Decimal("0.148"),
        ("n2-standard-4", "us-central1", SPOT): Decimal("0.0592"),
        ("n2-standard-4", "us-central1", ONE_YEAR): Decimal("0.09324"),
        ("n2-standard-4", "us-central1", THREE_YEARS): Decimal("0.0666"),
    }


def test_both_lists_give_the_same_rows(loopback: Loopback, tmp_path: Path) -> None:
    regions = ("asia-southeast1", "europe-west4", "us-central1")
    serve(loopback, [*facts(*regions), *decoys(*regions)])
    first, second = (
        fetch(_ask(loopback, regions=regions, version=version), Fetcher(tmp_path / version)) for version in ("v1", "v2beta")
    )
    assert first == second
    assert len(first.prices) > 900
    assert {row.region for row in first.prices} == set(regions)


def test_a_row_says_where_it_is_from(loopback: Loopback, fetcher: Fetcher) -> None:
    serve(loopback, facts("us-central1"))
    row = fetch(_ask(loopback, "e2-standard-2"), fetcher).prices[0]
    assert (row.cloud, row.basis, row.seen, row.zones, row.interruptions_per_month) == ("gcp", "list", TODAY, 0, None)
    assert "Cloud Billing Catalog" in row.source


def test_local_ssd_that_comes_with_a_machine_is_in_its_price(loopback: Loopback, fetcher: Fetcher) -> None:
    serve(loopback, facts("us-central1"))
    usd = _usd(fetch(_ask(loopback, "a2-ultragpu-1g"), fetcher))["a2-ultragpu-1g", "us-central1", ON_DEMAND]
    exact = 12 * Decimal("0.025") + 170 * Decimal("0.003") + Decimal("2.93375") + 375 * Decimal("0.08") / 730
    assert Decimal(0) <= usd - exact < Decimal("0.000000001")


def test_every_machine_of_the_tables_can_be_priced(loopback: Loopback, fetcher: Fetcher) -> None:
    serve(loopback, facts("us-central1"))
    usd = _usd(fetch(_ask(loopback), fetcher))
    offered = {row.machine for row in gcp.CLOUD.catalogue().prices if row.region == "us-central1"}
    assert {machine for machine, _, offer in usd if offer == ON_DEMAND} == offered
    assert all(series_of(name) for name in MACHINES)
    assert [note for note in fetcher.notes if "the machine there" not in note] == []


def test_t2a_has_no_commitments(loopback: Loopback, fetcher: Fetcher) -> None:
    serve(loopback, facts("us-central1"))
    assert {offer for _, _, offer in _usd(fetch(_ask(loopback, "t2a-standard-4"), fetcher))} == {ON_DEMAND, SPOT}


def test_a_name_means_one_kind_of_part() -> None:
    parts = [part for series in every_series() for part in series.parts]
    assert {kinds()[name, False] for part in parts for name in part.names if part.kind == "core"} == {"core"}
    assert len(kinds()) > 60
    for part in parts:
        for name in part.names:
            sold = read_description(f"{name} running in Iowa")
            assert sold
            assert (sold.name, sold.offer) == (name, ON_DEMAND)


# --------------------------------------------------------------------------------------------------------- what is left out


@pytest.mark.parametrize("version", ["v1", "v2beta"])
def test_parts_that_resemble_others_are_not_taken_for_them(loopback: Loopback, fetcher: Fetcher, version: str) -> None:
    serve(loopback, decoys("us-central1"))
    assert fetch(_ask(loopback, version=version), fetcher).prices == ()
    assert fetcher.notes == ["Google lists 1 series that the book does not: M4"]


def test_a_machine_of_which_a_part_is_missing_has_no_price(loopback: Loopback, fetcher: Fetcher) -> None:
    serve(loopback, [fact for fact in facts("us-central1") if not fact.description.startswith("Nvidia L4 GPU running")])
    usd = _usd(fetch(_ask(loopback, "g2-standard-4", "g2-standard-8", "e2-standard-2"), fetcher))
    assert ("g2-standard-4", "us-central1", ON_DEMAND) not in usd
    assert usd["g2-standard-4", "us-central1", SPOT] > 0
    assert ("e2-standard-2", "us-central1", ON_DEMAND) in usd
    assert fetcher.notes == ["2 prices are left out: 'Nvidia L4 GPU' has none where other parts of the machine have"]


@pytest.mark.parametrize("usd", ["0", "-0.5", "1000"])
@pytest.mark.parametrize("version", ["v1", "v2beta"])
def test_what_can_be_no_price_is_left_out(loopback: Loopback, fetcher: Fetcher, usd: str, version: str) -> None:
    listed = [replace(f, usd=Decimal(usd)) if f.description.startswith("E2 Instance Core") else f for f in facts("us-central1")]
    serve(loopback, listed)
    found = _usd(fetch(_ask(loopback, "e2-standard-2", version=version), fetcher))
    assert {offer for _, _, offer in found} == {SPOT, ONE_YEAR, THREE_YEARS}
    assert "1 SKUs of parts are left out: their price cannot be one" in fetcher.notes


def test_of_two_prices_of_a_part_the_dearer_stands(loopback: Loopback, fetcher: Fetcher) -> None:
    other = Fact(
        "1111-0000-0000", "G2 Instance Core running in Council Bluffs", "OnDemand", "h", Decimal("0.02"), ("us-central1",)
    )
    serve(loopback, [other, *facts("us-central1")])
    usd = _usd(fetch(_ask(loopback, "g2-standard-4"), fetcher))
    assert usd["g2-standard-4", "us-central1", ON_DEMAND] == Decimal("0.708")
    assert "1 SKUs of parts are left out: another of the same part is more expensive" in fetcher.notes


def test_a_spot_price_above_on_demand_is_left_out(loopback: Loopback, fetcher: Fetcher) -> None:
    listed = [replace(f, usd=Decimal(9)) if f.usage == "Preemptible" else f for f in facts("us-central1")]
    serve(loopback, listed)
    assert {offer for _, _, offer in _usd(fetch(_ask(loopback, "g2-standard-4"), fetcher))} == {*OFFERS} - {SPOT}
    assert "1 prices are left out: they are not below the on-demand price" in fetcher.notes


def test_a_description_and_a_usage_type_must_agree(loopback: Loopback, fetcher: Fetcher) -> None:
    listed = [replace(f, usage="OnDemand") if f.usage == "Preemptible" else f for f in facts("us-central1")]
    serve(loopback, listed)
    assert SPOT not in {row.offer for row in fetch(_ask(loopback), fetcher).prices}
    assert any(note.endswith("their description and their usage type differ") for note in fetcher.notes)


def test_of_a_region_that_the_book_lacks_the_user_is_told(loopback: Loopback, fetcher: Fetcher) -> None:
    serve(loopback, facts("us-south1"))
    assert _usd(fetch(_ask(loopback, "g2-standard-4", regions=("us-south1",)), fetcher))
    (note,) = fetcher.notes
    assert note.startswith("us-south1: Google's list does not say which machines are offered there")


def test_a_region_of_the_book_gets_only_what_it_offers(loopback: Loopback, fetcher: Fetcher) -> None:
    regions = ("europe-west9", "us-east5")
    serve(loopback, facts(*regions))
    usd = _usd(fetch(_ask(loopback, "g2-standard-4", "e2-standard-2", regions=regions), fetcher))
    places = {(machine, region) for machine, region, _ in usd}
    assert places == {("g2-standard-4", "europe-west9"), ("e2-standard-2", "europe-west9"), ("e2-standard-2", "us-east5")}
    assert "4 prices are left out: the book knows their region and does not have the machine there" in fetcher.notes


def test_machines_of_no_known_series_are_named(loopback: Loopback, fetcher: Fetcher) -> None:
    serve(loopback, facts("us-central1"))
    odd = replace(MACHINES["e2-standard-2"], name="z9-standard-2", family="z9")
    assert fetch(replace(_ask(loopback), machines={odd.name: odd}), fetcher).prices == ()
    assert fetcher.notes == ["1 machines are of no known series: z9-standard-2"]


# ----------------------------------------------------------------------------------------------------------------- shapes


def _change(item: dict[str, Any], path: tuple[str | int, ...], value: object) -> None:
    """Put a value at a path, or nothing where it is None."""
    here: Any = item
    for key in path[:-1]:
        here = here[key]
    if value is None:
        del here[path[-1]]
    else:
        here[path[-1]] = value


def _told(case: object) -> str:
    """Return the name of a case: its path and what is put there."""
    return ".".join(map(str, case)) if isinstance(case, tuple) else json.dumps(case)


EXPRESSION = ("pricingInfo", 0, "pricingExpression")
PRICE_V1 = (*EXPRESSION, "tieredRates", 0, "unitPrice")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("skuId",), None),
        (("description",), None),
        (("category",), None),
        (("category", "usageType"), None),
        (("serviceRegions",), None),
        (("serviceRegions",), [1]),
        (("pricingInfo",), None),
        (("pricingInfo",), ["later"]),
        (EXPRESSION, None),
        ((*EXPRESSION, "usageUnit"), None),
        ((*EXPRESSION, "usageUnit"), "s"),
        ((*EXPRESSION, "tieredRates"), None),
        (PRICE_V1, None),
        ((*PRICE_V1, "currencyCode"), None),
        ((*PRICE_V1, "currencyCode"), "EUR"),
        ((*PRICE_V1, "units"), "a lot"),
        ((*PRICE_V1, "nanos"), 1.5),
        ((*PRICE_V1, "nanos"), True),
    ],
    ids=_told,
)
def test_v1_of_another_shape_is_refused(path: tuple[str | int, ...], value: object, tmp_path: Path, loopback: Loopback) -> None:
    serve(loopback, [])
    skus = [server.sku_v1(fact) for fact in facts("us-central1")]
    _change(skus[0], path, value)
    with pytest.raises(SourceError, match="another shape than known"):
        fetch(_ask(loopback), Told(tmp_path / "work", {V1: [{"skus": skus}]}))


RATE = ("rate", "tiers", 0, "listPrice")


@pytest.mark.parametrize(
    ("where", "path", "value"),
    [
        ("sku", ("skuId",), None),
        ("sku", ("displayName",), None),
        ("sku", ("geoTaxonomy",), None),
        ("sku", ("geoTaxonomy", "type"), None),
        ("sku", ("geoTaxonomy", "type"), "PLANETARY"),
        ("sku", ("geoTaxonomy", "regionalMetadata"), None),
        ("sku", ("geoTaxonomy", "regionalMetadata", "region", "region"), None),
        ("price", ("name",), None),
        ("price", ("rate",), None),
        ("price", ("rate", "tiers"), None),
        ("price", ("rate", "unitInfo"), None),
        ("price", ("rate", "unitInfo", "unit"), "mo"),
        ("price", ("rate", "unitInfo", "unitQuantity", "value"), "1000"),
        ("price", RATE, None),
        ("price", (*RATE, "currencyCode"), None),
        ("price", (*RATE, "units"), {}),
    ],
    ids=_told,
)
def test_v2_of_another_shape_is_refused(
    where: str, path: tuple[str | int, ...], value: object, tmp_path: Path, loopback: Loopback
) -> None:
    serve(loopback, [])
    listed = facts("us-central1")
    skus, prices = [server.sku_v2(fact) for fact in listed], [server.price_v2(fact) for fact in listed]
    _change(skus[0] if where == "sku" else prices[0], path, value)
    told = {V2_SKUS: [{"skus": skus}], V2_PRICES: [{"prices": prices}]}
    with pytest.raises(SourceError, match="another shape than known"):
        fetch(_ask(loopback, version="v2beta"), Told(tmp_path / "work", told))


def test_an_error_names_the_sku(loopback: Loopback, fetcher: Fetcher) -> None:
    first, *others = facts("us-central1")
    serve(loopback, [replace(first, sku_id="1A2B-3C4D-5E6F", unit="s"), *others])
    with pytest.raises(SourceError, match=r"SKU 1A2B-3C4D-5E6F, the unit of 'G2 Instance Core'.*got 's', expected h"):
        fetch(_ask(loopback), fetcher)


@pytest.mark.parametrize("version", ["v1", "v2beta"])
@pytest.mark.parametrize("answer", ["{}", "[]", '{"skus": {}}', '{"skus": [1]}', '{"error": {"code": 400}}'])
def test_an_empty_list_is_refused(loopback: Loopback, fetcher: Fetcher, answer: str, version: str) -> None:
    serve(loopback, facts("us-central1"))
    loopback.serve(V1, answer)
    loopback.serve(V2_SKUS, answer)
    with pytest.raises(SourceError, match="another shape than known"):
        fetch(_ask(loopback, version=version), fetcher)


def test_an_empty_page_may_follow_the_last_item(tmp_path: Path, loopback: Loopback) -> None:
    serve(loopback, facts("us-central1"))
    skus = [server.sku_v1(fact) for fact in facts("us-central1")]
    assert fetch(_ask(loopback), Told(tmp_path / "work", {V1: [{"skus": skus}, {}]})).prices


def test_a_sku_without_a_price_is_left_out(tmp_path: Path, loopback: Loopback) -> None:
    serve(loopback, [])
    listed = facts("us-central1")
    skus, prices = [server.sku_v2(fact) for fact in listed], [server.price_v2(fact) for fact in listed[1:]]
    told = Told(tmp_path / "work", {V2_SKUS: [{"skus": skus}], V2_PRICES: [{"prices": prices}]})
    usd = _usd(fetch(_ask(loopback, version="v2beta"), told))
    assert ("g2-standard-4", "us-central1", ON_DEMAND) not in usd
    assert "1 SKUs of parts are left out: they have no price" in told.notes


@pytest.mark.parametrize(("tiers", "why"), [(0, "they have no price"), (2, "they have several prices")])
def test_a_sku_with_several_tiers_is_left_out(tmp_path: Path, loopback: Loopback, tiers: int, why: str) -> None:
    serve(loopback, [])
    skus = [server.sku_v1(fact) for fact in facts("us-central1")]
    expression = skus[0]["pricingInfo"][0]["pricingExpression"]
    expression["tieredRates"] = expression["tieredRates"] * tiers
    told = Told(tmp_path / "work", {V1: [{"skus": skus}]})
    assert ("g2-standard-4", "us-central1", ON_DEMAND) not in _usd(fetch(_ask(loopback), told))
    assert f"1 SKUs of parts are left out: {why}" in told.notes


AMOUNTS = st.one_of(
    st.integers(-(10**18), 10**18), st.sampled_from(["", "0", "-1", "nan", "1e3", "Infinity", 0, None, 1.5, [], True])
)


@given(data=st.data())
def test_no_mutated_price_gets_through(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    skus = [server.sku_v1(fact) for fact in facts("us-central1")]
    for index in data.draw(st.lists(st.integers(0, len(skus) - 1), min_size=1, max_size=8)):
        price = skus[index]["pricingInfo"][0]["pricingExpression"]["tieredRates"][0]["unitPrice"]
        price[data.draw(st.sampled_from(["units", "nanos"]))] = data.draw(AMOUNTS)
    told = Told(tmp_path_factory.mktemp("work"), {V1: [{"skus": skus}]})
    try:
        rows = fetch(RefreshQuery(("us-central1",), MACHINES, TODAY, "http://mirror.example"), told).prices
    except SourceError:
        return
    _check_sane(rows)


def _check_sane(rows: tuple[PriceRow, ...]) -> None:
    """Check that prices are prices, and that nothing else is more expensive than on-demand."""
    on_demand = {(row.machine, row.region): row.usd_per_hour for row in rows if row.offer == ON_DEMAND}
    for row in rows:
        assert math.isfinite(row.usd_per_hour)
        assert 0 < row.usd_per_hour < 1_000_000
        assert row.offer == ON_DEMAND or row.usd_per_hour < on_demand.get((row.machine, row.region), Decimal("Infinity"))


# ------------------------------------------------------------------------------------------------------------------- the way


@pytest.mark.parametrize("version", ["v1", "v2beta"])
def test_pages_are_asked_for_one_after_the_other(loopback: Loopback, fetcher: Fetcher, version: str) -> None:
    serve(loopback, facts("us-central1"), size=25)
    assert fetch(_ask(loopback, version=version), fetcher).prices
    path = V1 if version == "v1" else V2_PRICES
    tokens = [request.query.get("pageToken", "") for request in loopback.seen if request.path == path]
    assert tokens[:3] == ["", "25/+=", "50/+="]
    assert len(tokens) == math.ceil(len(facts("us-central1")) / 25)
    assert all(request.query["pageSize"] == "5000" for request in loopback.seen if request.path == path)


def test_the_newer_list_is_asked_for_compute_engine_only(loopback: Loopback, fetcher: Fetcher) -> None:
    serve(loopback, facts("us-central1"))
    fetch(_ask(loopback, version="v2beta"), fetcher)
    filters = {request.query["filter"] for request in loopback.seen if request.path == V2_SKUS}
    assert filters == {'service="services/6F81-5844-456A"'}


def test_throttling_and_cut_connections_are_overcome(loopback: Loopback, fetcher: Fetcher) -> None:
    serve(loopback, facts("us-central1"))
    loopback.fail(V1, 429, retry_after="1")
    loopback.fail(V1, 503)
    loopback.cut(V1, 100)
    assert fetch(_ask(loopback, "g2-standard-4"), fetcher).prices


def test_a_list_that_broke_off_is_continued(loopback: Loopback, fetcher: Fetcher) -> None:
    serve(loopback, facts("us-central1"), size=25)
    plain = loopback.routes[V1].content
    assert callable(plain)
    loopback.serve(V1, lambda request: (503, {}, b"") if request.query.get("pageToken") == "50/+=" else plain(request))
    with pytest.raises(UnreachableError):
        fetch(_ask(loopback), fetcher)
    loopback.serve(V1, plain)
    before = len(loopback.seen)
    assert fetch(_ask(loopback), fetcher).prices
    asked = [request.query.get("pageToken") for request in loopback.seen[before:] if request.path == V1]
    assert asked[0] == "50/+="


# -------------------------------------------------------------------------------------------------------------- credentials


def test_the_token_of_the_users_credentials_is_sent(loopback: Loopback, fetcher: Fetcher) -> None:
    serve(loopback, facts("us-central1"))
    fetch(_ask(loopback, "g2-standard-4"), fetcher)
    sent = {request.headers["authorization"] for request in loopback.seen if request.path == V1}
    assert sent == {f"Bearer {TOKEN}"}


def test_a_mirror_gets_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    for mirror in ("https://mirror.example/v1", "http://cloudbilling.googleapis.com/v1", "https://googleapis.com.example/v1"):
        assert headers_for(mirror) == {}


def test_a_refusal_does_not_tell_the_token(loopback: Loopback, fetcher: Fetcher) -> None:
    serve(loopback, facts("us-central1"))
    loopback.serve(V1, lambda request: (403, {}, f"you sent {request.headers['authorization']}".encode()))
    with pytest.raises(SourceError, match="answered 403") as caught:
        fetch(_ask(loopback), fetcher)
    assert TOKEN not in str(caught.value)


def test_no_credentials(loopback: Loopback, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    with pytest.raises(SourceError, match="gcloud auth application-default login"):
        fetch(_ask(loopback), fetcher)


def test_credentials_that_google_does_not_take(loopback: Loopback, fetcher: Fetcher, key_pem: str) -> None:
    serve(loopback, facts("us-central1"))
    loopback.serve("/token", (400, {}, json.dumps({"error": "invalid_grant", "error_description": key_pem}).encode()))
    with pytest.raises(SourceError, match=r"did not take the credentials.*RefreshError") as caught:
        fetch(_ask(loopback), fetcher)
    assert "PRIVATE KEY" not in str(caught.value)


def test_credentials_that_are_none(loopback: Loopback, fetcher: Fetcher, tmp_path: Path) -> None:
    (tmp_path / "account.json").write_text("{", encoding="utf-8")
    with pytest.raises(SourceError, match="gcloud auth application-default login"):
        fetch(_ask(loopback), fetcher)


def test_the_library_is_not_installed(loopback: Loopback, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.auth", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tightrope\[gcp\]'"):
        fetch(_ask(loopback), fetcher)


# -------------------------------------------------------------------------------------------------------------- the price book


@pytest.fixture
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep refreshed prices in a folder of the test."""
    monkeypatch.setenv("TIGHTROPE_PRICES", str(tmp_path / "prices"))


@pytest.mark.usefixtures("_cache")
@pytest.mark.parametrize("version", ["", "/v2beta"])
def test_the_book_is_refreshed(loopback: Loopback, version: str) -> None:
    serve(loopback, [*facts("us-central1"), *decoys("us-central1")])
    done = refresh("gcp", ["us-central1"], endpoint=loopback.url + version)
    assert done.rows > 300
    row = load_price_book().find("g2-standard-4", "us-central1", ON_DEMAND)
    assert row
    assert (row.usd_per_hour, row.zones) == (Decimal("0.708"), 3)
    assert load_price_book().find("g2-standard-4", "europe-west4", ON_DEMAND)


@pytest.mark.usefixtures("_cache")
def test_a_shrunken_list_is_refused(loopback: Loopback) -> None:
    serve(loopback, [fact for fact in facts("us-central1") if "E2" not in fact.description and "N2" not in fact.description])
    with pytest.raises(SourceError, match="look wrong, nothing was changed"):
        refresh("gcp", ["us-central1"], endpoint=loopback.url)
    row = load_price_book().find("g2-standard-4", "us-central1", ON_DEMAND)
    assert row
    assert row.usd_per_hour == Decimal("0.706832255")


def test_machines_keep_their_memory_to_the_gibibyte(loopback: Loopback, fetcher: Fetcher) -> None:
    serve(loopback, facts("us-central1"))
    odd: MachineType = replace(MACHINES["e2-standard-2"], memory_gib=7.5)
    usd = _usd(fetch(replace(_ask(loopback), machines={odd.name: odd}), fetcher))
    assert usd["e2-standard-2", "us-central1", ON_DEMAND] == 2 * Decimal("0.025") + Decimal("7.5") * Decimal("0.003")
