"""A server on loopback with a gateway of our own behind it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from front_door import FakeGateway, Served, served


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    """Lend a running server, for tests that leave it as it was."""
    with served(FakeGateway()) as running:
        yield running
