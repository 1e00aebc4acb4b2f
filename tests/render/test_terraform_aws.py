"""The AWS root: accepted by Terraform in both ways to run machines, priced by a second road, and safe whatever names people choose."""

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from checkers import checkov, needs_tools
from golden_tree import NAMES, PLANS, check_golden_tree
from hypothesis import given
from hypothesis import strategies as st
from plan_fixture import VARIATIONS
from priced import Parsed, assert_same_cost
from terraform_roots import keyed, planned, week_of, write

from tightrope.base.errors import InputError
from tightrope.base.plan import Node, Plan, RoutingRule
from tightrope.render.infra.deployment import deploy_pools, node_label
from tightrope.render.plan_json.load import load_plan
from tightrope.render.terraform.aws import files
from tightrope.render.terraform.aws.values import MOST_ENTRIES, image_kind

SETTINGS = Path(__file__).parent / "terraform_aws"
VM, KUBERNETES = (SETTINGS / "example.tfvars",), (SETTINGS / "example.tfvars", SETTINGS / "kubernetes.tfvars")
HOSTILE = "\"${file('/etc/passwd')}\" %{if true}\n|`x`| 💥 '; rm -rf / #" + "n" * 300
DAY = (1,) * 8 + (2,) * 16
NODE = Node("g6", 48, 192.0, "amd64", "l4", 4, 24.0, 3.0)


def load(name: str) -> Plan:
    """Return the plan of an example."""
    return load_plan(PLANS / f"{name}.json")


def data_of(plan: Plan) -> dict[str, Any]:
    """Return what the rendered data says."""
    return json.loads(files(plan)[Path("plan.auto.tfvars.json")])


def with_everything() -> Plan:
    """Return the help desk's plan with a Fargate pool, and a second region where two engines share a machine."""
    plan = load("helpdesk")
    names = {pool.name: pool for pool in plan.pools}
    wide = names["int8-g6-xlarge"]
    container = names["int8-container-instances-1vcpu-2gb-container"]
    changed = {
        wide.name: replace(wide, region="us-west-2", node=NODE, serving=replace(wide.serving, engines_per_machine=2)),
        container.name: replace(container, cloud="aws", region="us-east-1", machine="fargate-1vcpu-2gb", schedule=DAY * 7),
    }
    return replace(plan, pools=tuple(changed.get(pool.name, pool) for pool in plan.pools))


def groups(made: dict[str, dict[str, Any]]) -> list[tuple[str, str, str, str]]:
    """Return the groups of machines that Terraform would make: pool, region, machine, offer."""
    found = []
    for key, group in keyed(made["aws_autoscaling_group"], "pool").items():
        policy = group["mixed_instances_policy"][0]
        share = policy["instances_distribution"][0]["on_demand_percentage_above_base_capacity"]
        assert policy["instances_distribution"][0]["on_demand_base_capacity"] == 0
        machine = policy["launch_template"][0]["override"][0]["instance_type"]
        found.append((key, group["region"], machine, {0: "spot", 100: "on-demand"}[share]))
    for key, group in keyed(made["aws_eks_node_group"], "pool").items():
        offer = {"SPOT": "spot", "ON_DEMAND": "on-demand"}[group["capacity_type"]]
        found.append((key, group["region"], group["instance_types"][0], offer))
    return found


def calendar(made: dict[str, dict[str, Any]], key: str) -> tuple[int, ...]:
    """Return the week that a group's scheduled actions give."""
    actions = keyed(made["aws_autoscaling_schedule"], "pool") | keyed(made["aws_autoscaling_schedule"], "node")
    return week_of((one["recurrence"], one["min_size"]) for name, one in actions.items() if name.split(" ")[0] == key)


@needs_tools
@pytest.mark.parametrize("run_on", ["vm", "kubernetes"])
@pytest.mark.parametrize("name", NAMES)
def test_terraform_accepts_it_and_it_costs_what_the_plan_says(name: str, run_on: str, tmp_path: Path) -> None:
    plan = load(name)
    made = planned(write(tmp_path / "aws", files(plan)), *(VM if run_on == "vm" else KUBERNETES))
    parts = {part.key: part for part in deploy_pools(plan, "machines") if part.pool.cloud == "aws"}
    found = groups(made)
    assert {key for key, *_ in found} == parts.keys()
    for key, nodes in keyed(made["aws_eks_node_group"], "pool").items():
        (taint,) = nodes["taint"]
        assert nodes["labels"]["tightrope.dev/pool"] == taint["value"] == node_label(plan, key)
    for key, *_ in found:
        sizes = (
            keyed(made["aws_autoscaling_group"], "pool")[key]
            if run_on == "vm"
            else keyed(made["aws_eks_node_group"], "pool")[key]["scaling_config"][0]
        )
        assert sizes["min_size"] in parts[key].week
        assert sizes["max_size"] == parts[key].pool.max_replicas + (run_on == "kubernetes"), "one more, for a rolling update"
    parsed = [Parsed("aws", region, machine, offer, calendar(made, key)) for key, region, machine, offer in found]
    assert_same_cost(plan, [part.pool.name for part in parts.values()], parsed)


@needs_tools
def test_functions_containers_and_several_engines_are_accepted(tmp_path: Path) -> None:
    plan = with_everything()
    variables = tmp_path / "more.tfvars"
    network = '{ vpc_id = "vpc-1", subnet_ids = ["subnet-1", "subnet-2"], certificate_arn = "arn:aws:acm:::certificate/1" }'
    variables.write_text(f"networks = {{\n  us-east-1 = {network}\n  us-west-2 = {network}\n}}\n", encoding="utf-8")
    made = planned(write(tmp_path / "aws", files(plan)), *VM, variables)
    targets = {key: values["port"] for key, values in keyed(made["aws_lb_target_group"], "pool").items()}
    assert targets["int8-g6-xlarge"] == 8000
    assert targets["int8-g6-xlarge/1"] == 8001
    started = json.loads(
        base64.b64decode(keyed(made["aws_launch_template"], "pool")["int8-g6-xlarge"]["user_data"]).decode().split("\n", 1)[1]
    )
    engines = [line for line in started["runcmd"] if line[:2] == ["docker", "run"]]
    assert [next(part for part in line if part.startswith("--gpus")) for line in engines] == [
        '--gpus="device=0,1"',
        '--gpus="device=2,3"',
    ]
    assert all("--tensor-parallel-size=2" in line for line in engines)
    container = deploy_pools(plan, "container")[0].key
    task = keyed(made["aws_ecs_task_definition"], "pool")[container]
    assert (task["cpu"], task["memory"]) == ("1024", "2048")
    capacity = keyed(made["aws_appautoscaling_target"], "pool")[container]
    assert capacity["min_capacity"] in {1, 2}
    assert capacity["max_capacity"] == 2
    actions = keyed(made["aws_appautoscaling_scheduled_action"], "pool").values()
    crons = [(application_cron(one["schedule"]), int(one["scalable_target_action"][0]["min_capacity"])) for one in actions]
    assert week_of(crons) == deploy_pools(plan, "container")[0].week
    function = keyed(made["aws_lambda_function"], "pool")["int8-lambda-1769mb-serverless"]
    assert (function["memory_size"], function["reserved_concurrent_executions"]) == (1769, 900)
    assert {values["region"] for values in made["aws_lb"].values()} == {"us-east-1", "us-west-2"}


def application_cron(line: str) -> str:
    """Return a line of Application Auto Scaling as cron has it."""
    minute, hour, _, _, days, _ = line.removeprefix("cron(").removesuffix(")").split()
    names = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
    numbers = days if days == "*" else ",".join(str(names.index(day)) for day in days.split(","))
    return f"{minute} {hour} * * {numbers}"


def hostile() -> Plan:
    """Return a plan whose every name that a user chooses is hostile."""
    plan = load("vision")
    names = {pool.name: f"{place}{HOSTILE}" for place, pool in enumerate(plan.pools)}
    return replace(
        plan,
        workload=HOSTILE,
        pools=tuple(replace(pool, name=names[pool.name], variant=f"{HOSTILE}/{HOSTILE}") for pool in plan.pools),
        routing=tuple(replace(rule, pool=names[rule.pool], traffic_class=HOSTILE) for rule in plan.routing),
        classes=tuple(replace(served, name=HOSTILE) for served in plan.classes),
    )


@needs_tools
def test_hostile_names_stay_texts(tmp_path: Path) -> None:
    plan = hostile()
    images = tmp_path / "images.tfvars.json"
    images.write_text(
        json.dumps({"images": {plan.pools[0].variant: {"image": "registry.example.com/engine:1"}}}), encoding="utf-8"
    )
    made = planned(write(tmp_path / "aws", files(plan)), *VM, images)
    starts = [
        json.loads(base64.b64decode(template["user_data"]).decode().split("\n", 1)[1])["runcmd"][-1]
        for template in made["aws_launch_template"].values()
    ]
    told = {part for line in starts for part in line if part.startswith("--env=TIGHTROPE_POOL=")}
    assert told == {f"--env=TIGHTROPE_POOL={pool.name}" for pool in plan.pools}
    assert all(re.fullmatch(r"[a-z0-9-]{1,128}", template["name"]) for template in made["aws_launch_template"].values())


@given(text=st.text(max_size=60))
def test_any_name_is_a_text_of_the_data_and_nothing_else(text: str) -> None:
    plain = load("vision")
    plan = replace(
        plain,
        workload=text,
        pools=tuple(replace(pool, name=f"{text}{place}", variant=f"{text}/x") for place, pool in enumerate(plain.pools)),
        routing=(RoutingRule(text, f"{text}0", 1.0, ()),),
    )
    try:
        written = files(plan)
    except InputError:
        assert any(not sign.isprintable() for sign in text)
        return
    data = json.loads(written[Path("plan.auto.tfvars.json")])
    assert data["plan"]["workload"] == text
    assert [pool["variant"] for pool in data["machines"].values()] == [f"{text}/x"] * len(plan.pools)
    usual = files(plain)
    for path in (path for path in written if path.suffix in {".tf", ".hcl"}):
        assert without_remarks(written[path]) == without_remarks(usual[path])
    assert without_remarks(written[Path("settings.auto.tfvars")]).split() == ["run_on", "=", '"vm"']


def without_remarks(text: str) -> str:
    """Return a file without the lines that are remarks."""
    return "\n".join(line for line in text.split("\n") if not line.lstrip().startswith("#"))


@needs_tools
def test_checkov_finds_nothing_that_is_not_explained(tmp_path: Path) -> None:
    assert checkov(write(tmp_path / "aws", files(with_everything())), "terraform") == []


def test_golden_files() -> None:
    check_golden_tree("terraform/aws", files(load("helpdesk")))


@needs_tools
def test_an_apply_begins_with_the_floor_of_the_hour(tmp_path: Path) -> None:
    plan = load("vision")
    numbered = tuple(replace(pool, schedule=tuple(range(1, 169)), max_replicas=200, min_replicas=1) for pool in plan.pools)
    made = planned(write(tmp_path / "aws", files(replace(plan, pools=numbered))), *VM)
    entries = data_of(replace(plan, pools=numbered))["machines"]["int8-g4dn-xlarge"]["schedule"].values()
    week = week_of((entry["cron"], entry["machines"]) for entry in entries)
    now = datetime.now(UTC)
    hours = {week[(now + timedelta(minutes=late)).weekday() * 24 + (now + timedelta(minutes=late)).hour] for late in (-5, 0, 5)}
    group = keyed(made["aws_autoscaling_group"], "pool")["int8-g4dn-xlarge"]
    assert group["min_size"] in hours


@needs_tools
def test_a_plan_without_an_autoscaler_gets_none(tmp_path: Path) -> None:
    plan = load("vision")
    made = planned(write(tmp_path / "aws", files(replace(plan, scaling=replace(plan.scaling, enabled=False)))), *VM)
    assert "requests" not in {policy["name"] for policy in made.get("aws_autoscaling_policy", {}).values()}
    actions = keyed(made["aws_autoscaling_schedule"], "pool").values()
    assert all(action["desired_capacity"] == action["min_size"] for action in actions)


def test_another_number_at_the_same_times_keeps_the_actions() -> None:
    plan = load("chatgenius")
    more = replace(plan, pools=tuple(replace(pool, schedule=tuple(2 * n for n in pool.schedule)) for pool in plan.pools))
    one, other = (data_of(which)["machines"] for which in (plan, more))
    assert {key: pool["schedule"].keys() for key, pool in one.items()} == {
        key: pool["schedule"].keys() for key, pool in other.items()
    }
    assert one != other


def test_only_what_the_plan_needs_is_written() -> None:
    names = {name: {str(path) for path in files(load(name))} for name in NAMES}
    assert "functions.tf" not in names["chatgenius"]
    assert "functions.tf" in names["helpdesk"]
    assert "containers.tf" not in names["helpdesk"]
    assert "containers.tf" in {str(path) for path in files(with_everything())}
    common = {path for path in names["chatgenius"] & names["vision"] if path.endswith((".tf", ".hcl"))}
    chatgenius, vision = files(load("chatgenius")), files(load("vision"))
    for path in common:
        assert without_remarks(chatgenius[Path(path)]) == without_remarks(vision[Path(path)])


def test_a_pool_of_a_token_engine_is_told_its_settings_and_port() -> None:
    engine = data_of(load("chatgenius"))["machines"]["int8-g4dn-xlarge-spot"]["engines"][0]
    assert engine == {
        "arguments": [
            "--max-num-seqs=128",
            "--max-num-batched-tokens=256",
            "--gpu-memory-utilization=0.95",
            "--no-enable-prefix-caching",
            "--port=8000",
        ],
        "accelerators": [0],
    }


def test_a_week_of_many_steps_is_coarsened_and_said() -> None:
    plan = load("vision")
    many = tuple(1 + (hour * 37 + hour // 24 * 11) % 40 if hour < 106 else 1 for hour in range(168))
    pools = (replace(plan.pools[0], schedule=many, max_replicas=60), *plan.pools[1:])
    written = files(replace(plan, pools=pools))
    entries = json.loads(written[Path("plan.auto.tfvars.json")])["machines"]["int8-g4dn-xlarge"]["schedule"]
    assert len(entries) <= MOST_ENTRIES
    week = week_of((entry["cron"], entry["machines"]) for entry in entries.values())
    assert all(here >= wanted for here, wanted in zip(week, many, strict=True))
    more = sum(week) - sum(many)
    assert more > 0
    assert f"{more} machine-hours a week more" in written[Path("README.md")]


@pytest.mark.parametrize(
    ("arch", "accelerator", "count", "kind"),
    [
        ("amd64", "", 0, "amd64"),
        ("arm64", "", 0, "arm64"),
        ("amd64", "a10g", 1, "gpu"),
        ("arm64", "t4g", 1, "gpu-arm64"),
        ("amd64", "inferentia2", 1, "neuron"),
        ("amd64", "trainium", 16, "neuron"),
    ],
)
def test_the_image_is_that_of_the_machine(arch: str, accelerator: str, count: int, kind: str) -> None:
    part = deploy_pools(load("vision"), "machines")[0]
    node = replace(NODE, arch=arch, accelerator=accelerator, accelerators=count)
    assert image_kind(replace(part, pool=replace(part.pool, node=node))) == kind


def test_a_class_of_more_pools_than_a_rule_takes_is_said() -> None:
    plan = load("vision")
    pools = tuple(replace(plan.pools[0], name=f"pool-{place}") for place in range(7))
    routing = tuple(RoutingRule("images", pool.name, 0.3 - 0.05 * place, ()) for place, pool in enumerate(pools))
    written = files(replace(plan, pools=pools, routing=routing))
    routes = json.loads(written[Path("plan.auto.tfvars.json")])["routes"]
    assert list(routes["us-east-1/images"]["weights"]) == [f"pool-{place}" for place in range(5)]
    assert "`pool-5` gets nothing of images" in written[Path("README.md")]
    assert "`pool-6`" not in written[Path("README.md")].split("## What")[1]  # its share is none


def test_what_terraform_can_not_make_is_said() -> None:
    plan = load("vision")
    pools = (replace(plan.pools[0], offer="owned"), *plan.pools[1:])
    page = files(replace(plan, pools=pools))[Path("README.md")]
    assert "`int8-g4dn-xlarge` is not written" in page
    alone = files(replace(plan, pools=pools[:1]))
    assert list(alone) == [Path("README.md")]


def test_a_size_that_is_not_sold_is_an_error() -> None:
    plan = with_everything()
    pools = [replace(pool, machine="fargate-3vcpu-2gb") if pool.machine.startswith("fargate") else pool for pool in plan.pools]
    with pytest.raises(InputError, match="no size of a service"):
        files(replace(plan, pools=tuple(pools)))


@pytest.mark.parametrize("variation", [name for name in VARIATIONS if name != "hostile names"])
def test_no_account_no_secret_and_no_open_door(variation: str) -> None:
    written = files(VARIATIONS[variation]())
    assert not [
        path for path, text in written.items() if re.search(r"\b\d{12}\b|AKIA[A-Z0-9]{16}|BEGIN [A-Z ]*PRIVATE KEY", text)
    ]
    ingress = [text for path, text in written.items() if path.suffix == ".tf" and opens(text.split('resource "'))]
    assert ingress == []


def opens(blocks: Sequence[str]) -> bool:
    """Return whether a rule for what comes in names the whole internet."""
    return any(
        "0.0.0.0/0" in block or "::/0" in block for block in blocks if block.startswith("aws_vpc_security_group_ingress_rule")
    )


def test_the_data_says_whether_the_plan_is_proven() -> None:
    assert data_of(load("vision"))["plan"]["proven"] is True
    plan = replace(load("vision"), status="not proven")
    assert data_of(plan)["plan"]["proven"] is False
    assert all("NOT PROVEN" in text for path, text in files(plan).items() if path.suffix in {".tf", ".hcl", ".md"})
