"""The Google Cloud catalogue: a few facts that must hold, and the rules by which its tables were made."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from tests.clouds.conftest import row_of, table

from tightrope.base.catalogue import PriceRow
from tightrope.clouds import gcp
from tightrope.clouds.book import PriceBook, load_price_book
from tightrope.perf.tables import find_accelerator

FOLDER = Path(gcp.__file__).parent
GPU_AND_TPU = {"g2", "a2", "a3", "ct5lp", "ct6e"}
FAMILIES = GPU_AND_TPU | {"c4", "c4d", "c3", "c3d", "n2", "n2d", "e2", "t2d", "t2a"}
REGIONS = {
    *("us-central1", "us-east1", "us-east4", "us-east5", "us-west1", "us-west4"),
    *("europe-west1", "europe-west4", "asia-northeast1", "asia-southeast1"),
}


def _row(book: PriceBook, machine: str, offer: str, region: str = "us-central1") -> PriceRow:
    return row_of(book, machine, offer, region)


def _rows(name: str) -> list[dict[str, str]]:
    return table(FOLDER, name)


def test_families_and_regions(book: PriceBook) -> None:
    assert {machine.family for machine in gcp.CLOUD.catalogue().machines} == FAMILIES
    assert set(book.regions("gcp")) == REGIONS
    assert len(gcp.CLOUD.catalogue().prices) > 1000


@pytest.mark.parametrize(
    ("machine", "usd_per_hour"),
    [
        ("g2-standard-4", "0.706832255"),
        ("a2-highgpu-1g", "3.673385"),
        ("a2-ultragpu-1g", "5.068797891"),
        ("a3-highgpu-8g", "88.489999903"),
        ("ct5lp-hightpu-4t", "4.8"),
        ("ct6e-standard-8t", "21.6"),
        ("e2-standard-2", "0.06701142"),
    ],
)
def test_on_demand_facts(book: PriceBook, machine: str, usd_per_hour: str) -> None:
    row = _row(book, machine, "on-demand")
    assert (row.usd_per_hour, row.basis) == (Decimal(usd_per_hour), "list")


def test_the_known_price_of_an_l4_machine(book: PriceBook) -> None:
    assert round(_row(book, "g2-standard-4", "on-demand").usd_per_hour, 3) == Decimal("0.707")


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("g2-standard-4", (4, 16, "amd64", "l4", 1, 24)),
        ("g2-standard-96", (96, 384, "amd64", "l4", 8, 24)),
        ("a2-highgpu-1g", (12, 85, "amd64", "a100", 1, 40)),
        ("a2-ultragpu-8g", (96, 1360, "amd64", "a100", 8, 80)),
        ("a3-megagpu-8g", (208, 1872, "amd64", "h100", 8, 80)),
        ("ct5lp-hightpu-1t", (24, 48, "amd64", "tpu-v5e", 1, 16)),
        ("ct6e-standard-4t", (180, 720, "amd64", "tpu-v6e", 4, 32)),
        ("t2a-standard-4", (4, 16, "arm64", "", 0, 0)),
    ],
)
def test_machine_facts(book: PriceBook, name: str, facts: tuple[object, ...]) -> None:
    machine = book.machine(name)
    chip = (machine.accelerator, machine.accelerators, machine.accelerator_memory_gib)
    assert (machine.vcpu, machine.memory_gib, machine.arch, *chip) == facts


def test_every_gpu_has_figures_to_reckon_with(book: PriceBook) -> None:
    gpus = [machine for machine in gcp.CLOUD.catalogue().machines if machine.family in {"g2", "a2", "a3"}]
    assert len(gpus) == 22
    assert all(find_accelerator(machine) for machine in gpus)


def test_the_parts_of_a_machine_add_up(book: PriceBook) -> None:
    for region in book.regions("gcp"):
        twelve, all_of_it = (book.find(f"g2-standard-{size}", region, "on-demand") for size in (12, 48))
        if twelve and all_of_it:
            assert all_of_it.usd_per_hour == 4 * twelve.usd_per_hour, region


def test_tpu_machines_cost_their_chips(book: PriceBook) -> None:
    rows = [row for row in gcp.CLOUD.catalogue().prices if book.machine(row.machine).accelerator.startswith("tpu")]
    assert len(rows) > 100
    for row in rows:
        one = _row(book, row.machine.rpartition("-")[0] + "-1t", row.offer, row.region)
        assert row.usd_per_hour == book.machine(row.machine).accelerators * one.usd_per_hour


@pytest.mark.parametrize(
    ("machine", "region", "day", "usd_per_hour"),
    [
        ("g2-standard-4", "us-east4", date(2023, 5, 1), "0.79610514"),
        ("g2-standard-4", "us-east4", date(2023, 9, 1), "0.704517808"),
        ("a2-highgpu-1g", "us-central1", date(2025, 1, 1), "3.673385"),
        ("a3-highgpu-1g", "us-central1", date(2024, 10, 30), "11.061249988"),
    ],
)
def test_prices_of_a_past_day(machine: str, region: str, day: date, usd_per_hour: str) -> None:
    assert _row(load_price_book(day), machine, "on-demand", region).usd_per_hour == Decimal(usd_per_hour)


def test_spot_prices_of_a_past_day(book: PriceBook) -> None:
    then = _row(load_price_book(date(2026, 5, 20)), "g2-standard-4", "spot")
    assert (then.usd_per_hour, then.seen) == (Decimal("0.29598"), date(2026, 5, 14))
    assert _row(book, "g2-standard-4", "spot").usd_per_hour == Decimal("0.397336")


@pytest.mark.parametrize(
    ("machine", "region"),
    [
        ("g2-standard-4", "us-east5"),
        ("a2-megagpu-16g", "us-east1"),
        ("a3-highgpu-8g", "us-east1"),
        ("a2-ultragpu-1g", "us-west4"),
    ],
)
def test_what_a_region_does_not_offer_has_no_price(book: PriceBook, machine: str, region: str) -> None:
    assert not book.offers(machine, region)


def test_every_row_has_its_on_demand_price(book: PriceBook) -> None:
    assert all(book.find(row.machine, row.region, "on-demand") for row in gcp.CLOUD.catalogue().prices)


def test_flexible_commitments_are_taken_off_general_purpose_machines_only(book: PriceBook) -> None:
    row = _row(book, "n2-standard-4", "flexible-commitment-1y")
    assert (row.usd_per_hour, row.basis) == (Decimal("0.13985"), "derived")  # 0.194236 × 0.72, rounded up
    discounted = {item.family for item in gcp.CLOUD.catalogue().discounts}
    excluded = set(book.commitment("gcp", "flexible-commitment-3y").excluded_families.split())
    assert discounted | excluded == FAMILIES
    assert not discounted & excluded
    assert excluded >= GPU_AND_TPU


def test_resource_commitments_come_first_and_cover_a_series(book: PriceBook) -> None:
    resource, flexible = (book.commitment("gcp", f"{kind}-commitment-3y") for kind in ("resource", "flexible"))
    assert (resource.scope, resource.term_years, resource.upfront_share) == ("family", 3, 0)
    assert resource.order < flexible.order
    assert not any(row.machine.startswith("t2a") for row in gcp.CLOUD.catalogue().prices if "commitment" in row.offer)


def test_a_longer_commitment_is_cheaper(book: PriceBook) -> None:
    found = 0
    for machine, region, offer in book.rows:
        if offer == "resource-commitment-3y":
            found += 1
            assert _row(book, machine, offer, region).usd_per_hour < book.rows[machine, region, offer[:-2] + "1y"].usd_per_hour
    assert found > 800


def test_interruptions_are_unknown(book: PriceBook) -> None:
    assert all(row.interruptions_per_month is None for row in gcp.CLOUD.catalogue().prices)


def test_every_unit_price_that_a_plan_needs_is_there(book: PriceBook) -> None:
    for region in book.regions("gcp"):
        for item in ("internet-egress", "inter-zone-transfer", "object-storage", "block-storage"):
            assert book.unit_price("gcp", region, item).usd > 0


def test_egress_gets_cheaper_with_each_tier(book: PriceBook) -> None:
    for region in book.regions("gcp"):
        usd = [row.usd for row in book.tiers("gcp", region, "internet-egress")]
        assert usd == sorted(usd, reverse=True)
        assert len(usd) > 1


def test_every_source_is_used_and_no_source_is_an_address() -> None:
    tables = ("machines", "prices", "unit_prices", "discounts", "commitments")
    cells = [row["source"] for name in tables for row in _rows(f"{name}.csv")]
    assert {key for cell in cells for key in cell.split()} == {f"@{row['key']}" for row in _rows("sources.csv")}
    assert not any("://" in row["description"] for row in _rows("sources.csv"))
