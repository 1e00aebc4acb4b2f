"""Golden folders: what a renderer writes for a plan, as files with their real extensions.

A file that a renderer writes as it lies in its folder (below the notice) is no golden file: it would be the same file twice. Such files are
listed by name.
"""

from functools import cache
from pathlib import Path

from plan_fixture import GOLDEN, UPDATE

PLANS = Path(__file__).parent / "plans"
NAMES = ("chatgenius", "vision", "helpdesk")
"""The plans of the examples as `tightrope plan` wrote them; helpdesk is the one on three clouds."""


RENDER = Path(__file__).parents[2] / "src" / "tightrope" / "render"
LISTED = Path("as-they-lie.txt")
"""In a golden folder: the names of those files."""


@cache
def lying() -> frozenset[str]:
    """Return the texts that lie in the renderers' folders to be written as they are."""
    paths = (path for path in RENDER.rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc", ".j2"})
    return frozenset(path.read_text(encoding="utf-8") for path in paths)


def lies(text: str) -> bool:
    """Return whether a text is one of those, with nothing but remarks above it."""
    heads = (text.removesuffix(known) for known in lying() if known and text.endswith(known))
    return any(all(not line or line.startswith("#") for line in head.splitlines()) for head in heads)


def check_golden_tree(name: str, files: dict[Path, str]) -> None:
    """Compare with the folder ``golden/<name>``: the same files and bytes; ``TIGHTROPE_UPDATE_GOLDEN=1`` rewrites it."""
    listed = sorted(path.as_posix() for path, text in files.items() if lies(text))
    made = {path: text for path, text in files.items() if path.as_posix() not in listed}
    if listed:
        made[LISTED] = "".join(f"{path}\n" for path in listed)
    folder = GOLDEN / name
    there = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()} if folder.exists() else set()
    if UPDATE:
        for gone in there - made.keys():
            (folder / gone).unlink()
        for path, text in made.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8", newline="\n")
        there = set(made)
    assert there == set(made), "other files than the golden ones: TIGHTROPE_UPDATE_GOLDEN=1 renews them"
    for path, text in made.items():
        assert text == (folder / path).read_text(encoding="utf-8"), f"{path} differs: TIGHTROPE_UPDATE_GOLDEN=1 renews it"
