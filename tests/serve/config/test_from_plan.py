"""A plan as a gateway's settings: the pools of a place, shares, names that clients use, prices of one replica."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tightrope.base.errors import InputError, UnknownNameError
from tightrope.base.plan import Plan
from tightrope.render.plan_json.load import load_plan
from tightrope.serve.assembly import assemble
from tightrope.serve.config.from_plan import GatewayPlace, engine_settings, gateway_settings, local_model
from tightrope.serve.config.settings import FunctionPrice, Settings

PLANS = Path(__file__).parents[2] / "render" / "plans"
HERE = "aws/us-east-1"
FUNCTION = FunctionPrice(2e-7, 0.1, float)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return load_plan(PLANS / "helpdesk.json")


@pytest.fixture
def upstreams(tmp_path: Path) -> Path:
    url = tmp_path / "url"
    url.write_text("https://api.example.com\n", encoding="utf-8")
    found = {
        "int8-c7i-large": {"url": "http://int8-c7i-large:8000", "discover": True},
        "int8-g6-xlarge": {"url": "http://int8-g6-xlarge:8000"},
        "int8-lambda-1769mb-serverless": {"url_from": str(url), "key_from": str(tmp_path / "key")},
        "mini-openai-gpt-4o-mini-token-api": {"url_from": str(url), "key_from": str(tmp_path / "key")},
    }
    path = tmp_path / "upstreams.json"
    path.write_text(json.dumps(found), encoding="utf-8")
    return path


def rates(provider: str, model: str, offer: str) -> tuple[float, float]:
    assert (provider, model, offer) == ("openai", "gpt-4o-mini", "token-api")
    return 0.15, 0.6


def function_price(machine: str, region: str) -> FunctionPrice | None:
    assert (machine, region) == ("lambda-1769mb", "us-east-1")
    return FUNCTION


def test_a_gateway_knows_the_pools_of_its_place(plan: Plan, upstreams: Path) -> None:
    found = gateway_settings(plan, GatewayPlace.parse(HERE, plan), upstreams, rates, function_price)
    pools = {pool.name: pool for pool in found.pools}
    assert list(pools) == [pool.name for pool in plan.pools if pool.name in json.loads(upstreams.read_text())]
    node = next(pool.node for pool in plan.pools if pool.name == "int8-c7i-large")
    assert node is not None
    assert pools["int8-c7i-large"].usd_per_hour == node.usd_per_hour
    assert pools["int8-c7i-large"].upstream is not None
    assert pools["int8-c7i-large"].upstream.discover
    assert [item.name for item in found.classes] == ["triage.us-east-1", "draft.us-east-1", "attachment.us-east-1"]
    assert found.class_names == {"triage": "triage.us-east-1", "draft": "draft.us-east-1", "attachment": "attachment.us-east-1"}


def test_clients_ask_by_class_or_by_model(plan: Plan, upstreams: Path) -> None:
    found = gateway_settings(plan, GatewayPlace.parse(HERE, plan), upstreams, rates, function_price)
    models = {model.name: model for model in found.models}
    assert set(models) == {"triage", "draft", "attachment", "hosted", "assistant-7b", "minilm", "vision"}
    assert set(models["draft"].pools) == {"mini-openai-gpt-4o-mini-token-api", "int8-g6-xlarge"}
    assert (models["draft"].task, models["minilm"].task) == ("chat", "infer")
    assert "embed" in models["minilm"].also


def reachable(plan: Plan, folder: Path) -> Path:
    path = folder / "upstreams.json"
    path.write_text(json.dumps({pool.name: {"url": "http://127.0.0.1:9"} for pool in plan.pools}), encoding="utf-8")
    return path


def begun(settings: Settings) -> set[str]:
    async def pools() -> set[str]:
        return set(assemble(settings).backends)

    return asyncio.run(pools())


@pytest.mark.parametrize("name", ["chatgenius", "helpdesk", "vision"])
def test_a_gateway_of_a_plan_can_begin(name: str, tmp_path: Path) -> None:
    plan = load_plan(PLANS / f"{name}.json")
    found = gateway_settings(plan, GatewayPlace.parse(HERE, plan), reachable(plan, tmp_path), rates, lambda *_: None)
    assert begun(found) == {pool.name for pool in plan.pools}


def test_the_second_part_of_a_cascade_may_have_pools_that_no_model_names(plan: Plan, tmp_path: Path) -> None:
    first, then = "draft.us-east-1", "triage.us-east-1"
    large = "int8-g6-xlarge"
    classes = tuple(replace(item, follows=first) if item.name == then else item for item in plan.classes)
    rules = tuple(replace(rule, traffic_class=then) if rule.pool == large else rule for rule in plan.routing)
    cut = replace(plan, classes=classes, routing=rules)
    found = gateway_settings(cut, GatewayPlace.parse(HERE, cut), reachable(cut, tmp_path), rates, lambda *_: None)
    assert large not in {name for model in found.models for name in model.pools}
    assert large in begun(found)


def test_of_a_class_that_is_written_and_answered_otherwise_its_name_is_for_what_writes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plan = load_plan(PLANS / "chatgenius.json")
    found = gateway_settings(plan, GatewayPlace.parse(HERE, plan), reachable(plan, tmp_path), rates, lambda *_: None)
    models = {model.name: model for model in found.models}
    writes = {pool.name for pool in plan.pools if pool.model == "assistant-7b"}
    assert {rule.pool for rule in plan.routing if rule.traffic_class == "chat"} > writes
    assert (models["chat"].task, set(models["chat"].pools)) == ("chat", writes)
    assert (models["faq"].task, models["faq"].classes) == ("infer", ("chat",))
    assert "the plan has faq answer 38 % of chat" in caplog.text


def test_what_is_paid_by_use_has_no_machines(plan: Plan, upstreams: Path) -> None:
    pools = {
        pool.name: pool for pool in gateway_settings(plan, GatewayPlace.parse(HERE, plan), upstreams, rates, function_price).pools
    }
    function = pools["int8-lambda-1769mb-serverless"]
    assert (function.usd_per_hour, function.function) == (0.0, FUNCTION)
    api = pools["mini-openai-gpt-4o-mini-token-api"]
    assert (api.usd_per_hour, api.usd_per_million_input_tokens, api.function) == (0.0, 0.15, None)
    assert api.upstream is not None
    assert api.upstream.replicas == ("https://api.example.com",)
    assert pools["int8-c7i-large"].function is None


def test_what_leaves_for_the_internet_costs_what_the_plan_says(
    plan: Plan, upstreams: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = GatewayPlace.parse(HERE, plan)
    at_home = tuple(
        replace(item, egress_bytes_per_request=0.0) if item.name == "draft.us-east-1" else item for item in plan.classes
    )
    priced = replace(plan, classes=at_home, egress_usd_per_gb={HERE: 0.08, "azure/eastus": 0.5})
    for pool in gateway_settings(priced, place, upstreams, rates, function_price).pools:
        assert (pool.usd_per_gb_egress, pool.stays) == (0.08, {"draft.us-east-1"})
    assert not caplog.records
    found = gateway_settings(plan, place, upstreams, rates, function_price)
    assert {pool.usd_per_gb_egress for pool in found.pools} == {0.0}
    assert "does not say what answers of triage.us-east-1 cost" in caplog.text


def test_a_function_whose_price_is_not_known_is_not_free(plan: Plan, upstreams: Path) -> None:
    found = gateway_settings(plan, GatewayPlace.parse(HERE, plan), upstreams, rates, lambda *_: None)
    (function,) = (pool for pool in found.pools if pool.name == "int8-lambda-1769mb-serverless")
    assert (function.usd_per_hour, function.function) == (None, None)


def test_figures_of_a_machine_become_those_of_a_replica(plan: Plan, upstreams: Path) -> None:
    pools = tuple(
        replace(pool, serving=replace(pool.serving, engines_per_machine=2)) if pool.name == "int8-c7i-large" else pool
        for pool in plan.pools
    )
    found = gateway_settings(replace(plan, pools=pools), GatewayPlace.parse(HERE, plan), upstreams, rates, function_price)
    served = next(pool for pool in found.pools if pool.name == "int8-c7i-large")
    planned = next(pool for pool in plan.pools if pool.name == "int8-c7i-large")
    assert served.requests_per_s == planned.serving.requests_per_s / 2
    assert (served.replicas_per_machine, served.concurrency) == (2, planned.serving.concurrency / 2)


def test_a_pool_that_is_routed_to_must_be_reachable(plan: Plan, upstreams: Path) -> None:
    found = json.loads(upstreams.read_text())
    del found["int8-c7i-large"]
    upstreams.write_text(json.dumps(found))
    with pytest.raises(InputError, match="int8-c7i-large"):
        gateway_settings(plan, GatewayPlace.parse(HERE, plan), upstreams, rates, function_price)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"url": "ftp://x"}, "expected a URL"),
        ({"url_from": "/nowhere/url"}, "cannot be read"),
        ({}, "expected a mapping with one of"),
        ({"url": "http://a", "url_from": "b"}, "expected a mapping with one of"),
    ],
)
def test_what_upstreams_say_is_checked(plan: Plan, upstreams: Path, entry: dict[str, str], said: str) -> None:
    found = json.loads(upstreams.read_text())
    found["int8-c7i-large"] = entry
    upstreams.write_text(json.dumps(found))
    with pytest.raises(InputError, match=said):
        gateway_settings(plan, GatewayPlace.parse(HERE, plan), upstreams, rates, function_price)


def test_a_place_that_the_plan_does_not_have(plan: Plan) -> None:
    with pytest.raises(UnknownNameError, match="aws/us-east-1"):
        GatewayPlace.parse("aws/us-east-2", plan)


def test_an_engine_is_one_pool_with_its_model(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    found = engine_settings(plan, "int8-c7i-large", tmp_path)
    assert found.engine_only
    assert [pool.name for pool in found.pools] == ["int8-c7i-large"]
    assert found.pools[0].max_batch == 8
    assert (found.models[0].name, found.models[0].task) == ("minilm", "infer")
    with pytest.raises(InputError, match="answers with tokens"):
        engine_settings(plan, "int8-g6-xlarge", tmp_path)
    with pytest.raises(UnknownNameError, match="int8-c7i-large"):
        engine_settings(plan, "int8-c7i-larg", tmp_path)


def test_what_lies_beside_a_model_says_its_task(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no model\.onnx"):
        local_model(tmp_path)
    (tmp_path / "model.onnx").touch()
    assert local_model(tmp_path)[1] == "infer"
    (tmp_path / "tokenizer.json").touch()
    assert local_model(tmp_path / "model.onnx")[1] == "embed"
    (tmp_path / "labels.json").write_text('["a", "b"]')
    found, task = local_model(tmp_path)
    assert (task, found.labels) == ("classify", ("a", "b"))
    (tmp_path / "labels.json").write_text("{}")
    with pytest.raises(InputError, match="got dict, expected list"):
        local_model(tmp_path)
    (tmp_path / "labels.json").unlink()
    np.savez(tmp_path / "head.npz", weights=np.eye(2), bias=np.zeros(2))
    assert local_model(tmp_path)[1] == "classify"
