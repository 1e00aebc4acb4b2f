"""Golden folders: what a renderer writes for a plan, as files with their real extensions."""

from pathlib import Path

from plan_fixture import GOLDEN, UPDATE

PLANS = Path(__file__).parent / "plans"
NAMES = ("chatgenius", "vision", "helpdesk")
"""The plans of the examples as `tightrope plan` wrote them; helpdesk is the one on three clouds."""


def check_golden_tree(name: str, files: dict[Path, str]) -> None:
    """Compare with the folder ``golden/<name>``: the same files and bytes; ``TIGHTROPE_UPDATE_GOLDEN=1`` rewrites it."""
    folder = GOLDEN / name
    there = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()} if folder.exists() else set()
    if UPDATE:
        for gone in there - files.keys():
            (folder / gone).unlink()
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8", newline="\n")
        there = set(files)
    assert there == set(files), "other files than the golden ones: TIGHTROPE_UPDATE_GOLDEN=1 renews them"
    for path, text in files.items():
        assert text == (folder / path).read_text(encoding="utf-8"), f"{path} differs: TIGHTROPE_UPDATE_GOLDEN=1 renews it"
