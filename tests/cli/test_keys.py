"""A key is shown once and never again; what cannot be is refused with what would do."""

import json
import stat
import sys
from pathlib import Path

import pytest

from tightrope.cli import main
from tightrope.serve.access.keyfile import load_keys


@pytest.fixture(autouse=True)
def empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run in an empty folder."""
    monkeypatch.chdir(tmp_path)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run ``tightrope keys`` on keys.json; return the exit code."""
    monkeypatch.setattr(sys, "argv", ["tightrope", "keys", *arguments, "--file", "keys.json"])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_a_key_from_its_making_to_its_revocation(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "create", "--tenant", "Acme & Sons", "--expires", "90d") == 0
    printed = capsys.readouterr()
    key = printed.out.strip()
    assert key.startswith("tr_acme-sons-")
    assert key not in printed.err
    name = key.split("_")[1]
    entry = load_keys(Path("keys.json")).keys[0]
    assert entry.expires is not None
    assert ((entry.expires - entry.created).days, entry.tenant, entry.scopes) == (90, "Acme & Sons", ["infer", "batch"])
    assert stat.S_IMODE(Path("keys.json").stat().st_mode) == 0o600

    assert run(monkeypatch, "list") == 0
    shown = capsys.readouterr().out
    assert name in shown
    assert "active" in shown
    assert run(monkeypatch, "revoke", name) == 0
    assert run(monkeypatch, "list", "--json") == 0
    captured = capsys.readouterr()
    listed = json.loads(captured.out)["keys"]
    assert [(item["name"], item["state"], item["tenant"]) for item in listed] == [(name, "revoked", "Acme & Sons")]
    assert "sha256" not in listed[0]
    secret = key.split("_", 2)[2]
    assert secret not in shown + captured.out + captured.err + Path("keys.json").read_text()


def test_everything_can_be_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    said = ("--tenant", "t", "--name", "web-1", "--scope", "infer", "--scope", "admin", "--class", "chat", "--class", "bulk")
    assert run(monkeypatch, "create", *said, "--json") == 0
    made = json.loads(capsys.readouterr().out)
    assert made["key"].startswith("tr_web-1_")
    assert {name: made[name] for name in ("tenant", "scopes", "classes", "expires", "state")} == {
        "tenant": "t",
        "scopes": ["infer", "admin"],
        "classes": ["chat", "bulk"],
        "expires": None,
        "state": "active",
    }


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (("--name", "Web 1"), "--name: got 'Web 1', expected small letters"),
        (("--name", "a_b"), "--name: got 'a_b'"),
        (("--scope", "root"), "--scope: got 'root', expected infer, batch, metrics, admin"),
        (("--expires", "90"), "--expires: got '90', expected a number with one of the units"),
        (("--expires", "0d"), "--expires: got '0d', expected a second or more"),
        (("--expires", "-1d"), "--expires: got '-1d'"),
        (("--expires", "1e9d"), "--expires: "),
        (("--expires", "9000000d"), "--expires: "),
        (("--tenant", "*"), "--tenant: got '*'"),
        (("--tenant", ""), "--tenant: got ''"),
        (("--tenant", "a\nb"), "--tenant: got 'a\\nb'"),
    ],
    ids=lambda value: " ".join(value).strip().replace("\n", " ") if isinstance(value, tuple) else "",
)
def test_what_can_not_be_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], said: tuple[str, ...], problem: str
) -> None:
    assert run(monkeypatch, "create", "--tenant", "t", *said) == 2
    assert problem in capsys.readouterr().err
    assert not Path("keys.json").exists()


def test_a_key_is_not_taken_for_its_name(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "revoke", "tr_web-1_secretsecret") == 2
    said = capsys.readouterr().err
    assert "Resolve: run `tightrope keys revoke web-1 --file keys.json`" in said
    assert "secretsecret" not in said
