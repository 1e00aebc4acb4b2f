"""What the tests of Terraform roots share: a folder of rendered files, and Terraform's plan of it, read back."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from math import ceil
from pathlib import Path
from typing import Any

from checkers import assert_accepted

from tightrope.render.infra.schedule import DAYS, HOURS, ScheduleEntry, expand_entries


def write(folder: Path, files: Mapping[Path, str]) -> Path:
    """Write files to a folder and return it."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8", newline="\n")
    return folder


def planned(root: Path, *var_files: Path) -> dict[str, dict[str, Any]]:
    """Return what Terraform would make, type → name[key] → values; fail where ``tfcheck`` finds a fault or runs no test."""
    out = root.parent / f"{root.name}.plan.json"
    options = [part for path in var_files for part in ("--var-file", path)]
    report = assert_accepted("tfcheck", root, "--plan-json", out, *options)
    assert re.search(r"test \([1-9]\d* passed\)", " ".join(report["checked"])), report["checked"]
    made: dict[str, dict[str, Any]] = defaultdict(dict)
    for item in json.loads(out.read_text(encoding="utf-8"))["planned_values"]["root_module"]["resources"]:
        made[item["type"]][item["name"] + (f"[{item['index']}]" if "index" in item else "")] = item["values"]
    return made


def keyed(made: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the instances of one resource, key → values."""
    return {
        match[1]: values
        for label, values in made.items()
        if (match := re.fullmatch(re.escape(name) + r"\[(.*)\]", label, re.DOTALL))
    }


def week_of(crons: Iterable[tuple[str, int]]) -> tuple[int, ...]:
    """Return the week that cron lines give, each with its machines: what is asked for within an hour stands from the next one on."""
    entries = []
    for line, machines in crons:
        minute, hour, days = (line.split()[place] for place in (0, 1, 4))
        at = ceil((int(hour) * 60 + int(minute)) / 60)
        listed = range(len(DAYS)) if days == "*" else [(int(day) - 1) % len(DAYS) for day in days.split(",")]
        later = tuple(sorted((day + at // HOURS) % len(DAYS) for day in listed))
        entries.append(ScheduleEntry(at % HOURS, later, machines, rises=False))
    return expand_entries(entries)
