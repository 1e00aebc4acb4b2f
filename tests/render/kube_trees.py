"""Kustomize trees read back: manifests by kind, what an overlay comes to, and the week that a KEDA calendar gives."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from priced import Parsed

from tightrope.render.infra.schedule import WEEK

KUSTOMIZE = shutil.which("kustomize")
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
needs_kustomize = pytest.mark.skipif(KUSTOMIZE is None, reason="kustomize (of Debian's and GitHub's images) is not here")
VERSIONS = ("1.31", "1.34", "1.37")
WEEK_MINUTES = WEEK * 60
OFFERS = {True: "spot", False: "on-demand"}


def load_all(text: str) -> list[dict[str, Any]]:
    """Return the documents of a YAML text, read safely, and fast where libyaml is there."""
    return list(yaml.load_all(text, Loader=LOADER))


def write(files: Mapping[Path, str], folder: Path) -> Path:
    """Write rendered files and return their folder."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8", newline="\n")
    return folder


def manifests(folder: Path) -> list[Path]:
    """Return the files that hold objects for Kubernetes."""
    return sorted(path for path in folder.rglob("*.yaml") if path.name != "kustomization.yaml")


def objects(files: Mapping[Path, str], kind: str = "") -> dict[tuple[str, str, str], dict[str, Any]]:
    """Return the objects of rendered files (of one kind, where it is named): (folder, kind, name) → object, each there once."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for path, text in files.items():
        if path.suffix != ".yaml" or path.name == "kustomization.yaml":
            continue
        for item in load_all(text):
            if not kind or item["kind"] == kind:
                key = (path.parts[0], item["kind"], item["metadata"]["name"])
                assert key not in found, f"{key} is written twice"
                found[key] = item
    return found


def named(files: Mapping[Path, str], kind: str) -> dict[str, dict[str, Any]]:
    """Return the objects of one kind by their names."""
    return {name: item for (_, _, name), item in objects(files, kind).items()}


def make_nodes(overlay: Path) -> None:
    """Let an overlay name the component that makes nodes, which it has in a remark."""
    path = overlay / "kustomization.yaml"
    text = path.read_text(encoding="utf-8")
    with_nodes = re.sub(r'# (- "../(?:karpenter|compute-class)")', r"\1", text)
    assert with_nodes != text
    path.write_text(with_nodes, encoding="utf-8")


def built(overlay: Path) -> list[dict[str, Any]]:
    """Return the objects that kustomize makes of an overlay."""
    assert KUSTOMIZE is not None
    done = subprocess.run([KUSTOMIZE, "build", str(overlay)], capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    return load_all(done.stdout)


def check_references(root: Path) -> None:
    """Fail where a kustomization names a file or an object that is not there, or where a file is named by none."""
    for place in root.glob("*/base"):
        for overlay in [place.parent / "overlay" / "kustomization.yaml"]:
            named_files = set(_follow(overlay))
            others = {path for path in place.parent.rglob("*") if path.is_file()} - named_files
            choice = {"autoscale-hpa", "karpenter", "compute-class", "ledger", "keys", "jobs"}
            assert all(choice & {*path.parts} for path in others), f"named by no kustomization: {others}"
        targets = {(item["kind"], item["metadata"]["name"]) for path in manifests(place.parent) for item in _documents(path)}
        for path in place.parent.rglob("kustomization.yaml"):
            (content,) = _documents(path)
            for item in content.get("replacements", []):
                assert (item["source"]["kind"], item["source"]["name"]) in targets
                for target in item["targets"]:
                    assert (target["select"]["kind"], target["select"]["name"]) in targets
            for item in content.get("patches", []):
                assert (item["target"]["kind"], item["target"]["name"]) in targets


def _follow(path: Path) -> Iterator[Path]:
    """Yield a kustomization and all files that it comes to."""
    yield path
    (content,) = _documents(path)
    generated = [name for item in content.get("configMapGenerator", []) for name in item["files"]]
    for name in [*content.get("resources", []), *content.get("components", []), *generated]:
        there = (path.parent / name).resolve()
        if there.is_dir():
            yield from _follow(there / "kustomization.yaml")
        else:
            assert there.is_file(), f"{path} names {name}, which is not there"
            yield there


def _documents(path: Path) -> list[dict[str, Any]]:
    """Return the documents of a YAML file."""
    return load_all(path.read_text(encoding="utf-8"))


# --------------------------------------------------------------------------------------------------------- calendars and costs


def times(cron: str) -> list[int]:
    """Return the minutes of the week from Monday at 00:00 at which a cron expression is due."""
    minute, hour, of_month, month, days = cron.split()
    assert (of_month, month) == ("*", "*")
    listed = range(7) if days == "*" else [int(day) for day in days.split(",")]
    return sorted(((day - 1) % 7 * 24 + int(hour)) * 60 + int(minute) for day in listed)


def minutes_of(scaled: dict[str, Any]) -> list[int]:
    """Return the replicas that the calendar of a ScaledObject gives at each minute of the week, by KEDA's rule.

    A span holds where its next end comes before its next start (KEDA, scaler ``cron``), and of those that hold the largest counts.
    """
    week = [scaled["spec"]["minReplicaCount"]] * WEEK_MINUTES
    for trigger in scaled["spec"]["triggers"]:
        if trigger["type"] != "cron":
            continue
        told = trigger["metadata"]
        assert told["timezone"] == "Etc/UTC"
        ends = set(times(told["end"]))
        starts = set(times(told["start"]))
        assert not starts & ends
        events = sorted(starts | ends)
        for before, event in zip([events[-1] - WEEK_MINUTES, *events[:-1]], events, strict=True):
            for minute in range(before, event) if event in ends else ():
                week[minute] = max(week[minute], int(told["desiredReplicas"]))
        for minute in range(events[-1], WEEK_MINUTES) if events[0] in ends else ():
            week[minute] = max(week[minute], int(told["desiredReplicas"]))
    return week


def week_of(scaled: dict[str, Any]) -> tuple[int, ...]:
    """Return the machines of each hour of the week: what holds throughout it, so that what is asked for early is not counted."""
    many = int(scaled["metadata"]["annotations"]["tightrope.dev/replicas-per-machine"])
    minutes = minutes_of(scaled)
    replicas = [min(minutes[60 * hour : 60 * hour + 60]) for hour in range(WEEK)]
    assert all(count % many == 0 for count in replicas)
    return tuple(count // many for count in replicas)


def parsed(files: Mapping[Path, str]) -> list[Parsed]:
    """Return the machines of a rendered tree: types and offers of what makes nodes, numbers of KEDA's calendar."""
    nodes = {}
    for (folder, _, _), item in objects(files).items():
        if item["kind"] == "NodePool":
            asked = {rule["key"]: rule["values"] for rule in item["spec"]["template"]["spec"]["requirements"]}
            (machine,), (capacity,) = asked["node.kubernetes.io/instance-type"], asked["karpenter.sh/capacity-type"]
            nodes[folder, pool_of(item["spec"]["template"]["metadata"]["labels"])] = (machine, capacity)
        elif item["kind"] == "ComputeClass":
            (first,) = item["spec"]["priorities"]
            nodes[folder, pool_of(item["spec"]["nodePoolConfig"]["nodeLabels"])] = (first["machineType"], OFFERS[first["spot"]])
    found = []
    for (folder, _, name), scaled in objects(files, "ScaledObject").items():
        machine, offer = nodes[folder, name]
        cloud, _, region = folder.partition("-")
        found.append(Parsed(cloud, region, machine, offer, week_of(scaled)))
    return found


def pool_of(labels: Mapping[str, str]) -> str:
    """Return the pool that nodes with these labels are of."""
    return labels["tightrope.dev/pool"].partition(".")[2]


def settings_of(files: Mapping[Path, str]) -> dict[str, str]:
    """Return the entries of all ``tightrope-settings``."""
    return {key: value for item in objects(files, "ConfigMap").values() for key, value in item["data"].items()}


def config(files: Mapping[Path, str], name: str) -> dict[str, Any]:
    """Return a JSON file of the only cluster of a tree."""
    (text,) = (text for path, text in files.items() if path.name == name)
    return json.loads(text)
