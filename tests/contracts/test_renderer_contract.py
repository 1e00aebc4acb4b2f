"""What every renderer owes, built in or not: the same bytes for the same plan, inside the output folder, and nothing empty."""

import runpy
from pathlib import Path

import pytest

from tightrope.base import registry
from tightrope.base.contracts import Renderer
from tightrope.base.errors import InputError
from tightrope.render.files import write_files

VARIATIONS = runpy.run_path(str(Path(__file__).parents[1] / "render" / "plan_fixture.py"))["VARIATIONS"]
RENDERERS = registry.load_renderers()

pytestmark = pytest.mark.parametrize("name", RENDERERS)


def test_it_is_called_as_it_is_found(name: str) -> None:
    assert isinstance(RENDERERS[name], Renderer)
    assert RENDERERS[name].name == name
    assert name == name.lower().strip()
    assert "{" not in RENDERERS[name].next_command.replace("{out}", "")


def rendered_or_refused(name: str, variation: str) -> dict[Path, str] | None:
    """Return the files; None where a name that a target cannot write is refused, with a remedy."""
    try:
        return RENDERERS[name].render(VARIATIONS[variation]())
    except InputError as error:
        if variation != "hostile names" or "rename it" not in error.resolve:
            raise
        return None


@pytest.mark.parametrize("variation", VARIATIONS)
def test_it_renders_every_plan(name: str, variation: str) -> None:
    files = rendered_or_refused(name, variation)
    if files is None:
        return
    assert files
    for path, text in files.items():
        assert isinstance(path, Path)
        assert path.parts
        assert not path.is_absolute()
        assert ".." not in path.parts
        assert text.strip()
        assert text.endswith("\n")
        assert "\r" not in text
        text.encode("utf-8")


def test_the_same_plan_gives_the_same_bytes(name: str) -> None:
    one, other = VARIATIONS["full"](), VARIATIONS["full"]()
    assert one is not other
    assert list(RENDERERS[name].render(one).items()) == list(RENDERERS[name].render(other).items())


def test_what_it_returns_can_be_written(name: str, tmp_path: Path) -> None:
    files = RENDERERS[name].render(VARIATIONS["full"]())
    write_files(tmp_path / "out", files)
    assert {path.relative_to(tmp_path / "out") for path in tmp_path.rglob("*") if path.is_file()} == set(files)
