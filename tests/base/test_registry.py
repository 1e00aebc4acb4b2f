"""The registry: built-ins and third-party parts are found alike; duplicate names are an error."""

import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Literal, get_args

import pytest

from tightrope.base import registry
from tightrope.base.errors import InputError, UnknownNameError
from tightrope.base.plan import Plan, Refusal
from tightrope.base.records import ModelVariant, Profile


@dataclass(frozen=True)
class FlatFile:
    """A renderer that satisfies the contract."""

    name: str
    next_command: str = ""

    def render(self, plan: Plan) -> dict[Path, str]:
        """Return one file."""
        return {Path("plan.txt"): plan.workload}


@dataclass(frozen=True)
class KnowsNothing:
    """A profile source that satisfies the contract."""

    name: str
    rank: int

    def profile(self, variant: ModelVariant, _: object) -> Profile | Refusal:
        """Refuse."""
        return Refusal(variant.name, "no profile")


@dataclass(frozen=True)
class FreeOfCharge:
    """An offer with the attributes that discovery needs."""

    name: str
    kind: Literal["pay-as-you-go"] = "pay-as-you-go"

    def terms(self, *_: object) -> Refusal:
        """Refuse."""
        return Refusal(self.name, "never sold")

    def charge(self, *_: object) -> tuple[()]:
        """Charge nothing."""
        return ()


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, list[object]]]:
    """Return lists of built-in parts (``built_in``) and of third-party parts (``plugged``) that the test fills."""
    found: dict[str, list[object]] = {"built_in": [], "plugged": []}
    monkeypatch.setattr(registry, "_load_built_ins", lambda _: found["built_in"])
    monkeypatch.setattr(registry, "entry_points", lambda group: plugged(group, found["plugged"], monkeypatch))
    registry._discover.cache_clear()
    yield found
    registry._discover.cache_clear()


def plugged(group: str, values: list[object], monkeypatch: pytest.MonkeyPatch) -> EntryPoints:
    """Return real entry points whose module holds ``values``."""
    module = types.ModuleType("plugged_in")
    monkeypatch.setitem(sys.modules, "plugged_in", module)
    for at, value in enumerate(values):
        setattr(module, f"part_{at}", value)
    return EntryPoints(EntryPoint(f"name-{at}", f"plugged_in:part_{at}", group) for at in range(len(values)))


def test_built_in_and_third_party_parts_are_found_alike(parts: dict[str, list[object]]) -> None:
    parts["built_in"], parts["plugged"] = [FlatFile("one")], [FlatFile("two"), FlatFile("three")]
    assert registry.load_renderers() == {name: FlatFile(name) for name in ("one", "two", "three")}


def test_two_parts_of_one_name_are_an_error_that_shows_both(parts: dict[str, list[object]]) -> None:
    parts["built_in"], parts["plugged"] = [FlatFile("one")], [FlatFile("one")]
    with pytest.raises(InputError, match=r"two parts of tightrope.render are called 'one'.*FlatFile") as caught:
        registry.load_renderers()
    assert "uninstall" in caught.value.resolve


def test_profile_sources_are_sorted_by_rank_then_name(parts: dict[str, list[object]]) -> None:
    parts["built_in"] = [KnowsNothing("b", 20), KnowsNothing("a", 20), KnowsNothing("z", 0)]
    assert [source.name for source in registry.load_profile_sources()] == ["z", "a", "b"]


def test_an_unknown_offer_has_near_names(parts: dict[str, list[object]]) -> None:
    parts["built_in"] = [FreeOfCharge("on-demand"), FreeOfCharge("spot")]
    assert registry.find_offer("spot") == FreeOfCharge("spot")
    with pytest.raises(UnknownNameError, match="unknown offer 'on-demnd'\nResolve: use on-demand"):
        registry.find_offer("on-demnd")


def test_a_built_in_is_a_module_that_carries_the_attribute_with_one_part_or_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "beta.py").write_text("PARTS = ('beta', 'gamma')\n")
    (tmp_path / "shared.py").write_text("HELPER = 1\n")
    (tmp_path / "alpha").mkdir()
    (tmp_path / "alpha" / "__init__.py").write_text("PART = 'alpha'\n")
    folder = types.ModuleType("tightrope.invented")
    folder.__path__ = [str(tmp_path)]
    monkeypatch.setitem(sys.modules, "tightrope.invented", folder)
    monkeypatch.setitem(registry.ATTRIBUTES, "invented", ("PART", "PARTS"))
    before = set(sys.modules)
    try:
        assert registry._load_built_ins("invented") == ["alpha", "beta", "gamma"]
        monkeypatch.setattr(registry, "FOLDERS", {"invented"})
        assert registry._load_built_ins("invented") == ["alpha"]
    finally:
        for name in set(sys.modules) - before:
            del sys.modules[name]


def test_every_kind_has_its_attribute() -> None:
    assert set(get_args(registry.Kind)) == set(registry.ATTRIBUTES)


def test_a_part_that_misses_its_contract_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_load_built_ins", lambda _kind: [types.SimpleNamespace(name="half")])
    registry._discover.cache_clear()
    try:
        with pytest.raises(InputError, match=r"'half' of tightrope\.render does not satisfy the contract Renderer"):
            registry.load_renderers()
    finally:
        registry._discover.cache_clear()
