"""Lets the tests of this folder import ``plan_fixture``."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
