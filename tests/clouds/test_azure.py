"""The Azure catalogue: a few facts that must hold, and the rules by which its figures were derived."""

from collections import defaultdict
from decimal import ROUND_UP, Decimal
from pathlib import Path

import pytest
from tests.clouds.conftest import row_of, table

from tightrope.base.catalogue import PriceRow
from tightrope.clouds import azure
from tightrope.clouds.book import PriceBook
from tightrope.clouds.search.machine_comparison import compare, parse_kind
from tightrope.perf.tables import find_accelerator

FOLDER = Path(azure.__file__).parent
REGIONS = {
    "eastus",
    "eastus2",
    "japaneast",
    "northeurope",
    "southcentralus",
    "southeastasia",
    "uksouth",
    "westeurope",
    "westus2",
    "westus3",
}
WINDOWS_USD_PER_VCPU_HOUR = Decimal("0.046")


def _rows(name: str) -> list[dict[str, str]]:
    return table(FOLDER, name)


def _row(book: PriceBook, machine: str, offer: str, region: str = "eastus") -> PriceRow:
    return row_of(book, machine, offer, region)


def test_regions_families_and_rows(book: PriceBook) -> None:
    assert set(book.regions("azure")) == REGIONS
    catalogue = azure.CLOUD.catalogue()
    assert len({machine.family for machine in catalogue.machines}) == 26
    assert len(catalogue.prices) > 1_600


@pytest.mark.parametrize(
    ("machine", "region", "usd_per_hour"),
    [
        ("Standard_NC4as_T4_v3", "eastus", "0.526"),
        ("Standard_NC64as_T4_v3", "eastus", "4.352"),
        ("Standard_NC24ads_A100_v4", "eastus", "3.673"),
        ("Standard_NC40ads_H100_v5", "eastus", "6.98"),
        ("Standard_ND96isr_H100_v5", "eastus", "98.32"),
        ("Standard_D2s_v5", "eastus", "0.096"),
        ("Standard_F4s_v2", "eastus", "0.169"),
        ("Standard_NC4as_T4_v3", "uksouth", "0.615"),
    ],
)
def test_on_demand_facts(book: PriceBook, machine: str, region: str, usd_per_hour: str) -> None:
    row = _row(book, machine, "on-demand", region)
    assert (row.usd_per_hour, row.basis) == (Decimal(usd_per_hour), "list")


def test_where_the_list_holds_windows_the_price_is_that_of_the_family(book: PriceBook) -> None:
    corrected = [row for row in _rows("prices.csv") if "@windows" in row["source"] and row["offer"] == "on-demand"]
    assert len(corrected) == 84
    for row in corrected:
        machine = book.machine(row["machine"])
        others = [
            found.usd_per_hour / other.vcpu
            for other in book.machines([machine.family])
            if (found := book.find(other.name, row["region"], "on-demand")) and found.basis == "list"
        ]
        per_vcpu = Decimal(row["usd_per_hour"]) / machine.vcpu
        assert row["basis"] == "derived"
        assert any(abs(per_vcpu - other) < Decimal("0.001") for other in others), row


def test_no_on_demand_price_is_that_of_windows(book: PriceBook) -> None:
    per_vcpu = defaultdict(list)
    for (name, region, offer), row in book.rows.items():
        if row.cloud == "azure" and offer == "on-demand" and not (machine := book.machine(name)).accelerators:
            per_vcpu[machine.family, region].append(row.usd_per_hour / machine.vcpu)
    for group, prices in per_vcpu.items():
        assert max(prices) - min(prices) < WINDOWS_USD_PER_VCPU_HOUR / 10, group


def test_spot_is_the_largest_share_seen(book: PriceBook) -> None:
    spot = [row for row in _rows("prices.csv") if row["offer"] == "spot"]
    assert len(spot) == 253
    for row in spot:
        share = Decimal(row["source"].split()[0].removeprefix("@spot-")) / 100
        on_demand = _row(book, row["machine"], "on-demand", row["region"]).usd_per_hour
        assert Decimal(row["usd_per_hour"]) == (on_demand * share).quantize(Decimal("0.00001"), ROUND_UP)
        assert (row["basis"], row["interruptions_per_month"]) == ("derived", "")


def test_reservations_are_the_term_over_its_hours(book: PriceBook) -> None:
    one, three = (_row(book, "Standard_NC48ads_A100_v4", f"reserved-{years}y", "eastus2") for years in (1, 3))
    assert (one.usd_per_hour, three.usd_per_hour) == (Decimal("4.80206"), Decimal("2.72611"))
    assert one.basis == "list"
    assert one.upfront_usd == 0
    derived = _row(book, "Standard_NC24ads_A100_v4", "reserved-1y", "westus2")
    assert derived.usd_per_hour == Decimal("2.40215")
    assert derived.basis == "derived"


def test_no_rate_where_none_was_seen(book: PriceBook) -> None:
    assert book.find("Standard_NC4as_T4_v3", "eastus", "reserved-1y") is None
    assert book.find("Standard_D4s_v5", "eastus", "savings-plan-1y") is None
    assert book.find("Standard_NC40ads_H100_v5", "eastus", "spot") is None


def test_reservations_come_before_savings_plans(book: PriceBook) -> None:
    reserved, plan = (book.commitment("azure", offer) for offer in ("reserved-3y", "savings-plan-3y"))
    assert reserved.order < plan.order
    assert (reserved.scope, reserved.rate, reserved.upfront_share) == ("machine", "fixed", 0)
    assert (plan.scope, plan.rate, plan.term_years) == ("any", "floating", 3)
    assert reserved.covers_other_sizes("Dsv5")


def test_families_priced_by_other_than_vcpus_are_inflexible(book: PriceBook) -> None:
    reserved = book.commitment("azure", "reserved-1y")
    per_vcpu = defaultdict(list)
    for machine in azure.CLOUD.catalogue().machines:
        if row := book.find(machine.name, "eastus", "on-demand"):
            per_vcpu[machine.family].append(row.usd_per_hour / machine.vcpu)
    uneven = {family for family, prices in per_vcpu.items() if max(prices) > min(prices) * Decimal("1.02")}
    assert uneven == {family for family in per_vcpu if not reserved.covers_other_sizes(family)}


@pytest.mark.parametrize("item", ["internet-egress", "inter-zone-transfer", "object-storage", "block-storage"])
def test_every_region_has_what_a_plan_needs(book: PriceBook, item: str) -> None:
    assert all(book.unit_price("azure", region, item).usd > 0 for region in REGIONS)


def test_egress_tiers(book: PriceBook) -> None:
    tiers = book.tiers("azure", "eastus", "internet-egress")
    assert [(tier.above, tier.usd) for tier in tiers] == [
        (100, Decimal("0.087")),
        (10_100, Decimal("0.083")),
        (50_100, Decimal("0.07")),
        (150_100, Decimal("0.05")),
    ]
    assert book.unit_price("azure", "japaneast", "internet-egress").usd == Decimal("0.12")


@pytest.mark.parametrize(
    ("machine", "accelerator", "memory_gib"),
    [
        ("Standard_NV6ads_A10_v5", "a10-sixth", 4),
        ("Standard_NV12ads_A10_v5", "a10-third", 8),
        ("Standard_NV18ads_A10_v5", "a10-half", 12),
        ("Standard_NV36ads_A10_v5", "a10", 24),
        ("Standard_NV36adms_A10_v5", "a10", 24),
        ("Standard_NV4ads_V710_v5", "v710-sixth", 4),
        ("Standard_NV8ads_V710_v5", "v710-third", 8),
        ("Standard_NV12ads_V710_v5", "v710-half", 12),
        ("Standard_NV24ads_V710_v5", "v710", 24),
    ],
)
def test_a_part_of_an_accelerator_has_its_own_name(book: PriceBook, machine: str, accelerator: str, memory_gib: int) -> None:
    described = book.machine(machine)
    assert (described.accelerator, described.accelerators, described.accelerator_memory_gib) == (accelerator, 1, memory_gib)


def test_one_accelerator_has_one_memory() -> None:
    memory = defaultdict(set)
    for machine in azure.CLOUD.catalogue().machines:
        if machine.accelerators and not machine.accelerator.endswith(("-sixth", "-third", "-half")):
            memory[machine.accelerator].add(machine.accelerator_memory_gib)
    assert memory == {
        "t4": {16},
        "a10": {24},
        "a100": {40, 80},
        "h100": {80},
        "h100-nvl": {94},
        "h200": {141},
        "mi300x": {192},
        "gb200": {192},
        "v710": {24},
    }


def test_no_part_and_no_other_board_takes_the_figures_of_a_whole(book: PriceBook) -> None:
    known = {chip.accelerator for machine in azure.CLOUD.catalogue().machines if (chip := find_accelerator(machine))}
    assert known == {"t4", "a10", "a100", "h100", "h100-nvl", "h200", "gb200"}
    board = find_accelerator(book.machine("Standard_NC40ads_H100_v5"))
    assert board is not None
    assert board.accelerator == "h100-nvl"


def test_a_comparison_leads_with_whole_accelerators(book: PriceBook) -> None:
    sides = [side for side in compare(book, parse_kind("a10", book), lambda _: None) if side.machine.cloud == "azure"]
    assert [side.machine.name for side in sides] == ["Standard_NV36ads_A10_v5"]


def test_no_figure_of_a_list_without_licence_is_said_to_be_ones_own() -> None:
    shares = [row for row in _rows("sources.csv") if row["key"].startswith("spot-")]
    assert len(shares) == 9
    for row in shares:
        assert row["licence"] == "Apache-2.0; measured on data without a licence"
        assert "coroot/cloud-pricing" in row["description"]
        assert "anycloud-sh/catalog commit 62ff0a98" in row["description"]


def test_arm_is_arm(book: PriceBook) -> None:
    arm = {machine.family for machine in azure.CLOUD.catalogue().machines if machine.arch == "arm64"}
    assert arm == {"Dpsv5", "Dpsv6", "Epsv6", "ND_GB200_v6"}
