"""``tightrope init --example``: in a checkout and in an installed wheel."""

import json
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tightrope import cli
from tightrope.cli import example_files

ROOT = Path(__file__).parents[2]
NAMES = ["chatgenius", "helpdesk", "newsroom", "vision"]


def pack_examples(package: Path) -> None:
    """Copy the files that the wheel includes by force, as the build backend does."""
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    for source, target in wheel["force-include"].items():
        origin = ROOT / source
        for file in [origin] if origin.is_file() else (path for path in origin.rglob("*") if path.is_file()):
            copy = package.parent / target / file.relative_to(origin) if origin.is_dir() else package.parent / target
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())


@pytest.mark.parametrize("name", NAMES)
def test_copies_the_same_example_from_a_wheel_as_from_a_checkout(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example_files.copy_example(name, tmp_path / "checkout")
    package = tmp_path / "site" / "tightrope"
    pack_examples(package)
    monkeypatch.setattr(example_files, "PACKAGE", package)
    assert sorted(example_files.find_examples()) == NAMES
    example_files.copy_example(name, tmp_path / "wheel")
    files = {
        path.relative_to(tmp_path / "wheel"): path.read_bytes() for path in (tmp_path / "wheel").rglob("*") if path.is_file()
    }
    assert files[Path("workload.yaml")] == (ROOT / "examples" / name / "workload.yaml").read_bytes()
    assert files == {file: (tmp_path / "checkout" / file).read_bytes() for file in files}
    assert {file for file in files if file.suffix == ".csv"} == {
        path.relative_to(ROOT / "examples" / name) for path in (ROOT / "examples" / name).rglob("*.csv")
    }


def test_names_the_folder_after_the_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli.app, ["init", "--example", "vision", "--json"])
    assert json.loads(result.output) == {"workload": str(Path("vision") / "workload.yaml")}
    assert {path.name for path in tmp_path.iterdir()} == {"vision"}


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """Return the error of ``tightrope init``, which must exit with 2."""
    monkeypatch.setattr("sys.argv", ["tightrope", "init", *options])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    return capsys.readouterr().err


def test_refuses_to_overwrite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    error = run(monkeypatch, capsys, "--example", "vision", "--out", str(tmp_path))
    assert "the folder exists and is not empty\nResolve: give --out another folder" in error
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_lists_the_examples_for_an_unknown_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = run(monkeypatch, capsys, "--example", "zzz", "--out", str(tmp_path / "out"))
    assert error == "error: unknown example 'zzz'\nResolve: use one of: chatgenius, helpdesk, newsroom, vision\n"


def test_rejects_options_that_an_example_ignores(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    error = run(monkeypatch, capsys, "--example", "vision", "--time-unit", "s")
    assert "--example cannot be combined with --time-unit" in error


def test_leaves_nothing_behind_when_a_copy_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(example_files, "list_files", lambda _: [Path("workload.yaml"), Path("missing.csv")])
    with pytest.raises(example_files.InputError, match="cannot write to"):
        example_files.copy_example("vision", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
