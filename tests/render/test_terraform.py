"""The Terraform target: one root a cloud, what has none is said, and what is not proven says so."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from checkers import assert_accepted, needs_tools
from golden_tree import NAMES, PLANS
from terraform_roots import write

from tightrope.render.infra.deployment import select_cloud
from tightrope.render.plan_json.load import load_plan
from tightrope.render.terraform import RENDERER, covered

README = Path("README.md")


def test_every_cloud_of_the_plan_has_a_root() -> None:
    files = RENDERER.render(load_plan(PLANS / "helpdesk.json"))
    assert {path.parts[0] for path in files} == {"README.md", "aws", "azure", "gcp"}
    assert covered() == ("aws", "azure", "gcp")


@pytest.mark.parametrize("cloud", ["aws", "azure", "gcp"])
def test_a_root_is_the_same_alone(cloud: str) -> None:
    plan = load_plan(PLANS / "helpdesk.json")
    alone = RENDERER.render(select_cloud(plan, cloud))
    together = RENDERER.render(plan)
    assert {path.parts[0] for path in alone} == {"README.md", cloud}
    assert alone.keys() <= together.keys()
    code = [path for path in alone if path.suffix == ".tf"]
    assert code
    assert all(body(alone[path]) == body(together[path]) for path in code)
    data = Path(cloud, "plan.auto.tfvars.json")
    assert without_notice(alone[data]) == without_notice(together[data])


def without_notice(text: str) -> dict[str, object]:
    """Return a root's data without the lines that say what was proven, which is less on one cloud."""
    data = json.loads(text)
    for said in (data, data.get("plan", {})):
        said.pop("notice", None)
    return data


def body(text: str) -> str:
    """Return a file without what it says first of the plan, whose promises are fewer on one cloud."""
    return text.split("\n\n", 1)[1]


@needs_tools
@pytest.mark.parametrize("cloud", ["aws", "azure", "gcp"])
def test_a_root_is_tested_before_anything_is_filled_in(cloud: str, tmp_path: Path) -> None:
    files = RENDERER.render(load_plan(PLANS / "helpdesk.json"))
    write(tmp_path, files)
    report = assert_accepted("tfcheck", tmp_path / cloud, "--no-plan")
    assert "passed)" in " ".join(report["checked"])
    assert all("\nmock_provider " in text for path, text in files.items() if path.name.endswith(".tftest.hcl"))


def test_every_pool_is_in_the_readme_with_where_it_is_written() -> None:
    page = RENDERER.render(load_plan(PLANS / "helpdesk.json"))[README]
    assert "| int8-g6-xlarge | aws | g6.xlarge | on-demand | `aws/` |" in page
    assert "| mini-openai-gpt-4o-mini-token-api | openai | openai/gpt-4o-mini | token-api | nothing: " in page


def test_a_plan_without_pools_says_that_there_is_nothing_to_write() -> None:
    files = RENDERER.render(replace(load_plan(PLANS / "vision.json"), pools=()))
    assert list(files) == [README]
    assert "There is nothing to write" in files[README]


def test_a_plan_of_services_alone_says_that_there_is_nothing_to_write() -> None:
    plan = load_plan(PLANS / "helpdesk.json")
    files = RENDERER.render(replace(plan, pools=tuple(pool for pool in plan.pools if pool.cloud == "openai")))
    assert list(files) == [README]
    assert "There is nothing to write" in files[README]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_proven_says_so_in_every_file_that_allows_remarks(name: str) -> None:
    plan = replace(load_plan(PLANS / f"{name}.json"), status="not proven")
    for path, text in RENDERER.render(plan).items():
        if path.suffix in {".tf", ".hcl", ".md"}:
            assert "NOT PROVEN" in text, path


def test_a_plan_that_changes_in_one_figure_changes_only_data() -> None:
    plan = load_plan(PLANS / "helpdesk.json")
    pools = tuple(replace(pool, max_replicas=pool.max_replicas + 1) for pool in plan.pools)
    one, other = RENDERER.render(plan), RENDERER.render(replace(plan, pools=pools))
    assert one.keys() == other.keys()
    changed = {path.name for path in one if one[path] != other[path]}
    assert "plan.auto.tfvars.json" in changed
    assert not {name for name in changed if name.endswith((".tf", ".hcl"))}
