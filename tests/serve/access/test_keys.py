"""A valid key identifies its caller, every other key is refused, and a change of the file takes effect."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.base.errors import InputError
from tightrope.serve.access import keys as module
from tightrope.serve.access.keyfile import revoke_key
from tightrope.serve.access.keys import NO_KEY, Keys, OpenAccess, check_scope, parse_authorization
from tightrope.serve.records import Caller
from tightrope.serve.refusals import Forbidden, Unauthenticated

if TYPE_CHECKING:
    from conftest import KeyRing

NOW = datetime(2026, 11, 26, tzinfo=UTC)


def refusal(keys: Keys, header: str | None) -> Unauthenticated:
    """Return the refusal of a header."""
    with pytest.raises(Unauthenticated) as caught:
        keys.caller(header)
    return caught.value


def test_a_key_identifies_its_caller(ring: "KeyRing") -> None:
    header = ring.add(classes=["chat", "batch"], scopes=["infer", "batch"])
    keys = Keys(ring.path)
    caller = keys.caller(header)
    assert caller == Caller("acme", "acme-web", frozenset({"infer", "batch"}), ("chat", "batch"))
    assert keys.caller(header.replace("Bearer", "bearer").replace(" ", "  ")) is caller


def test_the_process_keeps_digests_and_no_keys(ring: "KeyRing") -> None:
    secret = ring.add().split("_", 2)[2]  # may itself contain an underscore
    assert secret not in repr(vars(Keys(ring.path)))


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic dTpw",
        "tr_acme-web_s",
        "Bearer tr_acme-web",
        "Bearer sk-123",
        "Bearer tr__s",
        "Bearer tr_é_s",
        "Bearer " + "x" * 9999,
    ],
)
def test_a_header_without_a_known_key_is_refused(ring: "KeyRing", header: str | None) -> None:
    ring.add()
    assert isinstance(refusal(Keys(ring.path), header), Unauthenticated)


@given(st.text(max_size=300))
def test_any_header_is_parsed_or_refused(header: str) -> None:
    try:
        key = parse_authorization(header)
    except Unauthenticated as error:
        assert error.message == NO_KEY  # noqa: PT017 - and nothing that the client sent
    else:
        assert key in header


def test_wrong_secrets_unknown_names_and_revoked_keys_get_one_answer(ring: "KeyRing") -> None:
    header, revoked = ring.add(), ring.add("revoked", revoked=NOW)
    keys = Keys(ring.path)
    wrong = refusal(keys, header[:-1] + ("a" if header[-1] != "a" else "b"))
    unknown = refusal(keys, header.replace("acme-web", "nobody"))
    gone = refusal(keys, revoked)
    assert (wrong.message, wrong.code) == (unknown.message, unknown.code) == (gone.message, gone.code)


def test_an_expired_key_is_refused_from_the_second_on(ring: "KeyRing") -> None:
    header, now_s = ring.add(expires=NOW + timedelta(hours=1)), NOW.timestamp()
    keys = Keys(ring.path, wall=lambda: now_s)
    now_s += 3599.0
    assert keys.caller(header).tenant == "acme"
    now_s += 1.0
    assert refusal(keys, header).message == "this API key expired at 2026-11-26T01:00:00Z"
    assert "expired" not in refusal(keys, header + "x").message  # only the holder of the key learns it


# ----------------------------------------------------------------------------------------------------------------- the file


def test_a_running_gateway_learns_of_revoked_and_new_keys(ring: "KeyRing", monkeypatch: pytest.MonkeyPatch) -> None:
    revoked, stays = ring.add(), ring.add("stays")
    monkeypatch.setattr(module, "RELOAD_S", 0.01)

    async def run() -> None:
        keys = Keys(ring.path)
        await keys.start()
        try:
            async with asyncio.timeout(30):
                await asyncio.to_thread(revoke_key, ring.path, "acme-web", NOW)
                added = await asyncio.to_thread(ring.add, "added")
                while len(keys._keys) < 3:
                    await asyncio.sleep(0.01)
            assert keys.caller(stays).key == "stays"
            assert keys.caller(added).key == "added"
            refusal(keys, revoked)
        finally:
            await keys.stop()

    asyncio.run(run())


@pytest.mark.parametrize(
    "spoil",
    [lambda path: path.write_text("{"), lambda path: path.chmod(0o666), lambda path: path.unlink()],
    ids=["torn", "writable", "gone"],
)
def test_a_file_that_becomes_unreadable_keeps_the_keys(
    ring: "KeyRing", caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], object]
) -> None:
    header = ring.add()
    keys = Keys(ring.path)
    spoil(ring.path)
    with caplog.at_level(logging.INFO):
        keys.reload()
        keys.reload()
    assert [record.levelname for record in caplog.records] == ["ERROR"]  # once
    assert keys.caller(header).tenant == "acme"


@pytest.mark.parametrize("error", [InputError("too many open files", resolve="wait"), RecursionError("deep")])
def test_a_file_is_read_again_after_a_failure(ring: "KeyRing", monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    header = ring.add()

    def failing(path: Path) -> Any:
        raise error

    keys = Keys(ring.path)
    revoke_key(ring.path, "acme-web", NOW)
    with monkeypatch.context() as broken:
        broken.setattr(module, "load_keys", failing)
        keys.reload()
    assert keys.caller(header).tenant == "acme"
    keys.reload()
    refusal(keys, header)


def test_a_gateway_does_not_start_without_its_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        Keys(tmp_path / "none.json")


# ------------------------------------------------------------------------------------------------------------------- scopes


def test_scopes_and_classes_limit_a_key() -> None:
    caller = Caller("a", "k", frozenset({"infer"}), ("chat",))
    check_scope(caller, "infer")
    check_scope(caller, "infer", "chat")
    check_scope(Caller("a"), "batch", "any")
    with pytest.raises(Forbidden, match="lacks the scope 'batch'"):
        check_scope(caller, "batch")
    with pytest.raises(Forbidden, match="not use the traffic class 'search', only chat"):
        check_scope(caller, "infer", "search")
    with pytest.raises(Forbidden):
        check_scope(Caller("a"), "admin")


def test_without_a_file_every_caller_is_one_tenant_without_the_scope_admin() -> None:
    async def run() -> None:
        access = OpenAccess()
        await access.start()
        assert access.caller("any") is access.caller(None)
        assert access.caller(None).tenant == "default"
        assert "admin" not in access.caller(None).scopes
        await access.stop()

    asyncio.run(run())
