"""What the pages show is what the program prints: commands of generated blocks are run, in the page's order."""

import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = "<!-- generated: $ "
PAGES = [page for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")) if COMMAND in page.read_text(encoding="utf-8")]


@pytest.mark.parametrize("page", sorted(PAGES), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_commands_print_what_the_page_shows(page: Path, generate: ModuleType) -> None:
    shown = page.read_text(encoding="utf-8")
    assert generate.with_commands(shown) == shown


def test_the_readme_shows_the_demo() -> None:
    demo = re.search(r"^demo:.*\n\t\S+/(tightrope .+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert demo
    assert f"{COMMAND}{demo[1]} -->\n```console\n$ {demo[1]}\n" in (ROOT / "README.md").read_text(encoding="utf-8")
