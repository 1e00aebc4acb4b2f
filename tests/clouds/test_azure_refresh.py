"""Azure's importer against a server that speaks as Azure's does, and against items that no price list should hold."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.clouds import azure_server
from tests.clouds.azure_server import Item, containers, every_item_of, item, transfer, unit_item
from tests.clouds.loopback import Loopback

from tightrope.base.catalogue import Catalogue, PriceRow, UnitPrice
from tightrope.base.errors import SourceError
from tightrope.clouds import azure
from tightrope.clouds.azure import refresh as azure_refresh
from tightrope.clouds.azure.meters import quotes
from tightrope.clouds.azure.refresh import fetch
from tightrope.clouds.azure.units import unit_prices
from tightrope.clouds.book import load_price_book
from tightrope.clouds.downloads import Fetcher
from tightrope.clouds.refresh import RefreshQuery, refresh

TODAY = date(2026, 11, 25)
T4 = "Standard_NC4as_T4_v3"
MACHINES = {machine.name: machine for machine in azure.CLOUD.catalogue().machines}


@pytest.fixture
def fetcher(tmp_path: Path) -> Fetcher:
    """Return a fetcher that does not wait."""
    return Fetcher(tmp_path / "work", sleep=lambda _: None)


@pytest.fixture
def get(loopback: Loopback, fetcher: Fetcher) -> Callable[..., Catalogue]:
    """Return a function that fetches what the server has of East US (or of other regions)."""

    def fetched(*items: Item, regions: tuple[str, ...] = ("eastus",)) -> Catalogue:
        azure_server.serve(loopback, items)
        return fetch(RefreshQuery(regions, MACHINES, TODAY, loopback.url), fetcher)

    return fetched


def _usd(catalogue: Catalogue) -> dict[tuple[str, str], Decimal]:
    return {(row.machine, row.offer): row.usd_per_hour for row in catalogue.prices}


def _noted(fetcher: Fetcher, text: str) -> bool:
    return any(text in note for note in fetcher.notes)


def test_of_a_machines_dozen_items_six_are_its_prices(get: Callable[..., Catalogue], fetcher: Fetcher) -> None:
    catalogue = get(*every_item_of(T4, 0.526))
    assert _usd(catalogue) == {
        (T4, "on-demand"): Decimal("0.526"),
        (T4, "spot"): Decimal("0.1315"),
        (T4, "reserved-1y"): Decimal("0.31564"),  # 2765 / 8760, rounded up
        (T4, "reserved-3y"): Decimal("0.21039"),  # 5529 / 26280
        (T4, "savings-plan-1y"): Decimal("0.3682"),
        (T4, "savings-plan-3y"): Decimal("0.263"),
    }
    assert {(row.cloud, row.region, row.basis, row.seen, row.upfront_usd) for row in catalogue.prices} == {
        ("azure", "eastus", "list", TODAY, 0)
    }
    for reason in ("3 prices left out: Windows", "1 price left out: Low Priority", "2 prices left out: Cloud Services"):
        assert _noted(fetcher, reason)
    assert _noted(fetcher, "reservation of 5 Years")


def test_a_list_goes_on_over_pages(get: Callable[..., Catalogue], loopback: Loopback) -> None:
    many = [each for name in MACHINES for each in every_item_of(name, 1.0)]
    catalogue = get(*many)
    assert {row.machine for row in catalogue.prices} == set(MACHINES)
    assert len(catalogue.prices) == 6 * len(MACHINES)
    consumption = [path for path in loopback.requests if "Virtual%20Machines" in path and "Consumption" in path]
    assert len(consumption) == 2
    assert "$skip=1000" in consumption[1]


def test_a_mirrors_own_links_are_followed(loopback: Loopback, fetcher: Fetcher) -> None:
    items = [each for name in MACHINES for each in every_item_of(name, 1.0)]
    azure_server.serve(loopback, items, f"{loopback.url}{azure_server.PATH}")
    assert len(fetch(RefreshQuery(("eastus",), MACHINES, TODAY, loopback.url), fetcher).prices) == 6 * len(MACHINES)


@pytest.mark.parametrize(
    "link",
    [
        "https://prices.azure.com.example/api/retail/prices?$skip=1000",
        "http://prices.azure.com/api/retail/prices?$skip=1000",
        "https://prices.azure.com:8443/api/retail/prices?$skip=1000",
        "https://prices.azure.com/other?$skip=1000",
        "https://user:secret@prices.azure.com.example/api/retail/prices?$skip=1000",
        "file:///api/retail/prices",
        7,
    ],
)
def test_a_link_elsewhere_is_refused(loopback: Loopback, fetcher: Fetcher, link: object) -> None:
    loopback.serve(azure_server.PATH, json.dumps({"Items": [item(T4, 0.526)], "NextPageLink": link}))
    with pytest.raises(SourceError, match=r"a next page at https://prices\.azure\.com") as error:
        fetch(RefreshQuery(("eastus",), MACHINES, TODAY, loopback.url), fetcher)
    assert "secret" not in str(error.value)


def test_throttled_failing_and_cut_it_goes_on(get: Callable[..., Catalogue], loopback: Loopback) -> None:
    loopback.fail(azure_server.PATH, 429, retry_after="1")
    loopback.fail(azure_server.PATH, 503, 500)
    loopback.cut(azure_server.PATH, 50, 100)
    assert _usd(get(*every_item_of(T4, 0.526)))[T4, "on-demand"] == Decimal("0.526")
    assert len(loopback.requests) == 4 + 5


def test_what_came_is_not_asked_for_again(loopback: Loopback, tmp_path: Path) -> None:
    azure_server.serve(loopback, [each for name in MACHINES for each in every_item_of(name, 1.0)])
    ask = RefreshQuery(("eastus",), MACHINES, TODAY, loopback.url)
    first = fetch(ask, Fetcher(tmp_path, sleep=lambda _: None))
    asked = len(loopback.requests)
    assert fetch(ask, Fetcher(tmp_path, sleep=lambda _: None)) == first
    assert len(loopback.requests) == asked


def test_without_a_mirror_the_next_page_is_microsofts() -> None:
    ask = RefreshQuery(("eastus",), MACHINES, TODAY)
    link = "https://prices.azure.com:443/api/retail/prices?api-version=x&$filter=a eq 'b c'&$skip=1000"
    plain = "https://prices.azure.com/api/retail/prices?api-version=x&$filter=a%20eq%20'b%20c'&$skip=1000"
    assert azure_refresh._following(ask, {"NextPageLink": link}) == plain
    assert azure_refresh._following(ask, {"NextPageLink": plain}) == plain
    assert azure_refresh._following(ask, {"NextPageLink": None}) is None
    assert azure_refresh._following(ask, {}) is None
    assert azure_refresh._url(ask, "eastus", "Bandwidth", "Consumption").startswith("https://prices.azure.com/api/retail/prices?")


def test_prices_are_exact(get: Callable[..., Catalogue]) -> None:
    assert str(_usd(get(item(T4, 0.1 + 0.2)))[T4, "on-demand"]) == "0.30000000000000004"


def test_regions_are_asked_one_by_one(get: Callable[..., Catalogue]) -> None:
    catalogue = get(*every_item_of(T4, 0.526), *every_item_of(T4, 0.615, "uksouth"), regions=("eastus", "uksouth"))
    prices = {row.region: row.usd_per_hour for row in catalogue.prices if row.offer == "on-demand"}
    assert prices == {"eastus": Decimal("0.526"), "uksouth": Decimal("0.615")}


def test_names_are_matched_however_they_are_written(get: Callable[..., Catalogue]) -> None:
    assert _usd(get(item(T4.upper(), 0.526))) == {(T4, "on-demand"): Decimal("0.526")}


def test_other_machines_are_counted(get: Callable[..., Catalogue], fetcher: Fetcher) -> None:
    others = [item("Standard_D192s_v6", 9.0), item("Standard_M16ms", 3.0), item("Standard_M8ms", 2.0), item("", 1.0)]
    assert get(item(T4, 0.526), item(T4, 0.6, armSkuName=None), *others).prices[0].machine == T4
    assert _noted(fetcher, "1 sizes of known series are not described: Standard_D192s_v6")
    assert _noted(fetcher, "2 sizes of series that the book does not have")


@pytest.mark.parametrize(
    ("beside", "expected"),
    [
        ({"retailPrice": 0.9, "isPrimaryMeterRegion": False}, "0.526"),
        ({"retailPrice": 0.6, "effectiveStartDate": "2024-01-01T00:00:00Z"}, "0.6"),
        ({"retailPrice": 0.9, "effectiveStartDate": "2026-11-26T00:00:00Z"}, "0.526"),
        ({"retailPrice": 0.9, "effectiveEndDate": "2026-11-24T00:00:00Z"}, "0.526"),
        ({"retailPrice": 0.4}, "0.526"),
        ({"retailPrice": 0.7}, "0.7"),
        ({"retailPrice": 0.9, "tierMinimumUnits": 100.0}, "0.526"),
        ({"retailPrice": 0.9, "skuName": "NC4as T4 v3 - Expired"}, "0.526"),
        ({"retailPrice": 0.9, "productName": "Virtual Machines NCasT4 v3 Series Windows"}, "0.526"),
        ({"retailPrice": 0.9, "productName": "NCasT4 v3 Series CloudServices"}, "0.526"),
        ({"retailPrice": 0.9, "unitOfMeasure": "100 Hours"}, "0.526"),
    ],
    ids=["primary", "newer", "not yet", "no more", "cheaper", "more expensive", "tier", "expired", "windows", "services", "unit"],
)
@pytest.mark.parametrize("first", [True, False])
def test_of_two_prices_one_counts(
    get: Callable[..., Catalogue], fetcher: Fetcher, beside: Item, expected: str, first: bool
) -> None:
    pair = [item(T4, 0.526), item(T4, 0) | beside]
    catalogue = get(*(pair if first else reversed(pair)))
    assert _usd(catalogue) == {(T4, "on-demand"): Decimal(expected)}
    assert _noted(fetcher, "1 price left out")


E4 = "Standard_E4as_v5"


@pytest.mark.parametrize(
    "beside",
    [
        {"productName": "Easv5 Series CloudServices"},
        {"productName": "Easv5 Series Cloud Services"},
        {"productName": "Easv5 Series cloud-services"},
        {"productName": "Virtual Machines Easv5 series Windows"},
        {"productName": "Virtual Machines Easv5 Series WINDOWS"},
        {"productName": "Easv5 Series DedicatedHost"},
        {"productName": "Easv5 Series Dedicated Host"},
        {"productName": "Virtual Machines Easv5 promo Series"},
        {"productName": "Virtual Machines Easv5 Series Basic"},
        {"productName": "Easv5 Series Confidential Something"},
        {"productName": "Red Hat Enterprise Linux"},
        {"productName": "SQL Server Enterprise"},
        {"productName": "Ubuntu Pro"},
        {"productName": "Virtual Machines Linux"},
        {"skuName": "E4as v5 LowPriority"},
        {"skuName": "E4as v5 low priority"},
        {"meterName": "E4as v5 Low Priority"},
    ],
    ids=lambda beside: " ".join(beside.values()),
)
@pytest.mark.parametrize("alone", [True, False])
def test_what_is_no_linux_machine_is_known_however_it_is_written(
    get: Callable[..., Catalogue], fetcher: Fetcher, beside: Item, alone: bool
) -> None:
    other = item(E4, 0.41, effectiveStartDate="2026-01-01T00:00:00Z") | beside
    catalogue = get(other) if alone else get(item(E4, 0.226), other)
    assert _usd(catalogue) == ({} if alone else {(E4, "on-demand"): Decimal("0.226")})
    assert _noted(fetcher, "1 price left out")


@pytest.mark.parametrize("names", [{"skuName": "E4as v5 spot"}, {"skuName": "E4as v5Spot"}, {"meterName": "E4as v5 Spot"}])
def test_spot_is_known_however_it_is_written(get: Callable[..., Catalogue], names: Item) -> None:
    found = _usd(get(item(E4, 0.226), item(E4, 0.05) | names))
    assert found == {(E4, "on-demand"): Decimal("0.226"), (E4, "spot"): Decimal("0.05")}


def test_of_several_products_none_is_chosen(get: Callable[..., Catalogue], fetcher: Fetcher) -> None:
    other = item(E4, 0.41, productName="Virtual Machines Newsv9 Series", effectiveStartDate="2026-01-01T00:00:00Z")
    assert _usd(get(item(E4, 0.226), other, item(T4, 0.526))) == {(T4, "on-demand"): Decimal("0.526")}
    assert _noted(fetcher, "2 prices left out: of one machine by several products")


def test_several_products_may_have_one_price(get: Callable[..., Catalogue]) -> None:
    same = item(E4, 0.226, productName="Virtual Machines Newsv9 Series")
    assert _usd(get(item(E4, 0.226), same)) == {(E4, "on-demand"): Decimal("0.226")}


def test_one_product_may_be_written_in_two_ways(get: Callable[..., Catalogue]) -> None:
    newer = item(E4, 0.23, productName="Easv5 series Linux", effectiveStartDate="2026-01-01T00:00:00Z")
    assert _usd(get(item(E4, 0.226), newer)) == {(E4, "on-demand"): Decimal("0.23")}


def test_a_reservations_hour_is_rounded_up(get: Callable[..., Catalogue]) -> None:
    machine = "Standard_NC48ads_A100_v4"
    term = item(machine, 42066.0, type="Reservation", reservationTerm="1 Year")
    assert _usd(get(item(machine, 7.346), term))[machine, "reserved-1y"] == Decimal("4.80206")


def test_what_costs_no_less_than_on_demand_is_no_offer(get: Callable[..., Catalogue], fetcher: Fetcher) -> None:
    catalogue = get(item(T4, 0.526), item(T4, 0.526, skuName="NC4as T4 v3 Spot"))
    assert set(_usd(catalogue)) == {(T4, "on-demand")}
    assert _noted(fetcher, "spot that costs no less than on-demand")


def test_nothing_stands_without_on_demand(get: Callable[..., Catalogue], fetcher: Fetcher) -> None:
    assert not get(item(T4, 0.1, skuName="NC4as T4 v3 Spot")).prices
    assert _noted(fetcher, "without an on-demand price")


@pytest.mark.parametrize("usd", [0, 0.0, -1, -0.5, 1e30, 1001, 10**40, 1e-12])
def test_no_sensible_price_is_no_price(get: Callable[..., Catalogue], fetcher: Fetcher, usd: float) -> None:
    assert not get(item(T4, usd)).prices
    assert _noted(fetcher, "no sensible price")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"currencyCode": "EUR"}, "currencyCode"),
        ({"armRegionName": "westus"}, "armRegionName"),
        ({"retailPrice": "0.526"}, "retailPrice"),
        ({"retailPrice": None}, "retailPrice"),
        ({"retailPrice": True}, "retailPrice"),
        ({"type": "Promotion"}, "type"),
        ({"effectiveStartDate": "yesterday"}, "effectiveStartDate"),
        ({"isPrimaryMeterRegion": "yes"}, "isPrimaryMeterRegion"),
        ({"savingsPlan": {}}, "savingsPlan"),
        ({"savingsPlan": [7]}, "savingsPlan"),
        ({"savingsPlan": [{"term": "1 Year"}]}, "retailPrice"),
        ({"type": "Reservation"}, "reservationTerm"),
    ],
)
def test_items_of_another_shape_are_refused(loopback: Loopback, fetcher: Fetcher, change: dict[str, object], named: str) -> None:
    wrong = item(T4, 0.526) | change
    loopback.serve(azure_server.PATH, json.dumps({"Items": [wrong]}))
    with pytest.raises(SourceError, match=f"Virtual Machines in eastus, Consumption: {T4}: .*{named}"):
        fetch(RefreshQuery(("eastus",), MACHINES, TODAY, loopback.url), fetcher)


@pytest.mark.parametrize(
    "key",
    [
        "armSkuName",
        "armRegionName",
        "currencyCode",
        "productName",
        "skuName",
        "meterName",
        "type",
        "unitOfMeasure",
        "tierMinimumUnits",
        "retailPrice",
        "effectiveStartDate",
        "isPrimaryMeterRegion",
    ],
)
def test_a_missing_key_is_named(loopback: Loopback, fetcher: Fetcher, key: str) -> None:
    wrong = azure_server.changed(item(T4, 0.526), lambda each: each.pop(key))
    loopback.serve(azure_server.PATH, json.dumps({"Items": [wrong]}))
    with pytest.raises(SourceError, match=key):
        fetch(RefreshQuery(("eastus",), MACHINES, TODAY, loopback.url), fetcher)


@pytest.mark.parametrize("page", [[], "text", 7, {}, {"Items": None}, {"Items": {}}, {"Items": [1]}, {"items": []}])
def test_pages_of_another_shape_are_refused(loopback: Loopback, fetcher: Fetcher, page: object) -> None:
    loopback.serve(azure_server.PATH, json.dumps(page))
    with pytest.raises(SourceError, match="another shape"):
        fetch(RefreshQuery(("eastus",), MACHINES, TODAY, loopback.url), fetcher)


def test_an_empty_list_is_no_price(get: Callable[..., Catalogue]) -> None:
    assert get() == Catalogue()


# ---------------------------------------------------------------------------------------------------------- unit prices


def _units(catalogue: Catalogue) -> dict[tuple[str, Decimal], Decimal]:
    return {(row.item, row.above): row.usd for row in catalogue.unit_prices}


def test_unit_prices(get: Callable[..., Catalogue], fetcher: Fetcher) -> None:
    assert _units(get(*transfer(), *containers())) == {
        ("internet-egress", 100): Decimal("0.087"),
        ("internet-egress", 10_100): Decimal("0.083"),
        ("internet-egress", 50_100): Decimal("0.07"),
        ("internet-egress", 150_100): Decimal("0.05"),
        ("inter-region-transfer", 0): Decimal("0.02"),
        ("inter-zone-transfer", 0): Decimal("0.01"),
        ("container-cpu", 0): Decimal("0.0405"),
        ("container-memory", 0): Decimal("0.00445"),
    }
    assert not fetcher.notes


def test_unit_prices_are_words_of_the_book(get: Callable[..., Catalogue]) -> None:
    book = load_price_book()
    for row in get(*transfer(), *containers()).unit_prices:
        assert row.unit == book.unit_price("azure", "eastus", row.item).unit


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tierMinimumUnits": 10240}, "tiers from 100, 10240"),
        ({"retailPrice": 0.0}, "no sensible price"),
        ({"retailPrice": -1}, "no sensible price"),
        ({"retailPrice": 1e30}, "no sensible price"),
        ({"unitOfMeasure": "1 TB"}, "no sensible price"),
    ],
)
def test_tiers_that_are_others_are_left_out(get: Callable[..., Catalogue], fetcher: Fetcher, change: Item, said: str) -> None:
    wrong = [each | change if each["tierMinimumUnits"] == 10100 else each for each in transfer()]
    assert "internet-egress" not in {item for item, _ in _units(get(*wrong))}
    assert _noted(fetcher, f"internet-egress in eastus left out: {said}")


def test_a_unit_price_that_does_not_hold_yet_is_none(get: Callable[..., Catalogue]) -> None:
    later = [each | {"effectiveStartDate": "2027-01-01T00:00:00Z"} for each in containers()]
    assert not get(*later).unit_prices


# ------------------------------------------------------------------------------------------------ whatever prices may be

ODD = st.one_of(
    st.sampled_from([0, -1, True, None, "0.5", "", [], Decimal("NaN"), Decimal("-Infinity"), Decimal("sNaN"), Decimal("1E+30")]),
    st.integers(-(10**40), 10**40),
    st.decimals(allow_nan=True, allow_infinity=True),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(max_size=5),
)


def _mutated(base: Item, key: str, value: object, missing: bool) -> Item:
    return azure_server.changed(base, lambda each: each.pop(key) if missing else each.__setitem__(key, value))


@settings(deadline=None)
@given(st.sampled_from(list(every_item_of(T4, 0.526))), st.sampled_from(["retailPrice", "unitPrice"]), ODD, st.booleans())
def test_no_price_makes_a_senseless_quote(base: Item, key: str, value: object, missing: bool) -> None:
    exact: dict[str, Any] = json.loads(json.dumps(base), parse_float=Decimal)
    try:
        found = list(quotes(_mutated(exact, key, value, missing), T4, TODAY, Counter(), "here"))
    except SourceError:
        return
    assert all(quote.usd_per_hour.is_finite() and 0 < quote.usd_per_hour <= 1000 for quote in found)


def test_development_prices_are_none() -> None:
    left_out = Counter[str]()
    priced = item(T4, Decimal("0.4"), type="DevTestConsumption")
    assert not list(quotes(priced, T4, TODAY, left_out, "here"))
    assert left_out == {"DevTest": 1}


@settings(deadline=None)
@given(ODD, st.sampled_from(["1 Year", "3 Years", "5 Years"]))
def test_no_savings_plan_makes_a_senseless_quote(value: object, term: str) -> None:
    base = item(T4, Decimal("0.526"), tierMinimumUnits=0, savingsPlan=[{"term": term, "retailPrice": value}])
    try:
        found = list(quotes(base, T4, TODAY, Counter(), "here"))
    except SourceError:
        return
    assert found[0].offer == "on-demand"
    assert all(quote.usd_per_hour.is_finite() and 0 < quote.usd_per_hour <= 1000 for quote in found)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0, 100, 10100, 50100, 150100]), ODD), min_size=1, max_size=8))
def test_no_unit_price_is_senseless(tiers: list[tuple[int, object]]) -> None:
    items = [
        unit_item("Bandwidth", "Rtn Preference: MGN", name, "1 GB", usd, tierMinimumUnits=above)
        for above, usd in tiers
        for name in ("Standard Data Transfer Out", "Standard Inter-Region Data Transfer")
    ]
    try:
        found = list(unit_prices(items, "Bandwidth", "eastus", TODAY, "here"))
    except SourceError:
        return
    assert all(row.usd.is_finite() and 0 < row.usd < 100 for row in found if isinstance(row, UnitPrice))


# ---------------------------------------------------------------------------------------------------- the whole refresh


def test_the_book_takes_what_was_fetched(loopback: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIGHTROPE_PRICES", str(tmp_path))
    book = load_price_book()
    known = [row for row in book.rows.values() if (row.cloud, row.region, row.offer) == ("azure", "eastus", "on-demand")]
    azure_server.serve(loopback, [each for row in known for each in every_item_of(row.machine, float(row.usd_per_hour))])
    refreshed = refresh("azure", ["eastus"], endpoint=loopback.url)
    assert refreshed.rows == 6 * len(known)
    after = load_price_book()

    def found(machine: str, offer: str) -> PriceRow:
        row = after.find(machine, "eastus", offer)
        assert row
        return row

    assert found(T4, "savings-plan-1y").usd_per_hour == Decimal("0.3682")
    assert found(T4, "spot").usd_per_hour == Decimal("0.1315")
    assert found(T4, "reserved-3y").basis == "list"
    assert found(T4, "on-demand").usd_per_hour == Decimal("0.526")
    assert found("Standard_D4s_v5", "on-demand").zones == 3
