"""The AWS catalogue: a few facts that must hold, and the rules by which its figures were derived."""

import csv
import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from tightrope.base.catalogue import PriceRow
from tightrope.clouds import aws
from tightrope.clouds.book import PriceBook, load_price_book

FOLDER = Path(aws.__file__).parent
FAMILIES = {"g4dn", "g5", "g6", "g6e", "p4d", "p5", "inf2", "c6i", "c7i", "c7g", "m6i", "m7i"}
SAVINGS_PLAN = "compute-savings-plan-1y-no-upfront"
KEPT_SHARE = dict.fromkeys(("g4dn", "g5", "p4d", "inf2"), Decimal("0.79"))
"""What is left of the on-demand price under the savings plan; 0.81 for every other family."""


@pytest.fixture(scope="module")
def book() -> PriceBook:
    """Return the book as it ships."""
    return load_price_book()


def _row(book: PriceBook, machine: str, offer: str, region: str = "us-east-1") -> PriceRow:
    row = book.find(machine, region, offer)
    assert row, (machine, region, offer)
    return row


def _rows(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_families_and_regions(book: PriceBook) -> None:
    assert {machine.family for machine in aws.CLOUD.catalogue().machines} == FAMILIES
    assert set(book.regions("aws")) == {"us-east-1", "us-east-2", "us-west-2", "eu-west-1"}


@pytest.mark.parametrize(
    ("machine", "usd_per_hour"),
    [
        ("g4dn.xlarge", "0.526"),
        ("g4dn.12xlarge", "3.912"),
        ("g5.xlarge", "1.006"),
        ("g6.xlarge", "0.8048"),
        ("g6e.xlarge", "1.861"),
        ("inf2.xlarge", "0.7582"),
        ("p4d.24xlarge", "21.957642"),
        ("p5.48xlarge", "55.04"),
        ("c6i.large", "0.085"),
        ("c7g.large", "0.0725"),
    ],
)
def test_on_demand_facts(book: PriceBook, machine: str, usd_per_hour: str) -> None:
    row = _row(book, machine, "on-demand")
    assert (row.usd_per_hour, row.basis) == (Decimal(usd_per_hour), "list")


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("g4dn.xlarge", (4, 16, "amd64", "t4", 1, 16)),
        ("g5.12xlarge", (48, 192, "amd64", "a10g", 4, 22.4)),
        ("g6.xlarge", (4, 16, "amd64", "l4", 1, 22.4)),
        ("g6e.xlarge", (4, 32, "amd64", "l40s", 1, 44.7)),
        ("p4d.24xlarge", (96, 1152, "amd64", "a100", 8, 40)),
        ("p5.4xlarge", (16, 256, "amd64", "h100", 1, 80)),
        ("inf2.24xlarge", (96, 384, "amd64", "inferentia2", 6, 32)),
        ("c7g.large", (2, 4, "arm64", "", 0, 0)),
    ],
)
def test_machine_facts(book: PriceBook, name: str, facts: tuple[object, ...]) -> None:
    machine = book.machine(name)
    chip = (machine.accelerator, machine.accelerators, machine.accelerator_memory_gib)
    assert (machine.vcpu, machine.memory_gib, machine.arch, *chip) == facts


def test_every_machine_is_sold_on_demand_in_the_first_region(book: PriceBook) -> None:
    assert all(book.find(machine.name, "us-east-1", "on-demand") for machine in aws.CLOUD.catalogue().machines)


def test_every_row_has_its_on_demand_price(book: PriceBook) -> None:
    assert all(book.find(machine, region, "on-demand") for machine, region, _ in book.rows)


def test_savings_plan_is_the_stated_share_of_on_demand_rounded_up(book: PriceBook) -> None:
    rows = [row for row in book.rows.values() if row.offer == SAVINGS_PLAN]
    assert len(rows) > 250
    for row in rows:
        share = KEPT_SHARE.get(book.machine(row.machine).family, Decimal("0.81"))
        exact = _row(book, row.machine, "on-demand", row.region).usd_per_hour * share
        assert Decimal(0) <= row.usd_per_hour - exact < Decimal("0.00001"), row
        assert row.basis == "derived"


def test_no_savings_plan_where_no_discount_is_known(book: PriceBook) -> None:
    assert not any(row.offer == SAVINGS_PLAN for row in book.rows.values() if book.machine(row.machine).family == "p5")


def test_interruptions_are_upper_edges_of_the_advisors_bands(book: PriceBook) -> None:
    spot = [row for row in book.rows.values() if row.offer == "spot"]
    assert {row.interruptions_per_month for row in spot} == {0.05, 0.10, 0.15, 0.20, 0.30}
    assert all(row.interruptions_per_month is None for row in book.rows.values() if row.offer != "spot")


def test_spot_of_repriced_types_is_the_dear_reading(book: PriceBook) -> None:
    assert _row(book, "p5.48xlarge", "spot").usd_per_hour == Decimal("98.32") * Decimal("0.48")
    assert _row(book, "p4d.24xlarge", "spot").usd_per_hour >= Decimal("32.77") * Decimal("0.33")


def test_spot_takes_the_dearer_source(book: PriceBook) -> None:
    assert _row(book, "g4dn.xlarge", "spot").usd_per_hour == Decimal("0.20444")  # mean over 5 zones; the advisor says 0.18936
    assert _row(book, "inf2.xlarge", "spot").usd_per_hour == Decimal("0.16681")  # 78 % off; the mean over zones is 0.15245


def test_every_unit_price_is_there_for_every_region(book: PriceBook) -> None:
    for region in book.regions("aws"):
        for item in ("internet-egress", "inter-zone-transfer", "object-storage", "block-storage"):
            assert book.unit_price("aws", region, item).usd > 0


def test_every_source_is_used_and_no_source_is_an_address() -> None:
    cells = [row["source"] for name in ("machines.csv", "prices.csv", "unit_prices.csv") for row in _rows(name)]
    assert {key for cell in cells for key in cell.split()} == {f"@{row['key']}" for row in _rows("sources.csv")}
    assert not any("://" in row["description"] for row in _rows("sources.csv"))


def test_a_newcomer_adds_a_machine_type_with_one_row(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "aws", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    with (tmp_path / "aws" / "machines.csv").open("a", encoding="utf-8") as file:
        file.write("aws,g9.xlarge,g9,4,16,amd64,l9,1,48,announcement,2026-11-01\n")
    assert load_price_book(directory=tmp_path / "aws").machine("g9.xlarge").accelerator == "l9"
    with (tmp_path / "aws" / "prices.csv").open("a", encoding="utf-8") as file:
        file.write("aws,us-east-1,g9.xlarge,on-demand,1.25,3,,list,announcement,2026-11-01\n")
    book = load_price_book(directory=tmp_path / "aws")
    assert _row(book, "g9.xlarge", "on-demand").usd_per_hour == Decimal("1.25")
    assert [machine.name for machine in book.machines(["g9"])] == ["g9.xlarge"]
