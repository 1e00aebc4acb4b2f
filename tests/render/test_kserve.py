"""KServe: the tree of the target ``kubernetes``, whose pools are InferenceServices."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from checkers import assert_accepted, checkov, needs_tools
from golden_tree import NAMES, PLANS, check_golden_tree
from kube_trees import VERSIONS, built, check_references, make_nodes, manifests, named, needs_kustomize, parsed, write
from priced import assert_same_cost

from tightrope.render.infra.deployment import deploy_pools
from tightrope.render.kserve import RENDERER
from tightrope.render.kubernetes import RENDERER as KUBERNETES
from tightrope.render.plan_json.load import load_plan

ALL = {name: load_plan(PLANS / f"{name}.json") for name in NAMES}


@needs_tools
@pytest.mark.parametrize("version", VERSIONS)
def test_kserve_and_kubernetes_accept_it(version: str, tmp_path: Path) -> None:
    for name, plan in ALL.items():
        write(RENDERER.render(plan), tmp_path / name)
    report = assert_accepted("k8scheck", "--strict", "--kube-version", version, *manifests(tmp_path))
    assert not report["skipped"]
    assert any(" InferenceService/" in str(line) for line in report["checked"])


@needs_tools
@needs_kustomize
@pytest.mark.parametrize("place", ["aws-us-east-1", "azure-eastus", "gcp-us-central1"])
def test_an_overlay_is_built_and_accepted(place: str, tmp_path: Path) -> None:
    write(RENDERER.render(ALL["helpdesk"]), tmp_path)
    settings = tmp_path / place / "overlay" / "settings.yaml"
    settings.write_text(settings.read_text(encoding="utf-8").replace("s3://example-models", "s3://mine"), encoding="utf-8")
    make_nodes(tmp_path / place / "overlay")
    found = built(tmp_path / place / "overlay")
    out = tmp_path / "built.yaml"
    out.write_text(yaml.safe_dump_all(found), encoding="utf-8")
    assert_accepted("k8scheck", "--strict", out)
    services = [item for item in found if item["kind"] == "InferenceService"]
    assert services
    for item in services:
        assert item["spec"]["predictor"]["model"]["storageUri"].startswith("s3://mine/")
        selector = item["spec"]["predictor"]["nodeSelector"]
        assert list(selector) == ["cloud.google.com/compute-class" if place.startswith("gcp") else "tightrope.dev/pool"]


@pytest.mark.parametrize("name", NAMES)
def test_every_file_and_target_that_is_named_is_there(name: str, tmp_path: Path) -> None:
    check_references(write(RENDERER.render(ALL[name]), tmp_path))


@needs_tools
def test_checkov_finds_nothing(tmp_path: Path) -> None:
    assert not checkov(write(RENDERER.render(ALL["helpdesk"]), tmp_path), "kubernetes")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_rendered_costs_what_the_plan_says(name: str) -> None:
    pools = [part.pool.name for part in deploy_pools(ALL[name], "machines")]
    assert_same_cost(ALL[name], pools, parsed(RENDERER.render(ALL[name])))


def test_an_engine_is_the_one_that_kubernetes_runs() -> None:
    plan = ALL["chatgenius"]
    files, others = RENDERER.render(plan), KUBERNETES.render(plan)
    runtimes, services, scaled = (named(files, kind) for kind in ("ServingRuntime", "InferenceService", "ScaledObject"))
    for part in deploy_pools(plan):
        pod = named(others, "Deployment")[part.key]["spec"]["template"]["spec"]
        (engine,), (there,) = runtimes[part.key]["spec"]["containers"], pod["containers"]
        assert [engine[name] for name in ("image", "command", "args", "resources")] == [
            there[name] for name in ("image", "command", "args", "resources")
        ]
        predictor = services[part.key]["spec"]["predictor"]
        assert predictor["model"]["runtime"] == part.key
        assert (predictor["minReplicas"], predictor["maxReplicas"]) == (min(part.week), part.pool.max_replicas)
        same = ("tolerations", "nodeSelector", "terminationGracePeriodSeconds", "priorityClassName")
        assert [predictor[name] for name in same] == [pod[name] for name in same]
        assert scaled[part.key]["spec"]["scaleTargetRef"]["name"] == f"{part.key}-predictor"


def test_the_gateway_asks_a_service_that_kserve_does_not_set_up() -> None:
    """KServe's own has no port where it is headless."""
    files = RENDERER.render(ALL["vision"])
    upstreams = yaml.safe_load(files[Path("aws-us-east-1/base/upstreams.json")])
    predictors, services = (named(files, kind) for kind in ("InferenceService", "Service"))
    for part in deploy_pools(ALL["vision"]):
        service = services[f"{part.key}-engines"]["spec"]
        assert upstreams[part.pool.name]["url"] == f"http://{part.key}-engines:{service['ports'][0]['port']}"
        assert service["selector"].items() <= predictors[part.key]["spec"]["predictor"]["labels"].items()


def test_kserve_scales_nothing_beside_the_calendar() -> None:
    for item in named(RENDERER.render(ALL["vision"]), "InferenceService").values():
        assert item["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "external"


def test_a_plan_without_machines_says_so() -> None:
    plan = ALL["helpdesk"]
    files = RENDERER.render(replace(plan, pools=tuple(pool for pool in plan.pools if pool.serving.metered)))
    assert "There is nothing to write" in files[Path("README.md")]


def test_it_is_as_it_was() -> None:
    """Only what differs from the target ``kubernetes`` is kept."""
    others = KUBERNETES.render(ALL["helpdesk"])
    files = {path: text for path, text in RENDERER.render(ALL["helpdesk"]).items() if others.get(path) != text}
    check_golden_tree("kserve", files)
