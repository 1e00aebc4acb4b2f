"""The catalogue of Lambda Cloud: facts of its list, and the rules by which its rows were made."""

from decimal import Decimal

import pytest

from tightrope.base.catalogue import MachineType
from tightrope.clouds import lambda_labs
from tightrope.clouds.book import PriceBook
from tightrope.perf.tables import find_accelerator

CATALOGUE = lambda_labs.CLOUD.catalogue()
MACHINES = {machine.name: machine for machine in CATALOGUE.machines}
NEEDED = {"internet-egress", "inter-zone-transfer", "object-storage", "block-storage"}
"""The unit prices without which a region cannot be planned."""


@pytest.mark.parametrize(
    ("machine", "usd_per_hour"),
    [
        ("gpu_1x_a10", "1.29"),
        ("gpu_1x_gh200", "2.29"),
        ("gpu_1x_h100_pcie", "3.29"),
        ("gpu_1x_h100_sxm5", "4.29"),
        ("gpu_8x_h100_sxm5", "31.92"),
        ("gpu_8x_a100_80gb_sxm4", "22.32"),
        ("gpu_8x_b200_sxm6", "53.52"),
    ],
)
def test_list_prices(book: PriceBook, machine: str, usd_per_hour: str) -> None:
    row = book.find(machine, "us-east-1", "on-demand")
    assert row
    assert (row.usd_per_hour, row.basis, row.cloud) == (Decimal(usd_per_hour), "list", "lambda")


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("gpu_1x_a10", (30, 200, "amd64", "a10", 1, 24)),
        ("gpu_1x_gh200", (64, 432, "arm64", "gh200", 1, 96)),
        ("gpu_8x_a100_80gb_sxm4", (240, 1800, "amd64", "a100", 8, 80)),
        ("gpu_8x_b200_sxm6", (208, 2900, "amd64", "b200", 8, 180)),
    ],
)
def test_machine_facts(name: str, facts: tuple[object, ...]) -> None:
    machine = MACHINES[name]
    chip = (machine.accelerator, machine.accelerators, machine.accelerator_memory_gib)
    assert (machine.vcpu, machine.memory_gib, machine.arch, *chip) == facts


@pytest.mark.parametrize("machine", CATALOGUE.machines, ids=lambda machine: machine.name)
def test_a_name_says_how_many_gpus_it_has(machine: MachineType) -> None:
    count, _, chip = machine.name.removeprefix("gpu_").partition("x_")
    assert int(count) == machine.accelerators
    assert chip.startswith(machine.accelerator.replace("-", "_"))


def test_every_machine_has_one_price_in_every_region(book: PriceBook) -> None:
    regions = book.regions("lambda")
    assert len(regions) == 16
    for name in MACHINES:
        rows = [book.find(name, region, "on-demand") for region in regions]
        assert len({row.usd_per_hour for row in rows if row}) == 1
        assert all(rows)


def test_no_gpu_costs_more_in_a_larger_machine(book: PriceBook) -> None:
    for machine in CATALOGUE.machines:
        for other in CATALOGUE.machines:
            if machine.family == other.family and machine.accelerators < other.accelerators:
                small, large = (book.find(name, "us-east-1", "on-demand") for name in (machine.name, other.name))
                assert small
                assert large
                assert large.usd_per_hour / other.accelerators <= small.usd_per_hour / machine.accelerators


def test_every_region_can_be_planned(book: PriceBook) -> None:
    for region in book.regions("lambda"):
        assert {item for cloud, place, item in book.unit_tiers if (cloud, place) == ("lambda", region)} == NEEDED


def test_what_is_free_says_so(book: PriceBook) -> None:
    for item in NEEDED - {"object-storage"}:
        (tier,) = book.tiers("lambda", "us-east-1", item)
        assert (tier.usd, tier.above) == (0, 0)
        assert tier.source.startswith("free: ")
    assert book.unit_price("lambda", "us-east-1", "object-storage").usd == Decimal("0.20")


@pytest.mark.parametrize(
    ("name", "chip"),
    [("gpu_1x_h100_sxm5", "h100"), ("gpu_1x_a100", "a100"), ("gpu_1x_h100_pcie", "h100-pcie"), ("gpu_1x_a10", "a10")],
)
def test_no_chip_is_taken_for_a_faster_one(name: str, chip: str) -> None:
    found = find_accelerator(MACHINES[name])
    assert found is not None
    assert found.accelerator == chip
