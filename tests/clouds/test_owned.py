"""Machines of one's own: the price of an hour against sums done by hand, and a reader that believes nothing."""

import contextlib
import importlib.util
import inspect
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tightrope.base import registry
from tightrope.base.catalogue import Catalogue, MachineType
from tightrope.base.contracts import Cloud, Face
from tightrope.base.errors import InputError
from tightrope.clouds.book import load_price_book
from tightrope.clouds.catalogue_tables import load_catalogue
from tightrope.clouds.owned import capital_usd_per_year, load_owned

HEADER = (
    "name,site,vcpu,memory_gib,arch,accelerator,accelerators,accelerator_memory_gib,quantity,purchase_usd,residual_usd,life_years,"
    "interest_rate,power_watts,pue,usd_per_kwh,overhead_usd_per_month,seen\n"
)
RACK = "rack-l40s,basel,32,256,amd64,L40S,2,48,3,36000,3000,5,0.08,900,1.4,0.15,120,2026-10-01\n"
EDGE = "edge-box,shop-7,8,16,arm64,,0,0,1,1200,0,4,0,30,1,0.25,5,2026-09-01\n"


@pytest.fixture
def declared(tmp_path: Path) -> Path:
    """Return a file of two machines."""
    return write(tmp_path, HEADER + RACK + EDGE)


def write(folder: Path, text: str) -> Path:
    """Return the path of an ``owned.csv`` with this content."""
    path = folder / "owned.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_hour_costs_what_it_does_by_hand(declared: Path) -> None:
    rack, edge = load_owned(declared).prices
    # 36,000 − 3,000 / 1.08^5 = 33,958.2504; × 0.250456455 = 8,505.0631 a year; / 8,760 = 0.970898
    # 0.9 kW × 1.4 × 0.15 = 0.189; 120 / 730 = 0.164384
    assert rack.usd_per_hour == Decimal("1.32429")  # 1.324281, rounded up
    # 1,200 / 4 / 8,760 = 0.034247; 0.03 kW × 0.25 = 0.0075; 5 / 730 = 0.006849
    assert edge.usd_per_hour == Decimal("0.04860")


def test_a_row_says_how_it_came_about(declared: Path) -> None:
    rack, edge = load_owned(declared).prices
    assert rack.source == (
        "owned.csv, 3 of them at basel: 0.97090 for 36,000 USD over 5 years at 8 % a year, then sold for 3,000"
        " + 0.18900 for 900 W × PUE 1.4 × 0.15 USD per kWh + 0.16438 for 120 USD a month of overhead"
    )
    assert "sold" not in edge.source
    assert (rack.cloud, rack.region, rack.machine, rack.offer) == ("owned", "basel", "rack-l40s", "owned")
    assert (rack.zones, rack.interruptions_per_month, rack.basis, rack.seen) == (1, None, "derived", date(2026, 10, 1))


def test_machines_are_described(declared: Path) -> None:
    rack, edge = load_owned(declared).machines
    source = "as its owner declares it in owned.csv"
    assert rack == MachineType(
        "owned", "rack-l40s", "rack-l40s", 32, 256.0, "amd64", "l40s", 2, 48.0, source, date(2026, 10, 1), None
    )
    assert (edge.accelerator, edge.accelerators, edge.arch) == ("", 0, "arm64")


def test_family_and_network_may_be_stated(tmp_path: Path) -> None:
    text = HEADER.replace("seen", "seen,family,network_gbps") + RACK.replace("10-01", "10-01,rack,25")
    (rack,) = load_owned(write(tmp_path, text)).machines
    assert (rack.family, rack.network_gbps) == ("rack", 25.0)


def test_residual_may_be_left_out(tmp_path: Path) -> None:
    text = HEADER.replace("residual_usd,", "") + RACK.replace("36000,3000", "36000")
    (row,) = load_owned(write(tmp_path, text)).prices
    assert row.usd_per_hour > Decimal("1.32429")
    assert "sold" not in row.source


def test_an_empty_cell_of_what_may_be_left_out_is_left_out(tmp_path: Path) -> None:
    header = HEADER.replace("seen", "seen,family,network_gbps")
    empty = header + RACK.replace("36000,3000", "36000,").replace("10-01", "10-01,,")
    (tmp_path / "left").mkdir()
    left = load_owned(write(tmp_path / "left", HEADER.replace("residual_usd,", "") + RACK.replace("36000,3000", "36000")))
    assert load_owned(write(tmp_path, empty)) == left
    with pytest.raises(InputError, match="column 'purchase_usd': got ''"):
        load_owned(write(tmp_path, HEADER + RACK.replace("36000,3000", ",3000")))


def test_a_machine_stands_at_several_sites_at_the_price_of_each(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + EDGE + EDGE.replace("shop-7", "shop-8").replace("0.25", "0.50"))
    catalogue = load_owned(path)
    assert [machine.name for machine in catalogue.machines] == ["edge-box"]
    assert {row.region: row.usd_per_hour for row in catalogue.prices} == {
        "shop-7": Decimal("0.04860"),
        "shop-8": Decimal("0.05610"),
    }


def test_every_site_can_be_planned_and_own_unit_prices_stand_before_the_included(declared: Path) -> None:
    units = load_owned(declared).unit_prices
    assert {(row.region, row.item) for row in units} == {
        (site, item)
        for site in ("basel", "shop-7")
        for item in ("internet-egress", "inter-zone-transfer", "object-storage", "block-storage")
    }
    assert all(row.usd == row.above == 0 and row.source.startswith("free") for row in units)


def blocks(kind: str) -> list[str]:
    """Return the code blocks of a kind in the page about owned machines."""
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "own-machines.md").read_text(encoding="utf-8")
    return re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL)


def test_the_sum_in_the_documentation_is_right(tmp_path: Path) -> None:
    rack, *boxes = load_owned(write(tmp_path, blocks("csv")[0])).prices
    assert f"{rack.usd_per_hour} USD/h" in blocks("text")[0]
    assert all(f"{part:.5f} USD/h" in blocks("text")[0] for part in map(Decimal, re.findall(r"\d\.\d{5}(?= for)", rack.source)))
    assert {box.region for box in boxes} == {"shop-7", "shop-8"}
    (tmp_path / "unit_prices.csv").write_text(blocks("csv")[1], encoding="utf-8")
    (row,) = load_catalogue(tmp_path).unit_prices
    assert (row.cloud, row.region, row.above) == ("owned", "basel", Decimal(0))


INTEGER_YEARS = st.integers(1, 20)
DOLLARS = st.decimals(0, 1_000_000, places=2)


@given(purchase=DOLLARS, residual=DOLLARS, years=INTEGER_YEARS, rate=st.decimals(0, "0.9", places=4))
@example(purchase=Decimal(1000), residual=Decimal(0), years=5, rate=Decimal("1e-27"))
@example(purchase=Decimal(1000), residual=Decimal(0), years=5, rate=Decimal("1e-90"))
def test_the_payments_and_the_residual_are_worth_the_purchase(
    purchase: Decimal, residual: Decimal, years: int, rate: Decimal
) -> None:
    payment = capital_usd_per_year(purchase, residual, Decimal(years), rate)
    worth = sum(payment / (1 + rate) ** year for year in range(1, years + 1)) + residual / (1 + rate) ** years
    assert abs(worth - purchase) < Decimal("1e-6")


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("site,", "place,", 1, "unknown column 'place'"),
        ("pue,", "", 1, "'pue' is there 0 times"),
        ("basel", "", 2, "column 'site': got '', expected some text"),
        ("amd64", "x86", 2, "got 'x86', expected amd64 or arm64"),
        ("48,3,", "48,0,", 2, "got '0', expected a whole number of 1 or more"),
        ("36000", "-1", 2, "got '-1', expected US dollars, 0 or more"),
        ("36000", "NaN", 2, "got 'NaN', expected US dollars"),
        (",5,0.08", ",0,0.08", 2, "got '0', expected years"),
        ("0.08", "8", 2, "got '8', expected a share a year from 0 to less than 1, 0.06 for 6 %"),
        ("0.08", "", 2, "column 'interest_rate': got ''"),
        ("900", "0", 2, "got '0', expected watts"),
        ("1.4", "0.9", 2, "got '0.9', expected 1 or more"),
        ("1.4", "1.4x", 2, "got '1.4x', expected 1 or more"),
        ("0.15", "cheap", 2, "got 'cheap', expected US dollars for a kilowatt-hour"),
        ("2026-10-01", "last year", 2, "expected a date such as"),
        ("L40S,2,48", "L40S,0,48", 2, "got 0 × 'l40s' of 48 GiB, expected a model, a count and its memory"),
        ("L40S,2,48", ",2,48", 2, "got 2 × '' of 48 GiB"),
        ("36000,3000", "36000,40000", 2, "would sell for 40000 USD, more than the 36000 that it cost"),
        ("1200,0,4,0,30,1,0.25,5", "0,0,4,0,30,1,0,0", 3, "edge-box costs 0.00 USD an hour, expected more than 0"),
        ("1200,0,4", "999999999,0,0.0001", 3, "expected more than 0 and less than 1000000"),
        ("edge-box,shop-7", "rack-l40s,basel", 3, "repeats rack-l40s, basel, which line 2 has already"),
        ("edge-box", "rack-l40s", 3, "rack-l40s is another machine than in line 2"),
    ],
)
def test_refuses_with_line_and_remedy(tmp_path: Path, old: str, new: str, line: int, says: str) -> None:
    text = HEADER + RACK + EDGE
    assert old in text
    path = write(tmp_path, text.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        load_owned(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert says in str(caught.value)
    assert caught.value.resolve


def test_refuses_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"owned\.csv: the table is no regular file"):
        load_owned(tmp_path / "owned.csv")


CELLS = st.text(max_size=8) | st.sampled_from(
    ["1", "0", "0.5", "amd64", "l4", "2026-01-01", "1e999", "1e-40", "NaN", "-1", "49.9"]
)


@given(row=st.lists(CELLS, min_size=18, max_size=18))
@example(
    row=["a", "b", "1", "1", "amd64", "", "0", "0", "1", "999999999", "0", "1e-300", "0.5", "1", "1", "0", "0", "2026-01-01"]
)
@example(
    row=["a", "b", "1", "1", "amd64", "", "0", "0", "1", "9", "0", "49.9", "1e-300", "1e-300", "1", "1e-300", "0", "2026-01-01"]
)
def test_random_rows_are_an_input_error_or_a_price(row: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "owned.csv"
        path.write_text(HEADER + ",".join(row) + "\n", encoding="utf-8", errors="surrogatepass")
        with contextlib.suppress(InputError):
            assert all(0 < float(price.usd_per_hour) <= 1e6 for price in load_owned(path).prices)


# ------------------------------------------------------------------------------ what every cloud must keep, kept here too


@dataclass
class Declared:
    """A cloud of what was declared."""

    own: Catalogue
    name: str = "owned"
    faces: frozenset[Face] = frozenset({"machines", "prices", "unit_prices"})
    importer: str = ""

    def catalogue(self) -> Catalogue:
        """Return what was declared."""
        return self.own


def contract_checks() -> list[Callable[..., None]]:
    """Return the tests of the contract's suite that look at one cloud."""
    spec = importlib.util.spec_from_file_location("suite", Path(__file__).parents[1] / "contracts" / "test_cloud_contract.py")
    assert spec
    assert spec.loader
    suite = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(suite)
    tests = [check for name, check in vars(suite).items() if name.startswith("test_")]
    return [check for check in tests if "cloud" in inspect.signature(check).parameters]


@pytest.mark.parametrize("check", contract_checks(), ids=lambda check: check.__name__)
def test_the_contract_of_clouds_is_kept(check: Callable[..., None], declared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = Declared(load_owned(declared))
    assert isinstance(cloud, Cloud)
    monkeypatch.setattr(registry, "load_clouds", lambda: {"owned": cloud})
    given = {"cloud": cloud, "book": load_price_book()}
    check(**{name: given[name] for name in inspect.signature(check).parameters})


def test_owned_is_no_cloud_until_it_is_declared() -> None:
    assert "owned" not in registry.load_clouds()
