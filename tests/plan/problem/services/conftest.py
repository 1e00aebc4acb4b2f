"""A workload that only services answer, and machines of one's own."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tightrope.base.records import Workload
from tightrope.clouds.book import PriceBook, load_price_book
from tightrope.demand.workload import load_workload
from tightrope.plan.problem.capacity import CapacityTable

FUNCTIONS = """\
name: functions
traffic:
  web:
    daily: {mean_per_s: 0.5, peak_per_s: 0.9, peak_hour: 20}
    slo: [latency p95 <= 400 ms]
models:
  net:
    engine: request
    variants:
      int8:
        precision: int8
        quality: 1.0
        size: 100 MB
        serves: {web: 100 %}
        profiles:
          - {machine: lambda-1769mb, service_ms: [120.4], load: 3 s, source: test, error_band: 10 %}
          - {machine: fargate-1vcpu-2gb, service_ms: [130], load: 5 s, source: test, error_band: 10 %}
where:
  aws: [us-east-1]
  families: [lambda, fargate]
purchase:
  offers: [serverless, container]
proof: {heldout: 1 day, seeds: [1]}
"""
APIS = """\
name: apis
traffic:
  chat:
    daily: {mean_per_s: 0.5, peak_per_s: 0.9, peak_hour: 20}
    sizes: {input_tokens: 1000, output_tokens: 101}
    slo: [ttft p95 <= 1 s, tpot p95 <= 50 ms, latency p95 <= 4 s]
  night:
    nightly: {per_day: 2400, release: "00:00", deadline: "24:00"}
    sizes: {input_tokens: 500, output_tokens: 50}
models:
  gpt:
    engine: token
    variants:
      mini:
        quality: 1.0
        serves: {chat: 100 %, night: 100 %}
        api: {provider: openai, model: gpt-4o-mini, ttft: 600 ms, tpot: 20 ms}
where:
  aws: [us-east-1]
  families: [c6i.large]
purchase:
  offers: [token-api, token-api-batch]
proof: {heldout: 1 day, seeds: [1]}
"""
OWN = (
    FUNCTIONS.replace("lambda-1769mb", "box")
    .replace("aws: [us-east-1]", "owned: [shop]")
    .replace("families: [lambda, fargate]", "")
)
OWN = OWN.replace("[serverless, container]", "[owned]")
OWNED_CSV = """\
name,site,vcpu,memory_gib,arch,accelerator,accelerators,accelerator_memory_gib,quantity,purchase_usd,residual_usd,life_years,interest_rate,power_watts,pue,usd_per_kwh,overhead_usd_per_month,seen
box,shop,8,16,amd64,,0,0,3,3504,0,4,0,100,1,0.25,73,2026-10-01
"""
"""Capital 3,504 / 4 / 8,760 = 0.1 USD an hour, power 0.1 kW × 0.25 = 0.025, overhead 73 / 730 = 0.1."""

Read = Callable[..., Workload]


@pytest.fixture(scope="session")
def own_book(tmp_path_factory: pytest.TempPathFactory) -> PriceBook:
    folder = tmp_path_factory.mktemp("own")
    (folder / "owned.csv").write_text(OWNED_CSV, encoding="utf-8")
    return load_price_book(directory=folder)


@pytest.fixture(scope="session")
def read(own_book: PriceBook, tmp_path_factory: pytest.TempPathFactory) -> Read:
    """Return a function that loads a text with pairs of old and new replaced."""

    def load(text: str, *changes: tuple[str, str]) -> Workload:
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path: Path = tmp_path_factory.mktemp("workload") / "workload.yaml"
        path.write_text(text, encoding="utf-8")
        return load_workload(path, own_book)

    return load


@pytest.fixture(scope="session")
def functions(read: Read) -> Callable[..., Workload]:
    return lambda *changes: read(FUNCTIONS, *changes)


@pytest.fixture(scope="session")
def apis(read: Read) -> Callable[..., Workload]:
    return lambda *changes: read(APIS, *changes)


@pytest.fixture(scope="session")
def own(read: Read) -> Callable[..., Workload]:
    return lambda *changes: read(OWN, *changes)


@pytest.fixture(scope="session")
def table() -> CapacityTable:
    return CapacityTable()
