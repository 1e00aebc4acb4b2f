"""One small workload that exercises everything, planned once, and the builders of tiny problems."""

from collections.abc import Callable
from datetime import date
from types import ModuleType

import pytest
from tests.plan import brute_force

from tightrope.base.plan import BillLine, Plan
from tightrope.base.records import Workload
from tightrope.clouds.book import PriceBook, load_price_book
from tightrope.demand.workload import load_workload
from tightrope.plan.explain.baseline import Baseline, build_baseline, build_whole_problem
from tightrope.plan.make import make_plan
from tightrope.plan.problem.cost_lines import build_network_lines
from tightrope.plan.problem.network import Place, around
from tightrope.plan.prove.proof import Bench, Proof, prove
from tightrope.plan.prove.tuning import tune

TODAY = date(2026, 12, 1)
SMALL = """\
name: small
traffic:
  web:
    daily: {mean_per_s: 3, peak_per_s: 5, peak_hour: 20}
    slo: [latency p95 <= 900 ms]
    quality_floor: 0.9
    egress_per_request: 20 kB
  night:
    nightly: {per_day: 13500, release: "22:00", deadline: "04:00"}
models:
  big:
    engine: request
    variants:
      fp32:
        precision: fp32
        quality: 1.0
        size: 2 GB
        serves: {web: 100 %, night: 100 %}
        profiles:
          - {machine: c6i.large, service_ms: [400, 600], load: 20 s, source: test, error_band: 10 %}
          - {machine: c6i.xlarge, service_ms: [300, 420, 520], load: 20 s, source: test, error_band: 10 %}
      int8:
        precision: int8
        quality: 0.95
        size: 500 MB
        serves: {web: 100 %, night: 100 %}
        profiles:
          - {machine: c6i.large, service_ms: [250, 350], load: 10 s, source: test, error_band: 40 %}
          - {machine: c7i.large, service_ms: [240, 330], load: 10 s, source: test, error_band: 40 %}
  small:
    engine: request
    variants:
      int8:
        precision: int8
        quality: 0.8
        size: 20 MB
        serves: {web: 30 %}
        profiles:
          - {machine: c6i.large, service_ms: [40, 60], load: 5 s, source: test, error_band: 10 %}
where:
  aws: [us-east-1, us-west-2]
  families: [c6i.large, c6i.xlarge, c7i.large]
purchase:
  offers: [on-demand, spot, compute-savings-plan-1y-no-upfront]
  max_pools: 4
today:
  - {machine: c6i.large, region: us-east-1, variant: big/fp32, machines: 20, classes: [web, night], max_batch: 1}
proof: {heldout: 1 day, seeds: [1]}
"""


@pytest.fixture(scope="session")
def brute() -> ModuleType:
    """Return the builders of tiny problems and the checker of solutions."""
    return brute_force


@pytest.fixture(scope="session")
def book() -> PriceBook:
    return load_price_book()


@pytest.fixture(scope="session")
def load(book: PriceBook, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Workload]:
    """Return a function that loads the small workload with some of its text replaced: pairs of old and new."""

    def read(*changes: tuple[str, str]) -> Workload:
        text = SMALL
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path_factory.mktemp("workload") / "workload.yaml"
        path.write_text(text, encoding="utf-8")
        return load_workload(path, book)

    return read


@pytest.fixture(scope="session")
def workload(load: Callable[..., Workload]) -> Workload:
    return load()


@pytest.fixture(scope="session")
def bench(workload: Workload, book: PriceBook) -> Bench:
    """Return the small workload's bench; its capacities are measured once for the whole session."""
    return Bench(workload, book)


@pytest.fixture(scope="session")
def proof(bench: Bench) -> Proof:
    return prove(bench, tune(bench))


@pytest.fixture(scope="session")
def ground(bench: Bench, proof: Proof) -> Baseline:
    """Return what the small workload's plan is explained on."""
    return build_baseline(bench, proof, build_whole_problem(bench, proof), 10.0)


@pytest.fixture(scope="session")
def plan(workload: Workload, book: PriceBook) -> Plan:
    return make_plan(workload, book, TODAY)


def constant_lines(workload: Workload, book: PriceBook, variants: set[str], cloud: str, region: str) -> tuple[BillLine, ...]:
    """Return what does not depend on the machines where all of them stand in one region."""
    place = Place(cloud, region)
    surrounding = around(workload, book)
    served = {name: {place: requests} for name, requests in surrounding.requests.items()}
    return build_network_lines(workload, surrounding, served, {place: variants})


SURGING = """\
name: surging
traffic:
  web: {{rates: {{file: rates.csv}}, slo: [latency p95 <= 3600 ms]}}
  api: {{rates: {{file: steady.csv}}, slo: [latency p95 <= 3600 ms]}}
models:
  m:
    engine: request
    variants:
      v:
        {{precision: int8, quality: 1.0, size: 1 MB, serves: {{web: 100 %, api: 0 %}}, profiles: [{profile}]}}
      w:
        {{precision: int8, quality: 1.0, size: 1 MB, serves: {{web: 0 %, api: 100 %}}, profiles: [{profile}]}}
where: {{aws: [us-east-1], families: [c6i.large]}}
purchase: {{offers: [on-demand]}}
scaling: {scaling}
proof: {{heldout: 2 days, seeds: [1]}}
"""
PROFILE = "{machine: c6i.large, service_ms: [1000], load: 1 s, source: test, error_band: 10 %}"


@pytest.fixture(scope="session")
def surging(tmp_path_factory: pytest.TempPathFactory, book: PriceBook) -> Callable[..., Workload]:
    """Return a function that makes a workload of three days, one class with so many times the traffic from an hour on.

    The first day is for sizing, the second for tuning, the third for the proof.
    """

    def make(times: float, from_hour: int = 24, scaling: str = "{enabled: false}") -> Workload:
        folder = tmp_path_factory.mktemp("surging")
        for name, last in (("rates", times), ("steady", 1.0)):
            rows = "\n".join(f"{3600 * hour},{3 * (last if hour >= from_hour else 1.0)}" for hour in range(72))
            (folder / f"{name}.csv").write_text(f"t_s,rate_per_s\n{rows}\n", encoding="utf-8")
        text = SURGING.format(profile=PROFILE, scaling=scaling)
        (folder / "workload.yaml").write_text(text, encoding="utf-8")
        return load_workload(folder / "workload.yaml", book)

    return make
