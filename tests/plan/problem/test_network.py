"""What moves and what stands around machines, at prices made by hand: every item by its own arithmetic, and the tiers to the dollar."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.small_workload import constant_lines

from tightrope.base.catalogue import PriceRow, UnitPrice
from tightrope.base.places import Infrastructure, WherePolicy
from tightrope.base.plan import BillLine
from tightrope.base.records import Workload
from tightrope.clouds.book import PriceBook
from tightrope.clouds.validity import Key
from tightrope.plan.bill.transfer_bill import TransferBill, around_as_ran_usd, count_served
from tightrope.plan.problem.cost_lines import build_network_lines, total_usd
from tightrope.plan.problem.network import Around, Place, around, items_of, mean_usd_per_gb, tiered_usd
from tightrope.replay.records import ANSWERED, CACHED, SHED, Outcome, Traffic

EAST, WEST, CELLAR = Place("aws", "us-east-1"), Place("gcp", "west"), Place("owned", "cellar")
GB = 1e9
LCU_REQUESTS = 25.0 * 3600.0


def row(place: Place, item: str, unit: str, usd: str, above: int = 0) -> UnitPrice:
    return UnitPrice(place.cloud, place.region, item, unit, Decimal(usd), "list", "by hand", date(2026, 1, 1), Decimal(above))


ROWS = (
    row(EAST, "internet-egress", "GB", "0.09", 100),
    row(EAST, "internet-egress", "GB", "0.05", 1100),
    row(EAST, "inter-zone-transfer", "GB each way", "0.01"),
    row(EAST, "inter-region-transfer", "GB", "0.02"),
    row(EAST, "load-balancer", "hour", "0.02"),
    row(EAST, "load-balancer-traffic", "LCU-hour", "0.008"),
    row(EAST, "nat-gateway", "hour", "0.04"),
    row(EAST, "nat-gateway-traffic", "GB", "0.045"),
    row(EAST, "kubernetes-control-plane", "hour", "0.1"),
    row(EAST, "object-storage", "GB-month", "0.02"),
    row(WEST, "internet-egress", "GiB", "0.12"),
    row(EAST, "cdn-egress", "GB", "0.085", 1024),
    row(EAST, "cdn-requests", "million requests", "1", 10),
    row(WEST, "inter-zone-transfer", "GiB sent", "0.01"),
)


def sold_in(book: PriceBook, cloud: str, region: str) -> dict[Key, PriceRow]:
    """Return a price that makes a region known."""
    price = next(iter(book.rows.values()))
    return {(price.machine, region, price.offer): replace(price, cloud=cloud, region=region)}


@pytest.fixture(scope="session")
def hand_book(book: PriceBook) -> PriceBook:
    """Return a book whose unit prices are ``ROWS`` and no others."""
    tiers: dict[tuple[str, str, str], tuple[UnitPrice, ...]] = {}
    for one in ROWS:
        key = (one.cloud, one.region, one.item)
        tiers[key] = (*tiers.get(key, ()), one)
    return replace(book, unit_tiers=tiers, rows={**book.rows, **sold_in(book, "gcp", "west")})


@pytest.fixture
def surrounding(workload: Workload, hand_book: PriceBook) -> Callable[..., Around]:
    """Return a function: one interactive class that sends and brings so many bytes, a million requests of it a month."""

    def make(sent: float, brought: float = 0.0, place: Place | None = None, **stated: object) -> Around:
        web = replace(
            workload.classes[0],
            egress_bytes_per_request=sent,
            ingress_bytes_per_request=brought,
            place=(place.cloud, place.region) if place else None,
        )
        where = WherePolicy({"aws": ("us-east-1",), "gcp": ("west",)}, (), {})
        infrastructure = Infrastructure(**{"load_balancer": False, "control_plane": False} | stated)  # type: ignore[arg-type]
        return Around(replace(workload, classes=(web,), where=where, infrastructure=infrastructure), hand_book, {"web": 1e6})

    return make


@given(units=st.floats(0.0, 5000.0), more=st.floats(0.0, 5000.0))
def test_tiers_add_up_and_never_fall(units: float, more: float) -> None:
    tiers = ROWS[:2]
    by_hand = 0.09 * max(0.0, min(units, 1100.0) - 100.0) + 0.05 * max(0.0, units - 1100.0)
    assert tiered_usd(tiers, units) == pytest.approx(by_hand)
    assert tiered_usd(tiers, units + more) >= tiered_usd(tiers, units) - 1e-9


def test_a_mean_price_times_its_volume_is_the_tiered_sum() -> None:
    assert mean_usd_per_gb(ROWS[:2], 2100.0) * 2100.0 == pytest.approx(0.09 * 1000 + 0.05 * 1000)
    assert mean_usd_per_gb(ROWS[:2], 0.0) == 0.09
    gib = 2.0**30 / 1e9
    assert mean_usd_per_gb(ROWS[10:11], 7.0) == pytest.approx(0.12 / gib)


def test_egress_is_free_up_to_its_first_tier(surrounding: Callable[..., Around]) -> None:
    def sent_usd(sent: float) -> float:
        made = surrounding(sent)
        return sum(made.request_usd(made.workload.classes[0], EAST).values()) * 1e6

    assert sent_usd(100e3) == 0.0  # 100 GB
    assert sent_usd(1.1e6) == pytest.approx(90.0)
    assert sent_usd(2.1e6) == pytest.approx(140.0)


def test_a_load_balancer_counts_connections_or_bytes_whichever_is_more(surrounding: Callable[..., Around]) -> None:
    light = surrounding(1e3, load_balancer=True)
    found = light.request_usd(light.workload.classes[0], EAST)
    assert found[EAST, "load-balancer-traffic"] == pytest.approx(0.008 / LCU_REQUESTS)
    heavy = surrounding(0.5 * GB, 0.5 * GB, load_balancer=True)
    assert heavy.request_usd(heavy.workload.classes[0], EAST)[EAST, "load-balancer-traffic"] == pytest.approx(0.008)


def test_traffic_between_zones_is_paid_on_both_sides_where_the_seller_says_so(surrounding: Callable[..., Around]) -> None:
    made = surrounding(0.3 * GB, 0.1 * GB, cross_zone_share=0.5)
    web = made.workload.classes[0]
    assert made.request_usd(web, EAST)[EAST, "inter-zone-transfer"] == pytest.approx(2 * 0.01 * 0.2)
    assert made.request_usd(web, WEST)[WEST, "inter-zone-transfer"] == pytest.approx(0.01 * 0.2 * GB / 2.0**30)


def test_a_gateway_is_paid_by_the_hour_and_by_what_goes_through(surrounding: Callable[..., Around]) -> None:
    made = surrounding(0.0, nat_gateways=2, nat_bytes_per_request=1e6)
    lines = {line.offer: line.usd for line in made.lines({"web": {EAST: 1e6}}, {EAST})}
    assert lines == {"nat-gateway": pytest.approx(2 * 0.04 * 730), "nat-gateway-traffic": pytest.approx(1000 * 0.045)}


def test_what_is_answered_elsewhere_crosses_over_and_back(surrounding: Callable[..., Around]) -> None:
    """Bytes are paid for by the side that sends them: the request by the entry, the answer by both."""
    other = Place("aws", "us-west-9")
    made = surrounding(0.002 * GB, 0.001 * GB, EAST)
    rows = {
        **made.book.unit_tiers,
        (*("aws", "us-west-9"), "inter-region-transfer"): (row(other, "inter-region-transfer", "GB", "0.03"),),
    }
    book = replace(made.book, unit_tiers=rows, rows={**made.book.rows, **sold_in(made.book, "aws", "us-west-9")})
    far = replace(made, book=book).request_usd(made.workload.classes[0], other)
    egress = 0.002 * mean_usd_per_gb(ROWS[:2], 2000.0)
    assert far == {
        (EAST, "internet-egress"): pytest.approx(egress),
        (EAST, "inter-region-transfer"): pytest.approx(0.001 * 0.02),
        (other, "inter-region-transfer"): pytest.approx(0.002 * 0.03),
    }
    assert made.request_usd(made.workload.classes[0], EAST) == {(EAST, "internet-egress"): pytest.approx(egress)}


def test_between_regions_without_a_price_the_internets_is_paid(surrounding: Callable[..., Around]) -> None:
    """Unknown is not zero: the other side has a price to the internet alone, and pays that for the answers that it sends over."""
    other = Place("aws", "us-west-9")
    made = surrounding(0.002 * GB, 0.001 * GB, EAST)
    rows = {**made.book.unit_tiers, ("aws", "us-west-9", "internet-egress"): (row(other, "internet-egress", "GB", "0.11"),)}
    book = replace(made.book, unit_tiers=rows, rows={**made.book.rows, **sold_in(made.book, "aws", "us-west-9")})
    far = replace(made, book=book)
    assert far.request_usd(made.workload.classes[0], other)[other, "internet-egress"] == pytest.approx(0.002 * 0.11)
    assert far.list_missing_prices({"web": {other: 1.0}}, set()) == []
    without = replace(far, book=replace(book, unit_tiers=made.book.unit_tiers))
    assert without.list_missing_prices({"web": {other: 1.0}}, set()) == [
        "no price of internet-egress of aws us-west-9 is known: not in the bill"
    ]


def test_a_price_that_is_not_known_is_named(surrounding: Callable[..., Around]) -> None:
    made = surrounding(1e6, load_balancer=True, control_plane=True)
    assert made.list_missing_prices({"web": {EAST: 1.0}}, {EAST}) == []
    said = made.list_missing_prices({"web": {WEST: 1.0}}, {WEST})
    missing = "kubernetes-control-plane, load-balancer, load-balancer-traffic, object-storage"
    assert said == [f"no price of {missing} of gcp west is known: not in the bill"]
    assert made.list_missing_prices({"web": {CELLAR: 1.0}}, {CELLAR}) == []


def test_regions_stand_as_they_are_used(surrounding: Callable[..., Around]) -> None:
    made = surrounding(0.0, load_balancer=True, control_plane=True)
    assert made.standing_usd({EAST}, {EAST}) == {
        (EAST, "load-balancer"): pytest.approx(0.02 * 730),
        (EAST, "kubernetes-control-plane"): pytest.approx(0.1 * 730),
    }
    assert made.standing_usd(set(), {EAST}) == {(EAST, "load-balancer"): pytest.approx(0.02 * 730)}


def test_a_service_of_another_seller_is_entered_through_our_own_door(surrounding: Callable[..., Around]) -> None:
    made = surrounding(1e6)
    assert made.entry(made.workload.classes[0], Place("openai", "")) == EAST


def test_the_bill_is_the_sum_of_its_requests_and_of_what_stands(surrounding: Callable[..., Around], workload: Workload) -> None:
    made = surrounding(2e6, 1e6, load_balancer=True, control_plane=True, cross_zone_share=0.3)
    lines = build_network_lines(workload, made, {"web": {EAST: 6e5, WEST: 4e5}}, {EAST: {"big/int8"}, WEST: set()})
    web = made.workload.classes[0]
    moved = sum(count * sum(made.request_usd(web, place).values()) for place, count in ((EAST, 6e5), (WEST, 4e5)))
    standing = sum(made.standing_usd({EAST, WEST}, {EAST, WEST}).values())
    size_gb = next(variant.size_bytes for variant in workload.variants if variant.name == "big/int8") / GB
    assert total_usd(lines) == pytest.approx(moved + standing + 0.02 * size_gb)


def test_work_that_waits_needs_no_load_balancer(workload: Workload, book: PriceBook) -> None:
    made = around(workload, book)
    night = next(item for item in workload.classes if item.deferral is not None)
    assert not any(item == "load-balancer-traffic" for _, item in made.request_usd(night, EAST))


def test_today_and_the_plan_are_billed_for_the_same(workload: Workload, book: PriceBook) -> None:
    drivers = {line.driver for line in constant_lines(workload, book, {"big/int8"}, "aws", "us-east-1")}
    assert drivers == {"egress", "network", "control plane", "storage"}


def answered(*pools: int, kinds: tuple[int, ...] = (), ended: tuple[int, ...] = ()) -> Outcome:
    """Return an outcome of which only matters which pool answered each request, whose it was and how it ended."""
    count, zeros = len(pools), np.zeros(len(pools))
    whole = np.array(kinds or (0,) * count, dtype=np.int64)
    traffic = Traffic(zeros, whole, whole, whole)
    how = np.array(ended or (ANSWERED,) * count)
    return Outcome(
        traffic,
        zeros,
        zeros,
        np.array(pools),
        np.zeros((2, 1)),
        zeros,
        interruptions=0,
        retries=0,
        begin_s=zeros,
        ended=how,
        prefix_tokens=zeros,
    )


def test_what_was_answered_counts_where_it_was_and_what_was_kept_beside_it() -> None:
    hour_s, hours = 3600.0, 730.0
    outcomes = [
        answered(0, 0, 1, -1, -1, 1, ended=(ANSWERED, ANSWERED, ANSWERED, CACHED, SHED, ANSWERED), kinds=(0, 0, 0, 0, 0, 1)),
        answered(0, 0, 1, -1, ended=(ANSWERED, ANSWERED, ANSWERED, CACHED)),
    ]
    # of six answered and two kept, four in the east; half of one a replay for the other class
    served = count_served(("web", "night"), (EAST, WEST), outcomes, hour_s)
    assert served["web"] == {EAST: pytest.approx(hours * 4 * 2 / 3), WEST: pytest.approx(hours * 4 / 3)}
    assert served["night"] == {WEST: pytest.approx(hours * 0.5)}
    # where the cache has answered all, it stands with the first pool
    kept = answered(-1, -1, ended=(CACHED, CACHED))
    assert count_served(("web",), (WEST, EAST), [kept], hour_s) == {"web": {WEST: pytest.approx(2 * hours)}}
    assert count_served(("web",), (EAST,), [answered(-1, ended=(SHED,))], hour_s) == {"web": {}}


def test_a_replay_moves_what_the_plan_moves(surrounding: Callable[..., Around]) -> None:
    """Requests come in where the class says, not where they are answered: both sides pay, at the tiers of a month like it."""
    made = surrounding(2e6, 5e5, EAST, load_balancer=True)
    # 730 hours like this one have 1,000 requests each: 1,460 GB leave from the east, of which 1,360 are paid for
    outcome = answered(*(0,) * 600, *(1,) * 400)
    answering = TransferBill(made.workload, ("web",), (EAST, WEST), frozenset({EAST, WEST}), made.book)
    internet = 0.09 * 1000 + 0.05 * 360
    in_month = {(line.driver, line.offer): line.usd for line in answering.in_month([outcome], 3600.0)}
    over = 400 * 730
    gib = 2.0**30 / 1e9
    crossing = over * 0.12 / gib * 2e-3
    assert in_month["egress", "web"] == pytest.approx(internet + crossing + over * 5e-4 * internet / 1460)
    standing = {name: usd for name, usd in in_month.items() if name == ("network", "load-balancer")}
    assert standing == {("network", "load-balancer"): pytest.approx(0.02 * 730)}
    in_stretch = {(line.driver, line.offer): line.usd for line in answering.in_stretch([outcome], 3600.0)}
    assert in_stretch == {name: pytest.approx(usd / 730) for name, usd in in_month.items() if name not in standing}


def test_less_than_a_day_keeps_what_was_planned() -> None:
    lines = tuple(BillLine(driver, pool, "", usd) for driver, pool, usd in PLANNED)
    assert around_as_ran_usd(lines, None) == 4.0 + 8.0 + 16.0 + 32.0
    assert around_as_ran_usd(lines, (BillLine("egress", "", "web", 64.0),)) == 16.0 + 32.0 + 64.0


PLANNED = (
    ("compute", "pool", 1.0),
    ("storage", "pool", 2.0),
    ("egress", "", 4.0),
    ("network", "", 8.0),
    ("storage", "", 16.0),
    ("cache", "", 32.0),
)


@pytest.mark.parametrize(
    ("sent", "requests", "usd"),
    [
        # a million answers of 1.5 MB: 1,400 GB straight are 0.09 × 1,000 + 0.05 × 400; at the edge 476 GB are paid for
        (1.5e6, 1e6, 0.085 * 476),
        # 200 million small ones: 190 million requests are paid for at the edge, 190 USD, which is more than 900 GB straight
        (5e3, 200e6, 0.09 * 900),
        # a great volume: the lower tier straight
        (1e7, 1e6, 0.09 * 1000 + 0.05 * 8900),
    ],
    ids=["edge", "many-requests", "great-volume"],
)
def test_answers_leave_by_the_cheaper_way(surrounding: Callable[..., Around], sent: float, requests: float, usd: float) -> None:
    made = replace(surrounding(sent, cdn=True), requests={"web": requests})
    lines = made.moved_lines({"web": {EAST: requests}})
    assert {(line.driver, line.offer): line.usd for line in lines} == {("egress", "web"): pytest.approx(usd)}
    assert (made.egress_usd_per_gb(EAST) or 0.0) * made.sent_gb == pytest.approx(usd)
    straight = replace(surrounding(sent), requests={"web": requests})
    assert usd <= total_usd(straight.moved_lines({"web": {EAST: requests}})) + 1e-9
    # not asked for, without a price, or with nothing sent: straight
    assert straight.choose_egress_item(EAST) == made.choose_egress_item(WEST) == "internet-egress"
    assert surrounding(0.0, cdn=True).choose_egress_item(EAST) == "internet-egress"
    assert surrounding(0.0, cdn=True).egress_usd_per_gb(EAST) is None
    assert made.egress_usd_per_gb(Place("aws", "us-west-9")) is None


def test_only_who_asks_for_the_edge_rests_on_its_prices() -> None:
    assert {"cdn-egress", "cdn-requests"} == set(items_of(Infrastructure(cdn=True))) - set(items_of(Infrastructure()))


def test_the_shipped_price_of_the_edge(book: PriceBook) -> None:
    """CloudFront in the US: the first TB and ten million requests are free, then 0.085 USD a GB and 0.01 USD for 10,000 requests."""
    assert tiered_usd(book.tiers("aws", "us-east-1", "cdn-egress"), 2024.0) == pytest.approx(85.0)
    assert tiered_usd(book.tiers("aws", "us-east-1", "cdn-requests"), 12.0) == pytest.approx(2.0)
