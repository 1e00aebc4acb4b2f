"""A key that is good is known from then on; one that is not never is; guessing is held back; the file's changes take effect."""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.base.errors import InputError
from tightrope.serve.access import keys as module
from tightrope.serve.access.keyfile import Scrypt, revoke_key
from tightrope.serve.access.keys import GUESSES, NO_KEY, NOT_KNOWN, Keys, OpenAccess, allow, parse_authorization
from tightrope.serve.records import Caller
from tightrope.serve.refusals import Forbidden, RequestRefusal, TooMany, Unauthenticated

if TYPE_CHECKING:
    from conftest import Ring

NOW = datetime(2026, 11, 26, tzinfo=UTC)


@dataclass
class Clocks:
    """Time that stands still until it is moved."""

    now_s: float = 0.0
    hashes: list[str] = field(default_factory=list)
    """Salts under which something was hashed."""

    def wall(self) -> float:
        """Return Unix time."""
        return NOW.timestamp() + self.now_s


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    """Lend clocks, which also note each hash that is computed to check a key."""
    found, of = Clocks(), Scrypt.of

    def noted(self: Scrypt, secret: str) -> bytes:
        found.hashes.append(self.salt)
        return of(self, secret)

    monkeypatch.setattr(Scrypt, "of", noted)
    return found


def with_keys(ring: "Ring", clocks: Clocks, body: Callable[[Keys], Coroutine[Any, Any, None]]) -> None:
    """Run ``body`` on the keys of a ring."""

    async def run() -> None:
        keys = Keys(ring.path, clock=lambda: clocks.now_s, wall=clocks.wall)
        clocks.hashes.clear()
        try:
            async with asyncio.timeout(30):
                await body(keys)
        finally:
            await keys.stop()

    asyncio.run(run())


async def refusal(keys: Keys, header: str | None) -> RequestRefusal:
    """Return why a header is refused."""
    with pytest.raises(RequestRefusal) as caught:
        await keys.verify(header)
    return caught.value


def test_a_key_is_hashed_once_and_known_from_then_on(ring: "Ring", clocks: Clocks) -> None:
    header = ring.add(classes=["chat", "batch"], scopes=["infer", "batch"])

    async def body(keys: Keys) -> None:
        assert keys.caller(header) is None
        caller = await keys.verify(header)
        assert caller == Caller("acme", "acme-web", frozenset({"infer", "batch"}), ("chat", "batch"))
        assert keys.caller(header) is caller
        assert keys.caller(header.replace("Bearer", "bearer").replace(" ", "  ")) is caller
        assert await keys.verify(header) is caller
        assert len(clocks.hashes) == 1

    with_keys(ring, clocks, body)


def test_requests_that_come_at_once_share_one_hash(ring: "Ring", clocks: Clocks) -> None:
    header = ring.add()

    async def body(keys: Keys) -> None:
        callers = await asyncio.gather(*(keys.verify(header) for _ in range(300)))
        assert set(callers) == {callers[0]}
        assert len(clocks.hashes) == 1

    with_keys(ring, clocks, body)


def test_one_that_hangs_up_takes_nothing_from_another_with_the_same_key(ring: "Ring", clocks: Clocks) -> None:
    header = ring.add()

    async def body(keys: Keys) -> None:
        first, second = (asyncio.create_task(keys.verify(header)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second).tenant == "acme"
        assert first.cancelled()

    with_keys(ring, clocks, body)


def test_no_key_is_remembered_only_a_digest_of_it(ring: "Ring", clocks: Clocks) -> None:
    header = ring.add()

    async def body(keys: Keys) -> None:
        await keys.verify(header)
        secret = header.split("_", 2)[2].encode()  # which may have an underscore itself
        assert all(secret not in digest and len(digest) == 16 for digest in keys._known)
        again = Keys(ring.path)
        assert again._digest(b"x") != keys._digest(b"x")
        await again.stop()

    with_keys(ring, clocks, body)


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
        "Bearer " + "x" * 9999,
    ],
)
def test_what_is_no_key_is_refused_without_a_hash(ring: "Ring", clocks: Clocks, header: str | None) -> None:
    ring.add()

    async def body(keys: Keys) -> None:
        assert isinstance(await refusal(keys, header), Unauthenticated)
        with pytest.raises(Unauthenticated):
            keys.caller(header)
        assert clocks.hashes == []

    with_keys(ring, clocks, body)


@given(st.text(max_size=300))
def test_any_header_is_a_key_or_refused(header: str) -> None:
    try:
        key, name, secret = parse_authorization(header)
    except Unauthenticated as error:
        assert error.message in (NO_KEY, NOT_KNOWN)  # noqa: PT017 - and nothing of what was sent
    else:
        assert key == f"tr_{name}_{secret}"


def test_a_wrong_secret_and_an_unknown_name_are_told_apart_by_nothing(ring: "Ring", clocks: Clocks) -> None:
    header, revoked = ring.add(), ring.add("revoked", revoked=NOW)

    async def body(keys: Keys) -> None:
        wrong = await refusal(keys, header[:-1] + ("a" if header[-1] != "a" else "b"))
        unknown = await refusal(keys, header.replace("acme-web", "nobody"))
        gone = await refusal(keys, revoked)
        assert (wrong.message, wrong.code) == (unknown.message, unknown.code) == (gone.message, gone.code)
        assert clocks.hashes == []
        assert len(keys._stand_in.salt) == len(keys._entries["acme-web"].scrypt.salt)
        assert keys._known == {}

    with_keys(ring, clocks, body)


def test_the_stand_in_lets_nobody_in(ring: "Ring", clocks: Clocks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even who had its secret."""
    ring.add()

    async def body(keys: Keys) -> None:
        monkeypatch.setattr(Scrypt, "may_be", lambda *_: True)
        monkeypatch.setattr(Scrypt, "of", lambda self, _: bytes.fromhex(self.hash))
        assert isinstance(await refusal(keys, "Bearer tr_nobody_x"), Unauthenticated)

    with_keys(ring, clocks, body)


def test_what_is_not_turned_away_early_must_still_be_right(ring: "Ring", clocks: Clocks, monkeypatch: pytest.MonkeyPatch) -> None:
    header = ring.add()

    async def body(keys: Keys) -> None:
        monkeypatch.setattr(Scrypt, "may_be", lambda *_: True)
        assert isinstance(await refusal(keys, f"{header}x"), Unauthenticated)
        assert len(clocks.hashes) == 1
        assert (await keys.verify(header)).tenant == "acme"

    with_keys(ring, clocks, body)


def test_an_expired_key_is_refused_from_the_second_on(ring: "Ring", clocks: Clocks) -> None:
    header = ring.add(expires=NOW + timedelta(hours=1))

    async def body(keys: Keys) -> None:
        clocks.now_s = 3599.0
        await keys.verify(header)
        clocks.now_s = 3600.0
        with pytest.raises(Unauthenticated, match="expired at 2026-11-26T01:00:00Z"):
            keys.caller(header)
        assert "expired" not in (await refusal(keys, header + "x")).message  # only to who has the key

    with_keys(ring, clocks, body)


def test_a_flood_of_guesses_makes_no_good_key_wait(ring: "Ring", clocks: Clocks) -> None:
    """Neither guessed names nor guessed secrets of a name that there is cost a hash, or count against the key of that name."""
    good = ring.add()

    async def body(keys: Keys) -> None:
        guesses = [*(f"Bearer tr_n{n}_x" for n in range(2000)), *(f"{good}{n}" for n in range(2000))]
        flood = [asyncio.create_task(refusal(keys, guess)) for guess in guesses]
        caller = asyncio.create_task(keys.verify(good))
        assert {type(found) for found in await asyncio.gather(*flood)} == {Unauthenticated}
        assert (await caller).tenant == "acme"
        assert len(clocks.hashes) == 1
        assert keys._guesses.level.keys() <= {"acme-web"}

    with_keys(ring, clocks, body)


def test_in_an_older_file_guesses_slow_the_key_of_their_name_alone(
    ring: "Ring", clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hashes never end here by themselves: what is asked of the threads before the good key is what it waits for."""
    attacked, good = ring.add(), ring.add("other")
    ring.age()
    of, go = Scrypt.of, threading.Event()

    def slow(self: Scrypt, secret: str) -> bytes:
        assert go.wait(20)
        return of(self, secret)

    monkeypatch.setattr(Scrypt, "of", slow)

    async def body(keys: Keys) -> None:
        flood = [asyncio.create_task(refusal(keys, f"{attacked}{n}")) for n in range(1000)]
        await asyncio.sleep(0)
        caller = asyncio.create_task(keys.verify(good))
        await asyncio.sleep(0)
        assert len(keys._checks) == GUESSES + 1
        go.set()
        assert (await caller).key == "other"
        found = [type(refused) for refused in await asyncio.gather(*flood)]
        assert found == [Unauthenticated] * int(GUESSES) + [TooMany] * (1000 - int(GUESSES))

    with_keys(ring, clocks, body)


def test_guesses_at_one_name_are_held_back_and_others_are_not(ring: "Ring", clocks: Clocks) -> None:
    good, other = ring.add(), ring.add("other")
    ring.age()

    async def body(keys: Keys) -> None:
        known = await keys.verify(other)
        for n in range(int(GUESSES)):
            assert isinstance(await refusal(keys, f"{good}{n}"), Unauthenticated)
        held_back = await refusal(keys, f"{good}x")
        assert isinstance(held_back, TooMany)
        assert held_back.retry_after_s == pytest.approx(10.0)
        assert isinstance(await refusal(keys, good), TooMany)  # a good key not seen before is held back with them
        assert keys.caller(other) is known
        clocks.now_s += 10.0
        assert (await keys.verify(good)).tenant == "acme"

    with_keys(ring, clocks, body)


def test_a_good_key_uses_no_guesses_up(ring: "Ring", clocks: Clocks) -> None:
    header = ring.add()

    async def body(keys: Keys) -> None:
        for _ in range(int(GUESSES) + 1):
            keys._known.clear()
            await keys.verify(header)

    with_keys(ring, clocks, body)


def test_so_many_wait_to_be_checked_and_no_more(ring: "Ring", clocks: Clocks, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = [ring.add(f"n{n}") for n in range(10)]
    ring.age()
    monkeypatch.setattr(module, "MOST_WAITING", 3)

    async def body(keys: Keys) -> None:
        found = await asyncio.gather(*(refusal(keys, f"{header}x") for header in headers))
        assert [type(refused) for refused in found] == [Unauthenticated] * 3 + [TooMany] * 7
        await asyncio.sleep(0)
        assert keys._checks == {}

    with_keys(ring, clocks, body)


# ----------------------------------------------------------------------------------------------------------------- the file


def test_revocation_takes_effect_while_it_runs(ring: "Ring", clocks: Clocks, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the watch itself; the keys that are as they were are still known, without another hash."""
    revoked, stays = ring.add(), ring.add("stays")
    monkeypatch.setattr(module, "RELOAD_S", 0.01)

    async def body(keys: Keys) -> None:
        await keys.start()
        await keys.verify(revoked)
        await keys.verify(stays)
        await asyncio.to_thread(revoke_key, ring.path, "acme-web", NOW)
        clocks.hashes.clear()
        while keys.caller(revoked) is not None:
            await asyncio.sleep(0.01)
        assert keys.caller(stays) is not None
        assert clocks.hashes == []
        assert isinstance(await refusal(keys, revoked), Unauthenticated)
        added = await asyncio.to_thread(ring.add, "added")
        while "added" not in keys._entries:
            await asyncio.sleep(0.01)
        assert (await keys.verify(added)).key == "added"
        assert len(keys._known) == 2

    with_keys(ring, clocks, body)


def test_a_key_revoked_while_it_is_checked_is_not_let_in(ring: "Ring", clocks: Clocks) -> None:
    header = ring.add()

    async def body(keys: Keys) -> None:
        check = asyncio.create_task(keys.verify(header))
        await asyncio.sleep(0)
        revoke_key(ring.path, "acme-web", NOW)
        keys.reload()
        with pytest.raises(Unauthenticated):
            await check
        assert keys._known == {}

    with_keys(ring, clocks, body)


@pytest.mark.parametrize(
    "spoil",
    [lambda path: path.write_text("{"), lambda path: path.chmod(0o666), lambda path: path.unlink()],
    ids=["torn", "writable", "gone"],
)
def test_a_file_that_went_bad_leaves_the_keys_as_they_were(
    ring: "Ring", clocks: Clocks, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], object]
) -> None:
    header = ring.add()

    async def body(keys: Keys) -> None:
        await keys.verify(header)
        spoil(ring.path)
        with caplog.at_level(logging.INFO):
            keys.reload()
            keys.reload()
        assert [record.levelname for record in caplog.records] == ["ERROR"]  # said once
        assert keys.caller(header) is not None

    with_keys(ring, clocks, body)


@pytest.mark.parametrize("error", [InputError("too many open files", resolve="wait"), RecursionError("deep")])
def test_a_file_that_could_not_be_read_once_is_read_the_next_time(
    ring: "Ring", clocks: Clocks, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    header = ring.add()

    def failing(path: Path) -> Any:
        raise error

    async def body(keys: Keys) -> None:
        await keys.verify(header)
        revoke_key(ring.path, "acme-web", NOW)
        with monkeypatch.context() as broken:
            broken.setattr(module, "load_keys", failing)
            keys.reload()
        assert keys.caller(header) is not None
        keys.reload()
        assert keys.caller(header) is None

    with_keys(ring, clocks, body)


def test_a_gateway_does_not_start_on_a_file_that_can_not_be_trusted(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can not be read"):
        Keys(tmp_path / "none.json")


# ------------------------------------------------------------------------------------------------------------------- scopes


def test_a_key_may_do_what_its_scopes_and_classes_say() -> None:
    caller = Caller("a", "k", frozenset({"infer"}), ("chat",))
    allow(caller, "infer")
    allow(caller, "infer", "chat")
    allow(Caller("a"), "batch", "any")
    with pytest.raises(Forbidden, match="lacks the scope 'batch'"):
        allow(caller, "batch")
    with pytest.raises(Forbidden, match="not ask in the class 'search', only in chat"):
        allow(caller, "infer", "search")
    with pytest.raises(Forbidden):
        allow(Caller("a"), "admin")


def test_without_a_file_everybody_is_one_tenant_without_the_scope_admin() -> None:
    async def body() -> None:
        everybody = OpenAccess()
        await everybody.start()
        assert everybody.caller("whatever") is await everybody.verify(None)
        assert everybody.caller(None).tenant == "default"
        assert "admin" not in everybody.caller(None).scopes
        await everybody.stop()

    asyncio.run(body())
