"""``tightrope perf list``, ``show`` and ``compare`` on the vision example."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tightrope.base.errors import InputError, TightropeError
from tightrope.cli import app

VISION = str(Path(__file__).parents[2] / "examples" / "vision" / "workload.yaml")


def run(*arguments: object, columns: int = 150) -> str:
    """Return what the verb prints; raise the error that it ends with."""
    result = CliRunner().invoke(app, ["perf", *map(str, arguments)], env={"COLUMNS": str(columns)})
    if isinstance(result.exception, TightropeError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_cheapest_comes_first_and_the_rest_is_counted() -> None:
    rows = json.loads(run("list", VISION, "--json"))
    assert [row["usd_per_million_requests"] for row in rows] == sorted(row["usd_per_million_requests"] for row in rows)
    said = run("list", VISION, "--limit", 3)
    assert rows[0]["machine"] in said
    assert f"{len(rows) - 3:,} more expensive ones are not shown" in said


@pytest.mark.parametrize("columns", [60, 90, 200])
def test_tables_fit_the_console(columns: int) -> None:
    for arguments in (("list", VISION, "--limit", 4), ("show", VISION, "--variant", "resnet50/int8", "--machine", "g5.xlarge")):
        assert max(map(len, run(*arguments, columns=columns).splitlines())) <= columns


def test_the_front_is_drawn(tmp_path: Path) -> None:
    said = run("compare", VISION, "--out", tmp_path)
    page = (tmp_path / "pareto.html").read_text()
    assert "<svg" in page
    assert "●" in said
    front = json.loads(run("compare", VISION, "--json"))
    assert front
    assert all(row["machine"] in page for row in front)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("list", VISION, "--machine", "g5.xlage"), "use g5.xlarge"),
        (("list", VISION, "--class", "chat"), "unknown traffic class 'chat'"),
        (("show", VISION, "--variant", "*", "--machine", "*"), "pairs of a variant and a machine fit, expected one"),
    ],
    ids=["machine", "class", "several"],
)
def test_names_that_do_not_fit_are_told(arguments: tuple[str, ...], says: str) -> None:
    with pytest.raises(InputError) as caught:
        run(*arguments)
    assert says in str(caught.value)
