"""Questions to the price book: what is found, compared and different, on two small sellers whose figures can be worked out by hand."""

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from math import inf
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.base import registry
from tightrope.base.catalogue import Discount, MachineType, PriceRow
from tightrope.base.errors import InputError, UnknownNameError
from tightrope.clouds import catalogue_tables
from tightrope.clouds.book import PriceBook, load_price_book
from tightrope.clouds.book_parts import load_parts
from tightrope.clouds.catalogue_tables import CsvCloud
from tightrope.clouds.search.find import Query, SearchResult, find
from tightrope.clouds.search.machine_comparison import MachineKind, compare, is_of, parse_kind
from tightrope.clouds.search.machine_sheet import sheet
from tightrope.clouds.search.name_matching import matching, named_machine, parse_span
from tightrope.clouds.search.origins import origins, sources_of
from tightrope.clouds.search.price_changes import Changes, Difference, changes

MACHINES = """cloud,name,family,vcpu,memory_gib,arch,accelerator,accelerators,accelerator_memory_gib,source,seen
here,g1.small,g1,4,16,amd64,L9,1,22.4,@list,2026-01-01
here,g1.large,g1,48,192,amd64,L9,4,22.4,@list,2026-01-01
here,c1.large,c1,8,32,arm64,,0,0,@list,2026-01-01
"""
PRICES = """cloud,region,machine,offer,usd_per_hour,zones,interruptions_per_month,basis,source,seen,zone
here,us-town,g1.small,on-demand,1.00,3,,list,@list,2026-01-01,
here,us-town,g1.small,on-demand,0.80,3,,list,@list,2026-03-01,
here,eu-town,g1.small,on-demand,0.80,2,,list,@list,2026-03-01,
here,us-town,g1.small,spot,0.40,3,0.10,derived,@list @bands,2026-02-01,
here,us-town,g1.small,spot,0.30,1,0.10,list,@list,2026-02-01,us-town-a
here,us-town,g1.small,spot,0.50,1,0.10,list,@list,2026-02-01,us-town-b
here,eu-town,g1.small,spot,0.20,3,0.05,list,@list,2026-02-01,
here,us-town,g1.large,on-demand,3.00,3,,list,@list,2026-01-01,
here,us-town,c1.large,on-demand,0.32,3,,list,@list,2026-01-01,
"""
DISCOUNTS = """cloud,region,family,offer,share_off,source,seen
here,*,g1,reserved-1y,0.30,@list,2026-01-01
here,*,g1,reserved-3y,0.55,@list,2026-01-01
here,*,g1,flexible-3y,0.50,@list,2026-01-01
"""
COMMITMENTS = """cloud,offer,scope,term_years,upfront_share,order,inflexible_families,excluded_families,rate,source,seen
here,reserved-1y,machine,1,0,1,,,fixed,@list,2026-01-01
here,reserved-3y,machine,3,1,1,,,fixed,@list,2026-01-01
here,flexible-3y,any,3,0,2,,,fixed,@list,2026-01-01
"""
UNITS = """cloud,region,item,unit,usd,basis,source,seen,above
here,us-town,internet-egress,GB,0.09,list,@list,2026-01-01,0
here,us-town,internet-egress,GB,0.08,list,@list,2026-03-01,0
here,us-town,internet-egress,GB,0.05,list,@list,2026-01-01,10240
here,us-town,internet-egress,GB,0.05,list,@list,2026-03-01,10240
"""
SOURCES = """key,description,licence
list,the shop's list; as of 2026,public
bands,the shop's bands,MIT
"""
THERE = {
    "machines": MACHINES.splitlines()[0]
    + "\nthere,Standard_Z4_v1,Zv1,4,28,amd64,l9,1,24,other,2026-01-01\nthere,Standard_T1_v1,Tv1,1,4,amd64,tpu-v9,1,16,other,2026-01-01\n",
    "prices": "cloud,region,machine,offer,usd_per_hour,zones,interruptions_per_month,basis,source,seen\n"
    "there,ustown,Standard_Z4_v1,on-demand,0.70,0,,list,other,2026-06-01\nthere,ustown,Standard_T1_v1,spot,0.6,0,,list,other,2026-06-01\n",
}
NOW = date(2026, 6, 30)
Write = Callable[..., Path]


@pytest.fixture
def sellers(tmp_path: Path, write_catalogue: Write, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the two sellers all that there is; return the folder that they lie in."""
    here = write_catalogue(
        tmp_path / "here",
        machines=MACHINES,
        prices=PRICES,
        discounts=DISCOUNTS,
        commitments=COMMITMENTS,
        unit_prices=UNITS,
        sources=SOURCES,
    )
    there = write_catalogue(tmp_path / "there", unit_prices=None, sources=None, **THERE)
    clouds = {name: CsvCloud(name, folder, frozenset()) for name, folder in (("here", here), ("there", there))}
    monkeypatch.setattr(registry, "load_clouds", lambda: clouds)
    return tmp_path


@pytest.fixture
def book(sellers: Path) -> PriceBook:
    """Return what the two sellers ask for today."""
    return load_price_book()


def names(found: SearchResult) -> list[tuple[str, str]]:
    return [(hit.machine.name, hit.region) for hit in found.hits]


def test_everything_is_found_the_cheapest_on_demand_first_and_spot_alone_last(book: PriceBook) -> None:
    found = find(book, Query())
    assert found.offers == ("on-demand", "spot")
    assert names(found) == [
        ("c1.large", "us-town"),
        ("Standard_Z4_v1", "ustown"),
        ("g1.small", "eu-town"),
        ("g1.small", "us-town"),
        ("g1.large", "us-town"),
        ("Standard_T1_v1", "ustown"),
    ]
    small = found.hits[3]
    assert [row and row.usd_per_hour for row in small.prices] == [Decimal("0.80"), Decimal("0.40")]
    assert [row and row.usd_per_hour for row in found.hits[5].prices] == [None, Decimal("0.6")]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Query(gpus=("L9",)), {"g1.small", "g1.large", "Standard_Z4_v1"}),
        (Query(gpus=("none",)), {"c1.large"}),
        (Query(gpus=("none,tpu",)), {"c1.large", "Standard_T1_v1"}),
        (Query(gpus=("TPU-*",)), {"Standard_T1_v1"}),
        (Query(machines=("z4_v?",)), {"Standard_Z4_v1"}),
        (Query(machines=("standard_z4_v1", "G1.*")), {"Standard_Z4_v1", "g1.small", "g1.large"}),
        (Query(families=("c1", "zv1")), {"c1.large", "Standard_Z4_v1"}),
        (Query(clouds=("there",)), {"Standard_Z4_v1", "Standard_T1_v1"}),
        (Query(regions=("eu-*",)), {"g1.small"}),
        (Query(offers=("spot",)), {"g1.small", "Standard_T1_v1"}),
        (Query(vcpu="8+"), {"g1.large", "c1.large"}),
        (Query(memory_gib="16-28"), {"g1.small", "Standard_Z4_v1"}),
        (Query(gpu_count="4"), {"g1.large"}),
        (Query(gpu_memory_gib="23+"), {"Standard_Z4_v1"}),
        (Query(arch="arm64"), {"c1.large"}),
        (Query(max_usd_per_hour=0.4), {"g1.small", "c1.large"}),
        (Query(gpus=("l9",), max_usd_per_hour=0.01), set()),
    ],
    ids=lambda value: str(value) if isinstance(value, Query) else "",
)
def test_what_a_query_leaves(book: PriceBook, query: Query, expected: set[str]) -> None:
    assert {hit.machine.name for hit in find(book, query).hits} == expected


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        ("per-gpu", "Standard_Z4_v1"),
        ("per-gib", "c1.large"),
        ("per-vcpu", "c1.large"),
        ("vcpu", "Standard_T1_v1"),
        ("region", "g1.small"),
    ],
)
def test_the_smallest_of_what_is_sorted_by_comes_first(book: PriceBook, sort: str, first: str) -> None:
    assert find(book, Query(sort=sort)).hits[0].machine.name == first


def test_derived_rates_are_found_and_offers_without_any_row_left_out(book: PriceBook) -> None:
    found = find(book, Query(machines=("g1.small",), regions=("us-town",), offers=("reserved-*", "on-demand")))
    assert found.offers == ("on-demand", "reserved-1y", "reserved-3y")
    assert [row and row.usd_per_hour for row in found.hits[0].prices] == [Decimal("0.80"), Decimal("0.56"), Decimal("0.36")]
    assert find(book, Query(machines=("c1.large",), offers=("reserved-1y", "on-demand"))).offers == ("on-demand",)


@pytest.mark.parametrize(
    ("query", "said", "remedy"),
    [
        (Query(gpus=("l99",)), "unknown accelerator 'l99'", "use l9"),
        (Query(regions=("us-twon",)), "unknown region 'us-twon'", "us-town"),
        (Query(clouds=("theer",)), "unknown cloud 'theer'", "use there or here"),
        (Query(offers=("sopt",)), "unknown offer 'sopt'", "use spot"),
        (Query(families=("zv2",)), "unknown family 'zv2'", "use Zv1"),
        (Query(machines=("z4_v2",)), "unknown machine 'z4_v2'", "use Standard_Z4_v1"),
        (Query(machines=("g1.huge",)), "the family g1 is sold as g1.small, g1.large", "use g1."),
        (Query(arch="arm"), "unknown architecture 'arm'", "arm64"),
        (Query(regions=("eu-town",), clouds=("there",)), "unknown region 'eu-town'", "use ustown"),
    ],
    ids=str,
)
def test_a_name_that_is_not_there_is_answered_with_near_ones(book: PriceBook, query: Query, said: str, remedy: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        find(book, query)
    assert said in caught.value.what
    assert remedy in caught.value.resolve


def test_a_sort_that_there_is_not_is_an_error(book: PriceBook) -> None:
    with pytest.raises(InputError, match="--sort: got 'cheap', expected one of price"):
        find(book, Query(sort="cheap"))


@given(st.floats(0, 1e6, allow_nan=False), st.floats(0, 1e6, allow_nan=False))
def test_a_range_holds_what_lies_between_its_ends(low: float, value: float) -> None:
    text = f"{low:.3f}"
    assert parse_span(f"{text}+", "--x").holds(value) == (float(text) <= value < inf)
    assert parse_span(text, "--x").holds(float(text))
    assert parse_span(f"0-{text}", "--x").holds(value) == (value <= float(text))


@pytest.mark.parametrize("text", ["four", "4+-8", "8-4", "-4", "4-", "nan", "1e9", "4 8", "+", "٤ and more"])
def test_what_is_no_range_is_an_error(text: str) -> None:
    with pytest.raises(
        InputError, match=r"--vcpu: got .*\nResolve: write --vcpu 4 \(exactly\), --vcpu 4\+ \(or more\), or --vcpu 4-16"
    ):
        parse_span(text, "--vcpu")


def test_case_does_not_matter_and_commas_part_patterns() -> None:
    assert matching(["US-*,Eu-b"], {"us-a", "us-b", "eu-a", "eu-b"}, "region") == {"us-a", "us-b", "eu-b"}
    assert matching([], {"us-a"}, "region") == {"us-a"}


def test_a_machine_is_found_however_it_is_typed(book: PriceBook) -> None:
    found = book.machine("Standard_Z4_v1")
    assert named_machine(book, " STANDARD_z4_V1 ") == named_machine(book, "z4_v1") == found
    assert named_machine(book, "z5_v1") is None


def test_a_name_in_full_stands_before_one_that_may_be_shortened_to_it(book: PriceBook) -> None:
    other = replace(book.machine_types["c1.large"], name="z4_v1")
    both = replace(book, machine_types={**book.machine_types, "z4_v1": other})
    assert named_machine(both, "standard_z4_v1") == book.machine("Standard_Z4_v1")
    assert named_machine(both, "z4_v1") == other
    assert parse_kind("Standard_Z4_v1", both) == MachineKind(gpu_memory_gib=24, count=1)
    assert {hit.machine.name for hit in find(both, Query(machines=("standard_z4*",))).hits} == {"Standard_Z4_v1"}
    with pytest.raises(UnknownNameError, match=r"'Z4_V1' may be Standard_Z4_v1 or z4_v1\nResolve: write Standard_Z4_v1 or z4_v1"):
        named_machine(both, "Z4_V1")


@pytest.mark.parametrize("typed", ["g1.hgue", "G1.HGUE", "g1"])
def test_a_size_that_there_is_not_has_one_answer_whoever_is_asked(book: PriceBook, typed: str) -> None:
    with pytest.raises(UnknownNameError) as plain:
        book.machine(typed.casefold())
    assert "g1.small (the smallest g1)" in plain.value.resolve
    for ask in (lambda: sheet(book, typed), lambda: find(book, Query(machines=(typed,)))):
        with pytest.raises(UnknownNameError) as caught:
            ask()
        assert (caught.value.what, caught.value.resolve) == (plain.value.what, plain.value.resolve)


@pytest.mark.parametrize("typed", ["NVIDIA L9", "nvidia-l9", "Nvidia Tesla L9", "nvidia_L*"])
def test_who_made_an_accelerator_may_be_said(book: PriceBook, typed: str) -> None:
    assert {hit.machine.accelerator for hit in find(book, Query(gpus=(typed,))).hits} == {"l9"}


def test_an_offer_that_none_of_the_machines_has_is_answered_with_those_like_it(book: PriceBook) -> None:
    blue = Discount("there", "*", "Zv1", "reserved-1y-blue", Decimal("0.2"), "other", NOW)
    both = replace(book, discounts={**book.discounts, ("there", "*", "Zv1", "reserved-1y-blue"): blue})
    assert find(both, Query(clouds=("there",), offers=("reserved-1y",))).near_offers == ("reserved-1y-blue",)
    assert find(both, Query(families=("g1",), offers=("reserved-1y-blue",))).near_offers == ("reserved-1y", "reserved-3y")
    assert find(book, Query(machines=("z4_v1",), offers=("flexible-3y",))).near_offers == ("on-demand",)
    assert find(both, Query(clouds=("there",), offers=("reserved-*",))).near_offers == ()
    assert find(book, Query(machines=("c1.large",), max_usd_per_hour=0.01)).near_offers == ()


def test_an_offer_that_only_ones_own_discount_makes_is_shown_and_found(sellers: Path) -> None:
    (sellers / "own").mkdir()
    text = f"{DISCOUNTS.splitlines()[0]}\nhere,*,g1,compute-savings-plan-1y-no-upfront,0.25,our contract,2026-05-01\n"
    (sellers / "own" / "discounts.csv").write_text(text, encoding="utf-8")
    book = load_price_book(directory=sellers / "own")
    (quote,) = sheet(book, "g1.small", ["us-town"], ["compute-*"]).quotes
    assert (quote.row.usd_per_hour, quote.share_off) == (Decimal("0.60"), pytest.approx(0.25))
    assert find(book, Query(machines=("c1.large",), offers=("compute-savings-plan-1y-no-upfront",))).near_offers == ("on-demand",)
    assert find(book, Query(machines=("g1.small",), offers=("compute-savings-plan-1y-no-upfront",))).offers == (
        "compute-savings-plan-1y-no-upfront",
    )


ZONED = "here,moon,g1.small,spot,0.31,1,0.1,list,own,2026-05-01,moon-a\nhere,moon,g1.small,spot,0.37,1,0.1,list,own,2026-05-01,moon-b\n"


def test_what_is_priced_in_zones_only_is_found_and_compared_at_its_dearest_zone(sellers: Path) -> None:
    moon = "here,moon,g1.small,on-demand,0.5,2,,list,own,2026-05-01,\n"
    (sellers / "own").mkdir()
    (sellers / "own" / "prices.csv").write_text(PRICES.splitlines()[0] + "\n" + ZONED + moon, encoding="utf-8")
    book = load_price_book(directory=sellers / "own")
    (hit,) = find(book, Query(regions=("moon",))).hits
    assert [row and (row.offer, row.usd_per_hour, row.zone) for row in hit.prices] == [
        ("on-demand", Decimal("0.5"), ""),
        ("spot", Decimal("0.37"), ""),
    ]
    (side,) = compare(book, parse_kind("l9", book), lambda _: None, ["moon"])
    assert side.spot == hit.prices[1] == sheet(book, "g1.small", ["moon"], ["spot"]).quotes[0].row


def test_a_region_that_has_prices_of_zones_only_is_a_region(sellers: Path) -> None:
    (sellers / "own").mkdir()
    (sellers / "own" / "prices.csv").write_text(PRICES.splitlines()[0] + "\n" + ZONED, encoding="utf-8")
    book = load_price_book(directory=sellers / "own")
    assert [hit.usd_per_hour for hit in find(book, Query(regions=("moon",), max_usd_per_hour=0.37)).hits] == [Decimal("0.37")]
    assert find(book, Query(regions=("moon",), max_usd_per_hour=0.36)).hits == ()


# ---------------------------------------------------------------------------------------------------------- one machine


def test_a_sheet_has_every_offer_of_every_region_with_what_it_saves(book: PriceBook) -> None:
    found = sheet(book, "g1.small")
    said = [(quote.row.region, quote.row.offer, quote.row.usd_per_hour, quote.share_off) for quote in found.quotes]
    assert said[:5] == [
        ("eu-town", "on-demand", Decimal("0.80"), None),
        ("eu-town", "spot", Decimal("0.20"), 0.75),
        ("eu-town", "reserved-3y", Decimal("0.36"), pytest.approx(0.55)),
        ("eu-town", "flexible-3y", Decimal("0.40"), 0.5),
        ("eu-town", "reserved-1y", Decimal("0.56"), pytest.approx(0.3)),
    ]
    upfront = next(quote.row.upfront_usd for quote in found.quotes if quote.row.offer == "reserved-3y")
    assert upfront == Decimal("0.36") * 8760 * 3
    assert found.terms == {"reserved-1y": 1, "reserved-3y": 3, "flexible-3y": 3}


def test_single_zones_stand_with_their_region(book: PriceBook) -> None:
    spot = next(quote for quote in sheet(book, "g1.small", ["us-*"], ["spot"]).quotes)
    assert [(row.zone, row.usd_per_hour) for row in spot.zones] == [
        ("us-town-a", Decimal("0.30")),
        ("us-town-b", Decimal("0.50")),
    ]


def test_a_price_that_is_known_of_zones_only_is_the_dearest_zones(sellers: Path) -> None:
    prices = PRICES.splitlines()[0] + "\nhere,moon,g1.small,spot,0.31,1,0.1,list,own,2026-05-01,moon-a\n"
    prices += "here,moon,g1.small,spot,0.37,1,0.1,list,own,2026-05-01,moon-b\n"
    (sellers / "own").mkdir()
    (sellers / "own" / "prices.csv").write_text(prices, encoding="utf-8")
    (quote,) = sheet(load_price_book(directory=sellers / "own"), "g1.small", ["moon"]).quotes
    assert (quote.row.usd_per_hour, quote.row.zone, quote.row.zones, len(quote.zones)) == (Decimal("0.37"), "", 2, 2)
    assert quote.share_off is None


def test_history_is_of_prices_that_changed_and_ends_on_the_day_asked_for(sellers: Path) -> None:
    (sellers / "here" / "withdrawn.csv").write_text(
        "cloud,region,machine,offer,source,seen\nhere,us-town,g1.large,on-demand,@list,2026-05-01\n", encoding="utf-8"
    )
    parts = load_parts()
    (small,) = sheet(load_price_book(), "g1.small", parts=parts).histories
    assert (small.region, small.offer) == ("us-town", "on-demand")
    assert [(step.seen, step.usd_per_hour) for step in small.steps] == [
        (date(2026, 1, 1), Decimal("1.00")),
        (date(2026, 3, 1), Decimal("0.80")),
    ]
    (large,) = sheet(load_price_book(date(2026, 5, 1)), "g1.large", parts=parts).histories
    assert large.steps[-1].usd_per_hour is None
    assert sheet(load_price_book(date(2026, 2, 1)), "g1.small", parts=parts).histories == ()


def test_the_same_price_seen_again_is_no_step(sellers: Path) -> None:
    own = sellers / "own"
    own.mkdir()
    rows = [f"here,eu-town,g1.small,on-demand,{usd},2,,list,mine,2026-0{month}-02," for month, usd in ((4, "0.80"), (5, "0.88"))]
    (own / "prices.csv").write_text("\n".join([PRICES.splitlines()[0], *rows]), encoding="utf-8")
    histories = sheet(load_price_book(directory=own), "g1.small", ["eu-town"], parts=load_parts(own)).histories
    steps = [(step.seen, step.last_seen, step.usd_per_hour) for history in histories for step in history.steps]
    assert steps == [
        (date(2026, 3, 1), date(2026, 4, 2), Decimal("0.80")),
        (date(2026, 5, 2), date(2026, 5, 2), Decimal("0.88")),
    ]


def test_a_history_ends_with_the_price_in_force_and_says_which_is_ones_own(sellers: Path) -> None:
    own = sellers / "own"
    own.mkdir()
    head = PRICES.splitlines()[0]
    (own / "prices.csv").write_text(
        f"{head}\nhere,us-town,g1.small,on-demand,0.70,3,,list,mine,2026-02-02,\n"
        "here,us-town,g1.small,spot,0.35,3,0.1,list,mine,2026-01-02,\n",
        encoding="utf-8",
    )
    discounts = f"{DISCOUNTS.splitlines()[0]}\nhere,*,g1,on-demand,0.10,mine,2026-01-15\n"
    for file, text in (("discounts.csv", ""), ("discounts.csv", discounts)):
        if text:
            (own / file).write_text(text, encoding="utf-8")
            (own / "prices.csv").unlink()
            (own / "machines.csv").write_text(MACHINES.splitlines()[0] + "\n", encoding="utf-8")
        book = load_price_book(directory=own)
        told = {(item.region, item.offer, item.zone): item for item in sheet(book, "g1.small", parts=load_parts(own)).histories}
        last = told["us-town", "on-demand", ""].steps[-1]
        row = book.find("g1.small", "us-town", "on-demand")
        assert row is not None
        assert (last.usd_per_hour, last.own) == (row.usd_per_hour, True)
        assert [step.own for step in told["us-town", "on-demand", ""].steps[:-1]] == [False, False]
        assert ("us-town", "spot", "us-town-a") not in told


def test_a_zone_leaves_the_list_with_its_region_and_a_listing_of_that_day_holds(sellers: Path) -> None:
    (sellers / "here" / "withdrawn.csv").write_text(
        "cloud,region,machine,offer,source,seen\nhere,us-town,g1.small,spot,@list,2026-05-01\n"
        "here,us-town,g1.small,on-demand,@list,2026-03-01\n",
        encoding="utf-8",
    )
    told = {(item.offer, item.zone): item.steps for item in sheet(load_price_book(), "g1.small", parts=load_parts()).histories}
    assert [step.usd_per_hour for step in told["spot", "us-town-a"]] == [Decimal("0.30"), None]
    assert [step.usd_per_hour for step in told["on-demand", ""]] == [Decimal("1.00"), Decimal("0.80")]


# ------------------------------------------------------------------------------------------------------------ comparison


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("24 GiB GPU", MachineKind(gpu_memory_gib=24)),
        ("2 x 24GB gpus", MachineKind(gpu_memory_gib=24, count=2)),
        ("L9", MachineKind(accelerators=frozenset({"l9"}))),
        ("4x l9", MachineKind(accelerators=frozenset({"l9"}), count=4)),
        ("4× L9, 64 GiB", MachineKind(accelerators=frozenset({"l9"}), count=4, memory_gib=64)),
        ("tpu", MachineKind(accelerators=frozenset({"tpu-v9"}))),
        ("tpu-v9", MachineKind(accelerators=frozenset({"tpu-v9"}))),
        ("8 vCPU 32 GiB", MachineKind(vcpu=8, memory_gib=32)),
        ("8 cpus 32 gib ram arm64", MachineKind(vcpu=8, memory_gib=32, arch="arm64")),
        ("g1.small", MachineKind(gpu_memory_gib=22.4, count=1)),
        ("Standard_Z4_v1", MachineKind(gpu_memory_gib=24, count=1)),
        ("c1.large", MachineKind(vcpu=8, memory_gib=32)),
        ("l9 tpu-v9", MachineKind(accelerators=frozenset({"l9", "tpu-v9"}))),
        ("tpu-v9, 1x L9 1x tpu", MachineKind(accelerators=frozenset({"l9", "tpu-v9"}), count=1)),
        ("NVIDIA L9", MachineKind(accelerators=frozenset({"l9"}))),
        ("2x nvidia-tesla-l9", MachineKind(accelerators=frozenset({"l9"}), count=2)),
    ],
)
def test_the_language_of_kinds(book: PriceBook, text: str, kind: MachineKind) -> None:
    assert parse_kind(text, book) == kind


@pytest.mark.parametrize(
    ("text", "said", "remedy"),
    [
        ("", "what to compare is not said", '"24 GiB GPU"'),
        ("3 fish", "'3' is neither", '"24 GiB GPU"'),
        ("24 GiB GPU!", "'!' says no kind", '"24 GiB GPU"'),
        ("l99", "'l99' is neither an accelerator nor a machine", "use l9"),
        ("g1.smal", "is neither", "use g1.small"),
        ("0x l9", "asks for no accelerator", "1x or more"),
        ("-24 GiB GPU", "is neither", '"24 GiB GPU"'),
        ("8 vCPU g1.small", "'g1.small' is a machine to be like, and '8 vcpu' stands beside it", "say g1.small alone"),
        ("g1.small l9", "'g1.small' is a machine to be like, and 'l9' stands beside it", "say g1.small alone"),
        ("8 vcpu 4 vcpu", "'4 vcpu' says again what '8 vcpu' says", "say each thing once"),
        ("32 gib 64 gib ram", "'64 gib ram' says again what '32 gib' says", "say each thing once"),
        ("l9 24 gib gpu 16 gib gpu", "'16 gib gpu' says again what '24 gib gpu' says", "say each thing once"),
        ("2x l9 4x tpu-v9", "'4x tpu-v9' says again what '2x l9' says", "say each thing once"),
        ("arm64 l9 amd64", "'amd64' says again what 'arm64' says", "say each thing once"),
        ("l9 tpu-v9 24 GiB GPU", "no machine with 'tpu-v9' has the rest", "leave tpu-v9 out"),
    ],
)
def test_what_says_no_kind_is_answered_with_examples(book: PriceBook, text: str, said: str, remedy: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_kind(text, book)
    assert said in caught.value.what
    assert remedy in caught.value.resolve


@given(st.text(max_size=60))
def test_no_words_crash_the_language(text: str) -> None:
    machine = MachineType("here", "g1.small", "g1", 4, 16, "amd64", "l9", 1, 22.4, "list", NOW)
    book = PriceBook({"g1.small": machine}, {}, {})
    with suppress(InputError):
        assert parse_kind(text, book) != MachineKind()


def test_several_accelerators_are_compared_together(book: PriceBook) -> None:
    compared = compare(book, parse_kind("tpu-v9 l9", book), lambda _: None, ["us*"])
    assert [side.machine.accelerator for side in compared] == ["l9", "l9"]


def test_a_memory_that_only_accelerators_have_is_answered_with_how_to_say_that(book: PriceBook) -> None:
    with pytest.raises(InputError, match=r'no machine of that kind.*\nResolve: .*say "24 GiB GPU"'):
        compare(book, parse_kind("24 GiB", book), lambda _: None)
    with pytest.raises(InputError) as caught:
        compare(book, parse_kind("2 GiB", book), lambda _: None)
    assert "GiB GPU" not in caught.value.resolve


@pytest.mark.parametrize(("gib", "fits"), [(20.41, True), (20.3, False), (27.59, True), (27.7, False)])
def test_a_memory_is_met_within_fifteen_per_cent(gib: float, fits: bool) -> None:
    machine = MachineType("here", "g1.small", "g1", 4, 16, "amd64", "l9", 1, gib, "list", NOW)
    assert is_of(MachineKind(gpu_memory_gib=24), machine) is fits


def test_beside_an_accelerator_processors_and_memory_are_the_least(book: PriceBook) -> None:
    machines = {
        name: machine for name, machine in book.machine_types.items() if is_of(MachineKind(frozenset({"l9"}), vcpu=5), machine)
    }
    assert set(machines) == {"g1.large"}
    assert is_of(MachineKind(frozenset({"l9"}), memory_gib=24), book.machine("Standard_Z4_v1"))
    assert is_of(MachineKind(frozenset({"l9"}), memory_gib=18), book.machine("g1.small"))  # 16 GiB, as sellers round 18
    assert not is_of(MachineKind(frozenset({"l9"}), memory_gib=24), book.machine("g1.small"))
    assert not is_of(MachineKind(vcpu=4), book.machine("g1.large"))


def test_sides_are_the_smallest_machine_of_each_seller_where_it_is_cheapest(book: PriceBook) -> None:
    other, ours = compare(book, MachineKind(gpu_memory_gib=24), lambda machine: 100.0 if machine.cloud == "here" else None)
    assert (other.machine.name, other.row.region, other.usd_per_tflops_hour, other.spot) == (
        "Standard_Z4_v1",
        "ustown",
        None,
        None,
    )
    assert other.usd_per_gib_hour == pytest.approx(0.70 / 24)
    assert other.best == {}
    assert (ours.machine.name, ours.row.region, ours.regions) == (
        "g1.small",
        "eu-town",
        2,
    )  # as cheap as us-town, cheaper on spot
    assert ours.usd_per_gib_hour == pytest.approx(0.80 / 22.4)
    assert ours.usd_per_tflops_hour == pytest.approx(0.008)
    assert {years: (row.offer, ours.off(row)) for years, row in ours.best.items()} == {
        1: ("reserved-1y", pytest.approx(0.3)),
        3: ("reserved-3y", pytest.approx(0.55)),
    }
    assert ours.off(ours.spot) == pytest.approx(0.75)


def test_a_number_of_accelerators_is_kept_to_and_all_of_them_count(book: PriceBook) -> None:
    (side,) = compare(book, MachineKind(frozenset({"l9"}), count=4), lambda _: 50.0)
    assert side.machine.name == "g1.large"
    assert side.usd_per_gib_hour == pytest.approx(3.0 / (4 * 22.4))
    assert side.usd_per_tflops_hour == pytest.approx(3.0 / 200)


def test_without_accelerators_it_is_the_machines_own_memory(book: PriceBook) -> None:
    (side,) = compare(book, MachineKind(vcpu=8, memory_gib=32), lambda _: 1.0)
    assert (side.machine.name, side.usd_per_gib_hour, side.usd_per_tflops_hour) == ("c1.large", pytest.approx(0.01), None)


def test_only_the_regions_asked_for_are_compared(book: PriceBook) -> None:
    (side,) = compare(book, MachineKind(gpu_memory_gib=24), lambda _: None, ["us-*"])
    assert side.row.region == "us-town"
    with pytest.raises(
        InputError, match=r"no machine of that kind has a price in those regions\nResolve: ask for less.*16, 22.4, 24 GiB"
    ):
        compare(book, MachineKind(gpu_memory_gib=24, count=8), lambda _: None, ["us-*"])
    with pytest.raises(UnknownNameError, match="unknown region 'mars'"):
        compare(book, MachineKind(gpu_memory_gib=24), lambda _: None, ["mars"])


# --------------------------------------------------------------------------------------------------------------- changes


def differences(since: date, until: date, clouds: tuple[str, ...] = ()) -> Changes:
    return changes(load_price_book(since), load_price_book(until), clouds, since, until)


def test_changes_are_told_with_both_figures_and_the_rise(sellers: Path) -> None:
    found = differences(date(2026, 2, 15), NOW)
    assert [change for change in found.changes if change.how == "changed"] == [
        Difference(
            "price", "changed", "here", "us-town", "g1.small", "on-demand", "", Decimal("1.00"), Decimal("0.80"), date(2026, 3, 1)
        ),
        Difference(
            "unit price",
            "changed",
            "here",
            "us-town",
            "internet-egress per GB",
            "",
            "",
            Decimal("0.09"),
            Decimal("0.08"),
            date(2026, 3, 1),
        ),
    ]
    assert [change.share for change in found.changes if change.how == "changed"] == [pytest.approx(-0.2), pytest.approx(-1 / 9)]
    new = {(change.cloud, change.name, change.region, change.offer) for change in found.changes if change.how == "new"}
    assert new == {
        ("here", "g1.small", "eu-town", "on-demand"),
        ("there", "Standard_Z4_v1", "ustown", "on-demand"),
        ("there", "Standard_T1_v1", "ustown", "spot"),
    }
    assert all(change.old is None and change.share is None for change in found.changes if change.how == "new")


def test_changes_come_the_largest_first(sellers: Path) -> None:
    found = differences(date(2026, 2, 15), NOW).changes
    assert [change.how for change in found] == ["changed", "changed", "new", "new", "new"]
    again = differences(date(2026, 1, 15), NOW)
    shares = [abs(change.share) for change in again.changes if change.share is not None]
    assert shares == sorted(shares, reverse=True)


def test_what_is_withdrawn_is_told_and_what_is_seen_again_counted(sellers: Path) -> None:
    (sellers / "here" / "withdrawn.csv").write_text(
        "cloud,region,machine,offer,source,seen\nhere,us-town,g1.large,on-demand,@list,2026-05-01\n", encoding="utf-8"
    )
    with (sellers / "here" / "prices.csv").open("a", encoding="utf-8") as file:
        file.write("here,us-town,c1.large,on-demand,0.32,3,,list,@list,2026-05-01,\n")
    found = differences(date(2026, 4, 1), NOW, ("here",))
    assert [(change.how, change.name, change.old, change.new) for change in found.changes] == [
        ("withdrawn", "g1.large", Decimal("3.00"), None)
    ]
    assert found.seen_again == 1
    assert (
        found.untouched == len(list(load_price_book(NOW).every_row())) + 3 - 1 - 2
    )  # less what was seen again, and the other seller's


def test_a_discount_that_changed_is_a_change(sellers: Path) -> None:
    with (sellers / "here" / "discounts.csv").open("a", encoding="utf-8") as file:
        file.write("here,*,g1,reserved-1y,0.25,@list,2026-05-01\n")
    (change,) = differences(date(2026, 4, 1), NOW, ("here",)).changes
    assert (change.what, change.offer, change.old, change.new) == ("discount", "reserved-1y", Decimal("0.30"), Decimal("0.25"))


def test_a_discount_of_ones_own_is_a_change_and_has_a_source(sellers: Path) -> None:
    own = sellers / "own"
    own.mkdir()
    rows = "here,*,g1,reserved-1y,0.40,our contract,2026-05-01\nhere,*,g1,on-demand,0.10,our contract,2026-05-01\n"
    (own / "discounts.csv").write_text(f"{DISCOUNTS.splitlines()[0]}\n{rows}", encoding="utf-8")
    since = date(2026, 4, 1)
    before, after = (load_price_book(day, own) for day in (since, NOW))
    told = {change.offer: (change.old, change.new) for change in changes(before, after, ["here"], since, NOW).changes}
    assert told == {"reserved-1y": (Decimal("0.30"), Decimal("0.40")), "on-demand": (None, Decimal("0.10"))}
    contract = {origin.source: origin for origin in origins(after, load_parts(own), NOW).origins}["our contract"]
    assert (contract.clouds, contract.rows, contract.oldest) == (("here",), {"discount": 2}, date(2026, 5, 1))


def test_a_day_differs_in_nothing_from_itself(sellers: Path) -> None:
    found = differences(NOW, NOW)
    assert (found.changes, found.seen_again) == ((), 0)
    with pytest.raises(UnknownNameError, match="unknown cloud 'theer'"):
        differences(NOW, NOW, ("theer",))


# --------------------------------------------------------------------------------------------------------------- origins


def test_each_source_of_a_figure_stands_apart_with_its_licence(book: PriceBook) -> None:
    found = origins(book, load_parts(), NOW)
    said = {origin.source: origin for origin in found.origins}
    assert set(said) == {"the shop's list; as of 2026", "the shop's bands", "other"}
    bands, shop = said["the shop's bands"], said["the shop's list; as of 2026"]
    assert (bands.licence, bands.rows, bands.bases) == ("MIT", {"price": 1}, ("derived",))
    assert shop.rows == {"machine": 3, "price": 8, "unit price": 2, "discount": 3, "commitment rule": 3}
    assert (shop.oldest, shop.newest, shop.age_days(NOW)) == (date(2026, 1, 1), date(2026, 3, 1), 180)
    assert said["other"].licence == ""


def test_prices_are_old_after_ninety_days(book: PriceBook) -> None:
    ages = {age.cloud: age for age in origins(book, (), date(2026, 5, 30)).ages}  # 90 days after 2026-03-01
    assert (ages["here"].rows, ages["here"].old_rows) == (13, 9)
    assert {age.cloud: age.old_rows for age in origins(book, (), date(2026, 8, 30)).ages} == {"here": 13, "there": 0}
    assert {age.cloud: age.old_rows for age in origins(book, (), date(2026, 8, 31)).ages} == {"here": 13, "there": 2}


def test_what_was_described_later_is_no_source_of_an_earlier_day(sellers: Path) -> None:
    day = date(2026, 1, 1)
    found = origins(load_price_book(day), load_parts(), day)
    assert all(origin.newest <= day for origin in found.origins)
    assert {origin.source: origin.rows["machine"] for origin in found.origins if "machine" in origin.rows} == {
        "the shop's list; as of 2026": 3,
        "other": 2,
    }
    with (sellers / "there" / "machines.csv").open("a", encoding="utf-8") as file:
        file.write("there,Standard_T2_v1,Tv1,1,4,amd64,tpu-v9,1,16,later,2026-02-01\n")
    catalogue_tables._load_once.cache_clear()
    assert "later" not in {origin.source for origin in origins(load_price_book(day), (), day).origins}
    assert "later" in {origin.source for origin in origins(load_price_book(), (), NOW).origins}


def test_a_seller_with_an_importer_can_be_refreshed(sellers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clouds = dict(registry.load_clouds())
    clouds["there"] = CsvCloud("there", sellers / "there", frozenset(), "some.importer.fetch")
    monkeypatch.setattr(registry, "load_clouds", lambda: clouds)
    assert {age.cloud: age.refreshable for age in origins(load_price_book(), (), NOW).ages} == {"here": False, "there": True}


def test_origins_of_one_cloud_only(book: PriceBook) -> None:
    found = origins(book, load_parts(), NOW, ["there"])
    assert [origin.source for origin in found.origins] == ["other"]
    assert [part.name for part in found.parts] == ["there"]
    with pytest.raises(UnknownNameError, match="unknown cloud 'theer'"):
        origins(book, (), NOW, ["theer"])


def test_what_a_derived_row_rests_on_is_named_as_its_parts_are(book: PriceBook) -> None:
    row = book.find("g1.small", "us-town", "reserved-1y")
    assert isinstance(row, PriceRow)
    assert sources_of(row.source) == ("the shop's list; as of 2026 [public]",)


def test_parts_are_those_that_ship_then_refreshed_then_own(
    sellers: Path, only_shipped_prices: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refreshed = sellers / "refreshed"
    refreshed.mkdir()
    shutil.make_archive(str(refreshed / "there"), "zip", sellers / "there")
    written = datetime(2026, 6, 1, 12, 30, tzinfo=UTC)
    os.utime(refreshed / "there.zip", (written.timestamp(), written.timestamp()))
    monkeypatch.setenv("TIGHTROPE_PRICES", str(refreshed))
    (sellers / "mine").mkdir()
    (sellers / "mine" / "prices.csv").write_text(
        PRICES.replace("@list @bands", "mine").replace("@list", "mine"), encoding="utf-8"
    )
    said = [(part.kind, part.name, part.path, part.written, part.rows) for part in load_parts(sellers / "mine")]
    assert said == [
        ("shipped", "here", None, None, 16),
        ("shipped", "there", None, None, 2),
        ("refreshed", "there", refreshed / "there.zip", written, 2),
        ("own", "mine", sellers / "mine", None, 9),
    ]


def test_what_was_free_has_no_share_to_rise_by() -> None:
    free = Difference(
        "unit price", "changed", "here", "us-town", "object-storage-reads per GB", "", "", Decimal(0), Decimal("0.1"), NOW
    )
    assert free.share is None
    assert Difference("unit price", "changed", "here", "a", "b", "", "", Decimal("0.1"), Decimal(0), NOW).share == -1.0
