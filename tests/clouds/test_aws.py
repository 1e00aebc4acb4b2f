"""The AWS catalogue: a few facts that must hold, and the rules by which its figures were derived."""

import re
import shutil
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from tests.clouds.conftest import row_of, table

from tightrope.base.catalogue import ANY, PriceRow
from tightrope.base.units import HOURS_PER_YEAR
from tightrope.clouds import aws
from tightrope.clouds.book import PriceBook, load_price_book

FOLDER = Path(aws.__file__).parent
TABLES = ("machines.csv", "prices.csv", "unit_prices.csv", "discounts.csv", "commitments.csv")
ZONE_PREFIXES = {
    "us-east-1": "use1",
    "us-east-2": "use2",
    "us-west-2": "usw2",
    "eu-west-1": "euw1",
    "eu-central-1": "euc1",
    "ap-northeast-1": "apne1",
    "ap-southeast-1": "apse1",
}
REGIONS = set(ZONE_PREFIXES)
SAVINGS_PLAN = "compute-savings-plan-1y-no-upfront"
RESERVED = "reserved-1y-no-upfront"
KEPT_SHARE = dict.fromkeys(("g4dn", "g5", "p4d", "p4de", "inf1", "inf2"), Decimal("0.79"))
"""What is left of the on-demand price under the savings plan; 0.81 for every other family."""
REPRICED = {"p4d.24xlarge", "p4de.24xlarge", "p5.48xlarge"}
"""Types whose price AWS cut in June 2025, and whose spot price was quoted by zone after that."""


def _row(book: PriceBook, machine: str, offer: str, region: str = "us-east-1") -> PriceRow:
    return row_of(book, machine, offer, region)


def _rows(name: str) -> list[dict[str, str]]:
    return table(FOLDER, name)


def _ours(book: PriceBook, offer: str = "") -> list[PriceRow]:
    """Return the rows of whole AWS regions in force, of one offer where it is named."""
    return [row for row in book.rows.values() if row.cloud == "aws" and offer in {"", row.offer}]


# ---------------------------------------------------------------------------------------------------------- what is here


def test_regions_on_three_continents_each_sell_most_families(book: PriceBook) -> None:
    assert set(book.regions("aws")) == REGIONS
    sold = {region: {row.machine for row in _ours(book, "on-demand") if row.region == region} for region in REGIONS}
    assert all(len(machines) > 120 for machines in sold.values()), {region: len(machines) for region, machines in sold.items()}
    for machine in ("g4dn.xlarge", "inf2.xlarge", "c6i.large", "c7g.large", "m7i.large"):
        assert all(machine in machines for machines in sold.values()), machine
    for machine in ("g5.xlarge", "g6.xlarge", "g6e.xlarge"):
        assert sum(machine in machines for machines in sold.values()) >= 5, machine


def test_there_are_thousands_of_rows() -> None:
    catalogue = aws.CLOUD.catalogue()
    assert len(catalogue.machines) > 200
    assert 2500 < len(catalogue.prices) < 4500
    kinds = Counter((row.offer, bool(row.zone)) for row in catalogue.prices)
    assert kinds["on-demand", False] > 1300
    assert kinds["spot", False] > 1200
    assert kinds["spot", True] > 350


@pytest.mark.parametrize(
    ("machine", "usd_per_hour"),
    [
        ("g4dn.xlarge", "0.526"),
        ("g4dn.12xlarge", "3.912"),
        ("g5.xlarge", "1.006"),
        ("g5g.xlarge", "0.42"),
        ("g6.xlarge", "0.8048"),
        ("g6e.xlarge", "1.861"),
        ("g6f.large", "0.202"),
        ("inf1.xlarge", "0.228"),
        ("inf2.xlarge", "0.7582"),
        ("trn1.32xlarge", "21.5"),
        ("p4d.24xlarge", "21.957642"),
        ("p4de.24xlarge", "27.44705"),
        ("p5.4xlarge", "6.88"),
        ("p5.48xlarge", "55.04"),
        ("p5en.48xlarge", "63.296"),
        ("c6i.large", "0.085"),
        ("c7g.large", "0.0725"),
        ("m6i.large", "0.096"),
    ],
)
def test_on_demand_facts(book: PriceBook, machine: str, usd_per_hour: str) -> None:
    row = _row(book, machine, "on-demand")
    assert (row.usd_per_hour, row.basis) == (Decimal(usd_per_hour), "list")


@pytest.mark.parametrize(
    ("machine", "region", "usd_per_hour"),
    [
        ("g4dn.xlarge", "eu-west-1", "0.587"),
        ("g4dn.xlarge", "ap-southeast-1", "0.736"),
        ("g5.xlarge", "eu-central-1", "1.258"),
        ("g6.xlarge", "eu-central-1", "1.0064"),
        ("g6.xlarge", "ap-northeast-1", "1.1672"),
        ("p5.48xlarge", "ap-northeast-1", "68.8"),
        ("p5.48xlarge", "us-west-2", "55.04"),
        ("c8g.2xlarge", "us-east-2", "0.31792"),
    ],
)
def test_on_demand_facts_of_other_regions(book: PriceBook, machine: str, region: str, usd_per_hour: str) -> None:
    assert _row(book, machine, "on-demand", region).usd_per_hour == Decimal(usd_per_hour)


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("g4dn.xlarge", (4, 16, "amd64", "t4", 1, 16)),
        ("g5.12xlarge", (48, 192, "amd64", "a10g", 4, 24)),
        ("g5g.xlarge", (4, 8, "arm64", "t4g", 1, 16)),
        ("g6.xlarge", (4, 16, "amd64", "l4", 1, 24)),
        ("g6e.xlarge", (4, 32, "amd64", "l40s", 1, 48)),
        ("g6f.large", (2, 8, "amd64", "l4-eighth", 1, 3)),
        ("g6f.4xlarge", (16, 64, "amd64", "l4-half", 1, 12)),
        ("p4d.24xlarge", (96, 1152, "amd64", "a100", 8, 40)),
        ("p4de.24xlarge", (96, 1152, "amd64", "a100", 8, 80)),
        ("p5.4xlarge", (16, 256, "amd64", "h100", 1, 80)),
        ("p5en.48xlarge", (192, 2048, "amd64", "h200", 8, 141)),
        ("p6-b200.48xlarge", (192, 2048, "amd64", "b200", 8, 180)),
        ("p6-b300.48xlarge", (192, 4096, "amd64", "b300", 8, 288)),
        ("inf1.6xlarge", (24, 48, "amd64", "inferentia", 4, 8)),
        ("inf2.24xlarge", (96, 384, "amd64", "inferentia2", 6, 32)),
        ("trn1.32xlarge", (128, 512, "amd64", "trainium", 16, 32)),
        ("c7g.large", (2, 4, "arm64", "", 0, 0)),
    ],
)
def test_machine_facts(book: PriceBook, name: str, facts: tuple[object, ...]) -> None:
    machine = book.machine(name)
    chip = (machine.accelerator, machine.accelerators, machine.accelerator_memory_gib)
    assert (machine.vcpu, machine.memory_gib, machine.arch, *chip) == facts


def test_network_is_known_where_machines_have_no_burst(book: PriceBook) -> None:
    found = {name: book.machine(name).network_gbps for name in ("g5.48xlarge", "p5.48xlarge", "c6i.8xlarge", "g5.xlarge")}
    assert found == {"g5.48xlarge": 100, "p5.48xlarge": 3200, "c6i.8xlarge": 12.5, "g5.xlarge": None}


def test_every_machine_is_sold_on_demand_in_the_first_region(book: PriceBook) -> None:
    assert all(book.find(machine.name, "us-east-1", "on-demand") for machine in aws.CLOUD.catalogue().machines)


def test_every_row_has_its_on_demand_price(book: PriceBook) -> None:
    assert all(book.find(row.machine, row.region, "on-demand") for row in _ours(book))


# --------------------------------------------------------------------------------------------------------------- history


def test_before_the_cut_of_2025_the_old_prices_hold() -> None:
    then = load_price_book(as_of=date(2024, 9, 30))
    for region in ("us-east-1", "us-east-2", "us-west-2"):
        assert _row(then, "p5.48xlarge", "on-demand", region).usd_per_hour == Decimal("98.32")
        assert _row(then, "p4d.24xlarge", "on-demand", region).usd_per_hour == Decimal("32.7726")
    assert _row(then, "p4d.24xlarge", "on-demand", "eu-west-1").usd_per_hour > 35


@pytest.mark.parametrize("day", [date(2026, 2, 1), date(2026, 8, 1)])
def test_after_the_cut_the_new_prices_hold(day: date) -> None:
    then = load_price_book(as_of=day)
    assert _row(then, "p5.48xlarge", "on-demand").usd_per_hour == Decimal("55.04")
    assert _row(then, "g5.xlarge", "on-demand").usd_per_hour == Decimal("1.006")


# ----------------------------------------------------------------------------------------------------------- commitments


def test_savings_plan_is_the_stated_share_of_on_demand_rounded_up(book: PriceBook) -> None:
    rows = [book.find(row.machine, row.region, SAVINGS_PLAN) for row in _ours(book, "on-demand")]
    found = [row for row in rows if row]
    assert len(found) > 1200
    for row in found:
        share = KEPT_SHARE.get(book.machine(row.machine).family, Decimal("0.81"))
        exact = _row(book, row.machine, "on-demand", row.region).usd_per_hour * share
        assert Decimal(0) <= row.usd_per_hour - exact < Decimal("0.00001"), row
        assert row.basis == "derived"


@pytest.mark.parametrize(
    ("machine", "region", "usd_per_hour"),
    [
        ("g4dn.xlarge", "us-east-1", "0.41554"),
        ("g4dn.xlarge", "eu-west-1", "0.46373"),
        ("g4dn.8xlarge", "us-east-1", "1.71904"),
        ("p4d.24xlarge", "eu-west-1", "18.7354"),
        ("c6i.large", "us-east-1", "0.06885"),
    ],
)
def test_savings_plan_figures(book: PriceBook, machine: str, region: str, usd_per_hour: str) -> None:
    assert _row(book, machine, SAVINGS_PLAN, region).usd_per_hour == Decimal(usd_per_hour)


@pytest.mark.parametrize("machine", ["p5.48xlarge", "p5.4xlarge", "p5en.48xlarge", "p6-b200.48xlarge"])
def test_no_commitment_where_no_discount_is_known(book: PriceBook, machine: str) -> None:
    assert {row.offer for row in book.offers(machine, "us-east-1")} <= {"on-demand", "spot"}


@pytest.mark.parametrize(
    ("machine", "usd_per_hour"),
    [("g5.xlarge", "0.63378"), ("g4dn.xlarge", "0.33144"), ("inf2.xlarge", "0.47767"), ("trn1.32xlarge", "13.229")],
)
def test_reserved_rates_of_the_first_region(book: PriceBook, machine: str, usd_per_hour: str) -> None:
    assert abs(_row(book, machine, RESERVED).usd_per_hour - Decimal(usd_per_hour)) < Decimal("0.001")


def test_what_is_paid_up_front_is_told(book: PriceBook) -> None:
    row = _row(book, "g5.xlarge", "reserved-1y-all-upfront")
    assert row.upfront_usd == row.usd_per_hour * HOURS_PER_YEAR
    assert _row(book, "g5.xlarge", RESERVED).upfront_usd == 0


def test_no_commitment_is_dearer_than_on_demand_and_longer_or_prepaid_is_not_dearer(book: PriceBook) -> None:
    compared = 0
    for on_demand in _ours(book, "on-demand"):
        rates = {row.offer: row.usd_per_hour for row in book.offers(on_demand.machine, on_demand.region)}
        assert all(rate < on_demand.usd_per_hour for offer, rate in rates.items() if offer != "on-demand"), on_demand
        for kind in ("reserved", "convertible", "instance-savings-plan", "compute-savings-plan"):
            ladder = [f"{kind}-{term}-upfront" for term in ("1y-no", "1y-all", "3y-all")]
            known = [rates[offer] for offer in ladder if offer in rates]
            assert known == sorted(known, reverse=True), (on_demand.machine, on_demand.region, kind)
            compared += len(known) > 1
    assert compared > 1000


@pytest.mark.parametrize("kind", ["reserved", "convertible"])
def test_size_flexibility_is_what_aws_says(book: PriceBook, kind: str) -> None:
    rule = book.commitment("aws", f"{kind}-1y-no-upfront")
    assert not any(rule.covers_other_sizes(family) for family in ("g4dn", "g5", "g5g", "g6", "g6e", "gr6", "p5", "inf1", "inf2"))
    assert all(rule.covers_other_sizes(family) for family in ("c6i", "c7g", "m7i", "r7g", "p4d", "trn1"))
    assert {"p5", "p5en", "p6-b200"} <= set(rule.excluded_families.split())


def test_commitments_have_their_scope_order_and_terms(book: PriceBook) -> None:
    rules = {offer: rule for (cloud, offer), rule in book.commitments.items() if cloud == "aws"}
    assert len(rules) == 24
    scopes = {
        "reserved": ("machine", 1),
        "convertible": ("machine", 1),
        "instance-savings-plan": ("family", 2),
        "compute-savings-plan": ("any", 3),
    }
    for offer, rule in rules.items():
        kind, years, payment = re.fullmatch(r"(.+)-([13])y-(no|partial|all)-upfront", offer).groups()  # type: ignore[union-attr]
        assert (rule.scope, rule.order) == scopes[kind]
        assert (rule.term_years, rule.rate) == (int(years), "fixed")
        assert rule.upfront_share == {"no": Decimal(0), "partial": Decimal("0.5"), "all": Decimal(1)}[payment]


def test_discounts_elsewhere_are_not_larger_than_in_the_first_region() -> None:
    shares = {(row.region, row.family, row.offer): row.share_off for row in aws.CLOUD.catalogue().discounts}
    first = {key[1:]: share for key, share in shares.items() if key[0] == "us-east-1"}
    pairs = [(shares[ANY, *key], share) for key, share in first.items() if (ANY, *key) in shares]
    assert len(pairs) > 40
    assert all(0 <= here - elsewhere < Decimal("0.01") for elsewhere, here in pairs)


# ------------------------------------------------------------------------------------------------------------------ spot


def test_interruptions_are_upper_edges_of_the_advisors_bands_or_unknown(book: PriceBook) -> None:
    spot = _ours(book, "spot")
    assert {row.interruptions_per_month for row in spot} == {0.05, 0.10, 0.15, 0.20, 0.30, None}
    unknown = [row for row in spot if row.interruptions_per_month is None]
    newer = {"g6f", "gr6f", "g7e", "p6-b200", "p6-b300", "c8g", "m8g"}  # what the advisor of 2025 did not yet know
    assert {book.machine(row.machine).family for row in unknown} == newer | {"p5"}
    assert {row.region for row in unknown if row.machine in REPRICED} == {"ap-northeast-1"}
    assert all(row.interruptions_per_month is None for row in _ours(book, "on-demand"))


def test_spot_of_repriced_types_was_the_dear_reading_until_their_zones_were_seen() -> None:
    then = load_price_book(as_of=date(2025, 12, 31))
    assert _row(then, "p5.48xlarge", "spot").usd_per_hour == Decimal("98.32") * Decimal("0.48")
    assert _row(then, "p5.48xlarge", "spot", "us-west-2").usd_per_hour == Decimal("53.0928")
    assert _row(then, "p4d.24xlarge", "spot", "eu-west-1").usd_per_hour == Decimal("23.36173")


@pytest.mark.parametrize(
    ("machine", "region", "usd_per_hour"),
    [
        ("p5.48xlarge", "us-west-2", "14.04225"),
        ("p5.48xlarge", "us-east-1", "31.37954"),  # four zones from 17.25 to 22.98, two at 55.04
        ("p4d.24xlarge", "us-east-1", "6.6399"),
        ("p4d.24xlarge", "eu-west-1", "9.9706"),
        ("p4de.24xlarge", "us-west-2", "10.95744"),
    ],
)
def test_spot_of_repriced_types(book: PriceBook, machine: str, region: str, usd_per_hour: str) -> None:
    row = _row(book, machine, "spot", region)
    assert (row.usd_per_hour, row.basis, row.seen) == (Decimal(usd_per_hour), "derived", date(2026, 1, 1))


def test_spot_of_repriced_types_is_the_mean_over_all_their_zones(book: PriceBook) -> None:
    places = [(machine, region) for machine, region, _ in book.zone_rows if machine in REPRICED]
    assert len(places) == 15
    for machine, region in places:
        row, quoted = _row(book, machine, "spot", region), book.zone_prices(machine, region, "spot")
        at_on_demand = (row.zones - len(quoted)) * round(_row(book, machine, "on-demand", region).usd_per_hour, 4)
        mean = (sum(zone.usd_per_hour for zone in quoted) + at_on_demand) / row.zones
        assert Decimal(0) <= row.usd_per_hour - mean < Decimal("0.00001"), row
        assert {zone.interruptions_per_month for zone in quoted} == {row.interruptions_per_month}
        assert row.seen == quoted[0].seen


def test_spot_takes_the_dearer_source(book: PriceBook) -> None:
    assert _row(book, "g4dn.xlarge", "spot").usd_per_hour == Decimal("0.20444")  # mean over 5 zones; the advisor says 0.18936
    assert _row(book, "inf2.xlarge", "spot").usd_per_hour == Decimal("0.16681")  # 78 % off; the mean over zones is 0.15245
    assert _row(book, "g6e.24xlarge", "spot").usd_per_hour == Decimal("5.43343")  # the zones, seen later; before: 3.91706


def test_every_zone_is_of_its_region_and_cheaper_than_on_demand(book: PriceBook) -> None:
    rows = [row for group in book.zone_rows.values() for row in group if row.cloud == "aws"]
    assert len(rows) > 350
    for row in rows:
        assert re.fullmatch(rf"{ZONE_PREFIXES[row.region]}-az\d", row.zone), row
        assert row.usd_per_hour < _row(book, row.machine, "on-demand", row.region).usd_per_hour
        assert row.basis == "list"


def test_a_region_is_no_cheaper_than_its_zones_on_average_and_much_dearer_only_where_that_is_said(
    book: PriceBook,
) -> None:
    for (machine, region, offer), zones in book.zone_rows.items():
        whole = book.rows.get((machine, region, offer))
        if zones[0].cloud != "aws" or whole is None:
            continue
        average = sum(row.usd_per_hour for row in zones) / len(zones)
        assert whole.usd_per_hour >= average * Decimal("0.998"), (machine, region)
        if whole.usd_per_hour > 2 * average:
            assert whole.zones > len(zones), (machine, region)
            assert "a zone that quoted the on-demand price counted" in whole.source, (machine, region)


# ----------------------------------------------------------------------------------------------------------- unit prices


def test_every_needed_unit_price_is_there_for_every_region(book: PriceBook) -> None:
    for region in book.regions("aws"):
        for item in ("internet-egress", "inter-zone-transfer", "inter-region-transfer", "object-storage", "block-storage"):
            assert book.unit_price("aws", region, item).usd > 0


def test_egress_is_free_up_to_100_gb_and_cheaper_by_steps(book: PriceBook) -> None:
    for region in book.regions("aws"):
        tiers = book.tiers("aws", region, "internet-egress")
        assert [tier.above for tier in tiers] == [100, 10240, 51200, 153600]
        assert [tier.usd for tier in tiers] == sorted((tier.usd for tier in tiers), reverse=True)
    assert [str(tier.usd) for tier in book.tiers("aws", "us-east-1", "internet-egress")] == [
        "0.09",
        "0.085",
        "0.07",
        "0.05",
    ]


@pytest.mark.parametrize(
    ("region", "item", "usd"),
    [
        ("us-east-1", "internet-egress", "0.09"),
        ("us-east-1", "block-storage", "0.08"),
        ("eu-central-1", "block-storage", "0.0952"),
        ("ap-northeast-1", "nat-gateway", "0.062"),
        ("us-east-1", "load-balancer", "0.0225"),
        ("us-east-1", "kubernetes-control-plane", "0.1"),
        ("us-east-1", "serverless-duration", "0.0000166667"),
        ("us-east-1", "serverless-duration-arm", "0.0000133334"),
        ("us-east-1", "container-cpu", "0.04048"),
        ("eu-central-1", "container-memory", "0.00511"),
    ],
)
def test_unit_price_facts(book: PriceBook, region: str, item: str, usd: str) -> None:
    assert book.unit_price("aws", region, item).usd == Decimal(usd)


# --------------------------------------------------------------------------------------------------------------- sources


def test_every_source_is_used_and_no_source_is_an_address() -> None:
    cells = [row["source"] for name in TABLES for row in _rows(name)]
    assert {key for cell in cells for key in cell.split()} == {f"@{row['key']}" for row in _rows("sources.csv")}
    assert not any("://" in row["description"] for row in _rows("sources.csv"))


def test_every_derived_row_says_how() -> None:
    said = ("ratio", "assumed equal", "1 − savings", "mean over zones", "0.8 times", "amount over quantity")
    derived = [row for row in [*aws.CLOUD.catalogue().prices, *aws.CLOUD.catalogue().unit_prices] if row.basis == "derived"]
    assert len(derived) > 2000
    assert [row for row in derived if not any(word in row.source for word in said)] == []


def test_a_newcomer_adds_a_machine_type_with_one_row(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "aws", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    with (tmp_path / "aws" / "machines.csv").open("a", encoding="utf-8") as file:
        file.write("aws,g9.xlarge,g9,4,16,amd64,l9,1,48,,announcement,2026-11-01\n")
    assert load_price_book(directory=tmp_path / "aws").machine("g9.xlarge").accelerator == "l9"
    with (tmp_path / "aws" / "prices.csv").open("a", encoding="utf-8") as file:
        file.write("aws,us-east-1,g9.xlarge,on-demand,,1.25,3,,list,announcement,2026-11-01\n")
    book = load_price_book(directory=tmp_path / "aws")
    assert _row(book, "g9.xlarge", "on-demand").usd_per_hour == Decimal("1.25")
    assert [machine.name for machine in book.machines(["g9"])] == ["g9.xlarge"]
