"""Benchmarks: what is promised about speed and memory, measured against a peer in the same run.

Each module declares ``NAME``, ``DOC`` and ``run() -> dict`` with the keys of ``FIELDS``. ``python -m benchmarks NAME --json``
prints one JSON line; ``python -m benchmarks`` runs them all, each in a process of its own, as a table. To extend: add a module.
"""

import importlib
import pkgutil
from types import ModuleType

FIELDS = ("name", "value", "unit", "peer", "peer_value", "ratio", "detail")
"""``ratio`` is value / peer_value; ``detail`` holds what else was measured, and the target."""


def declared() -> dict[str, ModuleType]:
    """Return benchmark name → module, in name order."""
    names = sorted(info.name for info in pkgutil.iter_modules(__path__) if info.name != "__main__")
    modules = [importlib.import_module(f"benchmarks.{name}") for name in names]
    return {module.NAME: module for module in modules if hasattr(module, "NAME")}
