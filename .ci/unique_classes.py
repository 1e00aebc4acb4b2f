"""Refuse a second class of one name in the package: a reader who meets a class must know which one it is."""

import ast
import sys
from collections import defaultdict
from pathlib import Path

PACKAGE = Path("src/tightrope")


def find_classes(package: Path) -> dict[str, list[str]]:
    """Return where each class of a package is defined, as ``file:line`` by the class's name."""
    places = defaultdict(list)
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{path}:{node.lineno}")
    return dict(places)


def main() -> int:
    """Print each name that more than one class has, and return the exit status."""
    shared = {name: places for name, places in find_classes(PACKAGE).items() if len(places) > 1}
    for name, places in sorted(shared.items()):
        print(f"class {name} is defined {len(places)} times: {', '.join(places)}. Resolve: give each class its own noun.")
    return 1 if shared else 0


if __name__ == "__main__":
    sys.exit(main())
