"""What the pages show is what the program prints: commands of generated blocks are run, in the page's order."""

import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = "<!-- generated: $ "
TIMING = re.compile(r"\b(in|after|took)\s+\d[\d.,]* (ms|s|min)\b")
PAGES = [page for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")) if COMMAND in page.read_text(encoding="utf-8")]


def without_timing(text: str) -> str:
    """Return the text with how long it took cut out: the one thing that differs from run to run."""
    return TIMING.sub(r"\1 …", text)


@pytest.mark.parametrize("page", sorted(PAGES), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_commands_print_what_the_page_shows(page: Path, generate: ModuleType) -> None:
    shown = page.read_text(encoding="utf-8")
    assert without_timing(generate.with_commands(shown)) == without_timing(shown)


def test_the_readme_shows_the_demo() -> None:
    demo = re.search(r"^demo:.*\n\t\S+/(tightrope .+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert demo
    assert f"{COMMAND}{demo[1]} -->\n```console\n$ {demo[1]}\n" in (ROOT / "README.md").read_text(encoding="utf-8")
