"""What every test rests on: the prices that ship, never those that someone refreshed on this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

PLANNED = frozenset({"bench", "proof", "ground", "plan"})
"""Fixtures of a whole session that take many seconds to make."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests that share what takes long in one process: those of ``PLANNED``, else those of one file."""
    for item in items if config.pluginmanager.has_plugin("xdist") else ():
        planned = PLANNED.intersection(getattr(item, "fixturenames", ()))
        item.add_marker(pytest.mark.xdist_group("planned" if planned else item.path.stem))


@pytest.fixture(autouse=True, scope="session")
def only_shipped_prices(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Lend the folder of refreshed prices of this run, which is empty."""
    folder = tmp_path_factory.mktemp("prices")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIGHTROPE_PRICES", str(folder))
        yield folder
