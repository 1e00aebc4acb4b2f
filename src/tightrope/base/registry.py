"""Discovery of clouds, offers, renderers and profile sources: built-in modules and third-party entry points alike.

A built-in is a module (a sub-package for the kinds in ``FOLDERS``) of the kind's folder that carries the kind's attribute. Shared
modules beside such sub-packages are not imported for the search. A third party declares, for example,
``[project.entry-points."tightrope.clouds"]`` with ``mycloud = "my_package:CLOUD"``.
"""

import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from typing import Literal, TypeAlias, cast

from tightrope.base.contracts import Cloud, Offer, ProfileSource, Renderer
from tightrope.base.errors import InputError, build_unknown_name_error

Kind: TypeAlias = Literal["clouds", "offers", "render", "perf"]

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "clouds": ("CLOUD",),
    "offers": ("OFFER", "OFFERS"),
    "render": ("RENDERER",),
    "perf": ("PROFILES",),
}
"""Kind → the module attributes that hold a part, or a tuple of parts."""
CONTRACTS: dict[str, type] = {"clouds": Cloud, "offers": Offer, "render": Renderer, "perf": ProfileSource}

FOLDERS = frozenset({"clouds", "render"})


def _unpack_parts(part: object) -> tuple[object, ...]:
    """Return the value of an attribute or entry point as a tuple of parts."""
    return part if isinstance(part, tuple) else (part,)


def _load_built_ins(kind: str) -> list[object]:
    """Return the parts of one folder's modules, in the order of module names."""
    folder = importlib.import_module(f"tightrope.{kind}")
    names = sorted(info.name for info in pkgutil.iter_modules(folder.__path__) if info.ispkg or kind not in FOLDERS)
    modules = [importlib.import_module(f"tightrope.{kind}.{name}") for name in names]
    return [part for module in modules for name in ATTRIBUTES[kind] for part in _unpack_parts(getattr(module, name, ()))]


@cache
def _discover(kind: str) -> dict[str, object]:
    """Return name → part, built-ins first; a duplicate name is an error."""
    found: dict[str, object] = {}
    plugged = (part for point in sorted(entry_points(group=f"tightrope.{kind}")) for part in _unpack_parts(point.load()))
    for part in [*_load_built_ins(kind), *plugged]:
        name, contract = str(getattr(part, "name", part)), CONTRACTS[kind].__name__
        if not isinstance(part, CONTRACTS[kind]):
            msg = f"{name!r} of tightrope.{kind} does not satisfy the contract {contract}"
            raise InputError(msg, resolve=f"give it every attribute and method of base.contracts.{contract}")
        if name in found:
            msg = f"two parts of tightrope.{kind} are called {name!r}: {found[name]!r} and {part!r}"
            raise InputError(msg, resolve="uninstall one of the packages that provide it")
        found[name] = part
    return found


def load_clouds() -> dict[str, Cloud]:
    """Return every cloud by name."""
    return {name: part for name, part in _discover("clouds").items() if isinstance(part, Cloud)}


def load_offers() -> dict[str, Offer]:
    """Return every offer by name."""
    return {name: part for name, part in _discover("offers").items() if isinstance(part, Offer)}


def load_renderers() -> dict[str, Renderer]:
    """Return every renderer by name."""
    return {name: part for name, part in _discover("render").items() if isinstance(part, Renderer)}


def load_profile_sources() -> list[ProfileSource]:
    """Return every profile source, in the order to query them."""
    found = cast("dict[str, ProfileSource]", _discover("perf"))  # _discover has checked the parts; checking again is slow
    return sorted(found.values(), key=lambda source: (source.rank, source.name))


def find_offer(name: str) -> Offer:
    """Return one offer; raise ``UnknownNameError`` with near names."""
    part = _discover("offers").get(name)
    if not isinstance(part, Offer):
        raise build_unknown_name_error(name, kind="offer", known=load_offers())
    return part
