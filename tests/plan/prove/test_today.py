"""Today's bill, reckoned by hand, and what the replay says of today's promises."""

from collections.abc import Callable

import pytest

from tightrope.base.records import Workload
from tightrope.clouds.book import PriceBook
from tightrope.plan.problem.cost_lines import total_usd
from tightrope.plan.prove.proof import Bench
from tightrope.plan.prove.today import build_today_lines, today_evidence

Load = Callable[..., Workload]
DISK_GB = 100


def by_driver(lines: tuple[object, ...]) -> dict[str, float]:
    found: dict[str, float] = {}
    for line in lines:
        found[line.driver] = found.get(line.driver, 0.0) + line.usd  # type: ignore[attr-defined]
    return found


def test_todays_bill_is_machines_times_hours_times_price(workload: Workload, book: PriceBook, bench: Bench) -> None:
    lines = build_today_lines(workload, book, bench.table)
    row = book.find("c6i.large", "us-east-1", "on-demand")
    assert row is not None
    found = by_driver(lines)
    assert found["compute"] + found["idle"] == pytest.approx(20 * 730 * float(row.usd_per_hour))
    disk = float(book.unit_price("aws", "us-east-1", "block-storage").usd)
    stored = 2.0 * float(book.unit_price("aws", "us-east-1", "object-storage").usd)  # fp32 holds 2 GB
    assert found["storage"] == pytest.approx(20 * DISK_GB * disk + stored)
    sent_gb = 3 * 3600 * 730 * 20e3 / 1e9
    free, tier = (row.above for row in book.tiers("aws", "us-east-1", "internet-egress")[:2])
    assert float(free) < sent_gb < float(tier)
    egress = float(book.unit_price("aws", "us-east-1", "internet-egress").usd)
    assert found["egress"] == pytest.approx((sent_gb - float(free)) * egress, rel=1e-3)
    balancer, capacity = (
        float(book.unit_price("aws", "us-east-1", item).usd) for item in ("load-balancer", "load-balancer-traffic")
    )
    assert found["network"] == pytest.approx(730 * balancer + max(sent_gb, 3 * 730 / 25) * capacity, rel=1e-3)
    assert found["control plane"] == pytest.approx(73.0)
    assert set(found) == {"compute", "idle", "storage", "egress", "network", "control plane"}
    assert 0.0 < found["compute"] < found["idle"]


def test_what_is_committed_already_pays_for_todays_machines_too(load: Load, book: PriceBook, bench: Bench) -> None:
    """A plan pays for it whatever it decides: so does today, and is covered by it."""
    offer = "compute-savings-plan-1y-no-upfront"
    existing = f"max_pools: 4\n  existing: [{{offer: {offer}, usd_per_hour: 0.5}}]"
    plain, committed = (build_today_lines(load(*changes), book, bench.table) for changes in ((), (("max_pools: 4", existing),)))
    rates = [book.find("c6i.large", "us-east-1", name) for name in ("on-demand", offer)]
    on_demand, covered = (float(row.usd_per_hour) for row in rates if row is not None)
    saved = 730 * 0.5 * (on_demand / covered - 1.0)
    assert total_usd(plain) - total_usd(committed) == pytest.approx(saved)
    assert sum(line.usd for line in committed if line.offer == offer) == pytest.approx(730 * 0.5)


def test_twice_the_machines_are_twice_as_idle_not_twice_as_used(load: Load, book: PriceBook, bench: Bench) -> None:
    one, two = (
        by_driver(build_today_lines(load(("machines: 20", f"machines: {count}")), book, bench.table)) for count in (20, 40)
    )
    assert two["compute"] == pytest.approx(one["compute"], rel=0.1)
    assert two["compute"] + two["idle"] == pytest.approx(2 * (one["compute"] + one["idle"]))


def test_todays_disks_cost_what_they_cost_where_they_are(load: Load, book: PriceBook, bench: Bench) -> None:
    moved = load(("machine: c6i.large, region: us-east-1", "machine: c6i.large, region: eu-west-1"))
    here, there = (
        float(book.unit_price("aws", region, "block-storage").usd)
        + 0.001 * float(book.unit_price("aws", region, "object-storage").usd)
        for region in ("us-east-1", "eu-west-1")
    )
    found = by_driver(build_today_lines(moved, book, bench.table))
    assert found["storage"] == pytest.approx(
        by_driver(build_today_lines(load(), book, bench.table))["storage"] * there / here, rel=1e-3
    )
    assert here != there


def test_no_fleet_has_no_bill_and_no_evidence(load: Load, book: PriceBook, bench: Bench) -> None:
    text = "today:\n  - {machine: c6i.large, region: us-east-1, variant: big/fp32, machines: 20, classes: [web, night], max_batch: 1}\n"
    nothing = load((text, ""))
    assert build_today_lines(nothing, book, bench.table) == ()
    assert total_usd(()) == 0.0
    assert today_evidence(nothing, book) == ()


def test_too_small_a_fleet_misses_and_a_large_one_keeps(load: Load, book: PriceBook, workload: Workload) -> None:
    kept = {item.slo: item.verdict for item in today_evidence(workload, book)}
    assert kept["latency p95 ≤ 900 ms"] == "proven"
    short = {item.slo: item for item in today_evidence(load(("machines: 20", "machines: 1")), book)}
    assert short["latency p95 ≤ 900 ms"].verdict == "not proven"
    assert short["latency p95 ≤ 900 ms"].attainment < 0.5
