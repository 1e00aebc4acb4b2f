"""Azure's Terraform: accepted by Terraform itself, says what the plan decided, costs what it said."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from azure_plans import HOSTILE, PLANS_ON_AZURE, REGION, helpdesk, hostile, on_azure
from checkers import TOOLS, assert_accepted, checkov, needs_tools
from golden_tree import check_golden_tree
from priced import Parsed, assert_same_cost, priced_usd

from tightrope.base.errors import InputError
from tightrope.base.plan import Plan
from tightrope.render.files import write_files
from tightrope.render.infra.azure.values import ENTRIES, node_pool_name, scripts
from tightrope.render.infra.deployment import deploy_pools, node_label, select_cloud, usd_on_cloud
from tightrope.render.infra.schedule import DAYS, ScheduleEntry, expand_entries, limit_entries
from tightrope.render.terraform.azure import files, variables

SUBNET = (
    "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/n/providers/Microsoft.Network/virtualNetworks/n/subnets/n"
)
SKU_OFFER = {"Spot": "spot", "Regular": "on-demand"}
Made: TypeAlias = dict[str, list[dict[str, Any]]]


def written(plan: Plan, folder: Path, **settings: object) -> Path:
    """Write the root module, with settings as a user would fill them in."""
    write_files(folder, files(plan))
    decided = variables(plan)
    pools = {**decided["pools"], **decided.get("containers", {})}
    filled = {
        "team": "search",
        "environment": "test",
        "cost_centre": "cc-1",
        "notify_emails": ["platform@example.com"],
        "subnet_ids": {REGION: SUBNET},
        "images": {pool["variant"]: {"image": "example.azurecr.io/model:1"} for pool in pools.values()},
        "admin_ssh_public_key": "ssh-ed25519 AAAA example",
        **({"container_subnet_ids": {REGION: SUBNET}} if "containers" in decided else {}),
        **settings,
    }
    (folder / "test.auto.tfvars.json").write_text(json.dumps(filled), encoding="utf-8")
    return folder


def planned(folder: Path) -> Made:
    """Return what Terraform would create, by type: the values of each; fail where it has anything to say against it."""
    report = assert_accepted("tfcheck", folder, "--plan-json", folder.parent / "plan.json")
    assert not report["skipped"]
    assert not (folder / "tests").exists() or any("test (2 passed)" in line for line in report["checked"])
    found: dict[str, list[dict[str, Any]]] = {}
    for item in json.loads((folder.parent / "plan.json").read_text())["planned_values"]["root_module"]["resources"]:
        found.setdefault(item["type"], []).append({**item["values"], "index": item.get("index")})
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Made]:
    """Return what Terraform would create for a plan's name and ``run_on``, each asked once."""

    @cache
    def ask(name: str, run_on: str) -> Made:
        return planned(written(PLANS_ON_AZURE[name](), tmp_path_factory.mktemp(name) / "azure", run_on=run_on))

    return ask


def week_of(setting: dict[str, Any]) -> tuple[int, ...]:
    """Return the machines of each hour that a scale set's profiles want; asked for early is there at the hour."""
    entries = []
    for profile in setting["profile"]:
        for recurrence in profile["recurrence"]:
            days, hour = divmod(recurrence["hours"][0] + (recurrence["minutes"][0] > 0), 24)
            at = tuple((DAYS.index(day.lower()) + days) % 7 for day in recurrence["days"])
            entries.append(ScheduleEntry(hour, at, profile["capacity"][0]["minimum"], rises=False))
    return expand_entries(entries) if entries else (setting["profile"][0]["capacity"][0]["minimum"],) * 168


def read_back(found: Made) -> list[Parsed]:
    """Return the machines, and the containers, that Terraform would create."""
    calendars = {setting["index"]: week_of(setting) for setting in found.get("azurerm_monitor_autoscale_setting", [])}
    sets = [
        Parsed("azure", item["location"], item["sku"], SKU_OFFER[item["priority"]], calendars[item["index"]])
        for item in found.get("azurerm_linux_virtual_machine_scale_set", [])
    ]
    sizes = [
        (item["location"], box["cpu"], box["memory"])
        for item in found.get("azurerm_container_group", [])
        for box in item["container"]
    ]
    return sets + [
        Parsed("azure", region, f"container-instances-{cpu:g}vcpu-{memory:g}gb", "container", (1,) * 168)
        for region, cpu, memory in sizes
    ]


@needs_tools
@pytest.mark.parametrize("run_on", ["vm", "kubernetes"])
@pytest.mark.parametrize("name", PLANS_ON_AZURE)
def test_terraform_accepts_it_and_its_tests_pass(name: str, run_on: str, made: Callable[[str, str], Made]) -> None:
    found = made(name, run_on)
    kinds = {"vm": "azurerm_linux_virtual_machine_scale_set", "kubernetes": "azurerm_kubernetes_cluster_node_pool"}
    assert {kind for kind in kinds.values() if kind in found} == {kinds[run_on]}


@needs_tools
@pytest.mark.parametrize("run_on", ["vm", "kubernetes"])
def test_checkov_finds_nothing(run_on: str, tmp_path: Path) -> None:
    folder = written(on_azure("helpdesk"), tmp_path / "azure", run_on=run_on, allowed_cidrs=["10.0.0.0/16"])
    assert checkov(folder, "terraform") == []


@needs_tools
def test_the_machines_that_terraform_would_make_cost_what_the_plan_says(made: Callable[[str, str], Made]) -> None:
    plan = helpdesk()
    assert_same_cost(plan, [pool.name for pool in plan.pools if pool.cloud == "azure"], read_back(made("helpdesk", "vm")))


@needs_tools
@pytest.mark.parametrize("name", ["chatgenius-moved", "vision-moved", "helpdesk-moved"])
def test_the_week_comes_back_hour_by_hour(name: str, made: Callable[[str, str], Made]) -> None:
    plan = PLANS_ON_AZURE[name]()
    back = read_back(made(name, "vm"))
    parts = [*deploy_pools(plan, "machines"), *deploy_pools(plan, "container")]
    expected = [
        Parsed("azure", part.pool.region, part.pool.machine, part.pool.offer, limit_entries(part.week, ENTRIES)) for part in parts
    ]
    assert sorted(map(repr, back)) == sorted(map(repr, expected))
    assert priced_usd(plan, back) >= priced_usd(
        plan, [replace(item, week=part.week) for item, part in zip(expected, parts, strict=True)]
    )


@needs_tools
def test_a_pool_that_nothing_tells_of_has_what_its_calendar_says(made: Callable[[str, str], Made]) -> None:
    plan, found = on_azure("chatgenius"), made("chatgenius-moved", "vm")
    blind = {part.key for part in deploy_pools(plan, "machines") if part.node.accelerators}
    for setting in found["azurerm_monitor_autoscale_setting"]:
        for profile in setting["profile"]:
            assert (setting["index"] in blind) == (not profile["rule"])
            (capacity,) = profile["capacity"]
            assert not blind & {setting["index"]} or capacity["minimum"] == capacity["maximum"]


@needs_tools
def test_node_pools_are_the_plans_pools(made: Callable[[str, str], Made]) -> None:
    plan, found = on_azure("chatgenius"), made("chatgenius-moved", "kubernetes")
    nodes = {item["index"]: item for item in found["azurerm_kubernetes_cluster_node_pool"]}
    for part in deploy_pools(plan, "machines"):
        node = nodes[part.key]
        assert (node["vm_size"], node["min_count"], node["max_count"]) == (
            part.pool.machine,
            min(part.week),
            part.pool.max_replicas + 1,
        ), "one more, for a rolling update"
        assert node["node_labels"]["tightrope.dev/pool"] == node_label(plan, part.key)
        assert f"tightrope.dev/pool={node_label(plan, part.key)}:NoSchedule" in node["node_taints"]
        assert (node["priority"], node["eviction_policy"]) == (("Spot", "Delete") if part.spot else ("Regular", None))


@needs_tools
def test_metrics_of_the_gateway_and_expiry(tmp_path: Path) -> None:
    plan = on_azure("chatgenius")
    metrics = {"resource_id": "/subscriptions/example", "namespace": "gateway"}
    found = planned(written(plan, tmp_path / "azure", metrics=metrics, expires_on="2027-06-30", tags={"floor": "2"}))
    for setting in found["azurerm_monitor_autoscale_setting"]:
        *week, expired = setting["profile"]
        assert len(setting["profile"]) <= 20
        assert (expired["capacity"][0]["maximum"], expired["fixed_date"][0]["start"]) == (0, "2027-06-30T00:00:00Z")
        triggers = [rule["metric_trigger"][0] for rule in week[0]["rule"]]
        assert [(item["metric_name"], item["threshold"]) for item in triggers[:4]] == [
            ("tightrope_utilisation_ratio", threshold) for threshold in (1.21, 1.65, 2.2, 0.99)
        ]
        assert {item["name"]: item["values"] for item in triggers[0]["dimensions"]} == {
            "workload": ["chatgenius"],
            "pool": [setting["index"]],
        }
        assert setting["tags"] | {"expires-on": "2027-06-30", "floor": "2", "pool": setting["index"]} == setting["tags"]


@needs_tools
@pytest.mark.parametrize(
    "settings",
    [
        {"allowed_cidrs": ["0.0.0.0/0"]},
        {"team": ""},
        {"notify_emails": ["nobody"]},
        {"expires_on": "soon"},
        {"images": {}},
        {"subnet_ids": {}},
    ],
    ids=["open", "no-team", "no-address", "no-day", "no-image", "no-subnet"],
)
def test_settings_that_can_not_be_are_refused(settings: dict[str, object], tmp_path: Path) -> None:
    folder = written(helpdesk(), tmp_path / "azure", **settings)
    shutil.rmtree(folder / "tests")
    done = subprocess.run([str(TOOLS / "tfcheck"), str(folder)], capture_output=True, text=True, check=False)  # noqa: S603 - our own tool
    assert done.returncode == 1
    assert "error [plan]" in done.stdout


@needs_tools
@pytest.mark.parametrize("place", range(len(HOSTILE)))
def test_a_hostile_name_stays_a_name(place: int, tmp_path: Path) -> None:
    plan = hostile(HOSTILE[place])
    folder = written(plan, tmp_path / "azure")
    shutil.rmtree(folder / "tests")
    (pool,) = deploy_pools(select_cloud(plan, "azure"), "machines")
    (found,) = planned(folder)["azurerm_linux_virtual_machine_scale_set"]
    assert found["index"] == pool.key
    assert found["tags"]["workload"] == pool.labels(plan)["workload"]
    assert variables(plan)["pools"][pool.key]["variant"].startswith(HOSTILE[place])


def test_a_control_character_is_refused() -> None:
    with pytest.raises(InputError, match="cannot be written"):
        files(hostile("bell\x07"))


def test_machines_of_ones_own_are_refused() -> None:
    plan = helpdesk()
    owned = tuple(
        replace(pool, offer="owned") if pool.cloud == "azure" and pool.offer == "on-demand" else pool for pool in plan.pools
    )
    with pytest.raises(InputError, match="machines of your own"):
        files(replace(plan, pools=owned))


def test_the_budget_is_the_whole_bill_where_all_stands_on_azure() -> None:
    plan = on_azure("chatgenius")
    assert usd_on_cloud(plan, "azure") == pytest.approx(sum(line.usd for line in plan.cost_lines))
    there = select_cloud(helpdesk(), "azure")
    assert (
        sum(part.usd_per_month for part in deploy_pools(there)) < usd_on_cloud(helpdesk(), "azure") < helpdesk().monthly_cost_usd
    )


def test_what_is_coarsened_is_said_with_its_cost() -> None:
    page = files(on_azure("vision"))[Path("README.md")]
    assert "the plan's week has 28 steps and Azure takes 18" in page
    assert "a month" in page


def test_files_come_with_what_needs_them() -> None:
    assert Path("functions.tf") not in files(helpdesk())
    assert Path("containers.tf") in files(helpdesk())
    assert Path("containers.tf") not in files(on_azure("vision"))
    assert Path("functions.tf") in files(on_azure("helpdesk"))


def test_node_pool_names_are_safe_and_never_alike() -> None:
    pools = [(workload, key) for workload in ("chat", "search") for key in ("int8-a", "int8-b", "int8-a-spot", "x-1")]
    names = [node_pool_name(key, f"{workload}.{key}") for workload, key in pools]
    assert len(set(names)) == len(names)
    assert all(name.isalnum() and name[0].isalpha() and len(name) <= 12 for name in names)


@pytest.mark.skipif(shutil.which("jq") is None, reason="needs jq, as the machines do")
def test_a_machine_runs_its_replicas_and_evaluates_nothing(tmp_path: Path) -> None:
    docker, called = tmp_path / "docker", tmp_path / "called"
    docker.write_text(f'#!/bin/bash\nprintf "%s|" "$@" >> {called}\necho >> {called}\n')
    docker.chmod(0o755)
    told = {"image": "example.com/x:1", "port": 8000, "replicas": 2, "accelerators": 4, "client_id": "c"}
    told |= {"arguments": ["--a=b c", "$(id)"], "environment": [{"name": "A", "value": "x `id`"}]}
    (tmp_path / "pool.json").write_text(json.dumps(told))
    script = scripts()["start.sh"].replace("/opt/tightrope/pool.json", str(tmp_path / "pool.json"))
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["/bin/bash", "-c", script], check=True, env=path)  # noqa: S603 - what machines run
    runs = [line for line in called.read_text().splitlines() if line.startswith("run|")]
    assert [line.split("--gpus|")[1] for line in runs] == [
        '"device=0,1"|--env|A=x `id`|--publish|8000:8000|--|example.com/x:1|--a=b c|$(id)|',
        '"device=2,3"|--env|A=x `id`|--publish|8001:8000|--|example.com/x:1|--a=b c|$(id)|',
    ]


@pytest.mark.skipif(shutil.which("jq") is None, reason="needs jq, as the machines do")
@pytest.mark.parametrize(("taken", "stops"), [("set_1", True), ("set_2", False)])
def test_a_machine_drains_for_its_own_end_alone(taken: str, stops: bool, tmp_path: Path) -> None:
    called = tmp_path / "called"
    events = {"Events": [{"EventId": "e", "EventType": "Preempt", "Resources": [taken]}]}
    asked = f"echo curl $* >> {called}; [[ $* != *@-* ]] || cat; echo '{json.dumps(events)}'"
    programs = {
        "curl": f"[[ $* == *compute/name* ]] && echo set_1 || {{ {asked}; }}",
        "docker": f"echo docker $* >> {called}; echo container",
        "sleep": f"[[ ! -e {called} ]]",  # once
    }
    for name, body in programs.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["/bin/bash", "-c", scripts()["drain.sh"]], check=True, env=path)  # noqa: S603 - what machines run
    assert ("docker stop" in called.read_text()) is stops
    assert ("-d @-" in called.read_text()) is stops


@needs_tools
def test_the_budget_counts_what_carries_the_tag_and_containers_are_told_the_plan(tmp_path: Path) -> None:
    found = planned(written(replace(helpdesk(), workload="helpdesk-in-production-europe"), tmp_path / "azure"))
    (box,) = found["azurerm_container_group"][0]["container"]
    assert box["environment_variables"].items() >= {"PORT": "8000", "TIGHTROPE_MAX_BATCH": "1"}.items()
    (budget,) = found["azurerm_consumption_budget_subscription"]
    (counted,) = budget["filter"][0]["tag"][0]["values"]
    kinds = ("azurerm_linux_virtual_machine_scale_set", "azurerm_container_group", "azurerm_lb")
    assert {item["tags"]["workload"] for kind in kinds for item in found[kind]} == {counted}


def test_golden() -> None:
    check_golden_tree("terraform/azure", files(helpdesk()))
