"""A server on loopback with a gateway of our own behind it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from front_door import FakeGateway, Served, served

from tightrope.serve.protocols import http


@pytest.fixture(autouse=True)
def _no_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell clients to come back as soon as it is worth it."""
    monkeypatch.setattr(http, "draw", lambda: 0.0)


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    """Lend a running server, for tests that leave it as it was."""
    with served(FakeGateway()) as running:
        yield running
