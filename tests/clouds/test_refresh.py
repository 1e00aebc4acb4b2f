"""Refreshing: what a vendor lists goes into the book whole or not at all, and nothing that was known is lost."""

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st
from tests.clouds.loopback import Loopback, Request

from tightrope.base import registry
from tightrope.base.catalogue import Catalogue, MachineType, PriceRow, UnitPrice, Withdrawal
from tightrope.base.errors import InputError, SourceError, UnknownNameError, UnreachableError
from tightrope.clouds import downloads as fetching
from tightrope.clouds import refresh as refreshing
from tightrope.clouds.archive import archive_of, load_archive
from tightrope.clouds.book import load_price_book
from tightrope.clouds.catalogue_join import CatalogueComparison, joined
from tightrope.clouds.catalogue_tables import CsvCloud, load_catalogue
from tightrope.clouds.downloads import Fetcher
from tightrope.clouds.refresh import RefreshQuery, RefreshResult, refresh
from tightrope.clouds.validity import in_force, price_key, tiers_in_force, withdraw

TODAY = date(2026, 11, 25)
NAMES = [f"box.{size}" for size in "abcdefghij"]
MACHINES = "cloud,name,family,vcpu,memory_gib,arch,accelerator,accelerators,accelerator_memory_gib,source,seen\n" + "".join(
    f"here,{name},box,{number + 1},4,amd64,,0,0,shop,2026-01-01\n" for number, name in enumerate(NAMES)
)
PRICES = "cloud,region,machine,offer,usd_per_hour,zones,interruptions_per_month,basis,source,seen\n" + "".join(
    f"here,{region},{name},on-demand,0.{number + 1},3,,list,shop,2026-01-01\n"
    f"here,{region},{name},spot,0.0{number + 1},3,0.05,list,shop,2026-01-01\n"
    for region in ("us-town", "eu-town")
    for number, name in enumerate(NAMES)
)
UNITS = "cloud,region,item,unit,usd,basis,source,seen\nhere,us-town,internet-egress,GB,0.09,list,shop,2026-01-01\n"


def listed(ask: RefreshQuery, fetcher: Fetcher) -> Catalogue:
    """Return what the test's server lists: an importer as a contributor writes it."""
    rows: list[PriceRow] = []
    units: list[UnitPrice] = []
    for region in ask.regions:
        for page in fetcher.pages(ask.at(f"https://prices.example/{region}"), next_page, region):
            assert isinstance(page, dict)
            rows += [price(region, ask.today, *item) for item in page["prices"]]
            units += [
                UnitPrice("here", region, name, "GB", Decimal(usd), "list", "list", ask.today) for name, usd in page["units"]
            ]
    new = {row.machine for row in rows} - set(ask.machines)
    fetcher.note("looked")
    machines = tuple(MachineType("here", name, "box", 1, 4, "amd64", "", 0, 0, "list", ask.today) for name in sorted(new))
    return Catalogue(machines, tuple(rows), tuple(units))


def next_page(page: object) -> str | None:
    assert isinstance(page, dict)
    return page.get("next")


def price(region: str, seen: date, machine: str, offer: str, usd: str, zone: str = "") -> PriceRow:
    return PriceRow("here", region, machine, offer, Decimal(usd), 0, None, "list", "list", seen, zone)


class Vendor:
    """A price list that the test changes from day to day."""

    def __init__(self, loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loopback, self.monkeypatch, self.asked = loopback, monkeypatch, list[str]()
        self.prices = {(name, "on-demand", ""): f"0.{number + 1}" for number, name in enumerate(NAMES)}
        self.units: list[tuple[str, str]] = []
        for region in ("us-town", "eu-town", "sa-town"):
            loopback.serve(f"/{region}", self.answer)

    def list_spot(self) -> None:
        """List every machine as spot too."""
        self.prices |= {(name, "spot", ""): f"0.0{number + 1}" for number, name in enumerate(NAMES)}

    def answer(self, request: Request) -> bytes:
        """Answer in two pages."""
        rows = [[machine, offer, usd, zone] for (machine, offer, zone), usd in self.prices.items()]
        half = len(rows) // 2
        if "page" in request.query:
            return json.dumps({"prices": rows[half:], "units": self.units}).encode()
        following = f"{self.loopback.url}{request.path}?page=2"
        return json.dumps({"prices": rows[:half], "units": [], "next": following}).encode()

    def refresh(self, *regions: str, day: date = TODAY, accept: bool = False, withdraw: bool = False) -> RefreshResult:
        """Refresh on a day."""

        class Clock(refreshing.datetime):  # type: ignore[name-defined,misc]
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return cls(day.year, day.month, day.day, tzinfo=tz)

        self.monkeypatch.setattr(refreshing, "datetime", Clock)
        return refresh("here", regions or ("us-town",), endpoint=self.loopback.url, accept=accept, withdraw=withdraw)


@pytest.fixture
def vendor(loopback: Loopback, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, write_catalogue: Callable[..., Path]) -> Vendor:
    folder = write_catalogue(tmp_path / "here", machines=MACHINES, prices=PRICES, unit_prices=UNITS)
    cloud = CsvCloud("here", folder, frozenset({"machines", "prices", "refresh"}), f"{__name__}.listed")
    monkeypatch.setattr(registry, "load_clouds", lambda: {"here": cloud, "there": replace(cloud, name="there", importer="")})
    monkeypatch.setattr("tightrope.clouds.refresh.load_price_book", book)
    monkeypatch.setenv("TIGHTROPE_PRICES", str(tmp_path / "prices"))
    monkeypatch.setattr(refreshing, "Fetcher", lambda work, progress: Fetcher(work, progress, sleep=lambda _: None, tries=2))
    return Vendor(loopback, monkeypatch)


def book(as_of: date | None = None) -> Any:
    """Return the book of the test's one cloud."""
    clouds = {"here": registry.load_clouds()["here"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "load_clouds", lambda: clouds)
        return load_price_book(as_of)


def usd(machine: str, offer: str = "on-demand", region: str = "us-town", as_of: date | None = None) -> str | None:
    row = book(as_of).find(machine, region, offer)
    return None if row is None else str(row.usd_per_hour)


def test_an_unchanged_list_only_gets_younger(vendor: Vendor) -> None:
    done = vendor.refresh()
    assert (done.rows, done.added, done.changed, done.withdrawn, done.unchanged) == (10, 0, 0, 0, 10)
    assert done.notes == ("looked",)
    assert done.path == archive_of("here")
    row = book().find("box.a", "us-town", "on-demand")
    assert (row.seen, row.zones, row.usd_per_hour) == (TODAY, 3, Decimal("0.1"))
    assert book().find("box.a", "eu-town", "on-demand").seen == date(2026, 1, 1)
    assert usd("box.a", "spot") == "0.01"


def test_a_changed_price_has_a_dated_successor(vendor: Vendor) -> None:
    vendor.refresh(day=date(2026, 9, 1))
    vendor.prices["box.a", "on-demand", ""] = "0.055"
    done = vendor.refresh()
    assert [(change.what, str(change.old_usd), str(change.new_usd)) for change in done.biggest_changes] == [
        ("box.a", "0.1", "0.055")
    ]
    assert usd("box.a") == "0.055"
    assert usd("box.a", as_of=TODAY) == "0.055"
    assert usd("box.a", as_of=TODAY - timedelta(days=1)) == "0.1"
    assert usd("box.a", as_of=date(2026, 2, 1)) == "0.1"


def test_a_price_that_went_and_came_back(vendor: Vendor) -> None:
    vendor.refresh(day=date(2026, 9, 1))
    back = vendor.prices.pop(("box.a", "on-demand", ""))
    done = vendor.refresh(day=date(2026, 10, 1))
    assert (done.withdrawn, done.unchanged) == (1, 9)
    assert usd("box.a") is None
    assert usd("box.a", as_of=date(2026, 9, 30)) == "0.1"
    vendor.prices["box.a", "on-demand", ""] = back
    assert vendor.refresh().added == 1
    assert usd("box.a") == "0.1"
    assert usd("box.a", as_of=date(2026, 10, 20)) is None


def test_a_spot_zone_that_went(vendor: Vendor) -> None:
    vendor.list_spot()
    vendor.prices |= {("box.a", "spot", "z1"): "0.01", ("box.a", "spot", "z2"): "0.03"}
    vendor.refresh(day=date(2026, 9, 1))
    assert [row.zone for row in book().zone_prices("box.a", "us-town", "spot")] == ["z1", "z2"]
    del vendor.prices["box.a", "spot", "z2"]
    vendor.refresh()
    assert [row.zone for row in book().zone_prices("box.a", "us-town", "spot")] == ["z1"]
    assert book().find("box.a", "us-town", "spot").interruptions_per_month == 0.05


def test_a_new_size_and_a_new_region(vendor: Vendor) -> None:
    vendor.prices["box.new", "on-demand", ""] = "5"
    assert vendor.refresh("us-*").added == 1
    assert usd("box.new") == "5"
    assert book().machine("box.new").family == "box"
    assert vendor.refresh("sa-town").added == 11
    assert usd("box.new", region="sa-town") == "5"
    assert usd("box.new") == "5"


def test_unit_prices_have_successors_too(vendor: Vendor) -> None:
    vendor.units = [("internet-egress", "0.08")]
    vendor.refresh()
    assert str(book().unit_price("here", "us-town", "internet-egress").usd) == "0.08"
    assert str(book(date(2026, 11, 1)).unit_price("here", "us-town", "internet-egress").usd) == "0.09"


def test_a_free_unit_is_more_likely_an_error(vendor: Vendor) -> None:
    vendor.units = [("internet-egress", "0")]
    with pytest.raises(SourceError, match=r"internet-egress.*a price above 0"):
        vendor.refresh()


def test_tiers_have_successors_together() -> None:
    now = earlier = Catalogue()
    days = [{"0": "1", "100": "2"}, {"0": "1", "100": "3"}, {"0": "1", "100": "3"}, {"50": "3"}, {"0": "1", "100": "2"}]
    for number, tiers in enumerate(days):
        day = TODAY + timedelta(days=number)
        rows = tuple(
            UnitPrice("here", "us-town", "egress", "GB", Decimal(usd), "list", "x", day, Decimal(above))
            for above, usd in tiers.items()
        )
        now, earlier = joined(now, earlier, Catalogue(unit_prices=rows), CatalogueComparison((), (), 0, (), frozenset()), day)
    for number, tiers in enumerate(days):
        found = tiers_in_force([*earlier.unit_prices, *now.unit_prices], TODAY + timedelta(days=number))
        assert [(str(row.above), str(row.usd)) for row in found["here", "us-town", "egress"]] == list(tiers.items())
    assert len(earlier.unit_prices) == 5


def test_the_same_day_again_replaces_what_the_day_said(vendor: Vendor) -> None:
    vendor.prices["box.a", "on-demand", ""] = "0.2"
    vendor.refresh()
    vendor.prices["box.a", "on-demand", ""] = "0.3"
    vendor.prices.pop(("box.b", "on-demand", ""))
    vendor.refresh()
    assert usd("box.a") == "0.3"
    assert usd("box.b") is None
    assert usd("box.a", as_of=TODAY - timedelta(days=1)) == "0.1"
    vendor.prices["box.b", "on-demand", ""] = "0.2"
    vendor.refresh()
    assert usd("box.b") == "0.2"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda prices: prices.clear(), "us-town: no on-demand price"),
        (
            lambda prices: [prices.popitem() for _ in range(3)],
            r"us-town on-demand: 7 of the 10 machines known are left, without box.h",
        ),
        (lambda prices: prices.update({("box.a", "on-demand", ""): "100"}), r"us-town box.a on-demand: \$0.1 became \$100"),
        (lambda prices: prices.update({("box.a", "on-demand", ""): "0.0001"}), r"\$0.1 became \$0.0001"),
    ],
)
def test_a_list_that_looks_wrong_changes_nothing(vendor: Vendor, change: Callable[[Any], object], message: str) -> None:
    vendor.refresh(day=date(2026, 9, 1))
    before = archive_of("here").read_bytes()
    change(vendor.prices)
    with pytest.raises(SourceError, match=message):
        vendor.refresh()
    assert archive_of("here").read_bytes() == before


def test_accepted_all_the_same(vendor: Vendor) -> None:
    vendor.prices["box.a", "on-demand", ""] = "100"
    assert vendor.refresh(accept=True).changed == 1
    assert usd("box.a") == "100"


def test_an_offer_that_is_not_told_of_any_more_is_missed_and_kept(vendor: Vendor) -> None:
    before = dict(vendor.prices)
    vendor.list_spot()
    vendor.prices["box.a", "spot", ""] = "0.02"
    vendor.refresh(day=date(2026, 9, 1))
    vendor.prices = before
    with pytest.raises(SourceError, match=r"us-town spot: 0 of the 10 machines known are left, without box.a"):
        vendor.refresh()
    vendor.refresh(accept=True)
    assert usd("box.a", "spot") == "0.02"


def test_spot_that_has_shrunk_at_the_first_refresh(vendor: Vendor) -> None:
    vendor.prices["box.a", "spot", ""] = "0.01"
    with pytest.raises(SourceError, match=r"us-town spot: 1 of the 10 machines known are left, without box.b"):
        vendor.refresh()


def test_what_is_accepted_withdraws_nothing(vendor: Vendor) -> None:
    for name in NAMES[3:]:
        del vendor.prices[name, "on-demand", ""]
    vendor.prices["box.a", "on-demand", ""] = "0.11"
    with pytest.raises(SourceError):
        vendor.refresh()
    assert vendor.refresh(accept=True).withdrawn == 0
    assert (usd("box.a"), usd("box.j")) == ("0.11", "0.10")
    assert vendor.refresh(accept=True, withdraw=True).withdrawn == 7
    assert (usd("box.a"), usd("box.j")) == ("0.11", None)
    assert vendor.refresh().withdrawn == 0


def test_accepting_one_offer_withdraws_what_left_another(vendor: Vendor) -> None:
    vendor.list_spot()
    del vendor.prices["box.j", "on-demand", ""]
    for name in NAMES[3:]:
        del vendor.prices[name, "spot", ""]
    assert vendor.refresh(accept=True).withdrawn == 1
    assert (usd("box.j"), usd("box.j", "spot")) == (None, "0.010")


def test_withdrawn_twice_on_a_day_is_withdrawn(vendor: Vendor) -> None:
    vendor.refresh(day=date(2026, 9, 1))
    del vendor.prices["box.a", "on-demand", ""]
    assert vendor.refresh().withdrawn == 1
    assert vendor.refresh().withdrawn == 0
    assert usd("box.a") is None


def test_a_refused_list_is_asked_for_again_and_an_accepted_one_is_not(vendor: Vendor) -> None:
    good = dict(vendor.prices)
    vendor.prices["box.a", "on-demand", ""] = "100"
    with pytest.raises(SourceError):
        vendor.refresh()
    asked = len(vendor.loopback.requests)
    vendor.refresh(accept=True)
    assert len(vendor.loopback.requests) == asked
    assert usd("box.a") == "100"
    vendor.prices["box.a", "on-demand", ""] = "0.0001"
    with pytest.raises(SourceError):
        vendor.refresh()
    vendor.prices = good
    vendor.prices["box.a", "on-demand", ""] = "99"
    vendor.refresh()
    assert usd("box.a") == "99"


def test_what_was_begun_yesterday_is_dated_yesterday(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refreshing, "KEPT_S", 2 * 86_400.0)
    vendor.loopback.fail("/us-town", 503, 503)
    with pytest.raises(UnreachableError):
        vendor.refresh("*-town", day=TODAY - timedelta(days=1))
    vendor.refresh("*-town")
    assert {row.seen for row in book().rows.values() if row.offer == "on-demand"} == {TODAY - timedelta(days=1)}


@pytest.mark.parametrize(("usd_per_gb", "doubted"), [("0.00009", True), ("0.05", False)])
def test_unit_prices_are_compared_and_doubted_too(vendor: Vendor, usd_per_gb: str, *, doubted: bool) -> None:
    vendor.units = [("internet-egress", usd_per_gb)]
    if doubted:
        with pytest.raises(SourceError, match=r"us-town internet-egress a GB: \$0.09 became \$0.00009"):
            vendor.refresh()
    else:
        done = vendor.refresh()
        assert (done.changed, done.unchanged) == (1, 10)


def test_prices_outlive_a_package_that_no_longer_has_the_machine(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    vendor.refresh()
    here = registry.load_clouds()["here"].directory
    rows = (here / "machines.csv").read_text().splitlines(keepends=True)
    (here / "machines.csv").write_text("".join(row for row in rows if ",box.a," not in row))
    rows = (here / "prices.csv").read_text().splitlines(keepends=True)
    (here / "prices.csv").write_text("".join(row for row in rows if ",box.a," not in row))
    monkeypatch.setattr("tightrope.clouds.catalogue_tables._load_once", load_catalogue)
    assert usd("box.a") == "0.1"
    assert vendor.refresh().unchanged == 10


def test_prices_of_a_seller_that_is_not_installed_are_left_alone(vendor: Vendor) -> None:
    done = vendor.refresh()
    done.path.rename(done.path.with_name("elsewhere.zip"))
    assert book().find("box.a", "us-town", "on-demand").seen == date(2026, 1, 1)


def test_the_prices_before_a_refresh_are_kept_beside(vendor: Vendor) -> None:
    first = vendor.refresh(day=date(2026, 9, 1)).path.read_bytes()
    second = vendor.refresh().path
    assert second.with_suffix(".before").read_bytes() == first
    assert sorted(path.name for path in second.parent.iterdir()) == ["here.before", "here.lock", "here.zip"]


@pytest.mark.parametrize("damage", ["flip", "cut", "lock"])
def test_a_damaged_archive_is_an_error_with_a_remedy(vendor: Vendor, damage: str) -> None:
    path = vendor.refresh().path
    content = bytearray(path.read_bytes())
    content[60] ^= 0xFF
    if damage == "lock":
        content = bytearray(path.read_bytes())
        for mark in (b"PK\x01\x02", b"PK\x03\x04"):
            content[content.index(mark) + (8 if mark[2] == 1 else 6)] |= 1  # says that it is encrypted
    path.write_bytes(content[: -30 if damage == "cut" else None])
    with pytest.raises(InputError, match=r"here.zip.*cannot be read.*\nResolve: put here.before in its place"):
        book()


@pytest.mark.parametrize("bad", ["0", "-1", "NaN", "sNaN", "Infinity", "1e9"])
def test_no_price_that_is_none_is_stored(vendor: Vendor, bad: str) -> None:
    vendor.prices["box.a", "on-demand", ""] = bad
    with pytest.raises((InputError, SourceError)):
        vendor.refresh(accept=True)
    assert not archive_of("here").exists()
    assert not list(archive_of("here").parent.glob("*.new"))


def test_two_prices_of_one_machine_and_a_region_nobody_asked_for(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    two = [price("us-town", TODAY, "box.a", "on-demand", usd) for usd in ("1", "2")]
    monkeypatch.setattr(f"{__name__}.listed", lambda *_: Catalogue(prices=tuple(two)))
    with pytest.raises(SourceError, match="one price"):
        vendor.refresh()
    monkeypatch.setattr(f"{__name__}.listed", lambda *_: Catalogue(prices=(replace(two[0], region="mars"),)))
    with pytest.raises(SourceError, match="prices of us-town"):
        vendor.refresh()


def test_a_refresh_that_broke_off_is_continued(vendor: Vendor) -> None:
    vendor.loopback.fail("/us-town", 200)  # what is no JSON is tried again
    vendor.refresh()
    vendor.loopback.requests.clear()
    vendor.loopback.fail("/eu-town", 503, 503)
    with pytest.raises(UnreachableError):
        vendor.refresh("*-town")
    vendor.refresh("*-town")
    assert vendor.loopback.requests.count("/eu-town") == 3
    assert vendor.loopback.requests.count("/us-town") == 1
    assert not archive_of("here").with_suffix(".work").exists()


def test_what_is_six_hours_old_is_not_continued(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    vendor.loopback.fail("/us-town", 503, 503)
    with pytest.raises(UnreachableError):
        vendor.refresh("*-town")
    monkeypatch.setattr(refreshing, "KEPT_S", -1.0)
    vendor.refresh("*-town")
    assert vendor.loopback.requests.count("/eu-town") == 2
    assert fetching.KEPT_S == 6 * 3600


def test_two_at_once(vendor: Vendor) -> None:
    archive_of("here").parent.mkdir(parents=True)
    with FileLock(archive_of("here").with_suffix(".lock")), pytest.raises(InputError, match="another refresh"):
        vendor.refresh()


@pytest.mark.parametrize(
    "endpoint",
    [
        "nonsense",
        "http://[::1",
        "file:///etc/passwd",
        "ftp://mirror.example",
        "http://",
        "http://x:99999",
        "http://a\\\\@localhost",
        "http://user@x",
        "http://x/?q",
    ],
)
def test_an_endpoint_that_is_none(vendor: Vendor, endpoint: str) -> None:
    with pytest.raises(InputError, match=r"expected an address such as https://mirror\.example"):
        refresh("here", ("us-town",), endpoint=endpoint)


def test_a_place_that_can_not_be_written(vendor: Vendor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TIGHTROPE_PRICES", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"cannot be kept here.*\nResolve: name a folder that you may write"):
        vendor.refresh()


def test_unknown_names(vendor: Vendor) -> None:
    with pytest.raises(UnknownNameError, match="use here"):
        refresh("heer")
    with pytest.raises(UnknownNameError, match="can be refreshed"):
        refresh("there")
    with pytest.raises(UnknownNameError, match=r"us-twn\*"):
        vendor.refresh("us-twn*")
    with pytest.raises(UnknownNameError, match="region of here"):
        vendor.refresh("../../etc")


def test_a_file_that_no_refresh_wrote(vendor: Vendor) -> None:
    vendor.refresh()
    archive_of("here").write_bytes(archive_of("here").read_bytes()[:-40])
    with pytest.raises(InputError, match=r"here.zip.*cannot be read"):
        book()


def test_the_same_refresh_writes_the_same_bytes(vendor: Vendor) -> None:
    first = vendor.refresh().path.read_bytes()
    assert vendor.refresh().path.read_bytes() == first
    with zipfile.ZipFile(archive_of("here")) as archive:
        assert sorted(archive.namelist()) == ["machines.csv", "prices.csv"]


DAYS = st.lists(
    st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(1, 4), max_size=3).map(dict), min_size=1, max_size=12
)


@given(DAYS, st.integers(1, 20))
def test_any_history_can_be_asked_for_again(days: list[dict[str, int]], step: int) -> None:
    """However lists change, the book of each day is the list of the last refresh by then."""
    now = earlier = Catalogue()
    machines = {name: MachineType("here", name, "box", 1, 4, "amd64", "", 0, 0, "x", TODAY) for name in "abc"}
    for number, prices in enumerate(days):
        day = TODAY + timedelta(days=number * step)
        rows = tuple(price("us-town", day, name, "on-demand", str(usd)) for name, usd in prices.items())
        now, earlier = step_on(now, earlier, rows, day)
    for number, prices in enumerate(days):
        day = TODAY + timedelta(days=number * step)
        assert standing(now, earlier, machines, day) == {name: Decimal(usd) for name, usd in prices.items()}


def step_on(now: Catalogue, earlier: Catalogue, rows: tuple[PriceRow, ...], day: date) -> tuple[Catalogue, Catalogue]:
    """Join a day's list, of which everything that is missing was withdrawn."""
    here = {price_key(row) for row in rows}
    gone = tuple(
        Withdrawal("here", row.region, row.machine, row.offer, "x", day) for row in now.prices if price_key(row) not in here
    )
    covered = frozenset({("us-town", "on-demand")})
    return joined(now, earlier, Catalogue(prices=rows), CatalogueComparison(rows, (), 0, gone, covered), day)


def standing(now: Catalogue, earlier: Catalogue, machines: dict[str, MachineType], day: date) -> dict[str, Decimal]:
    """Return machine → price in force on a day, as the book reads it."""
    prices = in_force([*earlier.prices, *now.prices], day, price_key)
    withdraw(prices, now.withdrawn, day)
    return {row.machine: row.usd_per_hour for row in prices.values()}


def test_old_spot_prices_are_thinned_to_one_a_week() -> None:
    now = earlier = Catalogue()
    for number in range(100):
        day = TODAY + timedelta(days=number)
        rows = (price("us-town", day, "a", "spot", str(number + 1)),)
        now, earlier = step_on(now, earlier, rows, day)
    old = [row for row in earlier.prices if row.seen <= day - timedelta(days=31)]
    young = [row for row in earlier.prices if row.seen > day - timedelta(days=31)]
    assert len(young) == 30
    assert len({row.seen.toordinal() // 7 for row in old}) == len(old) <= 11
    assert old[0].seen == TODAY


def test_an_archive_of_nothing_known(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(InputError, match=r"readme.txt.*no tables of a refresh.*\nResolve: put x.before in its place"):
        load_archive(path, {})
