"""The ARM template: evaluated, compared with the models of Microsoft's own client libraries, read back and priced."""

import copy
import json
import os
import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from arm_engine import Template, missing_targets
from azure_plans import HOSTILE, PLANS_ON_AZURE, REGION, helpdesk, hostile, on_azure
from checkers import checkov, needs_tools
from filelock import FileLock
from golden_tree import PLANS, check_golden_tree
from hypothesis import given, settings
from hypothesis import strategies as st
from priced import Parsed, assert_same_cost

from tightrope.base.plan import Plan
from tightrope.render.arm import RENDERER
from tightrope.render.files import write_files
from tightrope.render.infra.azure.values import ENTRIES
from tightrope.render.infra.deployment import deploy_pools, node_label, select_cloud
from tightrope.render.infra.schedule import DAYS, ScheduleEntry, expand_entries, limit_entries
from tightrope.render.plan_json.load import load_plan

LIBRARIES = (
    "azure-mgmt-compute==39.0.0",
    "azure-mgmt-consumption==11.0.0",
    "azure-mgmt-containerinstance==10.1.0",
    "azure-mgmt-containerservice==41.8.0",
    "azure-mgmt-costmanagement==5.0.0",
    "azure-mgmt-loganalytics==14.0.0",
    "azure-mgmt-monitor==7.0.0",
    "azure-mgmt-network==33.1.0",
)
MODELS = Path(__file__).with_name("arm_models.py")
NETWORK = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/network/providers"
SUBNET = f"{NETWORK}/Microsoft.Network/virtualNetworks/network/subnets/machines"
IDENTITY = f"{NETWORK}/Microsoft.ManagedIdentity/userAssignedIdentities/replica"
FILLED: dict[str, Any] = {
    "team": "search",
    "environment": "test",
    "costCentre": "cc-1",
    "notifyEmails": ["platform@example.com"],
    "budgetFrom": "2026-12-01",
    "subnetIds": {REGION: SUBNET},
    "containerSubnetIds": {REGION: SUBNET},
    "allowedCidrs": ["10.0.0.0/16"],
    "registry": "example.azurecr.io",
    "identityId": IDENTITY,
    "clusterIdentityId": IDENTITY,
    "adminSshPublicKey": "ssh-ed25519 AAAA example",
}
EXPLAINED = ("CKV_AZURE_8", "CKV_AZURE_95", "CKV_AZURE_172", "CKV_AZURE_226")
"""Said in docs/how-to/render-arm.md."""
SCALE_SET, AUTOSCALE = "Microsoft.Compute/virtualMachineScaleSets", "Microsoft.Insights/autoscaleSettings"
CONTAINERS, NODE_POOL = "Microsoft.ContainerInstance/containerGroups", "Microsoft.ContainerService/managedClusters/agentPools"
OFFERS = {"Spot": "spot", "Regular": "on-demand"}
Resources = list[dict[str, Any]]


@cache
def libraries_python() -> Path:
    """Return a Python with Microsoft's client libraries, installed once per user beside our dependencies and not among them."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tightrope-tests" / "azure-mgmt-2026-11"
    home.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{home}.lock"):
        if not (home / "ready").exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)  # noqa: S603
            subprocess.run([str(home / "bin" / "pip"), "install", "-q", *LIBRARIES], check=True)  # noqa: S603
            (home / "ready").touch()
    return home / "bin" / "python"


def compared(resources: Resources) -> dict[str, Any]:
    """Return what is found where resources are compared with the libraries' models, and how many of each type were."""
    command = [str(libraries_python()), str(MODELS)]
    done = subprocess.run(command, input=json.dumps(resources), capture_output=True, text=True, check=True)  # noqa: S603
    return json.loads(done.stdout)


def template(plan: Plan, **changed: object) -> Template:
    """Return the rendered template with both files of parameters, the settings as a user would fill them in."""
    files = RENDERER.render(plan)
    found = {
        name: item["value"]
        for stem in ("plan", "settings")
        for name, item in json.loads(files[Path(f"{stem}.parameters.json")])["parameters"].items()
    }
    images = {variant: {"image": "example.azurecr.io/model:1"} for variant in found["images"]}
    return Template(json.loads(files[Path("template.json")]), {**found, **FILLED, "images": images, **changed})


def of_type(resources: Resources, kind: str) -> Resources:
    """Return the resources of one type."""
    return [item for item in resources if item["type"] == kind]


def week_of(setting: dict[str, Any]) -> tuple[int, ...]:
    """Return the machines of each hour that an autoscale setting wants; asked for early is there at the hour."""
    usual, *week = setting["properties"]["profiles"]
    entries = []
    for profile in week:
        when = profile["recurrence"]["schedule"]
        days, hour = divmod(when["hours"][0] + (when["minutes"][0] > 0), 24)
        at = tuple((DAYS.index(day.lower()) + days) % 7 for day in when["days"])
        entries.append(ScheduleEntry(hour, at, int(profile["capacity"]["minimum"]), rises=False))
    return expand_entries(entries) if entries else (int(usual["capacity"]["minimum"]),) * 168


def read_back(resources: Resources) -> list[Parsed]:
    """Return the machines and containers that the template would make."""
    weeks = {item["properties"]["targetResourceUri"].rsplit("/", 1)[1]: week_of(item) for item in of_type(resources, AUTOSCALE)}
    sets = [
        Parsed(
            "azure",
            item["location"],
            item["sku"]["name"],
            OFFERS[item["properties"]["virtualMachineProfile"]["priority"]],
            weeks[item["name"]],
        )
        for item in of_type(resources, SCALE_SET)
    ]
    asked = [
        (item["location"], box["properties"]["resources"]["requests"])
        for item in of_type(resources, CONTAINERS)
        for box in item["properties"]["containers"]
    ]
    return sets + [
        Parsed("azure", region, f"container-instances-{size['cpu']:g}vcpu-{size['memoryInGB']:g}gb", "container", (1,) * 168)
        for region, size in asked
    ]


@needs_tools
@pytest.mark.parametrize("run_on", ["vm", "kubernetes"])
def test_microsofts_own_models_know_every_property(run_on: str) -> None:
    measured = {"resourceId": SUBNET, "namespace": "gateway"}
    resources = [
        item
        for make in PLANS_ON_AZURE.values()
        for metrics in ({"resourceId": "", "namespace": ""}, measured)
        for item in template(make(), runOn=run_on, metrics=metrics).resources()
    ]
    report = compared(resources)
    assert report["findings"] == []
    kinds = {SCALE_SET, AUTOSCALE} if run_on == "vm" else {"Microsoft.ContainerService/managedClusters", NODE_POOL}
    assert kinds | {CONTAINERS, "Microsoft.Consumption/budgets", "Microsoft.CostManagement/scheduledActions"} <= set(
        report["checked"]
    )


def _fault(kind: str, path: str, value: object) -> Callable[[Resources], None]:
    """Return what puts a value where a path such as ``properties.profiles.1.name`` says; ``None`` takes it away."""

    def spoil(resources: Resources) -> None:
        *steps, last = path.split(".")
        at: Any = of_type(resources, kind)[0]
        for step in steps:
            at = at[int(step)] if isinstance(at, list) else at[step]
        if value is None:
            del at[last]
        else:
            at[last] = value

    return spoil


FAULTS = {
    "word": (_fault(SCALE_SET, "properties.virtualMachineProfile.priority", "Spott"), "'Spott' is none of"),
    "name": (_fault(SCALE_SET, "properties.virtualMachineProfile.osProfile.adminUser", "x"), "has no 'adminUser'"),
    "type": (_fault(SCALE_SET, "sku.capacity", "1"), "int is expected"),
    "left-out": (_fault(SCALE_SET, "location", None), "location is required"),
    "read-only": (_fault(SCALE_SET, "properties.uniqueId", "x"), "only Azure sets it"),
    "old-name": (_fault(AUTOSCALE, "properties.profiles.1.recurrence.schedule.timezone", "UTC"), "has no 'timezone'"),
    "old-word": (_fault(AUTOSCALE, "properties.profiles.1.recurrence.frequency", "Weekly"), "'Weekly' is none of"),
    "old-type": (_fault(AUTOSCALE, "properties.profiles.0.capacity.minimum", 1), "str is expected"),
    "old-left-out": (_fault(AUTOSCALE, "properties.profiles.0.capacity", None), "capacity is required"),
    "span": (_fault("Microsoft.Insights/metricAlerts", "properties.windowSize", "1 day"), "no duration"),
    "too-many": (_fault(AUTOSCALE, "properties.profiles", [{"name": "x", "capacity": {}, "rules": []}] * 21), "at most 20 items"),
    "version": (_fault(SCALE_SET, "apiVersion", "2019-03-01"), "the model is of"),
}


@needs_tools
def test_the_comparison_finds_faults() -> None:
    right, faulty = template(helpdesk()).resources(), []
    for spoil, _ in FAULTS.values():
        wrong = copy.deepcopy(right)
        spoil(wrong)
        faulty += [item for item, as_it_was in zip(wrong, right, strict=True) if item != as_it_was]
    findings = compared(faulty)["findings"]
    assert {name for name, (_, said) in FAULTS.items() if not any(said in finding for finding in findings)} == set()


@needs_tools
def test_checkov_finds_nothing_unexplained(tmp_path: Path) -> None:
    write_files(tmp_path / "arm", {Path("template.json"): RENDERER.render(helpdesk())[Path("template.json")]})
    assert checkov(tmp_path / "arm", "arm", EXPLAINED) == []


@pytest.mark.parametrize("run_on", ["vm", "kubernetes"])
@pytest.mark.parametrize("name", PLANS_ON_AZURE)
def test_whatever_is_named_is_deployed(name: str, run_on: str) -> None:
    resources = template(PLANS_ON_AZURE[name](), runOn=run_on).resources()
    assert missing_targets(resources) == set()
    names = [(item["type"], item["name"]) for item in resources]
    assert len(set(names)) == len(names)


def test_a_target_that_is_missing_is_found() -> None:
    resources = template(helpdesk()).resources()
    assert missing_targets([item for item in resources if item["type"] != "Microsoft.Network/loadBalancers"])


def test_the_machines_of_the_template_cost_what_the_plan_says() -> None:
    plan = helpdesk()
    assert_same_cost(plan, [pool.name for pool in plan.pools if pool.cloud == "azure"], read_back(template(plan).resources()))


@pytest.mark.parametrize("name", PLANS_ON_AZURE)
def test_the_week_comes_back_hour_by_hour(name: str) -> None:
    plan = PLANS_ON_AZURE[name]()
    here = select_cloud(plan, "azure")
    expected = [
        Parsed("azure", part.pool.region, part.pool.machine, part.pool.offer, limit_entries(part.week, ENTRIES))
        for part in (*deploy_pools(here, "machines"), *deploy_pools(here, "container"))
    ]
    assert sorted(map(repr, read_back(template(plan).resources()))) == sorted(map(repr, expected))


def test_node_pools_are_the_plans_pools() -> None:
    plan = on_azure("chatgenius")
    found = [item["properties"] for item in of_type(template(plan, runOn="kubernetes").resources(), NODE_POOL)]
    made = [(item["vmSize"], item["minCount"], item["maxCount"], OFFERS[item["scaleSetPriority"]]) for item in found]
    assert made == [
        (part.pool.machine, min(part.week), part.pool.max_replicas + 1, part.pool.offer)
        for part in deploy_pools(plan, "machines")
    ], "one more, for a rolling update"
    nodes = [node_label(plan, part.key) for part in deploy_pools(plan)]
    assert [item["nodeLabels"]["tightrope.dev/pool"] for item in found] == nodes
    assert [item["nodeTaints"][0] for item in found] == [f"tightrope.dev/pool={node}:NoSchedule" for node in nodes]


def test_nothing_is_open_and_tags_are_on_everything() -> None:
    resources = template(on_azure("chatgenius"), expiresOn="2027-06-30", tags={"floor": "2"}, allowedCidrs=[]).resources()
    (group,) = of_type(resources, "Microsoft.Network/networkSecurityGroups")
    rules = [rule["properties"] for rule in group["properties"]["securityRules"]]
    assert {rule["sourceAddressPrefix"] for rule in rules if rule["access"] == "Allow"} == {"AzureLoadBalancer"}
    assert rules[-1]["access"] == "Deny"
    common = {"workload": "chatgenius", "team": "search", "cost-centre": "cc-1", "expires-on": "2027-06-30", "floor": "2"}
    for item in resources:
        assert item["type"] == "Microsoft.Resources/deployments" or common.items() <= item["tags"].items()
    assert {item["tags"]["pool"] for item in of_type(resources, SCALE_SET)} == {
        part.key for part in deploy_pools(on_azure("chatgenius"))
    }


def test_a_machine_is_told_what_to_run() -> None:
    image = {
        "image": "example.azurecr.io/x:1",
        "arguments": ["--model=/models/a b"],
        "environment": [{"name": "A", "value": "1"}],
    }
    plan = on_azure("chatgenius")
    found = of_type(template(plan, images={part.pool.variant: image for part in deploy_pools(plan)}).resources(), SCALE_SET)[0]
    head, config = b64decode(found["properties"]["virtualMachineProfile"]["osProfile"]["customData"]).decode().split("\n", 1)
    files = {item["path"]: b64decode(item["content"]).decode() for item in json.loads(config)["write_files"]}
    pool = json.loads(files["/opt/tightrope/pool.json"])
    assert head == "#cloud-config"
    assert pool["image"] == "example.azurecr.io/x:1"
    assert pool["arguments"][:2] == ["--model=/models/a b", "--max-num-seqs=128"]
    assert pool["client_id"] == f"client of {IDENTITY}"
    told = {item["name"]: item["value"] for item in pool["environment"]}
    assert told.items() >= {"PORT": "8000", "TIGHTROPE_MAX_SEQUENCES": "128", "A": "1"}.items()
    assert files["/opt/tightrope/start.sh"].startswith("#!/usr/bin/env bash\n")


def test_the_budget_is_the_plans_cost_and_the_margin() -> None:
    (inner,) = of_type(template(helpdesk(), marginPercent=20).resources(), "Microsoft.Resources/deployments")
    budget = of_type(inner["resources"], "Microsoft.Consumption/budgets")[0]["properties"]
    assert budget["amount"] == 207  # 172 of the plan, and a fifth
    assert budget["filter"]["tags"]["values"] == ["helpdesk"]
    assert {(item["thresholdType"], item["threshold"]) for item in budget["notifications"].values()} == {
        ("Forecasted", 80),
        ("Forecasted", 100),
        ("Actual", 100),
    }


def test_the_budget_counts_what_carries_the_tag() -> None:
    resources = template(replace(helpdesk(), workload="helpdesk-in-production-europe")).resources()
    (inner,) = of_type(resources, "Microsoft.Resources/deployments")
    (budget,) = of_type(inner["resources"], "Microsoft.Consumption/budgets")
    (counted,) = budget["properties"]["filter"]["tags"]["values"]
    assert {item["tags"]["workload"] for item in resources if "tags" in item} == {counted}


@pytest.mark.parametrize(
    "changed",
    [{"team": ""}, {"runOn": "pods"}, {"notifyEmails": []}, {"identityId": ""}, {"marginPercent": 101}, {"colour": "x"}],
    ids=str,
)
def test_settings_that_can_not_be_are_refused(changed: dict[str, object]) -> None:
    with pytest.raises(AssertionError, match="parameter"):
        template(helpdesk(), **changed)


@pytest.mark.parametrize("place", range(len(HOSTILE)))
def test_a_hostile_name_stays_a_name(place: int) -> None:
    plan = hostile(HOSTILE[place])
    (pool,) = deploy_pools(select_cloud(plan, "azure"), "machines")
    (made,) = of_type(template(plan).resources(), SCALE_SET)
    assert made["name"].endswith(pool.key)
    assert made["tags"]["workload"] == pool.labels(plan)["workload"]


@settings(max_examples=20, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufeff\u2028\u2029"), min_size=1, max_size=60))
def test_no_name_reaches_the_template(text: str) -> None:
    files = RENDERER.render(hostile(text))
    assert files[Path("template.json")] == RENDERER.render(helpdesk())[Path("template.json")]
    asked = json.loads(files[Path("plan.parameters.json")])["parameters"]
    assert asked["pools"]["value"][0]["variant"].startswith(f"{text}/")


def test_a_plan_without_azure_says_so() -> None:
    files = RENDERER.render(load_plan(PLANS / "vision.json"))
    assert list(files) == [Path("README.md")]
    assert "nothing to write" in files[Path("README.md")]


def test_what_the_template_leaves_out_is_said() -> None:
    assert "is a function, which this template does not make" in RENDERER.render(on_azure("helpdesk"))[Path("README.md")]


def test_golden() -> None:
    files = RENDERER.render(helpdesk())
    del files[Path("template.json")]  # it lies in src/ as it is written
    check_golden_tree("arm", files)
