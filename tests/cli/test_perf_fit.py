"""``tightrope perf fit``: what it prints, writes, and says where the package is not installed."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tightrope.base.errors import InputError, TightropeError
from tightrope.cli import app


def run(*arguments: object, columns: int = 120) -> str:
    """Return what the verb prints; raise the error that it ends with."""
    result = CliRunner().invoke(app, ["perf", "fit", *map(str, arguments)], env={"COLUMNS": str(columns)})
    if isinstance(result.exception, TightropeError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_roofline_tells_each_chips_error_on_what_was_held_out(tmp_path: Path) -> None:
    said = run("roofline", "--chip", "a10g", "--chip", "t4", "--chip", "cpu", "--out", tmp_path / "out")
    assert "a10g 24 GiB" in said
    assert next(line for line in said.splitlines() if line.startswith("t4")).split()[-2:] == ["none", "none"]
    assert "Xeon 6980P (held-out)" in said
    written = json.loads((tmp_path / "out" / "roofline.json").read_text())
    assert {item["accelerator"] for item in written["chips"]} == {"a10g", "t4"}


def test_the_same_as_json_and_narrow() -> None:
    found = json.loads(run("roofline", "--chip", "a10g", "--json"))
    assert found["chips"][0]["held_out"] == 2
    assert found["processors"] == []
    assert max(map(len, run("roofline", "--chip", "l4", columns=80).splitlines())) <= 80


def test_an_unknown_chip_is_told() -> None:
    with pytest.raises(InputError, match="unknown accelerator 'h2000'"):
        run("roofline", "--chip", "h2000")


def test_a_missing_package_is_an_error_with_a_remedy_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "aiconfigurator_core", None)
    monkeypatch.setitem(sys.modules, "aiconfigurator_core.sdk.engine", None)
    with pytest.raises(InputError) as caught:
        run("aiconfigurator", "--out", tmp_path / "out")
    assert "aiconfigurator-core is not installed" in str(caught.value)
    assert "tightrope[fit]" in str(caught.value)
    assert not (tmp_path / "out").exists()
