"""The price book answers for one day, and never guesses."""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from tests.clouds.conftest import MACHINES, PRICES

from tightrope.base import registry
from tightrope.base.errors import InputError, UnknownNameError, Where
from tightrope.clouds.book import PriceBook, load_price_book
from tightrope.clouds.catalogue_tables import CsvCloud

Write = Callable[..., Path]


@pytest.fixture
def small(tmp_path: Path, write_catalogue: Write, monkeypatch: pytest.MonkeyPatch) -> Callable[..., PriceBook]:
    """Return ``load_price_book`` over the small catalogue alone."""
    cloud = CsvCloud("here", write_catalogue(tmp_path / "here"), frozenset({"machines", "prices"}))
    monkeypatch.setattr(registry, "load_clouds", lambda: {"here": cloud})
    return load_price_book


def _price(book: PriceBook, offer: str = "on-demand") -> Decimal | None:
    row = book.find("box.small", "town", offer)
    return row and row.usd_per_hour


def test_newest_row_seen_by_the_day_is_in_force(small: Callable[..., PriceBook]) -> None:
    assert _price(small()) == Decimal("0.12")
    assert _price(small(date(2026, 3, 1))) == Decimal("0.12")
    assert _price(small(date(2026, 2, 28))) == Decimal("0.10")
    assert _price(small(date(2026, 1, 31)), "spot") is None
    assert max(row.seen for row in small(date(2026, 2, 28)).every_row()) == date(2026, 2, 1)


def test_the_order_of_rows_does_not_matter(small: Callable[..., PriceBook], tmp_path: Path, write_catalogue: Write) -> None:
    prices = "cloud,region,machine,offer,usd_per_hour,zones,interruptions_per_month,basis,source,seen\n"
    prices += (
        "here,town,box.small,on-demand,0.3,3,,list,shop,2026-03-01\nhere,town,box.small,on-demand,0.2,3,,list,shop,2026-02-01\n"
    )
    own = write_catalogue(tmp_path / "own", machines=None, prices=prices, unit_prices=None, sources=None)
    assert _price(small(directory=own)) == Decimal("0.3")


def test_a_day_before_any_price_is_an_error(small: Callable[..., PriceBook]) -> None:
    with pytest.raises(InputError, match=r"no price was seen by 2025-12-31\nResolve: ask for a day from 2026-01-01 on"):
        small(date(2025, 12, 31))


def test_what_is_not_sold_is_none(small: Callable[..., PriceBook]) -> None:
    assert small().find("box.large", "town", "spot") is None
    assert small().find("box.small", "elsewhere", "on-demand") is None


def test_own_rows_stand_before_those_that_ship(small: Callable[..., PriceBook], tmp_path: Path, write_catalogue: Write) -> None:
    prices = "cloud,region,machine,offer,usd_per_hour,zones,interruptions_per_month,basis,source,seen\n"
    prices += "here,town,box.small,on-demand,0.07,3,,list,our contract,2020-01-01\n"
    own = write_catalogue(tmp_path / "own", machines=None, prices=prices, unit_prices=None, sources=None)
    book = small(directory=own)
    assert _price(book) == Decimal("0.07")
    assert _price(book, "spot") == Decimal("0.05")
    assert "our contract (seen 2020-01-01)" in book.sources(book.every_row())


def test_own_machines_are_added(small: Callable[..., PriceBook], tmp_path: Path, write_catalogue: Write) -> None:
    machines = "cloud,name,family,vcpu,memory_gib,arch,accelerator,accelerators,accelerator_memory_gib,source,seen\n"
    machines += "home,desk,desk,4,8,amd64,,0,0,receipt,2026-01-01\nhere,box.small,box,3,4,amd64,,0,0,mended,2026-01-01\n"
    own = write_catalogue(tmp_path / "own", machines=machines, prices=None, unit_prices=None, sources=None)
    book = small(directory=own)
    assert book.machine("desk").cloud == "home"
    assert book.machine("box.small").vcpu == 3


def test_two_clouds_with_one_machine_name(small: Callable[..., PriceBook], monkeypatch: pytest.MonkeyPatch) -> None:
    twin = registry.load_clouds()["here"]
    monkeypatch.setattr(registry, "load_clouds", lambda: {"here": twin, "there": twin})
    with pytest.raises(InputError, match=r"both sell a machine called 'box\.small'"):
        load_price_book()


def test_unit_prices(small: Callable[..., PriceBook]) -> None:
    assert small().unit_price("here", "town", "internet-egress").usd == Decimal("0.09")
    with pytest.raises(UnknownNameError, match="unknown priced item of here town 'internet-ingress'"):
        small().unit_price("here", "town", "internet-ingress")


def test_regions(small: Callable[..., PriceBook]) -> None:
    assert small().clouds == ("here",)
    assert small().regions("here") == ("town",)
    with pytest.raises(UnknownNameError, match=r"w\.yaml:7: unknown here region 'towm'\nResolve: use town"):
        small().check_region("here", "towm", Where("w.yaml", 7))
    with pytest.raises(UnknownNameError, match="unknown cloud 'hare'\nResolve: use here"):
        small().check_region("hare", "town")
    with pytest.raises(UnknownNameError, match="unknown cloud"):
        small().regions("hare")


def test_machines_by_family_or_name(small: Callable[..., PriceBook]) -> None:
    assert [machine.name for machine in small().machines()] == ["box.small", "box.large"]
    assert small().machines(["box"]) == small().machines()
    assert [machine.name for machine in small().machines(["box.large"])] == ["box.large"]
    with pytest.raises(UnknownNameError, match=r"w\.yaml:3: unknown machine 'bix'\nResolve: use box"):
        small().machines(["bix", "box"], Where("w.yaml", 3))


def test_sources_name_the_newest_day_of_each(small: Callable[..., PriceBook]) -> None:
    assert "shop (seen 2026-03-01)" in small().sources(small().every_row())
    row = small().find("box.large", "town", "on-demand")
    assert row
    assert small().sources([row]) == ("shop (seen 2026-01-01)",)


def test_a_machine_that_does_not_exist_gets_the_smallest_of_its_family() -> None:
    with pytest.raises(UnknownNameError) as caught:
        load_price_book().machine("g4dn.large", Where("workload.yaml", 41))
    assert str(caught.value).startswith("workload.yaml:41: unknown machine 'g4dn.large'")
    assert caught.value.resolve.startswith("use g4dn.xlarge (the smallest g4dn)")


def test_an_unknown_size_gets_near_sizes_and_the_smallest() -> None:
    with pytest.raises(UnknownNameError, match=r"use g5\.\d+xlarge or g5\.\d+xlarge or g5\.xlarge \(the smallest g5\)"):
        load_price_book().machine("g5.64xlarge")


def test_a_mistyped_family_gets_near_names() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown machine 'g4nd\.xlarge'\nResolve: use g4dn\.xlarge"):
        load_price_book().machine("g4nd.xlarge")


def test_a_past_day_gives_a_smaller_book() -> None:
    book = load_price_book()
    past = load_price_book(max(row.seen for row in book.rows.values()) - timedelta(days=1))
    assert set(past.rows) < set(book.rows)


OWNED = """name,site,vcpu,memory_gib,arch,accelerator,accelerators,accelerator_memory_gib,quantity,purchase_usd,life_years,interest_rate,\
power_watts,pue,usd_per_kwh,overhead_usd_per_month,seen
rack.l4,cellar,16,64,amd64,L4,1,24,3,8760,1,0,100,1.5,0.2,7.3,2026-10-01
"""


def test_machines_of_ones_own_are_in_the_book(tmp_path: Path) -> None:
    (tmp_path / "owned.csv").write_text(OWNED, encoding="utf-8")
    book = load_price_book(directory=tmp_path)
    assert book.machine("rack.l4").accelerator == "l4"
    row = book.find("rack.l4", "cellar", "owned")
    assert row is not None
    assert row.usd_per_hour == Decimal("1.04000")  # 8,760 $ in a year of 8,760 h, 150 W at 0.20 $/kWh, 7.30 $ in 730 h
    assert book.regions("owned") == ("cellar",)
    assert book.unit_price("owned", "cellar", "internet-egress").usd == 0
    with pytest.raises(InputError, match="no price was seen"):
        load_price_book(date(2020, 1, 1), tmp_path)


def test_a_table_of_ones_own_corrects_a_declared_machine(tmp_path: Path, write_catalogue: Callable[..., Path]) -> None:
    header = "cloud,region,machine,offer,usd_per_hour,zones,interruptions_per_month,basis,source,seen\n"
    write_catalogue(
        tmp_path, prices=header + "owned,cellar,rack.l4,owned,2,1,,list,my books,2026-11-01\n", machines=None, unit_prices=None
    )
    (tmp_path / "owned.csv").write_text(OWNED, encoding="utf-8")
    row = load_price_book(directory=tmp_path).find("rack.l4", "cellar", "owned")
    assert row is not None
    assert row.usd_per_hour == 2


TIERS = "cloud,region,item,unit,usd,basis,source,seen,above\n"


def test_tiers_change_together(small: Callable[..., PriceBook], tmp_path: Path, write_catalogue: Write) -> None:
    rows = "here,town,internet-egress,GB,{},list,shop,{},{}\n".format
    first, second = rows("0.09", "2026-01-01", 100) + rows("0.05", "2026-01-01", 10100), rows("0.08", "2026-03-01", 1000)
    write_catalogue(tmp_path / "here", unit_prices=TIERS + second + first)
    assert [(row.usd, row.above) for row in small().tiers("here", "town", "internet-egress")] == [(Decimal("0.08"), 1000)]
    before = small(date(2026, 2, 1)).tiers("here", "town", "internet-egress")
    assert [(row.usd, row.above) for row in before] == [(Decimal("0.09"), 100), (Decimal("0.05"), 10100)]
    own = write_catalogue(tmp_path / "own", machines=None, prices=None, unit_prices=TIERS + rows("0", "2025-01-01", 0))
    assert [(row.usd, row.above) for row in small(directory=own).tiers("here", "town", "internet-egress")] == [(0, 0)]


def test_a_unit_price_that_was_not_seen_yet(small: Callable[..., PriceBook]) -> None:
    row = small(date(2026, 1, 1)).unit_price("here", "town", "internet-egress")
    assert row.usd == Decimal("0.09")
    with pytest.raises(
        UnknownNameError, match=r"no price of disk of here town was seen by 2026-01-01\nResolve: ask for a later day"
    ):
        small(date(2026, 1, 1)).unit_price("here", "town", "disk")


DISCOUNTS = "cloud,region,family,offer,share_off,source,seen\n"


def test_ones_own_discounts_stand_before_the_sellers_prices(
    small: Callable[..., PriceBook], tmp_path: Path, write_catalogue: Write
) -> None:
    text = DISCOUNTS + "here,*,*,spot,0.6,contract,2025-01-01\nhere,*,*,on-demand,0.1,contract,2025-01-01\n"
    own = write_catalogue(tmp_path / "own", machines=None, prices=None, unit_prices=None, discounts=text)
    book = small(directory=own)
    assert [book.find("box.small", "town", offer).usd_per_hour for offer in ("spot", "on-demand")] == [
        Decimal("0.04320"),  # 60 % off what on-demand costs under the contract
        Decimal("0.10800"),
    ]
    assert [row.offer for row in book.offers("box.large", "town")] == ["on-demand", "spot"]
    header = PRICES.partition("\n")[0]
    price = f"{header}\nhere,town,box.small,spot,0.07,3,,list,contract,2024-01-01\n"
    own = write_catalogue(tmp_path / "both", machines=None, prices=price, unit_prices=None, discounts=text)
    assert small(directory=own).find("box.small", "town", "spot").usd_per_hour == Decimal("0.07")


def test_ones_own_price_of_a_region_stands_for_its_zones(
    small: Callable[..., PriceBook], tmp_path: Path, write_catalogue: Write
) -> None:
    header = PRICES.partition("\n")[0]
    zoned = f"{header},zone\n" + "".join(f"here,town,box.small,spot,0.0{n},3,,list,shop,2026-01-01,z{n}\n" for n in (1, 2))
    write_catalogue(tmp_path / "here", prices=zoned)
    assert len(small().zone_prices("box.small", "town", "spot")) == 2
    own = write_catalogue(tmp_path / "own", machines=None, unit_prices=None)
    assert small(directory=own).zone_prices("box.small", "town", "spot") == ()


def test_what_the_user_knows_to_be_gone(small: Callable[..., PriceBook], tmp_path: Path, write_catalogue: Write) -> None:
    text = "cloud,region,machine,offer,source,seen\nhere,town,box.small,spot,letter,2026-05-01\n"
    own = write_catalogue(tmp_path / "own", machines=None, prices=None, unit_prices=None, withdrawn=text)
    assert small().find("box.small", "town", "spot") is not None
    assert small(directory=own).find("box.small", "town", "spot") is None
    old = {"withdrawn": text.replace("2026-05", "2020-05"), "discounts": DISCOUNTS + "here,*,*,spot,0.5,letter,2026-05-01\n"}
    own = write_catalogue(tmp_path / "old", machines=None, prices=None, unit_prices=None, **old)
    assert small(directory=own).find("box.small", "town", "spot") is None
    assert small(directory=own).find("box.large", "town", "spot") is not None


@pytest.mark.parametrize(
    ("table", "text", "words"),
    [
        (
            "machines",
            MACHINES.replace("here,box.small", "mine,box.small"),
            "box.small is a machine of here, and cannot be one of mine",
        ),
        (
            "prices",
            PRICES.replace("2026-03-01", "2999-03-01"),
            "seen: 2999-03-01 is yet to come, in the row of here town box.small",
        ),
        (
            "unit_prices",
            f"{TIERS}here,town,internet-egress,GB,0.09,list,shop,2026-01-01,0\nhere,town,internet-egress,GB,0.05,list,shop,2026-02-01,100\n",
            "here town internet-egress: the tier above 0 was seen 2026-01-01, another tier 2026-02-01",
        ),
        (
            "unit_prices",
            f"{TIERS}here,town,internet-egress,GB,0.05,list,shop,2026-01-01,100\n",
            "here town internet-egress: the lowest tier begins above 100, the seller's above 0",
        ),
        (
            "unit_prices",
            f"{TIERS}here,town,internet-egress,GB,0.1,list,shop,2026-01-01,0\nhere,town,internet-egress,GiB,0.05,list,shop,2026-01-01,100\n",
            "here town internet-egress has tiers per GB and per GiB",
        ),
    ],
)
def test_what_a_users_folder_can_not_mean(
    small: Callable[..., PriceBook], tmp_path: Path, write_catalogue: Write, table: str, text: str, words: str
) -> None:
    tables = {"machines": None, "prices": None, "unit_prices": None} | {table: text}
    own = write_catalogue(tmp_path / "own", **tables)
    with pytest.raises(InputError, match=words):
        small(directory=own)


def test_a_withdrawn_region_takes_its_older_zones_along(
    small: Callable[..., PriceBook], tmp_path: Path, write_catalogue: Write
) -> None:
    header = PRICES.partition("\n")[0]
    rows = [("", "2026-01-01"), ("z1", "2026-01-01"), ("z2", "2026-06-01")]
    zoned = f"{header},zone\n" + "".join(f"here,town,box.small,spot,0.05,3,,list,shop,{seen},{zone}\n" for zone, seen in rows)
    gone = "cloud,region,machine,offer,source,seen\nhere,town,box.small,spot,letter,2026-05-01\n"
    write_catalogue(tmp_path / "here", prices=zoned, withdrawn=gone)
    assert small().find("box.small", "town", "spot") is None
    assert [row.zone for row in small().zone_prices("box.small", "town", "spot")] == ["z2"]
    assert [row.zone for row in small(date(2026, 4, 1)).zone_prices("box.small", "town", "spot")] == ["z1"]


@pytest.mark.parametrize(
    ("table", "row", "words"),
    [
        ("discounts", "hree,*,*,spot,0.6,contract,2025-01-01", "hree: no such cloud.*\nResolve: use here"),
        ("discounts", "here,twn,*,spot,0.6,contract,2025-01-01", "twn: no such region of here.*\nResolve: use town"),
        ("unit_prices", "here,twn,internet-egress,GB,0.1,list,shop,2026-01-01", "twn: no such region of here"),
        (
            "prices",
            "here,twn,box.small,on-demand,0.1,3,,list,shop,2026-01-01",
            "twn: no such region.*\n.*to add a region, give its unit",
        ),
        ("withdrawn", "here,town,box.smal,spot,letter,2026-05-01", "box.smal: no such machine of here.*\nResolve: use box.small"),
        ("discounts", "here,*,*,spto,0.6,contract,2025-01-01", "spto: no such offer.*\nResolve: use spot"),
        ("discounts", "here,*,bxo,spot,0.6,contract,2025-01-01", "bxo: no such family.*\nResolve: use box"),
        ("unit_prices", "hree,town,internet-egress,GB,0.1,list,shop,2026-01-01", "hree: no such cloud"),
    ],
)
def test_a_slip_in_a_users_folder(
    small: Callable[..., PriceBook], tmp_path: Path, write_catalogue: Write, table: str, row: str, words: str
) -> None:
    header = {
        "discounts": DISCOUNTS,
        "unit_prices": TIERS.replace(",above", ""),
        "prices": PRICES.partition("\n")[0] + "\n",
        "withdrawn": "cloud,region,machine,offer,source,seen\n",
    }[table]
    own = write_catalogue(
        tmp_path / "own", **({"machines": None, "prices": None, "unit_prices": None} | {table: header + row + "\n"})
    )
    with pytest.raises(InputError, match=words):
        small(directory=own)


def test_a_table_of_ones_own_whose_name_is_a_slip(small: Callable[..., PriceBook], tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "price.csv").write_text(PRICES, encoding="utf-8")
    with pytest.raises(InputError, match=r"no table is called price.csv\nResolve: call it prices.csv"):
        small(directory=tmp_path / "own")
    with pytest.raises(InputError, match="there is no such folder"):
        small(directory=tmp_path / "nowhere")


def test_a_sellers_discount_is_off_its_list_price_whatever_the_user_pays(
    small: Callable[..., PriceBook], tmp_path: Path, write_catalogue: Write
) -> None:
    rules = "cloud,offer,scope,term_years,upfront_share,order,inflexible_families,excluded_families,rate,source,seen\n"
    rules += "here,plan-1y,any,1,0,1,,,fixed,shop,2026-01-01\n"
    theirs = DISCOUNTS + "here,*,*,plan-1y,0.2,shop,2026-01-01\n"
    write_catalogue(tmp_path / "here", discounts=theirs, commitments=rules)
    assert small().find("box.large", "town", "plan-1y").usd_per_hour == Decimal("0.72000")
    nothing = {"machines": None, "prices": None, "unit_prices": None}
    contract = DISCOUNTS + "here,*,*,on-demand,0.4,contract,2026-01-01\n"
    price = PRICES.partition("\n")[0] + "\nhere,town,box.large,on-demand,0.54,0,,list,contract,2026-01-01\n"
    for number, tables in enumerate(({"discounts": contract}, {"prices": price})):
        book = small(directory=write_catalogue(tmp_path / f"own{number}", **(nothing | tables)))
        assert book.find("box.large", "town", "on-demand").usd_per_hour == Decimal("0.54")
        assert book.find("box.large", "town", "plan-1y").usd_per_hour == Decimal("0.72000")
    both = {"discounts": contract + "here,*,*,plan-1y,0.3,contract,2026-01-01\n"}
    book = small(directory=write_catalogue(tmp_path / "both", **(nothing | both)))
    assert book.find("box.large", "town", "plan-1y").usd_per_hour == Decimal("0.37800")


def test_a_region_of_ones_own_has_prices_and_unit_prices(
    small: Callable[..., PriceBook], tmp_path: Path, write_catalogue: Write
) -> None:
    price = PRICES.partition("\n")[0] + "\nhere,village,box.large,on-demand,0.5,0,,list,contract,2026-01-01\n"
    units = (
        TIERS
        + "here,village,internet-egress,GB,0,list,free,2026-01-01,0\nhere,village,internet-egress,GB,0.1,list,shop,2026-01-01,50\n"
    )
    book = small(directory=write_catalogue(tmp_path / "own", machines=None, prices=price, unit_prices=units))
    assert book.regions("here") == ("town", "village")
    assert book.unit_price("here", "village", "internet-egress").usd == Decimal("0.1")


def test_ones_own_spot_discount_stands_for_the_zones(
    small: Callable[..., PriceBook], tmp_path: Path, write_catalogue: Write
) -> None:
    zoned = PRICES.partition("\n")[0] + ",zone\n"
    zoned += (
        "here,town,box.small,on-demand,0.1,3,,list,shop,2026-01-01,\nhere,town,box.small,spot,0.05,3,,list,shop,2026-01-01,z1\n"
    )
    write_catalogue(tmp_path / "here", prices=zoned)
    text = DISCOUNTS + "here,*,*,spot,0.6,contract,2025-01-01\n"
    own = write_catalogue(tmp_path / "own", machines=None, prices=None, unit_prices=None, discounts=text)
    assert len(small().zone_prices("box.small", "town", "spot")) == 1
    assert small(directory=own).zone_prices("box.small", "town", "spot") == ()
