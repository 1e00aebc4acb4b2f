"""The real engines that rendered files are put before: those of ``../shared/tools``, and checkov in an environment of its own.

A test that needs one is skipped, with the reason, where the tools are not there; in CI they are.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[2]
TOOLS = ROOT.parent / "shared" / "tools"
CHECKOV = "checkov==3.2.526"
needs_tools = pytest.mark.skipif(not TOOLS.exists(), reason="the checkers lie in ../shared/tools, which is not here")


def check(tool: str, *arguments: object) -> dict[str, Any]:
    """Return a checker's report (``findings``, ``checked``, ``skipped``) as it prints it; fail where it could not run."""
    command = [str(TOOLS / tool), *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)  # noqa: S603 - our own tools
    assert done.returncode in {0, 1}, f"{tool} could not run: {done.stderr or done.stdout}"
    return json.loads(done.stdout)


def assert_accepted(tool: str, *arguments: object) -> dict[str, Any]:
    """Return the report; fail with its findings where it has any."""
    report = check(tool, *arguments)
    assert not report["findings"], json.dumps(report["findings"], indent=1)
    return report


@cache
def checkov_program() -> Path:
    """Return checkov's program, installed once per user beside our dependencies and not among them."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tightrope-tests" / CHECKOV.replace("==", "-")
    home.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{home}.lock"):
        if not (home / "ready").exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)  # noqa: S603
            subprocess.run([str(home / "bin" / "pip"), "install", "-q", CHECKOV], check=True)  # noqa: S603
            (home / "ready").touch()
    return home / "bin" / "checkov"


def checkov(folder: Path, framework: str, explained: Iterable[str] = ()) -> list[str]:
    """Return the failed checks of a folder, ``CKV_… resource file``, without those explained; fail where nothing was checked."""
    command = [str(checkov_program()), "-d", str(folder), "--framework", framework, "-o", "json", "--compact", "--quiet"]
    environment = {**os.environ, "BC_SKIP_MAPPING": "TRUE", "LOG_LEVEL": "ERROR", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(  # noqa: S603 - checkov, which was just installed
        command, capture_output=True, text=True, check=False, timeout=600, env=environment
    )
    assert done.returncode in {0, 1}, f"checkov could not run: {done.stderr or done.stdout}"
    found = json.loads(done.stdout)
    reports = found if isinstance(found, list) else [found]
    assert sum(report.get("summary", report).get("resource_count", 0) for report in reports), f"checkov checked nothing: {found}"
    failed = [item for report in reports for item in report.get("results", {}).get("failed_checks", [])]
    known = set(explained)
    return sorted(
        f"{item['check_id']} {item['resource']} {item['file_path']}: {item['check_name']}"
        for item in failed
        if item["check_id"] not in known
    )
