"""What the pages show is what the program prints: every command of a generated block is run once and compared."""

import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
SHOWN = re.compile(
    r"<!-- generated: \$ (?P<command>[^\n]+) -->\n```console\n\$ (?P=command)\n(?P<printed>.*?)\n```\n<!-- /gen", re.DOTALL
)
TIMING = re.compile(r"\b(in|after|took)\s+\d[\d.,]* (ms|s|min)\b")
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
BLOCKS = [match for page in PAGES for match in SHOWN.finditer(page.read_text(encoding="utf-8"))]


def without_timing(printed: str) -> str:
    """Return the output with how long it took cut out: the one thing that differs from run to run."""
    return TIMING.sub(r"\1 …", printed)


@pytest.mark.parametrize("command", sorted({match["command"] for match in BLOCKS}))
def test_a_command_prints_what_the_pages_show(command: str, generate: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    printed = without_timing(generate.printed_by(command, tmp_path))
    for match in BLOCKS:
        if match["command"] == command:
            assert without_timing(match["printed"]) == printed


def test_no_block_of_a_command_is_overlooked() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert text.count("<!-- generated: $ ") == len(SHOWN.findall(text)), f"{page.name}: run make docs"
