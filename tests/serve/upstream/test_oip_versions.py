"""Servers of the Open Inference Protocol whose model becomes another version's: each is asked by what it says, and no request fails."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from upstream_stand_in import Bench, Server, bench, call, until, within

from tightrope.serve.records import Reply
from tightrope.serve.upstream import pool, tightrope_engine
from tightrope.serve.upstream.dialect import WholeAnswer
from tightrope.serve.upstream.oip import ModelMetadata, OpenInference


@dataclass
class Model:
    """A model that takes texts by one name, and refuses others as Triton does."""

    name: str = "text"
    gives: float = 1.0
    metadata: int = 200
    told: int = 0
    """Times that it was asked for its metadata."""
    named: list[str] = field(default_factory=list)
    """What it was asked by."""

    def server(self) -> Server:
        """Return a server of it."""
        return Server([self.answer])

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer what is asked of a server."""
        if request.path == "/v2":
            return web.json_response({"extensions": []})
        if request.method == "GET":
            self.told += 1
            said = {"inputs": [{"name": self.name, "datatype": "BYTES", "shape": [-1]}], "outputs": []}
            return web.json_response(said, status=self.metadata)
        (tensor,) = json.loads(await request.read())["inputs"]
        self.named.append(tensor["name"])
        if tensor["name"] != self.name:
            return web.json_response({"error": f"unexpected inference input {tensor['name']!r}"}, status=400)
        rows = len(tensor["data"])
        output = {"name": "v", "datatype": "FP32", "shape": [rows, 1], "data": [self.gives] * rows}
        return web.json_response({"outputs": [output]})


async def vector(on: Bench) -> float:
    reply = await on.ask(task="embed", inputs=("a",))
    assert isinstance(reply.outputs, tuple)
    return float(reply.outputs[0][0])


def names(on: Bench) -> list[str]:
    assert on.pool.signature is not None
    return [item.name for item in on.pool.signature.inputs]


def test_a_server_that_comes_back_with_another_version_is_asked_in_its_way() -> None:
    async def work() -> None:
        model = Model()
        async with bench(model.server(), task="embed", api="oip", health_s=0.02, hold_s=60.0) as on:
            assert (await vector(on), names(on)) == (1.0, ["text"])
            await on.servers[0].stop()
            model.name, model.gives = "prompt", 2.0
            held = asyncio.create_task(vector(on))
            await until(lambda: on.pool.load().held == 1)
            await on.servers[0].start()
            assert (await held, names(on)) == (2.0, ["prompt"])
            assert model.named == ["text", "prompt"], "it was never asked by the name of the version before"

    within(work())


def test_while_servers_are_exchanged_each_is_asked_by_what_it_says() -> None:
    async def work() -> None:
        old, new = Model(), Model("prompt", 2.0)
        async with bench(old.server(), new.server(), task="embed", api="oip", health_s=0.02) as on:
            await until(lambda: on.ready == 2)
            assert sorted([await vector(on) for _ in range(6)]) == [1.0] * 3 + [2.0] * 3
            assert (set(old.named), set(new.named)) == ({"text"}, {"prompt"})

    within(work())


def test_a_model_that_is_exchanged_without_the_server_going_is_noticed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        model = Model()
        async with bench(model.server(), task="embed", api="oip", health_s=0.02) as on:
            checks = on.servers[0].checks
            await until(lambda: on.servers[0].checks > checks + 3)
            assert model.told < on.servers[0].checks - 1, "not with each check"
            monkeypatch.setattr(pool, "LEARN_S", 0.0)
            model.name, model.gives = "prompt", 2.0
            await until(lambda: names(on) == ["prompt"])
            assert await vector(on) == 2.0

    within(work())


@pytest.mark.parametrize("status", [404, 500], ids=["not found", "a defect"])
def test_a_server_that_does_not_say_it_again_goes_on_as_it_was(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    async def work() -> None:
        model = Model()
        async with bench(model.server(), task="embed", api="oip", health_s=0.02) as on:
            monkeypatch.setattr(pool, "LEARN_S", 0.0)
            model.metadata, told = status, model.told
            await until(lambda: model.told > told + 3)
            assert (on.ready, await vector(on), names(on)) == (1, 1.0, ["text"])
            model.metadata, model.name = 200, "prompt"
            await until(lambda: names(on) == ["prompt"])

    within(work())


def test_a_server_that_is_silent_when_it_is_asked_again_stays_in(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        model = Model()
        async with bench(model.server(), task="embed", api="oip", health_s=0.02, connect_s=0.5) as on:
            gate, before = asyncio.Event(), model.answer

            async def silent(request: web.Request) -> web.StreamResponse:
                if request.method == "GET":
                    await gate.wait()
                return await before(request)

            on.servers[0].answers = [silent]
            monkeypatch.setattr(pool, "LEARN_S", 0.0)
            checks = on.servers[0].checks
            await until(lambda: on.servers[0].checks > checks + 2)
            assert (on.ready, await vector(on)) == (1, 1.0)
            gate.set()

    within(work())


def test_an_answer_is_read_as_it_was_asked_for_whatever_is_said_of_the_model_by_then() -> None:
    dialect, embed = OpenInference(), call(task="embed", inputs=("a",))
    mine = ModelMetadata(platform=tightrope_engine.PLATFORM)
    asked = dialect.ask(embed, "m", binary=False, said=mine)
    vectors = {"data": [{"index": 0, "embedding": [1.0, 2.0]}], "usage": {"prompt_tokens": 7}}
    for dialect.model in (mine, ModelMetadata()):
        reply = Reply("p", "v")
        dialect.answer(embed, asked, WholeAnswer("application/json", {}, json.dumps(vectors).encode()), reply)
        assert [item.tolist() for item in reply.outputs] == [[1.0, 2.0]]
        assert reply.input_tokens == 7


@pytest.mark.parametrize("body", [b"", b"[]", b'{"inputs": 7}', b'{"a":' * 100_000], ids=["empty", "a list", "a number", "deep"])
def test_nonsense_does_not_replace_what_is_known(body: bytes) -> None:
    dialect = OpenInference()
    known: Any = dialect.learn(b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1]}]}')
    assert dialect.learn(body) is None
    assert (dialect.model, dialect.is_known) == (known, True)
