"""``tightrope render`` as a user runs it."""

import json
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tightrope.base.errors import InputError, NotProvenError, TightropeError
from tightrope.cli import app

PLANS = Path(__file__).parents[1] / "render" / "plans"
CHATGENIUS, HELPDESK = str(PLANS / "chatgenius.json"), str(PLANS / "helpdesk.json")


def run(*arguments: object) -> str:
    """Return what the verb prints; raise the error that it ends with."""
    result = CliRunner().invoke(app, ["render", *map(str, arguments)], env={"COLUMNS": "200"})
    if isinstance(result.exception, TightropeError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def not_proven(tmp_path: Path) -> Path:
    """Write a plan of which the replay did not prove one promise."""
    plan = json.loads(Path(CHATGENIUS).read_text())
    plan["status"] = "not proven"
    plan["evidence"][0]["verdict"] = "not proven"
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan))
    return path


def test_it_prints_what_it_wrote_and_what_to_run_next(tmp_path: Path) -> None:
    said = run(HELPDESK, "--target", "terraform", "--cloud", "aws", "--out", tmp_path / "infra")
    assert f"terraform, in {tmp_path}/infra/" in said
    assert "aws/plan.auto.tfvars.json" in said
    assert "terraform -chdir=" in said
    assert not (tmp_path / "infra" / "gcp").exists()


def test_the_next_command_holds_for_any_folder(tmp_path: Path) -> None:
    found = json.loads(run(CHATGENIUS, "--target", "pull-request", "--out", tmp_path / "a; b", "--json"))
    assert shlex.split(found["targets"][0]["next"])[-1] == str(tmp_path / "a; b" / "pull-request.md")
    narrow = CliRunner().invoke(app, ["render", CHATGENIUS, "--target", "alerts", "--out", str(tmp_path)], env={"COLUMNS": "40"})
    assert f"promtool test rules {tmp_path}/rules_test.yaml" in narrow.output, "it can be copied from a narrow terminal"


def test_it_prints_the_same_as_json(tmp_path: Path) -> None:
    report = json.loads(run(CHATGENIUS, "--target", "alerts", "--target", "pull-request", "--out", tmp_path, "--json"))
    assert [item["target"] for item in report["targets"]] == ["alerts", "pull-request"]
    for item in report["targets"]:
        assert item["written"]
        assert all((Path(item["out"]) / path).is_file() for path in item["written"])


def test_a_second_render_writes_nothing(tmp_path: Path) -> None:
    arguments = (CHATGENIUS, "--target", "kubernetes", "--out", tmp_path, "--json")
    first, second = (json.loads(run(*arguments))["targets"][0] for _ in range(2))
    assert first["written"]
    assert not second["written"]
    assert not second["removed"]


def test_a_plan_that_is_not_proven_needs_a_word(tmp_path: Path) -> None:
    plan = not_proven(tmp_path)
    with pytest.raises(NotProvenError, match="the plan is not proven: chat ttft") as caught:
        run(plan, "--target", "kubernetes", "--out", tmp_path / "out")
    assert caught.value.exit_code == 4
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("target", ["terraform", "kubernetes", "kserve", "cloudformation", "alerts", "pull-request"])
def test_with_that_word_every_target_says_that_it_is_not_proven(tmp_path: Path, target: str) -> None:
    run(not_proven(tmp_path), "--target", target, "--out", tmp_path / "out", "--unproven")
    assert any("NOT PROVEN" in path.read_text() for path in (tmp_path / "out").rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((CHATGENIUS,), "no target was named"),
        ((CHATGENIUS, "--target", "terrafrom"), "use terraform"),
        ((CHATGENIUS, "--target", "terraform", "--cloud", "gcp"), "its clouds are aws"),
        ((HELPDESK, "--target", "kubernetes", "--cloud", "aws"), "kubernetes is of all of it"),
        ((CHATGENIUS, "--target", "report", "--week-starts", "mnday"), "use monday"),
        ((CHATGENIUS, "--target", "report", "--diff", CHATGENIUS), "--diff shows a difference"),
        ((HELPDESK, "--cloud", "aws", "--diff", CHATGENIUS), "takes no --cloud"),
        (("nowhere.json", "--target", "report"), "cannot read the plan"),
    ],
    ids=[
        "no target",
        "unknown target",
        "cloud not used",
        "a whole plan",
        "weekday",
        "diff and target",
        "diff and cloud",
        "no plan",
    ],
)
def test_bad_input_is_told(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    with pytest.raises(InputError) as caught:
        run(*arguments, "--out", tmp_path / "out")
    assert says in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_the_weekday_moves_the_schedule(tmp_path: Path) -> None:
    for day in ("monday", "sunday"):
        run(CHATGENIUS, "--target", "terraform", "--out", tmp_path / day, "--week-starts", day)
    name = "aws/plan.auto.tfvars.json"
    assert (tmp_path / "monday" / name).read_text() != (tmp_path / "sunday" / name).read_text()


def test_a_difference_in_dollars(tmp_path: Path) -> None:
    said = run(HELPDESK, "--diff", CHATGENIUS, "--out", tmp_path)
    assert "int8-g4dn-xlarge-spot" in said
    assert (tmp_path / "difference.md").read_text().startswith("# helpdesk: +$")
    found = json.loads(run(HELPDESK, "--diff", CHATGENIUS, "--json"))
    more = sum(item["new_usd_per_month"] - item["old_usd_per_month"] for item in found["resources"])
    assert more == pytest.approx(found["new_usd_per_month"] - found["old_usd_per_month"], abs=1e-6)
