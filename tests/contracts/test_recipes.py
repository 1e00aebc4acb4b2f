"""Adding a cloud, an offer, a renderer or a profile source touches one folder: the templates of the how-to pages prove it.

Each template is copied, unedited, into a copy of the package; there it must be found, satisfy its contract, pass the contract
suite that built-ins face, and be accepted by the layers.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.clouds.loopback import Loopback, Request

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "docs" / "how-to" / "templates"

FIND = """
import inspect, sys
from tightrope.base import contracts, registry
kind, name, contract = sys.argv[1:]
part = registry._discover(kind)[name]
assert isinstance(part, getattr(contracts, contract)), f"{part} is no {contract}"
print(inspect.getfile(type(part)))
"""

REFRESH = """
import sys
from tightrope.clouds.book import load_price_book
from tightrope.clouds.refresh import refresh
done = refresh("corner-rack", endpoint=sys.argv[1])
book = load_price_book()
offers = ("on-demand", "reserved-1y")
print(done.added, done.changed, done.withdrawn, *[book.find("rack-l4", "office", offer).usd_per_hour for offer in offers])
print(*done.notes)
"""


@dataclass(frozen=True)
class Recipe:
    """One template: the kind's folder, the name the part goes by, its contract and the contract's suite."""

    kind: str
    name: str
    contract: str
    suite: str


RECIPES = [
    Recipe("clouds", "corner-rack", "Cloud", "test_cloud_contract.py"),
    Recipe("offers", "negotiated", "Offer", "test_offer_contract.py"),
    Recipe("render", "pools-csv", "Renderer", "test_renderer_contract.py"),
    Recipe("perf", "stopwatch", "ProfileSource", "test_profile_source_contract.py"),
]


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """Return a folder with a copy of the package and of the rules for it."""
    shutil.copytree(ROOT / "src" / "tightrope", tmp_path / "tightrope", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def add(recipe: Recipe, house: Path) -> None:
    """Copy the template's files into the one folder of its kind; none may replace what is there."""
    template = TEMPLATES / recipe.kind
    files = [path.relative_to(template) for path in template.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert files
    for file in files:
        target = house / "tightrope" / recipe.kind / file
        assert not target.exists(), f"{target} is there already"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(template / file, target)


def run(house: Path, *command: str, cwd: Path = ROOT) -> str:
    """Return what a command printed that sees the copy of the package first; fail with its output."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    env |= {"PYTHONPATH": str(house), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, *command], cwd=cwd, env=env, text=True, capture_output=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_template_is_found_and_satisfies_its_contract(recipe: Recipe, house: Path) -> None:
    add(recipe, house)
    found_in = run(house, "-c", FIND, recipe.kind, recipe.name, recipe.contract).strip()
    assert Path(found_in).is_relative_to(house / "tightrope" / recipe.kind)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_template_passes_the_suite_that_built_ins_face(recipe: Recipe, house: Path) -> None:
    add(recipe, house)
    suite = str(Path(__file__).with_name(recipe.suite))
    out = run(house, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", "-p", "no:xdist", suite, "-k", recipe.name)
    assert " passed" in out


def price_list(usd_per_hour: str) -> Callable[[Request], str]:
    """Return the list of the cloud template's shop: two pages."""
    office = {"region": "office", "usd_per_hour": usd_per_hour}
    pages = {
        "1": {"prices": [{"machine": "rack-l4"} | office, {"machine": "rack-b200"} | office], "next": "/prices?page=2"},
        "2": {"prices": [{"machine": "rack-cpu"} | office, {"machine": "rack-l4"} | office | {"region": "attic"}], "next": None},
    }
    return lambda request: json.dumps(pages[request.query.get("page", "1")])


def test_the_importer_of_the_cloud_template_refreshes_the_book(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIGHTROPE_PRICES", str(house / "prices"))
    add(RECIPES[0], house)
    with Loopback() as shop:
        shop.serve("/prices", price_list("0.60"))
        out = run(house, "-c", REFRESH, shop.url)
    assert out.splitlines() == ["0 2 0 0.60 0.45000", "rack-b200 is not in machines.csv: its prices are left out"]


@pytest.mark.parametrize("usd_per_hour", ["0", "NaN", "1e9"])
def test_the_importer_of_the_cloud_template_refuses_a_price_that_is_none(
    house: Path, usd_per_hour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIGHTROPE_PRICES", str(house / "prices"))
    add(RECIPES[0], house)
    with Loopback() as shop:
        shop.serve("/prices", price_list(usd_per_hour))
        with pytest.raises(
            AssertionError, match=r"SourceError: https://corner-rack\.example/prices: .* expected usd_per_hour of"
        ):
            run(house, "-c", REFRESH, shop.url)
    assert not list((house / "prices").glob("*.zip"))


def test_the_layers_accept_every_template(house: Path) -> None:
    for recipe in RECIPES:
        add(recipe, house)
    out = run(house, "-c", "from importlinter.cli import lint_imports_command as lint; lint()", "--no-cache", cwd=house)
    assert " kept, 0 broken." in out


def test_the_layers_notice_a_template_that_climbs(house: Path) -> None:
    add(RECIPES[0], house)
    module = house / "tightrope" / "clouds" / "corner_rack" / "__init__.py"
    module.write_text(module.read_text() + "\nimport tightrope.plan\n")
    with pytest.raises(AssertionError, match="Data flows down: a folder imports only the folders above it BROKEN"):
        run(house, "-c", "from importlinter.cli import lint_imports_command as lint; lint()", "--no-cache", cwd=house)
