"""The image that a plan is run with: its packages are those that are tested, and the planner's are not among them."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLANNING = ("highspy", "llvmlite", "numba", "vl_convert")
"""Modules that only planning needs, as ``Makefile`` leaves their packages out."""
PLAN = ROOT / "tests" / "render" / "plans" / "helpdesk.json"


def pins(lock: str) -> dict[str, set[str]]:
    """Return the versions of each package of a lock."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==(\S+)", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


def test_the_image_has_what_is_tested_and_no_planner() -> None:
    tested, image = pins("requirements-dev.lock"), pins("requirements-serve.lock")
    build = {"hatchling", "pathspec", "pluggy", "tomlkit", "trove-classifiers"}
    assert {name: versions for name, versions in image.items() if name not in build} == {
        name: tested[name] for name in image if name not in build
    }
    assert not [name for name in image if name.replace("-", "_").startswith(PLANNING)]
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    uninstalled = re.search(r"uninstall --yes (.*)", dockerfile)
    assert uninstalled is not None
    assert {*uninstalled[1].split()} == build | {"pip"}


def test_a_plan_is_served_without_the_planners_packages(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    code = f"import sys; sys.modules.update(dict.fromkeys({PLANNING})); from tightrope.cli import main; main()"
    command = [sys.executable, "-c", code, "serve", "--plan", str(PLAN), "--pool", "int8-c7i-large", "--model", str(tmp_path)]
    done = subprocess.run([*command, "--check"], capture_output=True, text=True, check=False, timeout=60)  # noqa: S603 - ourselves
    assert done.returncode == 0, done.stderr
    assert "runs here" in done.stdout
