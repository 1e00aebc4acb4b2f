"""Terraform for Google Cloud: accepted by Terraform itself, of one cost with the plan, and deaf to what names say."""

import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from checkers import assert_accepted, checkov, needs_tools
from golden_tree import PLANS, check_golden_tree
from hypothesis import given, settings
from hypothesis import strategies as st
from priced import Parsed, assert_same_cost

from tightrope.base.errors import InputError
from tightrope.base.plan import Plan
from tightrope.render.infra.deployment import node_label
from tightrope.render.infra.schedule import HOURS, WEEK
from tightrope.render.plan_json.load import load_plan
from tightrope.render.terraform.gcp import files
from tightrope.render.terraform.gcp.schedules import MOST, split_week

HOSTILE = ('${file(\'/etc/passwd\')} %{ if true }x%{ endif } a"\n}\nresource "x" "y" {} déjà 🤖 `id` $(id) $$ %%', "x" * 300)
ON_GOOGLE = {"g4dn.xlarge": "g2-standard-4", "c7g.large": "t2a-standard-2", "c7i.large": "n2-standard-2"}
HELPDESK = load_plan(PLANS / "helpdesk.json")


def moved(name: str) -> Plan:
    """Return one of the plans with its machines on Google Cloud, to have its spot pools, and its pools that may be empty, there."""
    plan = load_plan(PLANS / f"{name}.json")
    pools = []
    for pool in plan.pools:
        assert pool.node is not None
        node = replace(pool.node, family=ON_GOOGLE[pool.machine].split("-")[0])
        pools.append(replace(pool, cloud="gcp", region="us-central1", machine=ON_GOOGLE[pool.machine], node=node))
    return replace(plan, pools=tuple(pools))


def by_calendar(plan: Plan) -> Plan:
    """Return the plan without an autoscaler."""
    return replace(plan, scaling=replace(plan.scaling, enabled=False))


def renamed(plan: Plan, text: str) -> Plan:
    """Return the plan with a text in every name that a user chooses."""
    pools = tuple(
        replace(pool, name=f"{pool.name}{text}", variant=f"{pool.variant}{text}", region=pool.region) for pool in plan.pools
    )
    routing = tuple(
        replace(rule, pool=f"{rule.pool}{text}", traffic_class=f"{rule.traffic_class}{text}") for rule in plan.routing
    )
    evidence = tuple(replace(item, traffic_class=f"{item.traffic_class}{text}") for item in plan.evidence)
    classes = tuple(replace(item, name=f"{item.name}{text}") for item in plan.classes)
    return replace(plan, workload=text, pools=pools, routing=routing, evidence=evidence, classes=classes)


def on_cloud_run(plan: Plan) -> Plan:
    """Return the plan with its containers on Cloud Run, and more of them by day."""
    week = tuple(2 if 8 <= hour % HOURS < 18 else 1 for hour in range(WEEK))
    size = "cloud-run-instance-1vcpu-2gb"
    return replace(
        plan,
        pools=tuple(
            replace(pool, cloud="gcp", region="us-central1", machine=size, schedule=week) if pool.offer == "container" else pool
            for pool in plan.pools
        ),
    )


PLANS_ON_GOOGLE = {
    "helpdesk": HELPDESK,
    "chatgenius": by_calendar(moved("chatgenius")),
    "vision": moved("vision"),
    "containers": on_cloud_run(HELPDESK),
    **{f"hostile-{number}": renamed(HELPDESK, text) for number, text in enumerate(HOSTILE)},
}
RUNS = [(name, "vm") for name in PLANS_ON_GOOGLE] + [("helpdesk", "kubernetes"), ("vision", "kubernetes")]


def written(plan: Plan, folder: Path, run_on: str = "vm") -> tuple[Path, Path]:
    """Write the root module and values that stand for a user's; return both places."""
    root = folder / "gcp"
    rendered = files(plan)
    for path, text in rendered.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    values = json.loads(rendered[Path("tests/example.auto.tfvars.json")]) | {"run_on": run_on}
    (folder / "values.tfvars.json").write_text(json.dumps(values), encoding="utf-8")
    return root, folder / "values.tfvars.json"


@cache
def planned(name: str, run_on: str = "vm") -> list[dict[str, Any]]:
    """Return the resources that Terraform would make; fail where it has anything to say, or a test of the module fails."""
    with TemporaryDirectory() as made:
        folder = Path(made)
        root, values = written(PLANS_ON_GOOGLE[name], folder, run_on)
        report = assert_accepted("tfcheck", root, "--strict", "--var-file", values, "--plan-json", folder / "plan.json")
        assert not report["skipped"]
        assert "passed)" in " ".join(map(str, report["checked"]))
        return json.loads((folder / "plan.json").read_text(encoding="utf-8"))["planned_values"]["root_module"]["resources"]


def of_type(resources: Sequence[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    """Return the resources of one type, but for a cluster's own nodes: key → values."""
    return {str(item["index"]): item["values"] for item in resources if item["type"] == kind and item["name"] != "system"}


def week_of(policy: dict[str, Any], start_s: float) -> tuple[int, ...]:
    """Return the machines of each hour from Monday at 00:00, as Compute Engine reads a group's schedules: the largest that holds."""
    week = [policy["min_replicas"]] * WEEK
    for schedule in policy["scaling_schedules"]:
        minute, hour, _, _, days = schedule["schedule"].split()
        early_min = -(-int(start_s) // 60)
        cron_days = range(7) if days == "*" else map(int, days.split(","))
        for day in cron_days:
            begins_min = ((day - 1) % 7 * HOURS + int(hour)) * 60 + int(minute) + early_min
            assert begins_min % 60 == 0
            for after in range((schedule["duration_sec"] // 60 - early_min) // 60):
                at = (begins_min // 60 + after) % WEEK
                week[at] = max(week[at], schedule["min_required_replicas"])
    return tuple(week)


@needs_tools
@pytest.mark.parametrize(("name", "run_on"), RUNS, ids=lambda text: text)
def test_terraform_accepts_it(name: str, run_on: str) -> None:
    plan = PLANS_ON_GOOGLE[name]
    resources = planned(name, run_on)
    counts = (
        {key: item["autoscaling_policy"][0] for key, item in of_type(resources, "google_compute_region_autoscaler").items()}
        if run_on == "vm"
        else {key: item["autoscaling"][0] for key, item in of_type(resources, "google_container_node_pool").items()}
    )
    least, most = ("min_replicas", "max_replicas") if run_on == "vm" else ("total_min_node_count", "total_max_node_count")
    pools = [pool for pool in plan.pools if pool.cloud == "gcp" and pool.offer in {"spot", "on-demand"}]
    more = int(run_on == "kubernetes")  # for a rolling update
    assert sorted((item[least], item[most] - more) for item in counts.values()) == sorted(
        (pool.min_replicas, pool.max_replicas if plan.scaling.enabled else max(pool.schedule)) for pool in pools
    )


@needs_tools
def test_what_is_rendered_costs_what_the_plan_says() -> None:
    resources = planned("helpdesk")
    templates = of_type(resources, "google_compute_region_instance_template")
    parsed = [
        Parsed(
            "gcp",
            item["region"],
            templates[key]["machine_type"],
            "spot" if templates[key]["scheduling"][0]["provisioning_model"] == "SPOT" else "on-demand",
            week_of(item["autoscaling_policy"][0], 128.0),
        )
        for key, item in of_type(resources, "google_compute_region_autoscaler").items()
    ]
    assert_same_cost(HELPDESK, ["int8-n2-standard-2"], parsed)


@needs_tools
def test_nodes_are_of_the_planned_machines_and_offers() -> None:
    plan = PLANS_ON_GOOGLE["vision"]
    nodes = of_type(planned("vision", "kubernetes"), "google_container_node_pool")
    found = {
        (item["node_config"][0]["machine_type"], item["node_config"][0]["spot"], item["location"]) for item in nodes.values()
    }
    assert found == {(pool.machine, pool.offer == "spot", pool.region) for pool in plan.pools}
    for key, item in nodes.items():
        (config,) = item["node_config"]
        assert config["labels"] == {"tightrope.dev/pool": node_label(plan, key)}
        assert [(taint["key"], taint["value"]) for taint in config["taint"]] == [("tightrope.dev/pool", node_label(plan, key))]


@needs_tools
def test_a_function_is_of_the_planned_size_and_cap() -> None:
    [pool] = [pool for pool in HELPDESK.pools if pool.machine == "cloud-run-1vcpu-2gb"]
    [service] = of_type(planned("helpdesk"), "google_cloud_run_v2_service").values()
    [template] = service["template"]
    [container] = template["containers"]
    assert container["resources"][0]["limits"] == {"cpu": "1", "memory": "2048Mi"}
    assert container["resources"][0]["cpu_idle"] is True
    assert template["scaling"][0]["max_instance_count"] == pool.max_replicas
    assert template["max_instance_request_concurrency"] == max(1, int(pool.serving.concurrency))


@needs_tools
@pytest.mark.parametrize("name", ["chatgenius", "vision"])
def test_every_group_has_the_planned_week(name: str) -> None:
    plan = PLANS_ON_GOOGLE[name]
    groups = of_type(planned(name), "google_compute_region_autoscaler")
    for pool in plan.pools:
        assert week_of(groups[pool.name]["autoscaling_policy"][0], pool.serving.start_s) == pool.schedule


@needs_tools
@pytest.mark.parametrize(
    ("name", "signal"), [("helpdesk", "load_balancing_utilization"), ("vision", "metric"), ("chatgenius", "cpu_utilization")]
)
def test_a_group_follows_one_signal(name: str, signal: str) -> None:
    for group in of_type(planned(name), "google_compute_region_autoscaler").values():
        policy = group["autoscaling_policy"][0]
        assert [kind for kind in ("load_balancing_utilization", "metric", "cpu_utilization") if policy[kind]] == [signal]


@needs_tools
def test_a_container_has_the_planned_week() -> None:
    resources = planned("containers")
    [service] = [item for item in of_type(resources, "google_cloud_run_v2_service").values() if "container" in item["name"]]
    [template] = service["template"]
    assert template["containers"][0]["resources"][0]["cpu_idle"] is False
    assert template["scaling"][0]["min_instance_count"] == 1
    jobs = [
        (item["schedule"], json.loads(base64.b64decode(item["http_target"][0]["body"])))
        for item in of_type(resources, "google_cloud_scheduler_job").values()
    ]
    assert sorted(jobs, key=str) == [
        ("0 18 * * *", {"scaling": {"minInstanceCount": 1}}),
        ("58 7 * * *", {"scaling": {"minInstanceCount": 2}}),
    ]


@needs_tools
@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_a_name_is_only_ever_text(number: int) -> None:
    text = HOSTILE[number]
    resources = planned(f"hostile-{number}")
    [template] = of_type(resources, "google_compute_region_instance_template").values()
    assert "root:" not in json.dumps(template)
    [unit] = [item["content"] for item in yaml.safe_load(template["metadata"]["user-data"])["write_files"]]
    [word] = [line.strip(" \\") for line in unit.splitlines() if "TIGHTROPE_POOL" in line]
    read_by_systemd = json.loads(word.replace("%%", "%").replace("$$", "$"))
    assert read_by_systemd == f"--env=TIGHTROPE_POOL=int8-n2-standard-2{text}"
    queries = [
        item["conditions"][0]["condition_prometheus_query_language"][0]["query"]
        for key, item in of_type(resources, "google_monitoring_alert_policy").items()
        if key.startswith("promise-")
    ]
    for query in queries:
        quoted = query.split("class=")[1].split(",slo=")[0]
        assert json.loads(quoted) in {f"{item.name}{text}" for item in HELPDESK.classes}
    assert queries


@needs_tools
def test_engines_over_several_accelerators_share_memory_and_are_told_the_plan(tmp_path: Path) -> None:
    plan = moved("chatgenius")
    pools = tuple(
        replace(pool, node=replace(pool.node, accelerators=4)) if pool.node and pool.node.accelerators else pool
        for pool in plan.pools
    )
    root, values = written(replace(plan, pools=pools), tmp_path)
    assert_accepted("tfcheck", root, "--strict", "--var-file", values, "--plan-json", tmp_path / "plan.json")
    made = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))["planned_values"]["root_module"]["resources"]
    templates = of_type(made, "google_compute_region_instance_template")
    for pool in pools:
        config = yaml.safe_load(templates[pool.name]["metadata"]["user-data"])
        unit = config["write_files"][-1]["content"]
        wide = pool.node is not None and pool.node.accelerators == 4
        assert ("--ipc=host" in unit) is wide
        assert ('"--tensor-parallel-size=4"' in unit) is wide
        assert '"--env=TIGHTROPE_MAX_' in unit


def test_a_name_that_no_file_can_hold_is_an_error() -> None:
    with pytest.raises(InputError, match="cannot be written"):
        files(renamed(HELPDESK, "a\x00b"))


@given(st.text())
@settings(max_examples=40, deadline=None)
def test_any_name_is_an_error_or_only_text(text: str) -> None:
    try:
        rendered = files(renamed(HELPDESK, text))
    except InputError:
        return
    values = json.loads(rendered[Path("plan.auto.tfvars.json")])
    assert {pool["variant"] for pool in values["pools"].values()} == {f"minilm/int8{text}"}
    assert all(
        line.startswith(("#", "> ")) for path, body in rendered.items() if path.suffix == ".tf" for line in body.splitlines()[:2]
    )


@given(st.lists(st.lists(st.integers(0, 4), min_size=6, max_size=6), min_size=7, max_size=7), st.sampled_from([1, 9, MOST]))
@settings(max_examples=30, deadline=None)
def test_stretches_give_the_week_or_more(days: list[list[int]], most: int) -> None:
    week = [machines for day in days for machines in day for _ in range(4)]
    found = split_week(tuple(week), most)
    given_week = [min(week)] * WEEK
    for item in found:
        for day in item.days:
            for after in range(item.hours):
                at = (day * HOURS + item.hour + after) % WEEK
                given_week[at] = max(given_week[at], item.machines)
    assert len(found) <= most
    assert len({item.name for item in found}) == len(found)
    assert all(have >= want for have, want in zip(given_week, week, strict=True))
    assert max(given_week) == max(week)
    if most == MOST:
        assert given_week == week


def test_it_only_holds_what_the_plan_needs() -> None:
    services = replace(HELPDESK, pools=tuple(pool for pool in HELPDESK.pools if pool.offer == "serverless"))
    assert Path("machines.tf") not in files(services)
    assert Path("services.tf") not in files(PLANS_ON_GOOGLE["vision"])


def test_a_file_of_machines_says_nothing_of_the_plan() -> None:
    one, other = (files(plan)[Path("replica.service.tftpl")] for plan in (HELPDESK, renamed(HELPDESK, "other")))
    assert one == other


def test_golden() -> None:
    check_golden_tree("terraform/gcp", files(HELPDESK))


@needs_tools
def test_checkov_has_nothing_against_it(tmp_path: Path) -> None:
    root, _ = written(HELPDESK, tmp_path)
    assert checkov(root, "terraform") == []
