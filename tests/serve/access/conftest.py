"""A file of keys for tests."""

from pathlib import Path

import pytest

from tightrope.serve.access.keyfile import create_key


class KeyRing:
    """A file of keys, and the keys themselves."""

    def __init__(self, path: Path) -> None:
        """Begin without keys."""
        self.path = path
        self.keys: dict[str, str] = {}

    def add(self, name: str = "acme-web", **fields: object) -> str:
        """Create a key and return its header."""
        defaults = {"name": name, "tenant": "acme", "scopes": ["infer"], "created": "2026-11-01T00:00:00Z"}
        _, self.keys[name] = create_key(self.path, {**defaults, **fields})
        return f"Bearer {self.keys[name]}"


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    """Return a ring whose file does not exist yet."""
    return KeyRing(tmp_path / "keys.json")
