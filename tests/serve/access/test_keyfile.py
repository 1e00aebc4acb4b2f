"""The file holds no key, changes atomically, and is refused with a reason if it cannot be trusted."""

import hashlib
import json
import os
import stat
import subprocess
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tightrope.base.errors import InputError, UnknownNameError
from tightrope.serve.access.keyfile import load_keys, revoke_key

if TYPE_CHECKING:
    from conftest import KeyRing

NOW = datetime(2026, 11, 26, 1, 2, 3, tzinfo=UTC)


def test_the_file_holds_the_digest_of_a_key_and_not_the_key(ring: "KeyRing") -> None:
    key = ring.add().removeprefix("Bearer ")
    _, name, secret = key.split("_", 2)
    content = ring.path.read_text()
    assert name == "acme-web"
    assert len(secret) == 43  # 32 bytes, base64
    assert secret not in content
    assert load_keys(ring.path).keys[0].sha256 == hashlib.sha256(key.encode()).hexdigest()
    assert stat.S_IMODE(ring.path.stat().st_mode) == 0o600


def test_a_revoked_key_stays_listed_and_its_name_is_not_used_again(ring: "KeyRing") -> None:
    ring.add()
    assert revoke_key(ring.path, "acme-web", NOW).revoked == NOW
    assert revoke_key(ring.path, "acme-web", NOW.replace(year=2027)).revoked == NOW
    with pytest.raises(InputError, match="there is a key 'acme-web' already"):
        ring.add()
    with pytest.raises(UnknownNameError, match="unknown key 'acme-wep'\nResolve: use acme-web"):
        revoke_key(ring.path, "acme-wep", NOW)


def test_a_change_keeps_the_mode_of_the_file(ring: "KeyRing") -> None:
    ring.add()
    ring.path.chmod(0o640)
    ring.add("second")
    assert stat.S_IMODE(ring.path.stat().st_mode) == 0o640


def test_a_link_stays_and_its_target_changes(ring: "KeyRing", tmp_path: Path) -> None:
    ring.add()
    link = tmp_path / "link.json"
    link.symlink_to(ring.path)
    revoke_key(link, "acme-web", NOW)
    assert link.is_symlink()
    assert load_keys(ring.path).keys[0].revoked == NOW


def test_a_full_disk_leaves_the_file_unchanged(ring: "KeyRing", monkeypatch: pytest.MonkeyPatch) -> None:
    ring.add()
    before = ring.path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="cannot write the file of keys: No space left on device"):
        ring.add("second")
    assert ring.path.read_bytes() == before
    assert [path.name for path in ring.path.parent.iterdir() if path.name.endswith(".part")] == []


WRITER = """
import pathlib, sys
from tightrope.serve.access import keyfile

keyfile.LOCK_S = 60.0
stated = {"tenant": "t", "scopes": ["infer"], "created": "2026-11-01T00:00:00Z"}
input("ready")
for name in sys.argv[2:]:
    keyfile.create_key(pathlib.Path(sys.argv[1]), {**stated, "name": name})
"""
"""Adds keys once a line comes on standard input."""


def test_concurrent_writers_lose_nothing(tmp_path: Path) -> None:
    """Starts three processes; a fork of a process with threads may hang."""
    path, names = tmp_path / "keys.json", [f"k{n}" for n in range(24)]
    with ExitStack() as stack:
        commands = [[sys.executable, "-c", WRITER, str(path), *names[first::3]] for first in range(3)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        writers = [stack.enter_context(subprocess.Popen(command, **pipes)) for command in commands]  # noqa: S603 - ourselves
        for writer in writers:
            assert writer.stdout.read(5) == b"ready"
        for writer in writers:
            writer.stdin.write(b"\n")
            writer.stdin.flush()
        assert [writer.wait(120) for writer in writers] == [0, 0, 0]
    assert {entry.name for entry in load_keys(path).keys} == set(names)


VALID = {
    "name": "a",
    "tenant": "t",
    "scopes": ["infer"],
    "created": "2026-11-01T00:00:00Z",
    "sha256": "00" * 32,
}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"keys": [{**VALID, "scopes": ["inter"]}]}, "keys.0.scopes.0: got 'inter'"),
        ({"keys": [{**VALID, "expires": "tomorrow"}]}, "keys.0.expires: got 'tomorrow', expected a time such as"),
        ({"keys": [{**VALID, "expires": "2026-11-01T00:00:00"}]}, "expected a time such as 2026-11-26T01:00:00Z"),
        ({"keys": [{**VALID, "expire": None}]}, "unknown key 'expire'"),
        ({"keys": [VALID, VALID]}, "expected every name and digest once, got 'a' twice"),
        ({"keys": [VALID, {**VALID, "name": "b"}]}, "expected every name and digest once, got '0000"),
        ({"keys": [{**VALID, "name": "a_b"}]}, "keys.0.name: got 'a_b'"),
        ({"keys": [{**VALID, "sha256": "0g"}]}, "keys.0.sha256: got '0g'"),
        ({"keys": [{**VALID, "scrypt": {"n": 16}}]}, "got a scrypt hash of an earlier version, expected sha256"),
        ({"keys": [{**VALID, "scrypt": {"n": 16}}]}, "Resolve: move this file away and create the keys again"),
        ([], "expected a mapping with the keys keys"),
    ],
)
def test_an_invalid_file_is_refused(tmp_path: Path, value: object, problem: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(value))
    path.chmod(0o600)
    with pytest.raises(InputError) as caught:
        load_keys(path)
    assert problem in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", '{"keys": []} {}', "\x00"])
def test_a_file_without_json_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(InputError, match="not JSON"):
        load_keys(path)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(ring: "KeyRing", mode: int) -> None:
    ring.add()
    ring.path.chmod(mode)
    with pytest.raises(InputError, match=f"others may write the file of keys .mode {mode:o}.*\nResolve: run `chmod go-w"):
        load_keys(ring.path)
