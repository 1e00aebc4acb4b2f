"""CloudFormation: accepted by cfn-lint, of one cost with the plan, and deaf to what names say."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from checkers import assert_accepted, checkov, needs_tools
from golden_tree import NAMES, PLANS, check_golden_tree
from hypothesis import given, settings
from hypothesis import strategies as st
from priced import Parsed, assert_same_cost

from tightrope.base.errors import InputError
from tightrope.base.plan import Plan
from tightrope.render.cloudformation import RENDERER
from tightrope.render.infra.names import pascal
from tightrope.render.infra.schedule import DAYS, HOURS, WEEK
from tightrope.render.plan_json.load import load_plan

HOSTILE = ('a"\nx: !Sub "y" déjà 🤖 $(id) `id` \'; rm -rf /; \' << x >> {{ x }} %} $ {', "x" * 300)
PLANS_HERE = {name: load_plan(PLANS / f"{name}.json") for name in NAMES}
HELPDESK = PLANS_HERE["helpdesk"]
FARGATE = replace(
    HELPDESK,
    pools=tuple(
        replace(pool, cloud="aws", region="eu-west-1", machine="fargate-arm-1vcpu-2gb") if pool.offer == "container" else pool
        for pool in HELPDESK.pools
    ),
)
"""The help desk with its container on Fargate, in a second region."""


class Loader(yaml.SafeLoader):
    """Reads a template, in which ``!Sub x`` and ``Fn::Sub: x`` are one."""


def _function(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    """Return what a tag says, in the long form."""
    name = suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        return {name: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    raise AssertionError(node)


Loader.add_multi_constructor("!", _function)


def read(text: str) -> dict[str, Any]:
    """Return a template."""
    return yaml.load(text, Loader)  # noqa: S506 - a safe loader


def renamed(plan: Plan, text: str) -> Plan:
    """Return the plan with a text in every name that a user chooses."""
    return replace(
        plan,
        workload=text,
        pools=tuple(replace(pool, name=f"{pool.name}{text}", variant=f"{pool.variant}{text}") for pool in plan.pools),
        routing=tuple(
            replace(rule, pool=f"{rule.pool}{text}", traffic_class=f"{rule.traffic_class}{text}") for rule in plan.routing
        ),
        evidence=tuple(replace(item, traffic_class=f"{item.traffic_class}{text}") for item in plan.evidence),
        classes=tuple(replace(item, name=f"{item.name}{text}") for item in plan.classes),
    )


ALL = {**PLANS_HERE, "fargate": FARGATE, **{f"hostile-{number}": renamed(FARGATE, text) for number, text in enumerate(HOSTILE)}}


def written(plan: Plan, folder: Path) -> dict[str, Path]:
    """Write the templates; return their places by region."""
    for path, text in RENDERER.render(plan).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return {path.stem: path for path in folder.glob("*.yaml")}


@needs_tools
def test_cfn_lint_and_checkov_accept_them(tmp_path: Path) -> None:
    places = [written(plan, tmp_path / name) for name, plan in ALL.items()]
    for region in ("us-east-1", "eu-west-1"):
        paths = [path for found in places for name, path in found.items() if name in {region, "spending"}]
        report = assert_accepted("cfncheck", "--strict", "--region", region, *paths)
        assert len(report["checked"]) == len(paths)
        assert not report["skipped"]
    assert checkov(tmp_path, "cloudformation") == []


def resources(template: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """Return the properties of a template's resources of one type, by logical name."""
    return {name: item["Properties"] for name, item in template["Resources"].items() if item["Type"] == kind}


def week_of(actions: list[tuple[str, int]], start_s: float) -> tuple[int, ...]:
    """Return the machines of each hour from Monday at 00:00: each action (cron, machines) holds until the next.

    What rises is asked for early, so that it counts from the hour in which it is ready.
    """
    early_min = -(-int(start_s) // 60)
    moments: dict[int, int] = {}
    for cron, machines in actions:
        minute, hour, _, _, days = cron.split()
        for day in range(7) if days == "*" else map(int, days.split(",")):
            at_min = ((day - 1) % 7 * HOURS + int(hour)) * 60 + int(minute)
            ready_min = at_min if at_min % 60 == 0 else at_min + early_min
            assert ready_min % 60 == 0
            moments[ready_min // 60 % WEEK] = machines
    order = sorted(moments)
    return tuple(moments[max((at for at in order if at <= hour), default=order[-1])] for hour in range(WEEK))


def parsed(plan: Plan, region: str) -> dict[str, Parsed]:
    """Return what a region's template says of each group of machines."""
    template = read(RENDERER.render(plan)[Path(f"{region}.yaml")])
    starts_s = {f"Pool{pascal(pool.name)}Group": pool.serving.start_s for pool in plan.pools if pool.node is not None}
    found = {}
    for name, group in resources(template, "AWS::AutoScaling::AutoScalingGroup").items():
        policy = group["MixedInstancesPolicy"]
        [override] = policy["LaunchTemplate"]["Overrides"]
        distribution = policy["InstancesDistribution"]
        assert distribution["OnDemandBaseCapacity"] == 0
        offer = {0: "spot", 100: "on-demand"}[distribution["OnDemandPercentageAboveBaseCapacity"]]
        actions = [
            (action["Recurrence"], action["MinSize"])
            for action in resources(template, "AWS::AutoScaling::ScheduledAction").values()
            if action["AutoScalingGroupName"] == {"Ref": name} and "Recurrence" in action
        ]
        assert all(machines <= int(group["MaxSize"]) for _, machines in actions)
        found[name] = Parsed("aws", region, override["InstanceType"], offer, week_of(actions, starts_s[name]))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_what_is_rendered_costs_what_the_plan_says(name: str) -> None:
    plan = PLANS_HERE[name]
    pools = [pool for pool in plan.pools if pool.cloud == "aws" and pool.offer in {"spot", "on-demand"}]
    found = parsed(plan, "us-east-1")
    assert {key: item.week for key, item in found.items()} == {f"Pool{pascal(pool.name)}Group": pool.schedule for pool in pools}
    assert_same_cost(plan, [pool.name for pool in pools], list(found.values()))


def test_a_container_has_the_planned_week_and_size() -> None:
    template = read(RENDERER.render(FARGATE)[Path("eu-west-1.yaml")])
    [pool] = [pool for pool in FARGATE.pools if pool.offer == "container"]
    [task] = resources(template, "AWS::ECS::TaskDefinition").values()
    assert (task["Cpu"], task["Memory"], task["RuntimePlatform"]["CpuArchitecture"]) == ("1024", "2048", "ARM64")
    [target] = resources(template, "AWS::ApplicationAutoScaling::ScalableTarget").values()
    assert (target["MinCapacity"], target["MaxCapacity"]) == (pool.min_replicas, pool.max_replicas)
    planned = [action["ScalableTargetAction"]["MinCapacity"] for action in target["ScheduledActions"] if "Schedule" in action]
    assert planned == sorted(set(pool.schedule))


def test_a_function_may_never_be_asked_for_more_than_is_planned_or_kept() -> None:
    template = read(RENDERER.render(HELPDESK)[Path("us-east-1.yaml")])
    [function] = resources(template, "AWS::Lambda::Function").values()
    assert (function["MemorySize"], function["ReservedConcurrentExecutions"]) == (1769, 900)
    few = replace(HELPDESK, pools=tuple(replace(pool, max_replicas=7) for pool in HELPDESK.pools if "lambda" in pool.machine))
    [function] = resources(read(RENDERER.render(few)[Path("us-east-1.yaml")]), "AWS::Lambda::Function").values()
    assert function["ReservedConcurrentExecutions"] == 7


@pytest.mark.parametrize("name", ALL)
def test_nothing_is_open_and_everything_is_tagged(name: str) -> None:
    for path, text in RENDERER.render(ALL[name]).items():
        if path.suffix != ".yaml" or path.stem == "spending":
            continue
        template = read(text)
        for group in resources(template, "AWS::EC2::SecurityGroup").values():
            assert all("CidrIp" not in rule for rule in group.get("SecurityGroupIngress", []))
        for launch in resources(template, "AWS::EC2::LaunchTemplate").values():
            assert launch["LaunchTemplateData"]["MetadataOptions"]["HttpTokens"] == "required"
            assert all(disk["Ebs"]["Encrypted"] for disk in launch["LaunchTemplateData"]["BlockDeviceMappings"])
        for properties in (item["Properties"] for item in template["Resources"].values()):
            for tags in [properties["Tags"]] if isinstance(properties.get("Tags"), list) else []:
                assert {"workload", "team", "environment", "cost-centre", "managed-by"} <= {tag["Key"] for tag in tags}


def substituted(value: object) -> list[str]:
    """Return every text that CloudFormation puts values into."""
    if isinstance(value, dict):
        here = [json.dumps(value["Fn::Sub"])] if "Fn::Sub" in value else []
        return here + [text for item in value.values() for text in substituted(item)]
    return [text for item in value for text in substituted(item)] if isinstance(value, list) else []


def started(launch: dict[str, Any]) -> dict[str, Any]:
    """Return what cloud-init is told, with what parameters give in words."""
    pieces = launch["LaunchTemplateData"]["UserData"]["Fn::If"][1]["Fn::Base64"]["Fn::Join"][1]
    return yaml.safe_load("".join(piece if isinstance(piece, str) else next(iter(piece.values())) for piece in pieces))


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_name_is_only_ever_text(text: str) -> None:
    plan = renamed(HELPDESK, text)
    template = read(RENDERER.render(plan)[Path("us-east-1.yaml")])
    plain = read(RENDERER.render(HELPDESK)[Path("us-east-1.yaml")])
    assert sorted(substituted(template)) == sorted(substituted(plain))
    assert len(template["Resources"]) == len(plain["Resources"])
    names = {pool.name for pool in plan.pools}
    for launch in resources(template, "AWS::EC2::LaunchTemplate").values():
        told = [word for command in started(launch)["runcmd"] for word in command if word.startswith("--env=TIGHTROPE_POOL=")]
        assert {word.removeprefix("--env=TIGHTROPE_POOL=") for word in told} <= names


@pytest.mark.parametrize("text", ["{{resolve:secretsmanager:x}}", "${AWS::AccountId}", "a\x00b", "\ue000"])
def test_a_name_that_would_be_something_else_is_an_error(text: str) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        RENDERER.render(renamed(HELPDESK, text))


@given(st.text())
@settings(max_examples=20, deadline=None)
def test_any_name_is_an_error_or_only_text(text: str) -> None:
    try:
        files = RENDERER.render(renamed(HELPDESK, text))
    except InputError:
        return
    template = read(files[Path("us-east-1.yaml")])
    [function] = resources(template, "AWS::Lambda::Function").values()
    assert function["Environment"]["Variables"]["TIGHTROPE_POOL"] == f"int8-lambda-1769mb-serverless{text}"


@given(st.text("ab1-", min_size=1, max_size=6), st.text("ab1-", min_size=1, max_size=6))
def test_two_names_never_share_a_logical_one(one: str, other: str) -> None:
    slugs = ["-".join(filter(None, f"x{text}".split("-"))) for text in (one, other)]
    assert slugs[0] == slugs[1] or pascal(slugs[0]) != pascal(slugs[1])


def test_a_restless_week_stays_within_what_a_template_may_hold() -> None:
    [pool] = [pool for pool in HELPDESK.pools if pool.machine == "c7i.large"]
    week = tuple(1 + (hour // 4) ** 2 % 5 for hour in range(WEEK))
    many = tuple(replace(pool, name=f"pool-{number}", schedule=week) for number in range(12))
    template = read(RENDERER.render(replace(HELPDESK, pools=many))[Path("us-east-1.yaml")])
    assert len(template["Resources"]) <= 500


def test_a_pool_may_be_called_as_what_a_template_has_itself() -> None:
    machines = [pool for pool in HELPDESK.pools if pool.cloud == "aws" and pool.node is not None]
    called = tuple(replace(pool, name=name) for pool, name in zip(machines, ("balancer", "engine"), strict=True))
    text = RENDERER.render(replace(HELPDESK, pools=called))[Path("us-east-1.yaml")]
    given_names = text.split("\nResources:\n")[1].split("\nOutputs:\n")[0].splitlines()
    names = [line.strip(' ":') for line in given_names if line.startswith("  ") and line[2:3] not in {" ", "#", ""}]
    assert len(names) == len(set(names))


def test_a_pool_more_changes_nothing_of_the_others() -> None:
    fewer = replace(HELPDESK, pools=tuple(pool for pool in HELPDESK.pools if pool.machine != "g6.xlarge"))
    less, more = (read(RENDERER.render(plan)[Path("us-east-1.yaml")])["Resources"] for plan in (fewer, HELPDESK))
    assert {name for name, item in less.items() if more.get(name) != item} == {"MachineRole"}


def test_the_days_of_an_action_are_those_of_its_name() -> None:
    template = read(RENDERER.render(PLANS_HERE["vision"])[Path("us-east-1.yaml")])
    for name, action in resources(template, "AWS::AutoScaling::ScheduledAction").items():
        days = action.get("Recurrence", "* * * * *").split()[4]
        if days != "*":
            assert all(DAYS[(int(day) - 1) % 7][:3].capitalize() in name for day in days.split(","))


def test_another_number_at_the_same_times_changes_actions_where_they_stand() -> None:
    pools = tuple(
        replace(pool, schedule=tuple(2 * machines for machines in pool.schedule), max_replicas=2 * pool.max_replicas)
        for pool in HELPDESK.pools
    )
    before, after = (
        read(RENDERER.render(plan)[Path("us-east-1.yaml")])["Resources"] for plan in (HELPDESK, replace(HELPDESK, pools=pools))
    )
    actions = {name for name, item in before.items() if item["Type"] == "AWS::AutoScaling::ScheduledAction"}
    assert before.keys() == after.keys()
    assert {name for name in actions if before[name] != after[name]} >= {name for name in actions if "At" in name}


def test_actions_of_a_group_are_made_one_by_one() -> None:
    template = read(RENDERER.render(PLANS_HERE["chatgenius"])[Path("us-east-1.yaml")])["Resources"]
    groups: dict[str, list[str]] = {}
    for name, item in template.items():
        if item["Type"] == "AWS::AutoScaling::ScheduledAction" and "Recurrence" in item["Properties"]:
            groups.setdefault(item["Properties"]["AutoScalingGroupName"]["Ref"], []).append(name)
    for names in groups.values():
        assert [template[name].get("DependsOn") for name in names] == [None, *names[:-1]]


def test_an_update_sets_nothing_back() -> None:
    template = read(RENDERER.render(HELPDESK)[Path("us-east-1.yaml")])
    least = {f"Pool{pascal(pool.name)}Nodes": min(pool.schedule) for pool in HELPDESK.pools}
    for name, group in resources(template, "AWS::EKS::Nodegroup").items():
        new, made = (name.removesuffix("Nodes") + end for end in ("New", "Made"))
        sizes = group["ScalingConfig"]
        assert sizes["DesiredSize"] == {"Fn::If": [new, least[name], {"Ref": "AWS::NoValue"}]}
        assert sizes["MinSize"] == 0, "EKS refuses a least above the nodes there"
        assert template["Conditions"][new] == {"Fn::Equals": [{"Ref": made}, "no"]}
        assert template["Parameters"][made]["Default"] == "no"
    [service] = resources(read(RENDERER.render(FARGATE)[Path("eu-west-1.yaml")]), "AWS::ECS::Service").values()
    assert "DesiredCount" not in service
    [alias] = resources(read(RENDERER.render(HELPDESK)[Path("us-east-1.yaml")]), "AWS::Lambda::Alias").values()
    assert alias["FunctionVersion"] == "$LATEST"


def test_an_engine_is_told_how_it_batches() -> None:
    template = read(RENDERER.render(HELPDESK)[Path("us-east-1.yaml")])
    told = [word for launch in resources(template, "AWS::EC2::LaunchTemplate").values() for word in started(launch)["runcmd"][-1]]
    assert {"--env=TIGHTROPE_MAX_BATCH=8", "--env=TIGHTROPE_MAX_SEQUENCES=256"} <= set(told)


def test_golden() -> None:
    check_golden_tree("cloudformation", RENDERER.render(HELPDESK))
