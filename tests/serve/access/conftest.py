"""Makes keys cheap to hash where it does not matter how dear they are."""

import json
from pathlib import Path

import pytest

from tightrope.serve.access import keyfile
from tightrope.serve.access.keyfile import KeyEntry, create_key, parse_moment


class Ring:
    """A file of keys and the keys themselves."""

    def __init__(self, path: Path) -> None:
        """Begin without any."""
        self.path = path
        self.keys: dict[str, str] = {}

    def add(self, name: str = "acme-web", **fields: object) -> str:
        """Make a key and return the header that shows it."""
        stated = {"name": name, "tenant": "acme", "scopes": ["infer"], "created": parse_moment("2026-11-01T00:00:00Z")}
        _, self.keys[name] = create_key(self.path, lambda scrypt: KeyEntry.model_validate({**stated, **fields, "scrypt": scrypt}))
        return self.header(name)

    def age(self) -> None:
        """Take out of the file what those written earlier lack."""
        file = json.loads(self.path.read_bytes())
        for entry in file["keys"]:
            del entry["scrypt"]["check"]
        self.path.write_text(json.dumps(file))

    def header(self, name: str) -> str:
        """Return the header that shows a key."""
        return f"Bearer {self.keys[name]}"


@pytest.fixture
def ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ring:
    """Lend a file of keys that is not there yet."""
    monkeypatch.setattr(keyfile, "SCRYPT", (16, 8, 1))
    return Ring(tmp_path / "keys.json")
