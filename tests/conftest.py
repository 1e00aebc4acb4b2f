"""What every test rests on: the prices that ship, never those that someone refreshed on this machine."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

# Each run tries the same examples, however slow the machine is; --hypothesis-profile=default seeks others.
settings.register_profile("same", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("same")


pytest_plugins = ["tests.small_workload"]
SHARE_ONE_PLAN = {"plan", "compare", "trial"}
"""Rooms whose tests use the plan of ``small_workload.py``, which takes long to make."""


class Sharing(LoadFileScheduling):
    """Keeps the tests of a file in one process, and those that share one plan too."""

    def _split_scope(self, nodeid: str) -> str:  # pyrefly: ignore[missing-override-decorator] - `override` is not in 3.11
        """Return what a test is kept together with."""
        path = PurePosixPath(nodeid.split("::", 1)[0])
        return "plan" if path.parts[0] == "tests" and path.parts[1] in SHARE_ONE_PLAN else str(path)


@pytest.hookimpl(optionalhook=True)  # unknown where pytest-xdist is off
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Sharing | None:
    """Return how tests are spread over processes."""
    return Sharing(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(autouse=True, scope="session")
def only_shipped_prices(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Lend the folder of refreshed prices of this run, which is empty."""
    folder = tmp_path_factory.mktemp("prices")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIGHTROPE_PRICES", str(folder))
        yield folder
