"""Kustomize components: how one is written, and those of the gateway that an overlay takes or leaves.

``ledger``, ``keys`` and ``jobs`` need what only the user can make (a volume that several nodes share, secrets), so the base is without.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from tightrope.base.plan import Plan
from tightrope.render.infra.deployment import notice_comment
from tightrope.render.infra.kube.clusters import GATEWAY
from tightrope.render.infra.templates import fill, static

FOLDER = "infra/kube"
Patch: TypeAlias = dict[str, object]
"""Kind and name of what is changed, and the operations of JSON Patch (RFC 6902)."""
POD = "/spec/template/spec"
JOB_POD = "/spec/jobTemplate/spec/template/spec"
LEDGER_CLASS = "ledger-class"
"""Key of ``tightrope-settings``."""
KEYS_MODE = 0o440
"""The gateway takes no keys from a file that others may write."""
CHOSEN = ("ledger", "keys", "jobs")


def component(
    plan: Plan,
    resources: Sequence[str],
    replaced: Sequence[dict[str, object]] = (),
    patches: Sequence[Patch] = (),
) -> str:
    """Return the ``kustomization.yaml`` of a component."""
    values = {"resources": resources, "settings": replaced, "patches": patches}
    return notice_comment(plan) + fill(FOLDER, "component.yaml.j2", "yaml", values)


def from_settings(key: str, targets: Sequence[tuple[str, str, Sequence[str]]]) -> dict[str, object]:
    """Return the replacement that puts an entry of ``tightrope-settings`` into fields of (kind, name, paths)."""
    listed = [{"kind": kind, "name": name, "paths": paths} for kind, name, paths in targets]
    return {"source": f"data.{key}", "targets": listed}


def patch(kind: str, name: str, *changes: dict[str, Any]) -> Patch:
    """Return a change of one object."""
    return {"kind": kind, "name": name, "changes": changes}


def gateway_components(plan: Plan, waiting: Sequence[str]) -> dict[str, dict[Path, str]]:
    """Return the components of the gateway by their folders; ``waiting`` are the CronJobs that ask it for something."""
    return {"ledger": _ledger(plan), "keys": _keys(plan, waiting), "jobs": _jobs(plan)}


def _ledger(plan: Plan) -> dict[Path, str]:
    """Return what puts the ledgers of all gateways onto one volume, so that each knows what the others spent."""
    at = f"{POD}/volumes/0"
    shared = {"name": "ledger", "persistentVolumeClaim": {"claimName": "tightrope-ledger"}}
    changed = patch(
        "Deployment",
        GATEWAY,
        {"op": "test", "path": f"{at}/name", "value": "ledger"},
        {"op": "replace", "path": at, "value": shared},
    )
    stored = from_settings(LEDGER_CLASS, [("PersistentVolumeClaim", "tightrope-ledger", ["spec.storageClassName"])])
    return {
        Path("kustomization.yaml"): component(plan, ["ledger.yaml"], [stored], [changed]),
        Path("ledger.yaml"): notice_comment(plan) + static(FOLDER, "ledger.yaml"),
    }


def _keys(plan: Plan, waiting: Sequence[str]) -> dict[Path, str]:
    """Return what lets in those alone who have a key, among them the jobs that hand work in."""
    gateway = patch(
        "Deployment",
        GATEWAY,
        _added(f"{POD}/containers/0/env", {"name": "TIGHTROPE_KEYS", "value": "/etc/tightrope-access/keys.json"}),
        _added(f"{POD}/containers/0/volumeMounts", {"name": "access", "mountPath": "/etc/tightrope-access", "readOnly": True}),
        _added(f"{POD}/volumes", {"name": "access", "secret": {"secretName": "tightrope-keys", "defaultMode": KEYS_MODE}}),
    )
    key = {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "tightrope-keys", "key": "batch"}}}
    jobs = [
        patch(
            "CronJob",
            name,
            _added(f"{JOB_POD}/containers/0/args", "--header=Authorization: Bearer $(KEY)"),
            _added(f"{JOB_POD}/containers/0/env", key),
        )
        for name in waiting
    ]
    return {Path("kustomization.yaml"): component(plan, [], [], [gateway, *jobs])}


def _jobs(plan: Plan) -> dict[Path, str]:
    """Return what lets the gateways take deferrable work, from one queue in PostgreSQL."""
    url = {"name": "TIGHTROPE_JOBS", "valueFrom": {"secretKeyRef": {"name": "tightrope-jobs", "key": "url"}}}
    changed = patch("Deployment", GATEWAY, _added(f"{POD}/containers/0/env", url))
    return {Path("kustomization.yaml"): component(plan, [], [], [changed])}


def _added(path: str, value: object) -> dict[str, Any]:
    """Return a change that adds to a list."""
    return {"op": "add", "path": f"{path}/-", "value": value}
