"""Which replicas there are, which one a call goes to, with which key, and what that means for the meter."""

import asyncio
import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ThreadedResolver
from hypothesis import given
from hypothesis import strategies as st
from upstream_stand_in import ANSWER, LIMIT_S, Server, bench, call, says, until, waits_for, within

from tightrope.serve.config.settings import ServedPool
from tightrope.serve.refusals import Unavailable
from tightrope.serve.upstream.fleet import NEAR_MORE, NEAR_TIMES
from tightrope.serve.upstream.replica import nearness, number
from tightrope.serve.upstream.upstream_key import MOST_BYTES, UpstreamKey

LONG = "You are a careful assistant. " * 60
PAIR = ServedPool("p", "m", "v", usd_per_hour=3.6, concurrency=4.0, replicas_per_machine=2)


# ------------------------------------------------------------------------------------------------------------------- stickiness


def replica_names(servers: list[Server]) -> list[str]:
    return [server.url.removeprefix("http://") for server in servers]


def test_a_session_stays_on_its_replica_and_sessions_are_spread() -> None:
    async def work() -> None:
        async with bench(*(Server() for _ in range(4))) as on:
            at = {}
            for turn in range(3):
                for session in range(64):
                    reply = await on.ask(session=f"s{session}", text=f"turn {turn}")
                    assert at.setdefault(session, reply.replica) == reply.replica
            assert len(set(at.values())) == 4

    within(work())


def test_calls_with_the_same_long_beginning_go_to_one_replica_and_short_ones_anywhere() -> None:
    async def work() -> None:
        async with bench(*(Server() for _ in range(4))) as on:
            long = {(await on.ask(text=LONG + str(index))).replica for index in range(8)}
            other = {(await on.ask(text=f"{index}" + LONG)).replica for index in range(64)}
            short = {(await on.ask(text="hi")).replica for index in range(8)}
            assert len(long) == 1
            assert len(other) == len(short) == 4

    within(work())


def test_a_session_leaves_a_replica_that_has_far_more_to_do() -> None:
    async def work() -> None:
        gate = asyncio.Event()
        servers = [Server([waits_for(gate)]) for _ in range(2)]
        pool = ServedPool("p", "m", "v", concurrency=50.0)
        async with bench(*servers, pool=pool) as on:
            tasks = [asyncio.create_task(on.ask(session="s")) for _ in range(20)]
            await until(lambda: sum(server.open for server in servers) == 20)
            low, high = sorted(server.open for server in servers)
            assert low < high <= NEAR_TIMES * low + NEAR_MORE + 1
            gate.set()
            await asyncio.gather(*tasks)

    within(work())


def test_a_session_of_one_tenant_is_not_that_of_another() -> None:
    one, other = call(session="s"), call(session="s")
    other.caller = type(other.caller)("other")
    from tightrope.serve.upstream.openai import OpenAI

    keys = {OpenAI().ask(item, "m", binary=False).prefix for item in (one, other, call(session="t"))}
    assert len(keys) == 3


@given(
    st.sets(st.text(min_size=1, max_size=20), min_size=2, max_size=8), st.lists(st.binary(max_size=20), min_size=1, max_size=30)
)
def test_only_the_keys_of_a_replica_that_goes_move(names: set[str], keys: list[bytes]) -> None:
    seeds = {name: number(name.encode()) for name in names}

    def nearest(key: bytes, among: set[str]) -> str:
        return max(among, key=lambda name: (nearness(number(key), seeds[name]), name))

    gone = min(names)
    for key in keys:
        before = nearest(key, names)
        after = nearest(key, names - {gone})
        assert after != gone
        assert before in {gone, after}


def test_keys_are_spread_evenly() -> None:
    seeds = [number(f"http://10.0.0.{index}:8000".encode()) for index in range(5)]
    counts = [0] * 5
    for index in range(5000):
        key = number(b"%d" % index)
        counts[max(range(5), key=lambda place: nearness(key, seeds[place]))] += 1
    assert min(counts) > 900
    assert max(counts) < 1100


# --------------------------------------------------------------------------------------------------------------------- addresses


class Names:
    """A resolver that says what it is told."""

    def __init__(self, *addresses: str) -> None:
        self.addresses: list[str] | OSError = [*addresses]
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, name: str, port: int) -> list[str]:
        """Return the addresses."""
        self.asked.append((name, port))
        if isinstance(self.addresses, OSError):
            raise self.addresses
        return self.addresses


async def two_servers() -> tuple[Server, Server, int]:
    """Return two servers on one port of two addresses of the loopback."""
    first = Server()
    await first.start()
    second = Server(host="127.0.0.2", port=first.port)
    await second.start()
    return first, second, first.port


def test_replicas_come_and_go_with_the_addresses_of_a_name() -> None:
    async def work() -> None:
        first, second, port = await two_servers()
        names = Names("127.0.0.1")
        async with bench(urls=(f"http://engines.test:{port}",), resolve=names, discover=True, discover_s=0.02, pool=PAIR) as on:
            reply = await on.ask()
            assert reply.replica == f"127.0.0.1:{port}"
            assert first.asked[0][0]["host"] == f"engines.test:{port}"
            assert names.asked[0] == ("engines.test", port)
            names.addresses = ["127.0.0.1", "127.0.0.2"]
            await until(lambda: on.ready == 2)
            assert {(await on.ask()).replica for _ in range(4)} == {f"127.0.0.1:{port}", f"127.0.0.2:{port}"}
            gate = asyncio.Event()
            first.answers = second.answers = [waits_for(gate)]
            tasks = [asyncio.create_task(on.ask()) for _ in range(2)]
            await until(lambda: first.open == second.open == 1)
            names.addresses = ["127.0.0.2"]
            await until(lambda: on.pool.load().replicas_draining == 1)
            assert on.ready == 1
            gate.set()
            assert all(reply.output_tokens == 2 for reply in await asyncio.gather(*tasks))
            await until(lambda: on.pool.load().replicas_draining == 0)
            names.addresses = OSError("no answer")  # what is known stays
            asked = len(names.asked)
            await until(lambda: len(names.asked) > asked + 2)
            assert on.ready == 1
        await first.stop()
        await second.stop()

    within(work())


def test_a_resolver_that_does_not_answer_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tightrope.serve.upstream.fleet.RESOLVE_S", 0.01)

    async def work() -> None:
        names, answered = Names("127.0.0.1"), asyncio.Event()

        async def resolve(name: str, port: int) -> list[str]:
            found = await names(name, port)
            await answered.wait()
            return found

        server = Server()
        await server.start()
        async with bench(urls=(f"http://engines.test:{server.port}",), resolve=resolve, discover=True, discover_s=0.01) as on:
            task = asyncio.create_task(on.ask())
            for _ in range(5):
                await on.pool._fleet._discover()
            assert len(names.asked) == 1
            answered.set()
            await task
            answered.clear()
            names.addresses = OSError("no answer")
            await until(lambda: len(names.asked) > 1)
        await server.stop()

    within(work())


def test_a_pool_starts_from_none() -> None:
    async def work() -> None:
        server = Server()
        await server.start()
        names = Names()
        async with bench(urls=(f"http://engines.test:{server.port}",), resolve=names, discover=True, discover_s=0.05) as on:
            load = on.pool.load()
            assert (load.replicas_ready, load.replicas_down, load.replicas_starting) == (0, 0, 0)
            task = asyncio.create_task(on.ask())
            await until(lambda: load.held == 1)
            names.addresses = ["127.0.0.1"]
            await task
            assert load.held == 0
        await server.stop()

    within(work())


def test_two_paths_of_one_name_are_two_replicas_and_one_url_twice_is_one() -> None:
    async def work() -> None:
        server = Server()
        await server.start()
        base = f"http://e.test:{server.port}"
        urls = (f"{base}/v1", f"{base}/other/v1")
        async with bench(urls=urls, resolve=Names("127.0.0.1"), discover=True, discover_s=0.02, health_path="/health") as on:
            asked = server.checks
            await until(lambda: server.checks > asked)
            load = on.pool.load()
            assert len(on.pool._fleet.replicas) == 2  # pyrefly: ignore
            assert load.replicas_draining == 0
        async with bench(urls=(server.url, server.url)) as on:
            assert on.ready == 1
        await server.stop()

    within(work())


def test_an_address_that_comes_back_is_kept() -> None:
    async def work() -> None:
        gate = asyncio.Event()
        server = Server([waits_for(gate)])
        await server.start()
        names = Names("127.0.0.1")
        async with bench(urls=(f"http://e.test:{server.port}",), resolve=names, discover=True, discover_s=0.02) as on:
            task = asyncio.create_task(on.ask())
            await until(lambda: server.open == 1)
            names.addresses = []
            await until(lambda: on.ready == 0)
            names.addresses = ["127.0.0.1"]
            await until(lambda: on.ready == 1)
            gate.set()
            await task
            await on.ask()
            assert on.pool.load().replicas_draining == 0
        await server.stop()

    within(work())


def test_the_systems_own_resolver_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def work() -> None:
        server = Server()
        await server.start()
        async with bench(urls=(f"http://localhost:{server.port}",), discover=True) as on:
            assert (await on.ask()).replica == f"127.0.0.1:{server.port}"
        monkeypatch.setattr(socket, "getaddrinfo", unknown)  # a real one may ask the network, for long
        async with bench(urls=("http://nobody.invalid:1",), discover=True) as on:
            assert on.pool.load().replicas_down == 0
        await server.stop()

    within(work())


# ------------------------------------------------------------------------------------------------------------------------- meter


@pytest.mark.parametrize(("fails", "reached"), [("late", True), ("again", True), ("no name", False)])
def test_while_the_resolver_has_no_answer_the_last_addresses_are_used(
    monkeypatch: pytest.MonkeyPatch, fails: str, reached: bool
) -> None:
    monkeypatch.setattr("tightrope.serve.upstream.replica.NAMES_S", 0)
    monkeypatch.setattr("tightrope.serve.upstream.name_resolver.LAST_ONES_S", 0.01)
    found, failing, asked = ThreadedResolver.resolve, asyncio.Event(), []

    async def resolve(resolver: ThreadedResolver, *of: Any) -> Any:
        if not failing.is_set():
            return await found(resolver, *of)
        asked.append(of)
        if fails == "late":
            await asyncio.sleep(LIMIT_S)
        raise socket.gaierror(socket.EAI_AGAIN if fails == "again" else socket.EAI_NONAME, "no address")

    monkeypatch.setattr(ThreadedResolver, "resolve", resolve)

    async def work() -> None:
        server = Server([says(ANSWER, Connection="close")])
        await server.start()
        async with bench(urls=(f"http://localhost:{server.port}",), health_s=30.0, hold_s=0.1) as on:
            await on.ask()
            failing.set()
            for _ in range(2):
                if reached:
                    await on.ask()
                else:
                    with pytest.raises(Unavailable):
                        await on.ask()
            assert asked
            assert len(asked) == 1 or fails != "late"
        await server.stop()

    within(work())


def test_machines_are_those_that_answer_and_their_capacity_that_of_the_ready_ones() -> None:
    async def work() -> None:
        servers = [Server() for _ in range(4)]
        sizes: list[tuple[float, float]] = []
        async with bench(*servers, pool=PAIR, health_s=0.02) as on:
            resize = on.meter.resize

            def noted(now_s: float, machines: float, capacity: float) -> None:
                sizes.append((machines, capacity))
                resize(now_s, machines, capacity)

            on.meter.resize = noted  # type: ignore[method-assign]
            assert (on.meter._machines, on.meter._capacity) == (2_000_000, 16 << 20)  # pyrefly: ignore
            servers[0].health = 503  # it is there, and paid for, and cannot be asked
            await until(lambda: on.ready == 3)
            assert sizes[-1] == (2.0, 12.0)
            await servers[1].stop()
            await until(lambda: on.ready == 2)
            assert sizes[-1] == (1.5, 8.0)
        assert sizes[-1] == (0.0, 0.0)

    within(work())


def test_a_replica_that_was_never_there_starts_until_it_is_late() -> None:
    async def work() -> None:
        server = Server()
        await server.start()
        await server.stop()
        pool = ServedPool("p", "m", "v", start_s=60.0)
        async with bench(urls=(server.url,), pool=pool, health_s=0.05) as on:
            load = on.pool.load()
            assert (load.replicas_starting, load.replicas_down) == (1, 0)
            (late,) = on.pool._fleet.replicas.values()  # pyrefly: ignore
            late.since_s -= 60.0
            await until(lambda: load.replicas_down == 1)
            assert load.replicas_starting == 0

    within(work())


# -------------------------------------------------------------------------------------------------------------------------- keys


def test_the_key_is_sent_and_exchanged_when_its_file_changes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "key"
    path.write_text("first-secret\n")

    async def by_key(request: Any) -> Any:
        good = request.headers.get("Authorization") == f"Bearer {wanted}"
        return await (says(ANSWER) if good else says({"error": "no"}, 401))(request)

    async def work() -> None:
        nonlocal wanted
        async with bench(Server([by_key]), key_from=path) as on:
            await on.ask()
            wanted = "second-secret"
            fresh = tmp_path / "fresh"
            fresh.write_text(wanted)
            os.replace(fresh, path)  # noqa: PTH105 - as a mounted secret is exchanged
            await on.ask()  # the file is read again where the server does not know the key
            assert [headers["authorization"] for headers, _ in on.servers[0].asked] == [
                "Bearer first-secret", "Bearer first-secret", "Bearer second-secret",
            ]  # fmt: skip
        assert "secret" not in caplog.text

    wanted = "first-secret"
    within(work())


@pytest.mark.parametrize("content", [b"a\nb", b"\xff\xfe", b"x" * (MOST_BYTES + 1)])
def test_a_file_that_holds_no_key_changes_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_text("good")

    async def work() -> None:
        key = UpstreamKey(path)
        assert await key.refresh()
        assert not await key.refresh()
        path.write_bytes(content)
        assert not await key.refresh()
        assert key.headers == {"Authorization": "Bearer good"}
        path.unlink()
        assert await key.refresh()
        assert key.headers == {}
        assert not await UpstreamKey(None).refresh()

    within(work())


def test_a_clients_key_is_never_passed_on() -> None:
    async def work() -> None:
        async with bench(Server()) as on:
            await on.ask()
            headers, body = on.servers[0].asked[0]
            assert set(headers) <= {"host", "content-type", "content-length", "x-request-id", "accept"}
            assert "acme" not in json.dumps([headers, body])

    within(work())


def test_a_key_that_changes_is_read_again_by_and_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tightrope.serve.upstream.upstream_key.EVERY_S", 0.01)
    path = tmp_path / "key"

    async def work() -> None:
        async with bench(Server(), key_from=path) as on:  # an optional secret need not be there
            await on.ask()
            path.write_text("late")
            await until(lambda: on.pool._key.headers)  # pyrefly: ignore
            await on.ask()
            assert [headers.get("authorization") for headers, _ in on.servers[0].asked] == [None, "Bearer late"]

    within(work())
