"""The generator renews what it owns and nothing else, and the pages hold together: links lead somewhere, verbs exist."""

import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\((?!https?://|mailto:)(?P<path>[^)#\s]*)(#(?P<anchor>[^)\s]*))?\)")
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def page_with(name: str, body: str) -> str:
    return f"before\n<!-- generated: {name} -->\n{body}<!-- /generated -->\nafter\n"


def test_a_block_is_renewed_and_its_surroundings_kept(generate: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(generate.BLOCKS, "one", lambda: "new\n")
    page = page_with("one", "old\n") + page_with("one", "")
    assert generate.with_blocks(page) == 2 * page_with("one", "new\n")


def test_a_block_that_nothing_writes_is_an_error(generate: ModuleType) -> None:
    with pytest.raises(KeyError, match="invented"):
        generate.with_blocks(page_with("invented", ""))


def test_a_command_runs_only_when_asked_for(generate: ModuleType) -> None:
    page = page_with("$ tightrope --help", "old\n")
    assert generate.with_blocks(page) == page
    renewed = generate.with_commands(page)
    assert "```console\n$ tightrope --help\n" in renewed
    assert "Usage: tightrope" in renewed


def test_only_what_passes_with_time_may_differ(generate: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = page_with("$ tightrope plan x", "planned in  9.9 s\nspot prices are 1 days old\nsaved 5 %\n")
    for printed, renewed in (("planned in   12.0 s\nspot prices are 200 days old\nsaved 5 %\n", False), ("saved 6 %\n", True)):
        monkeypatch.setattr(generate, "console", lambda *_, printed=printed: printed)
        assert (generate.with_blocks(page, tmp_path) != page) is renewed


def test_what_is_printed_has_neither_colours_nor_this_terminals_width(
    generate: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("COLUMNS", "40")
    printed = generate.printed_by("tightrope --help")
    assert "\x1b" not in printed
    assert max(map(len, printed.splitlines())) == generate.COLUMNS


def test_an_error_is_printed_too(generate: ModuleType, tmp_path: Path) -> None:
    assert "no-such-verb" in generate.printed_by("tightrope no-such-verb", tmp_path)


def test_stale_pages_are_listed_with_their_right_content(
    generate: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    monkeypatch.setattr(generate, "PAGES", {"docs/new.md": lambda: "new\n", "docs/same.md": lambda: "same\n"})
    monkeypatch.setattr(generate, "BLOCKS", {"one": lambda: "right\n"})
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "same.md").write_text("same\n")
    (tmp_path / "README.md").write_text(page_with("one", "wrong\n"))
    assert generate.stale(generate.with_blocks) == {
        tmp_path / "docs" / "new.md": "new\n",
        tmp_path / "README.md": page_with("one", "right\n"),
    }


def test_the_layers_are_drawn_in_the_order_data_flows(generate: ModuleType) -> None:
    drawn = re.findall(r"^  (\w+)[/.]", generate.layers(), re.MULTILINE)
    assert [name for name in drawn if name in {"base", "clouds", "plan", "render", "cli"}] == [
        "base",
        "clouds",
        "plan",
        "render",
        "cli",
    ]
    folders = {path.parent.name for path in (ROOT / "src" / "tightrope").glob("*/__init__.py")}
    assert set(drawn) == folders | {"cli"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.finditer(page.read_text(encoding="utf-8")):
        target = page.parent / link["path"] if link["path"] else page
        assert target.exists(), f"{link[0]} in {page.name}"
        if link["anchor"]:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert link["anchor"] in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_verb_of_the_project_that_is_named_exists(page: Path) -> None:
    verbs = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"`make (\w+)", page.read_text(encoding="utf-8"))) <= verbs


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_path_of_the_project_that_is_named_exists(page: Path) -> None:
    named = re.findall(r"`((?:src|docs|tests|benchmarks|examples)/[\w./-]+)`", page.read_text(encoding="utf-8"))
    assert [path for path in named if not (ROOT / path).exists()] == []
