"""Lets the tests of this folder import ``asking``, and lends a cache."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.append(str(Path(__file__).parent))

if TYPE_CHECKING:
    from asking import Desk


@pytest.fixture
def desk() -> "Desk":
    """Lend a cache of the usual size, before an engine."""
    from asking import Desk  # found only now

    return Desk()
