"""Kubernetes manifests: accepted by Kubernetes' own schemas, of one cost with the plan, and deaf to what names say."""

import re
import shutil
from dataclasses import replace
from io import BytesIO
from math import ceil
from pathlib import Path
from typing import Any

import pytest
import yaml
from checkers import assert_accepted, checkov, needs_tools
from golden_tree import NAMES, PLANS, check_golden_tree
from hypothesis import given, settings
from hypothesis import strategies as st
from kube_trees import (
    VERSIONS,
    built,
    check_references,
    config,
    make_nodes,
    manifests,
    minutes_of,
    named,
    needs_kustomize,
    objects,
    parsed,
    pool_of,
    settings_of,
    times,
    write,
)
from plan_fixture import make_plan
from priced import assert_same_cost
from typer.main import get_command

from tightrope.base.errors import InputError
from tightrope.base.metrics import METRICS
from tightrope.base.plan import Plan, Pool, RoutingRule
from tightrope.base.records import Deferral, ScalingLimit, ScalingRule
from tightrope.cli import app
from tightrope.render.infra.deployment import deploy_pools, replica_cpu
from tightrope.render.infra.kube.calendar import constant_machines, spans
from tightrope.render.kubernetes import RENDERER
from tightrope.render.plan_json import RENDERER as PLAN_JSON
from tightrope.render.plan_json.load import load_plan

ALL = {name: load_plan(PLANS / f"{name}.json") for name in NAMES}
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
COST_TAGS = {"workload", "pool", "model", "variant", "offer", "managed-by", "team", "environment", "cost-centre"}
"""What every road gives machines, so that their cost can be allocated."""


TREES = {id(plan): RENDERER.render(plan) for plan in ALL.values()}


def rendered(plan: Plan) -> dict[Path, str]:
    return TREES.get(id(plan)) or RENDERER.render(plan)


def one_pool(plan: Plan | None = None, **changes: Any) -> Plan:
    """Return a plan of one pool, changed."""
    plan = plan or ALL["vision"]
    pool = replace(plan.pools[1], **changes)
    return replace(plan, pools=(pool,), routing=(RoutingRule("images", pool.name, 1.0, (1.0,) * 168),))


def serving(**changes: Any) -> dict[str, Any]:
    return {"serving": replace(ALL["vision"].pools[1].serving, **changes)}


def scaled_of(plan: Plan) -> dict[str, Any]:
    (found,) = named(rendered(plan), "ScaledObject").values()
    return found


def triggers(scaled: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {item["name"]: item["metadata"] for item in scaled["spec"]["triggers"]}


# ------------------------------------------------------------------------------------------------------------- the real tools


@needs_tools
@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_accepts_it(version: str, tmp_path: Path) -> None:
    for name, plan in {**ALL, "hostile": renamed(ALL["helpdesk"], "".join(HOSTILE))}.items():
        write(rendered(plan), tmp_path / name)
    report = assert_accepted("k8scheck", "--strict", "--kube-version", version, *manifests(tmp_path))
    assert not report["skipped"]
    kinds = "HorizontalPodAutoscaler ScaledObject NodePool EC2NodeClass AKSNodeClass ComputeClass CronJob PodMonitor Deployment"
    assert all(any(f" {kind}/" in str(line) for line in report["checked"]) for kind in kinds.split())


@needs_tools
@needs_kustomize
@pytest.mark.parametrize("autoscaler", ["autoscale-keda", "autoscale-hpa"])
@pytest.mark.parametrize("name", NAMES)
def test_an_overlay_is_built_and_accepted(name: str, autoscaler: str, tmp_path: Path) -> None:
    write(rendered(ALL[name]), tmp_path)
    for number, place in enumerate(sorted(path.parent for path in tmp_path.glob("*/base"))):
        overlay = place / "overlay"
        for path in overlay.iterdir():
            text = path.read_text(encoding="utf-8").replace("../autoscale-keda", f"../{autoscaler}").replace("example", "acme")
            path.write_text(text, encoding="utf-8")
        make_nodes(overlay)
        found = built(overlay)
        (tmp_path / f"built-{number}.yaml").write_text(yaml.safe_dump_all(found), encoding="utf-8")
        deployed = {item["metadata"]["name"]: item for item in found if item["kind"] == "Deployment"}
        scalers = [item for item in found if item["kind"] in {"ScaledObject", "HorizontalPodAutoscaler"}]
        aimed = sorted(item["spec"]["scaleTargetRef"]["name"] for item in scalers)
        assert aimed == sorted(set(deployed) - {"tightrope-gateway"}), "one autoscaler for each pool, and for nothing else"
        assert all("replicas" not in deployed[key]["spec"] for key in aimed)
        for item in deployed.values():
            pod = item["spec"]["template"]
            assert {"team", "environment", "cost-centre"} <= pod["metadata"]["labels"].keys()
            image = pod["spec"]["containers"][0]["image"]
            assert image.startswith(("registry.acme.com/tightrope:", "vllm/vllm-openai:"))
        assert all(item["spec"]["role"] == "acme-node-role" for item in found if item["kind"] == "EC2NodeClass")
        tags = [item["spec"]["tags"] for item in found if item["kind"] in {"EC2NodeClass", "AKSNodeClass"}]
        assert all(item.keys() == COST_TAGS and item["team"] == "acme" for item in tags)
        assert sorted(item["pool"] for item in tags) == ([] if place.name.startswith("gcp") else aimed)
    assert_accepted("k8scheck", "--strict", *tmp_path.glob("built-*.yaml"))


@needs_kustomize
def test_what_is_the_users_reaches_every_place(tmp_path: Path) -> None:
    write(rendered(ALL["helpdesk"]), tmp_path)
    overlay = tmp_path / "gcp-us-central1" / "overlay"
    make_nodes(overlay)
    path = overlay / "settings.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("http://prometheus-operated", "http://mine"), encoding="utf-8")
    found = built(overlay)
    asked = [
        trigger["metadata"]["serverAddress"]
        for item in found
        if item["kind"] == "ScaledObject"
        for trigger in item["spec"]["triggers"]
        if trigger["type"] == "prometheus"
    ]
    assert asked
    assert all(where.startswith("http://mine.") for where in asked)
    (pool,) = (item for item in found if item["metadata"]["name"] == "int8-n2-standard-2" and item["kind"] == "Deployment")
    assert pool["spec"]["template"]["spec"]["nodeSelector"] == {
        "cloud.google.com/compute-class": "helpdesk-int8-n2-standard-2"
    }, "GKE allows no other selector beside a compute class"


@needs_tools
@needs_kustomize
def test_a_gateway_with_everything_beside_it_is_built_and_accepted(tmp_path: Path) -> None:
    write(rendered(ALL["chatgenius"]), tmp_path)
    overlay = tmp_path / "aws-us-east-1" / "overlay"
    path = overlay / "kustomization.yaml"
    path.write_text(re.sub(r'# (- "../(?:ledger|keys|jobs)")', r"\1", path.read_text(encoding="utf-8")), encoding="utf-8")
    found = {(item["kind"], item["metadata"]["name"]): item for item in built(overlay)}
    (tmp_path / "built.yaml").write_text(yaml.safe_dump_all(found.values()), encoding="utf-8")
    assert_accepted("k8scheck", "--strict", tmp_path / "built.yaml")
    pod = found["Deployment", "tightrope-gateway"]["spec"]["template"]["spec"]
    variables = {item["name"]: item.get("value") or item["valueFrom"] for item in pod["containers"][0]["env"]}
    assert variables["TIGHTROPE_KEYS"] == "/etc/tightrope-access/keys.json"
    assert variables["TIGHTROPE_JOBS"] == {"secretKeyRef": {"name": "tightrope-jobs", "key": "url"}}
    volumes = {item["name"]: item for item in pod["volumes"]}
    assert volumes["ledger"] == {"name": "ledger", "persistentVolumeClaim": {"claimName": "tightrope-ledger"}}
    assert volumes["access"]["secret"] == {"secretName": "tightrope-keys", "defaultMode": 0o440}
    claim = found["PersistentVolumeClaim", "tightrope-ledger"]["spec"]
    assert (claim["accessModes"], claim["storageClassName"]) == (["ReadWriteMany"], "example-shared")
    (job,) = found["CronJob", "batch-summary"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert job["args"][-1] == "--header=Authorization: Bearer $(KEY)"
    assert job["env"][-1] == {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "tightrope-keys", "key": "batch"}}}


def test_the_queue_is_there_where_work_can_wait() -> None:
    for name, waits in (("chatgenius", True), ("vision", False)):
        overlay = yaml.safe_load(rendered(ALL[name])[Path("aws-us-east-1/overlay/kustomization.yaml")])
        assert ("../jobs" in overlay["components"]) is waits
        assert not {"../ledger", "../keys"} & {*overlay["components"]}, "these need what only the user has"


def of_tightrope(files: dict[Path, str]) -> list[dict[str, Any]]:
    """Return the pods that run our own server."""
    pods = (item["spec"]["template"]["spec"] for item in named(files, "Deployment").values())
    return [pod for pod in pods if pod["containers"][0]["command"] == ["tightrope"]]


@pytest.mark.parametrize("name", NAMES)
def test_our_own_server_is_told_only_what_it_knows_and_writes_only_where_it_may(name: str) -> None:
    command = get_command(app).commands["serve"]  # type: ignore[attr-defined]
    known = {option for parameter in command.params for option in parameter.opts}
    variables = {parameter.envvar for parameter in command.params}
    pods = of_tightrope(rendered(ALL[name]))
    assert pods
    for pod in pods:
        (container,) = pod["containers"]
        options = {argument.partition("=")[0] for argument in container["args"][1:]}
        assert options <= known
        told = {item["name"]: item.get("value") for item in container["env"]}
        assert {key for key in told if key.startswith("TIGHTROPE_")} <= variables
        assert pod["enableServiceLinks"] is False, "a Service's variables would be taken for options"
        assert container["securityContext"]["readOnlyRootFilesystem"]
        writable = [item["mountPath"] for item in container["volumeMounts"] if not item.get("readOnly")]
        places = [path for path in told.values() if path and path.startswith("/")]
        assert places
        assert all(any(path.startswith(mount) for mount in writable) for path in places)
        assert "lifecycle" not in container, "it leaves by itself: a preStop would be waited for as well"
        assert pod["terminationGracePeriodSeconds"] > float(told["TIGHTROPE_LEAVES"] or 0) + 5


def test_a_gateway_stays_until_the_slowest_pool_has_answered_wherever_it_stands() -> None:
    spot = rendered(replace(ALL["chatgenius"], pools=(ALL["chatgenius"].pools[0],)))
    pods = {name: item["spec"]["template"]["spec"] for name, item in named(spot, "Deployment").items()}
    assert pods["int8-g4dn-xlarge-spot"]["terminationGracePeriodSeconds"] == 120, "the notice, and no more"
    assert pods["tightrope-gateway"]["terminationGracePeriodSeconds"] > 150, "its own node stays"


def test_batches_are_counted_where_they_are_made() -> None:
    monitors = objects({Path("x/monitors.yaml"): rendered(ALL["vision"])[Path("aws-us-east-1/monitoring/monitors.yaml")]})
    (engines,) = monitors["x", "PodMonitor", "tightrope-engines"]["spec"]["podMetricsEndpoints"]
    assert engines["honorLabels"], "the pool's name is the plan's, as the dashboard asks for it"
    assert "metricRelabelings" not in engines


@pytest.mark.parametrize("name", NAMES)
def test_every_file_and_target_that_is_named_is_there(name: str, tmp_path: Path) -> None:
    check_references(write(rendered(ALL[name]), tmp_path))


@needs_tools
def test_checkov_finds_nothing(tmp_path: Path) -> None:
    for name, plan in ALL.items():
        write(rendered(plan), tmp_path / name)
    assert not checkov(tmp_path, "kubernetes")


@needs_tools
@pytest.mark.skipif(shutil.which("promtool") is None, reason="Prometheus is not here")
def test_prometheus_takes_every_query(tmp_path: Path) -> None:
    hostile = renamed(ALL["chatgenius"], "".join(HOSTILE))
    plans = (*ALL.values(), hostile, replace(hostile, scaling=replace(hostile.scaling, metric="concurrency")), stand_in())
    asked = {
        trigger["metadata"]["query"]
        for plan in plans
        for scaled in objects(rendered(plan), "ScaledObject").values()
        for trigger in scaled["spec"]["triggers"]
        if trigger["type"] == "prometheus"
    }
    rules = [{"record": f"asked:{number}", "expr": query} for number, query in enumerate(sorted(asked))]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": rules}]}), encoding="utf-8")
    assert_accepted("promcheck", path)


def test_it_is_as_it_was() -> None:
    files = rendered(ALL["helpdesk"])
    check_golden_tree("kubernetes", {path: text for path, text in files.items() if path.name != "plan.json"})


# ------------------------------------------------------------------------------------------------------------- two roads


@pytest.mark.parametrize("name", NAMES)
def test_what_is_rendered_costs_what_the_plan_says(name: str) -> None:
    plan = ALL[name]
    found = parsed(rendered(plan))
    pools = [part.pool.name for part in deploy_pools(plan, "machines")]
    assert len(found) == len(pools)
    assert_same_cost(plan, pools, found)


WEEKS = st.lists(st.integers(0, 4), min_size=168, max_size=168) | st.builds(
    lambda days, shape: [shape[hour] if day in days else shape[0] for day in range(7) for hour in range(24)],
    st.sets(st.integers(0, 6)),
    st.lists(st.integers(0, 6), min_size=24, max_size=24),
)


@given(week=WEEKS, start_s=st.floats(0.0, 3540.0))
@settings(max_examples=60, deadline=None)
def test_a_calendar_gives_the_week_and_is_early(week: list[int], start_s: float) -> None:
    found = [
        {
            "type": "cron",
            "metadata": {"timezone": "Etc/UTC", "start": a.start.cron, "end": a.end.cron, "desiredReplicas": a.machines},
        }
        for a in spans(week, start_s)
    ]
    minutes = minutes_of({"spec": {"minReplicaCount": constant_machines(week, start_s), "triggers": found}})
    early = ceil(start_s / 60)
    for minute, machines in enumerate(minutes):
        soon = range(minute, minute + early + 1)
        assert machines == max(week[at // 60 % 168] for at in {*soon[::60], soon[-1]}), "the most of the hours from now to then"


def test_a_pool_that_starts_slower_than_an_hour_is_never_late() -> None:
    week = [0, 2] * 84
    assert constant_machines(week, 3600.0) == 2
    assert not spans(week, 3600.0)


def test_jobs_follow_the_calendar_where_keda_does_not() -> None:
    plan = ALL["vision"]
    files = {path: text for path, text in rendered(plan).items() if "autoscale-hpa" in path.parts}
    autoscalers, calendar = named(files, "HorizontalPodAutoscaler"), named(files, "CronJob")
    for part in deploy_pools(plan):
        hpa = autoscalers[part.key]
        jobs = [item for item in calendar.values() if item["metadata"]["labels"]["pool"] == part.key]
        changes = sorted(
            (minute, int(re.search(r'"minReplicas":(\d+)', str(_command(item)))[1]))  # type: ignore[index]
            for item in jobs
            for minute in times(item["spec"]["schedule"])
        )
        for hour, machines in enumerate(part.week):
            now = [count for minute, count in changes if minute <= 60 * hour] or [changes[-1][1]]
            assert now[-1] == max(1, machines), "an HPA keeps one, and is never late"
        assert hpa["spec"]["minReplicas"] == max(part.week), "the most, until the first job is due"
    (role,) = named(files, "Role").values()
    assert role["rules"][0]["verbs"] == ["get", "patch"]
    assert sorted(role["rules"][0]["resourceNames"]) == sorted(part.key for part in deploy_pools(plan))


def _command(job: dict[str, Any]) -> list[str]:
    return job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"]


# ------------------------------------------------------------------------------------------------------------- what is inside


def test_the_gateway_reads_the_plan_as_it_was_written() -> None:
    files = rendered(ALL["chatgenius"])
    assert files[Path("aws-us-east-1/base/plan.json")] == PLAN_JSON.render(ALL["chatgenius"])[Path("plan.json")]
    assert config(files, "upstreams.json") == {
        part.pool.name: {"url": f"http://{part.key}:8000", "discover": True} for part in deploy_pools(ALL["chatgenius"])
    }


def test_a_pools_name_stands_for_its_ready_pods_on_the_port_that_they_listen_on() -> None:
    for plan in ALL.values():
        files = rendered(plan)
        services, pods = named(files, "Service"), named(files, "Deployment")
        for part in deploy_pools(plan):
            if part.key not in pods:
                continue
            service = services[part.key]["spec"]
            (container,) = pods[part.key]["spec"]["template"]["spec"]["containers"]
            assert service["clusterIP"] == "None"
            assert "publishNotReadyAddresses" not in service
            ((port,), (inside,)) = service["ports"], container["ports"]
            assert port["port"] == inside["containerPort"], "nothing translates it"
            assert port["targetPort"] == inside["name"]
        assert "clusterIP" not in services["tightrope-gateway"]["spec"]


def test_a_gateway_knows_what_answers_outside_its_cluster() -> None:
    files = rendered(ALL["helpdesk"])
    found = yaml.safe_load(files[Path("azure-eastus/base/upstreams.json")])
    assert found["int8-standard_d2s_v5"] == {"url": "http://int8-standard-d2s-v5-730547:8000", "discover": True}
    assert "url_from" in found["mini-openai-gpt-4o-mini-token-api"]
    assert "int8-lambda-1769mb-serverless" not in found, "it answers what comes in elsewhere"
    for target in found.values():
        if "url_from" in target:
            assert target["url_from"].removeprefix("/etc/tightrope-settings/") in settings_of(files)


def test_a_plan_that_no_config_map_holds_is_refused() -> None:
    plan = replace(ALL["vision"], charts={"demand:x": [0.123456789] * 200_000})
    with pytest.raises(InputError, match="ConfigMap"):
        rendered(plan)


def test_only_the_gateways_own_metrics_are_asked_for() -> None:
    names = set()
    for plan in ALL.values():
        for scaled in objects(rendered(plan), "ScaledObject").values():
            for trigger in scaled["spec"]["triggers"]:
                names |= set(re.findall(r"tightrope_\w+", trigger["metadata"].get("query", "")))
    assert names == {"tightrope_arrivals_total", "tightrope_held_requests", "tightrope_requests_in_flight"}
    assert names <= METRICS.keys()


def test_a_rate_is_taken_over_what_prometheus_has_seen() -> None:
    plan = one_pool()
    plan = replace(plan, scaling=replace(plan.scaling, metric_window_s=15.0))
    assert triggers(scaled_of(plan))["load"]["query"].endswith("[60s]))")


def test_a_replica_that_carries_little_is_counted_in_replicas() -> None:
    load = triggers(scaled_of(one_pool(autoscaling={"target_requests_per_s": 0.0004})))["load"]
    assert load["threshold"] == "1"
    assert load["query"].endswith(" / 0.0004")


def test_a_replica_carries_what_the_plan_says() -> None:
    plan = one_pool(**serving(engines_per_machine=2))
    pool = plan.pools[0]
    scaled = scaled_of(plan)
    load = triggers(scaled)["load"]
    assert float(load["threshold"]) == pytest.approx(pool.autoscaling["target_requests_per_s"] / 2, rel=1e-6)
    assert load["query"] == 'sum(rate(tightrope_arrivals_total{workload="vision", pool="int8-c7i-large"}[300s]))'
    assert scaled["spec"]["maxReplicaCount"] == 2 * pool.max_replicas
    container = named(rendered(plan), "Deployment")["int8-c7i-large"]["spec"]["template"]["spec"]["containers"][0]
    (part,) = deploy_pools(plan)
    assert float(container["resources"]["requests"]["cpu"]) == replica_cpu(part) < 1.0
    assert container["resources"]["limits"]["cpu"] == "1", "half of the machine's two"


def test_work_that_can_wait_buys_no_machines_and_is_handed_in_when_it_is_released() -> None:
    files = rendered(ALL["chatgenius"])
    scaled = named(files, "ScaledObject")["int8-g4dn-xlarge"]
    assert 'class!="summary"' in triggers(scaled)["load"]["query"]
    job = named(files, "CronJob")["batch-summary"]["spec"]
    assert times(job["schedule"])[0] == 22 * 60
    assert job["jobTemplate"]["spec"]["activeDeadlineSeconds"] == 8 * 3600
    assert '"class": "summary"' in job["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"][4]


def test_a_pool_of_work_that_can_wait_goes_last() -> None:
    plan = one_pool()
    waits = replace(plan.classes[0], deferral=Deferral(22.5, 6.0), slos=())
    deployment = named(rendered(replace(plan, classes=(waits,))), "Deployment")["int8-c7i-large"]
    assert deployment["spec"]["template"]["spec"]["priorityClassName"] == "tightrope-deferrable"


def test_a_pool_without_scheduled_machines_wakes_for_a_request() -> None:
    plan = one_pool(schedule=(0,) * 168, min_replicas=0)
    scaled = scaled_of(plan)
    assert scaled["spec"]["minReplicaCount"] == 0
    assert scaled["spec"]["cooldownPeriod"] == 300
    wake = triggers(scaled)["wake"]
    assert wake["activationThreshold"] == "0"
    assert "tightrope_held_requests" in wake["query"]
    assert not any(item["type"] == "cron" for item in scaled["spec"]["triggers"])


def test_a_pool_that_never_has_a_machine_is_off() -> None:
    plan = one_pool(schedule=(0,) * 168, min_replicas=0, max_replicas=0)
    files = rendered(plan)
    assert named(files, "Deployment")["int8-c7i-large"]["spec"]["replicas"] == 0
    assert not named(files, "ScaledObject")


def test_without_an_autoscaler_the_calendar_alone_counts() -> None:
    plan = one_pool()
    plan = replace(plan, scaling=replace(plan.scaling, enabled=False))
    scaled = scaled_of(plan)
    assert {item["type"] for item in scaled["spec"]["triggers"]} == {"cron"}
    assert scaled["spec"]["maxReplicaCount"] == max(plan.pools[0].schedule)
    jobs = list(named(rendered(plan), "CronJob").values())
    assert all('"maxReplicas"' in str(_command(item)) for item in jobs)


def test_a_steady_fleet_without_an_autoscaler_is_a_calendar_without_a_break() -> None:
    plan = one_pool(schedule=(3,) * 168, min_replicas=3, max_replicas=3, autoscaling={})
    scaled = scaled_of(plan)
    assert set(minutes_of(scaled)) == {3}
    assert (scaled["spec"]["minReplicaCount"], scaled["spec"]["maxReplicaCount"]) == (3, 3)


def stand_in() -> Plan:
    """Return a plan in which one pool stands in for the spot machines that another lacks."""
    plan = ALL["vision"]
    backed = replace(plan.pools[1], serving=replace(plan.pools[1].serving, backs=plan.pools[2].name))
    return replace(plan, pools=(plan.pools[0], backed, plan.pools[2]))


def test_a_stand_in_has_what_the_other_lacks() -> None:
    _, own, spot = stand_in().pools
    files = rendered(stand_in())
    scaled = named(files, "ScaledObject")[own.name]
    assert scaled["spec"]["maxReplicaCount"] == own.max_replicas + spot.max_replicas
    assert (
        f'tightrope_replicas{{workload="vision", pool="{spot.name}", state=~"starting|down"}}'
        in triggers(scaled)["load"]["query"]
    )
    assert own.name not in named(files, "HorizontalPodAutoscaler")
    assert "only KEDA" in files[Path("README.md")]


def test_a_stand_in_of_its_own_kind_comes_up_from_nothing() -> None:
    """The pool behind a spot pool that plans have: no schedule, no ceiling, no traffic of its own."""
    plan = ALL["vision"]
    spot = plan.pools[2]
    behind = replace(
        plan.pools[1],
        name=f"{spot.name}-fallback",
        min_replicas=0,
        max_replicas=0,
        schedule=(0,) * 168,
        serving=replace(spot.serving, backs=spot.name, engines_per_machine=2),
    )
    for metric in ("rate", "concurrency"):
        scaling = replace(plan.scaling, metric=metric)
        scaled = named(rendered(replace(plan, pools=(spot, behind), scaling=scaling)), "ScaledObject")[behind.name]
        assert (scaled["spec"]["minReplicaCount"], scaled["spec"]["maxReplicaCount"]) == (0, 2 * spot.max_replicas)
        (asked,) = triggers(scaled).values()
        assert (asked["threshold"], asked["activationThreshold"]) == ("1", "0")
        assert asked["query"].startswith("sum(max by (state) (tightrope_replicas{")
        assert asked["query"].endswith(" * 2 / 1"), "two replicas for each machine of the other"


def test_a_rise_within_the_tolerance_is_not_left_out() -> None:
    plan = one_pool(schedule=(19,) * 84 + (20,) * 84, min_replicas=19, max_replicas=30)
    (span,) = (item for item in scaled_of(plan)["spec"]["triggers"] if item["type"] == "cron")
    asked = int(span["metadata"]["desiredReplicas"])
    assert asked / 19 > 1.0 + plan.scaling.tolerance, "an autoscaler that has 19 moves"
    assert asked == 21


def test_the_cpu_buys_nothing_that_the_request_rate_does_not() -> None:
    plan = one_pool()
    (hpa,) = named(rendered(plan), "HorizontalPodAutoscaler").values()
    (part,) = deploy_pools(plan)
    (cpu,) = (item["resource"]["target"]["averageUtilization"] for item in hpa["spec"]["metrics"] if item["type"] == "Resource")
    assert part.node.vcpu * plan.scaling.target_utilisation <= replica_cpu(part) * cpu / 100.0


def test_a_pod_goes_when_nothing_is_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    container = named(rendered(ALL["chatgenius"]), "Deployment")["int8-g4dn-xlarge"]["spec"]["template"]["spec"]["containers"][0]
    *python, script = container["lifecycle"]["preStop"]["exec"]["command"]
    assert python == ["python3", "-c"]
    shown = [
        f'vllm:num_requests_running{{engine="0",model_name="a b"}} {running}\nvllm:num_requests_waiting{{engine="0"}} {waiting}\n'
        for running, waiting in ((2.0, 1.0), (1.0, 0.0), (0.0, 0.0), (9.0, 9.0))
    ]
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: BytesIO(shown.pop(0).encode()))
    exec(compile(script, "drain", "exec"), {})  # noqa: S102 - the script of the manifest
    assert len(shown) == 1
    assert {"name": "USER", "value": "engine"} in container["env"], "PyTorch asks for the name of the user"


def test_work_that_can_wait_is_handed_in_once() -> None:
    plan = ALL["helpdesk"]
    waits = replace(plan.classes[0], deferral=Deferral(22.0, 6.0), slos=(), place=None)
    pools = tuple(replace(pool, serving=replace(pool.serving, deferrable_classes=(waits.name,))) for pool in plan.pools)
    for place, folder in ((None, "aws-us-east-1"), (("gcp", "us-central1"), "gcp-us-central1")):
        classes = (replace(waits, place=place), *plan.classes[1:])
        files = rendered(replace(plan, classes=classes, pools=pools))
        assert [path.parts[0] for path in files if path.name == "batch.yaml"] == [folder]


def test_concurrency_is_followed_where_the_plan_was_replayed_with_it() -> None:
    plan = one_pool()
    plan = replace(plan, scaling=replace(plan.scaling, metric="concurrency", target_utilisation=0.5))
    load = triggers(scaled_of(plan))["load"]
    assert load["query"].startswith("sum(tightrope_requests_in_flight{")
    assert float(load["threshold"]) == 0.5 * plan.pools[0].serving.concurrency


def test_limits_on_change_are_the_plans() -> None:
    plan = one_pool(**serving(engines_per_machine=2))
    limit = ScalingLimit((ScalingRule("pods", 3.0, 60.0), ScalingRule("percent", 10.0, 30.5)), "min")
    scaling = replace(plan.scaling, scale_down=limit, downscale_stabilization_s=120.0, tolerance=0.05)
    behaviour = scaled_of(replace(plan, scaling=scaling))["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behaviour["scaleDown"] == {
        "stabilizationWindowSeconds": 120,
        "selectPolicy": "Min",
        "tolerance": "0.05",
        "policies": [
            {"type": "Pods", "value": 6, "periodSeconds": 60},
            {"type": "Percent", "value": 10, "periodSeconds": 31},
        ],
    }
    with pytest.raises(InputError, match="3600 s"):
        rendered(replace(plan, scaling=replace(scaling, downscale_stabilization_s=7200.0)))


def test_spot_pods_stand_the_taints_and_go_within_the_notice() -> None:
    for cloud, region, taint, seconds in (
        ("azure", "eastus", "kubernetes.azure.com/scalesetpriority", 30),
        ("gcp", "us-central1", "cloud.google.com/gke-spot", 30),
        ("aws", "us-east-1", "tightrope.dev/pool", 120),
    ):
        pool = replace(ALL["chatgenius"].pools[0], cloud=cloud, region=region)
        pod = named(rendered(replace(ALL["chatgenius"], pools=(pool,))), "Deployment")[pool.name]["spec"]["template"]["spec"]
        assert taint in {item["key"] for item in pod["tolerations"]}
        assert "nvidia.com/gpu" in {item["key"] for item in pod["tolerations"]}
        assert pod["terminationGracePeriodSeconds"] == seconds


@pytest.mark.parametrize("other", ["search", "chat-int8", "Chat"])
def test_two_workloads_in_one_cluster_share_no_nodes(other: str) -> None:
    """Whatever their pools are called: a pool's pods ask for its own nodes, and stand the taint of no others."""
    taken = []
    for workload in ("chat", other):
        files = rendered(replace(ALL["chatgenius"], workload=workload))
        pools = [item["spec"]["template"] for item in objects(files, "NodePool").values()]
        nodes = {pool_of(pool["metadata"]["labels"]): pool for pool in pools}
        for key, node in nodes.items():
            pod = named(files, "Deployment")[key]["spec"]["template"]["spec"]
            (taint,) = node["spec"]["taints"]
            assert pod["nodeSelector"] == node["metadata"]["labels"] == {"tightrope.dev/pool": taint["value"]}
            assert [stood["value"] for stood in pod["tolerations"] if stood["key"] == taint["key"]] == [taint["value"]]
            taken.append(taint["value"])
    assert len(set(taken)) == 2 * len(ALL["chatgenius"].pools)


def test_chips_are_counted_by_their_makers_plugin() -> None:
    assert ALL["vision"].pools[0].node is not None
    node = ALL["vision"].pools[0].node
    for chip, name in (("inferentia2", "aws.amazon.com/neuron"), ("mi300x", "amd.com/gpu"), ("h100-nvl", "nvidia.com/gpu")):
        plan = one_pool(node=replace(node, accelerator=chip, accelerators=4), **serving(engines_per_machine=2))
        container = named(rendered(plan), "Deployment")["int8-c7i-large"]["spec"]["template"]["spec"]["containers"][0]
        assert container["resources"]["limits"][name] == "2"
    with pytest.raises(InputError, match="device plugin"):
        rendered(one_pool(node=replace(node, accelerator="abacus")))


def test_a_request_may_be_as_long_as_the_cache_holds() -> None:
    """VLLM starts only where a request of the model's whole context would fit, or of what it is told."""
    plan = ALL["chatgenius"]
    small = replace(plan.pools[0].serving.engine, kv_capacity_tokens=5000)
    files = rendered(
        replace(plan, pools=(replace(plan.pools[0], serving=replace(plan.pools[0].serving, engine=small)), *plan.pools[1:]))
    )
    kept = settings_of(files)
    for part, tokens in zip(deploy_pools(plan), ("5000", "8192", None), strict=True):
        container = named(files, "Deployment")[part.key]["spec"]["template"]["spec"]["containers"][0]
        assert ("--max-model-len=$(MAX_MODEL_LEN)" in container["args"]) == (tokens is not None)
        keys = [item["valueFrom"]["configMapKeyRef"]["key"] for item in container["env"] if item["name"] == "MAX_MODEL_LEN"]
        assert [kept[key] for key in keys] == ([tokens] if tokens else [])


def test_the_image_of_a_token_engine_is_of_its_chip() -> None:
    plan = ALL["chatgenius"]
    pool = plan.pools[0]
    assert pool.node is not None
    for chip, count, image in (
        ("inferentia2", 1, "vllm-neuron"),
        ("mi300x", 1, "vllm-amd"),
        ("", 0, "vllm-cpu"),
        ("h100", 1, "vllm/vllm-openai"),
    ):
        changed = replace(pool, node=replace(pool.node, accelerator=chip, accelerators=count))
        files = rendered(replace(plan, pools=(changed,)))
        container = named(files, "Deployment")[pool.name]["spec"]["template"]["spec"]["containers"][0]
        assert container["image"].rpartition(":")[0] == image
        overlay = yaml.safe_load(files[Path("aws-us-east-1/overlay/kustomization.yaml")])
        where = {item["name"]: item["newName"] for item in overlay["images"]}[image]
        assert where == (image if "/" in image else f"registry.example.com/{image}")


def test_replicas_that_share_a_chip_are_said_to() -> None:
    plan = one_pool(node=ALL["vision"].pools[0].node, **serving(engines_per_machine=3))
    assert "Time-slicing" in rendered(plan)[Path("README.md")]


def test_machines_of_ones_own_are_asked_for_by_their_label() -> None:
    files = rendered(one_pool(cloud="owned", region="basel 2", offer="owned"))
    (folder,) = {path.parts[0] for path in files if len(path.parts) > 1}
    assert folder.startswith("owned-basel-2-")
    assert f"In `{folder}`: nothing here makes nodes" in files[Path("README.md")]
    assert not objects(files, "NodePool")


def test_a_plan_without_machines_says_so() -> None:
    plan = ALL["helpdesk"]
    pools = tuple(pool for pool in plan.pools if pool.serving.metered)
    files = rendered(replace(plan, pools=pools))
    assert list(files) == [Path("README.md")]
    assert "There is nothing to write" in files[Path("README.md")]


def test_every_file_says_that_a_plan_is_not_proven() -> None:
    files = rendered(replace(make_plan(), status="not proven"))
    for path, text in files.items():
        if path.suffix != ".json" and "overlay" not in path.parts:
            assert "NOT PROVEN" in text.partition("kind:")[0], path


def test_another_week_of_one_pool_changes_only_what_scales_it() -> None:
    plan = ALL["vision"]
    first = plan.pools[1]
    other = replace(first, schedule=tuple(min(count + 1, first.max_replicas) for count in first.schedule))
    before, after = rendered(plan), rendered(replace(plan, pools=(plan.pools[0], other, plan.pools[2])))
    changed = {
        str(path.relative_to("aws-us-east-1")) for path in before if before[path] != after.get(path) and len(path.parts) > 1
    }
    assert changed == {
        "base/plan.json",
        "base/gateway.yaml",
        "base/pools/int8-c7i-large.yaml",
        "autoscale-keda/int8-c7i-large.yaml",
        "autoscale-hpa/int8-c7i-large.yaml",
    }
    pods = [named(files, "Deployment")["int8-c7i-large"]["spec"] for files in (before, after)]
    assert pods[0] == pods[1], "no pod starts anew for another calendar"


# ------------------------------------------------------------------------------------------------------------- hostile names


def renamed(plan: Plan, text: str) -> Plan:
    """Return the plan with a text in every name that a user chooses."""

    def again(pool: Pool) -> Pool:
        backs = f"{pool.serving.backs}{text}" if pool.serving.backs else ""
        return replace(
            pool, name=f"{pool.name}{text}", variant=f"{text}/{pool.variant}{text}", serving=replace(pool.serving, backs=backs)
        )

    rules = tuple(replace(rule, pool=f"{rule.pool}{text}", traffic_class=f"{rule.traffic_class}{text}") for rule in plan.routing)
    evidence = tuple(replace(item, traffic_class=f"{item.traffic_class}{text}") for item in plan.evidence)
    classes = tuple(replace(item, name=f"{item.name}{text}") for item in plan.classes)
    return replace(
        plan, workload=f"w{text}", pools=tuple(map(again, plan.pools)), routing=rules, evidence=evidence, classes=classes
    )


HOSTILE = (
    'a"\n- b: c',
    "${x} $(HOME) {{ y }}",
    "#: &a *a !!python/object",
    "x" * 300,
    "déjà 🤖 'q' `id`",
    "- |",
    "\\",
    "null",
    "",
)


@pytest.mark.parametrize("text", HOSTILE, ids=map(str, range(len(HOSTILE))))
def test_no_name_becomes_code(text: str) -> None:
    check_names(text, RENDERER.render(renamed(ALL["chatgenius"], text)))


@given(text=st.text(max_size=60))
@settings(max_examples=12, deadline=None)
def test_no_text_becomes_code(text: str) -> None:
    try:
        files = RENDERER.render(renamed(ALL["chatgenius"], text))
    except InputError:
        return
    check_names(text, files)


def kinds_of(files: dict[Path, str]) -> list[str]:
    """Return the kinds of a tree's objects, each as often as it is there, without the component that may leave pools out."""
    return sorted(
        kind for _, kind, _ in objects({path: text for path, text in files.items() if "autoscale-hpa" not in path.parts})
    )


def check_names(text: str, files: dict[Path, str]) -> None:
    """Fail where a text in all names gives other objects than plain names do, or is not there as it is."""
    plan = renamed(ALL["chatgenius"], text)
    assert kinds_of(files) == kinds_of(rendered(ALL["chatgenius"]))
    for path, content in files.items():
        if path.name == "kustomization.yaml":
            assert isinstance(yaml.safe_load(content), dict)
    read, folder = objects(files), "aws-us-east-1"
    for (_, kind, name), item in read.items():
        assert (SUBDOMAIN if kind in {"Role", "RoleBinding", "PriorityClass"} else LABEL).fullmatch(name), (kind, name)
        assert item["metadata"].get("namespace", "tightrope") == "tightrope"
        for value in item["metadata"].get("labels", {}).values():
            assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", value)
    for part in deploy_pools(plan):
        container = read[folder, "Deployment", part.key]["spec"]["template"]["spec"]["containers"][0]
        said = [text.replace("$$(", "$(") for text in container["args"]]
        assert f"--served-model-name={part.model}" in said or f"--pool={part.pool.name}" in said
        query = triggers(read[folder, "ScaledObject", part.key])["load"]["query"]
        assert yaml.safe_load(re.findall(r', pool=("(?:[^"\\]|\\.)*")', query)[0]) == part.pool.name
