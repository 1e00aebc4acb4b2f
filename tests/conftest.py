"""What every test rests on: the prices that ship, never those that someone refreshed on this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True, scope="session")
def only_shipped_prices(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Lend the folder of refreshed prices of this run, which is empty."""
    folder = tmp_path_factory.mktemp("prices")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIGHTROPE_PRICES", str(folder))
        yield folder
