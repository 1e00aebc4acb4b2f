"""What a serve.yaml says beside a plan: it is put on the plan's settings, and nothing of the plan is said twice."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tightrope.base.errors import InputError
from tightrope.serve.config.overrides import ENGINES, load_beside
from tightrope.serve.config.schema import GatewayConfig, ServeFile
from tightrope.serve.config.settings import CacheSettings, Limits, Listen, ServedModel, ServedPool, Settings, TenantLimits

PLANNED = Settings(
    "helpdesk",
    (ServedPool("int8", "minilm", "int8", usd_per_hour=0.1),),
    (ServedModel("minilm", "infer", ("int8",), also=("embed",)), ServedModel("draft", "chat", ("int8",))),
    (),
    listen=Listen("0.0.0.0"),  # noqa: S104 - of a pod
    cache=CacheSettings(ttl_s=5.0),
)
TEXT = """\
tenants: {acme: {requests_per_s: 5, budget_usd_per_month: 100}, "*": {concurrency: 2}}
limits: {body: 1 MB}
traces: {endpoint: http://c:4318, share: 25 %}
listen: {grpc_port: 8001}
ledger: ledger
leaves: 9 s
log: warning
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "serve.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_what_is_stated_is_put_on_the_plan_and_the_rest_stays(file: Path) -> None:
    found = load_beside(file, PLANNED)
    expected = replace(
        PLANNED,
        tenants={"acme": TenantLimits(5.0, budget_usd_per_month=100.0), "*": TenantLimits(concurrency=2)},
        limits=replace(Limits(), body_bytes=1_000_000),
        traces="http://c:4318",
        trace_share=0.25,
        listen=Listen("0.0.0.0", grpc_port=8001),  # noqa: S104 - as above
        ledger=file.parent / "ledger",
        leaves_s=9.0,
        log_level="warning",
    )
    assert found == expected


def test_a_file_that_says_nothing_changes_nothing(file: Path) -> None:
    file.write_text("{}", encoding="utf-8")
    assert load_beside(file, PLANNED) == PLANNED


def test_an_engine_takes_what_concerns_it_alone(file: Path) -> None:
    engine = replace(PLANNED, engine_only=True)
    found = load_beside(file, engine)
    assert (found.limits.body_bytes, found.leaves_s, found.traces) == (1_000_000, 9.0, "http://c:4318")
    assert (found.tenants, found.listen, found.ledger) == ({}, engine.listen, None)
    assert set(ENGINES) < GatewayConfig.model_fields.keys()


def test_a_plans_model_that_embeds_says_how_near_questions_are(file: Path) -> None:
    file.write_text("cache: {semantic: {threshold: 0.9, model: minilm}}", encoding="utf-8")
    found = load_beside(file, PLANNED).cache
    assert found is not None
    assert found.semantic is not None
    assert found.semantic.model == "minilm"


@pytest.mark.parametrize("name", sorted(ServeFile.model_fields.keys() - GatewayConfig.model_fields.keys()))
def test_what_the_plan_says_is_not_said_again(file: Path, name: str) -> None:
    file.write_text(f"log: info\n{name}: x\n", encoding="utf-8")
    with pytest.raises(InputError, match=f"yaml:2: {name}: is said by the plan"):
        load_beside(file, PLANNED)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tenants: {acme: {budget_usd_per_month: 1}}", "none is written"),
        ("metrics: key", "there are no keys"),
        ("keys: keys.json", "there is no file 'keys.json'"),
        ("cache: {semantic: {threshold: 0.9, model: draft}}", "unknown embedding model 'draft'"),
        ("tenant: {}", "unknown key 'tenant'"),
        ("- log", "expected a mapping"),
    ],
    ids=["no ledger", "no keys", "no file", "no embedding", "misspelt", "no mapping"],
)
def test_a_mistake_is_told_with_its_line(file: Path, text: str, said: str) -> None:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=said) as error:
        load_beside(file, PLANNED)
    assert "serve.yaml:1" in str(error.value)


def test_what_has_no_known_price_has_no_budget(file: Path) -> None:
    unpriced = replace(PLANNED, pools=(replace(PLANNED.pools[0], usd_per_hour=None),))
    with pytest.raises(InputError, match="not known what the pool 'int8' costs\nResolve: leave the budget out"):
        load_beside(file, unpriced)


def test_what_pages_and_the_rendered_overlay_show_can_be_read(file: Path) -> None:
    root = Path(__file__).parents[3]
    page = (root / "docs/how-to/run-on-kubernetes.md").read_text(encoding="utf-8")
    overlay = (root / "tests/render/golden/kubernetes/aws-us-east-1/overlay/settings.yaml").read_text(encoding="utf-8")
    for text in (page, overlay.replace("\n  # ", "\n  ")):
        (stated,) = re.findall(r"(  serve\.yaml: \|\n(?:    .+\n?)+)", text)
        file.write_text(yaml.safe_load(stated)["serve.yaml"], encoding="utf-8")
        found = load_beside(file, PLANNED, ledger=file.parent)
        assert found.tenants["acme"].budget_usd_per_month == 500
        assert found.limits.body_bytes == 16 * 2**20
