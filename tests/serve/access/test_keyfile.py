"""The file holds no key; it is whole whatever happens; one that can not be trusted is refused with what is wrong."""

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
from tightrope.serve.access.keyfile import SCRYPT, Scrypt, hashed, load_keys, revoke_key

if TYPE_CHECKING:
    from conftest import Ring

NOW = datetime(2026, 11, 26, 1, 2, 3, tzinfo=UTC)


def test_the_file_holds_what_a_key_is_checked_by_and_not_the_key(ring: "Ring") -> None:
    key = ring.add().removeprefix("Bearer ")
    _, name, secret = key.split("_", 2)
    content = ring.path.read_text()
    assert name == "acme-web"
    assert len(secret) == 43  # 32 bytes, base64
    assert secret not in content
    assert key not in content
    stored = load_keys(ring.path).keys[0].scrypt
    salt = bytes.fromhex(stored.salt)
    assert stored.hash == hashlib.scrypt(secret.encode(), salt=salt, n=16, r=8, p=1, dklen=32).hex()
    assert stat.S_IMODE(ring.path.stat().st_mode) == 0o600


def test_secrets_and_salts_differ_and_are_hashed_as_is_said() -> None:
    one, other = hashed("the same"), hashed("the same")
    assert (one.n, one.r, one.p) == SCRYPT
    assert one.salt != other.salt
    assert one.hash != other.hash
    assert one.of("the same").hex() == one.hash
    assert one.of("another").hex() != one.hash


def test_a_revoked_key_stays_listed_and_its_name_is_not_used_again(ring: "Ring") -> None:
    ring.add()
    assert revoke_key(ring.path, "acme-web", NOW).revoked == NOW
    assert revoke_key(ring.path, "acme-web", NOW.replace(year=2027)).revoked == NOW
    with pytest.raises(InputError, match="there is a key 'acme-web' already"):
        ring.add()
    with pytest.raises(UnknownNameError, match="unknown key 'acme-wep'\nResolve: use acme-web"):
        revoke_key(ring.path, "acme-wep", NOW)


def test_who_could_read_the_file_still_can(ring: "Ring") -> None:
    ring.add()
    ring.path.chmod(0o640)
    ring.add("second")
    assert stat.S_IMODE(ring.path.stat().st_mode) == 0o640


def test_the_file_that_a_link_names_is_changed(ring: "Ring", tmp_path: Path) -> None:
    ring.add()
    link = tmp_path / "link.json"
    link.symlink_to(ring.path)
    revoke_key(link, "acme-web", NOW)
    assert link.is_symlink()
    assert load_keys(ring.path).keys[0].revoked == NOW


def test_a_disk_that_refuses_leaves_the_file_as_it_was(ring: "Ring", monkeypatch: pytest.MonkeyPatch) -> None:
    ring.add()
    before = ring.path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="can not be written: No space left on device"):
        ring.add("second")
    assert ring.path.read_bytes() == before
    assert [path.name for path in ring.path.parent.iterdir() if path.name.endswith(".part")] == []


WRITER = """
import pathlib, sys
from tightrope.serve.access import keyfile

keyfile.SCRYPT, keyfile.LOCK_S = (16, 8, 1), 60.0
stated = {"tenant": "t", "scopes": ["infer"], "created": "2026-11-01T00:00:00Z"}
input("ready")
for name in sys.argv[2:]:
    keyfile.create_key(pathlib.Path(sys.argv[1]), lambda scrypt: keyfile.KeyEntry(**stated, name=name, scrypt=scrypt))
"""
"""Adds keys, from when it is told to."""


def test_writers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    """Three processes of their own: a fork of one that has threads may hang."""
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


WELL = {
    "name": "a",
    "tenant": "t",
    "scopes": ["infer"],
    "created": "2026-11-01T00:00:00Z",
    "scrypt": {"n": 16, "r": 8, "p": 1, "salt": "00" * 16, "hash": "00" * 32},
}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"keys": [{**WELL, "scopes": ["inter"]}]}, "keys.0.scopes.0: got 'inter'"),
        ({"keys": [{**WELL, "expires": "tomorrow"}]}, "keys.0.expires: got 'tomorrow', expected a time such as"),
        ({"keys": [{**WELL, "expires": "2026-11-01T00:00:00"}]}, "expected a time such as 2026-11-26T01:00:00Z"),
        ({"keys": [{**WELL, "expire": None}]}, "unknown key 'expire'"),
        ({"keys": [WELL, WELL]}, "expected every name once, got 'a' twice"),
        ({"keys": [{**WELL, "name": "a_b"}]}, "keys.0.name: got 'a_b'"),
        ({"keys": [{**WELL, "scrypt": {**WELL["scrypt"], "n": 2**20, "r": 64}}]}, "128 n r to be at most"),
        ({"keys": [{**WELL, "scrypt": {**WELL["scrypt"], "n": 1000}}]}, "expected n to be a power of 2"),
        ({"keys": [{**WELL, "scrypt": {**WELL["scrypt"], "hash": "0g"}}]}, "keys.0.scrypt.hash: got '0g'"),
        ([], "expected a mapping with the keys keys"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_refused(tmp_path: Path, value: object, problem: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(value))
    path.chmod(0o600)
    with pytest.raises(InputError) as caught:
        load_keys(path)
    assert problem in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", '{"keys": []} {}', "\x00"])
def test_what_is_no_json_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(InputError, match="not JSON"):
        load_keys(path)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(ring: "Ring", mode: int) -> None:
    ring.add()
    ring.path.chmod(mode)
    with pytest.raises(InputError, match=f"others may write the file of keys .mode {mode:o}.*\nResolve: run `chmod go-w"):
        load_keys(ring.path)


def test_a_hash_names_its_parameters() -> None:
    """Files made under other parameters are still read."""
    old = Scrypt(n=4, r=2, p=3, salt="ab" * 16, hash="00" * 64)
    assert old.of("s") == hashlib.scrypt(b"s", salt=b"\xab" * 16, n=4, r=2, p=3, dklen=64)
