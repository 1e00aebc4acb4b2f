"""Each question is answered once, for its tenant; whoever fails or hangs up takes nobody along; what must not be kept is not."""

import asyncio
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from asking import run, tokens_of, vector_of

from tightrope.serve.answers import streams
from tightrope.serve.answers.streams import MOST_BYTES
from tightrope.serve.config.settings import CacheSettings
from tightrope.serve.records import Call, RawAnswer, Reply
from tightrope.serve.refusals import TooMany

if TYPE_CHECKING:
    from asking import Desk

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def chat(desk: "Desk", **others: Any) -> Call:
    parameters = {name: others[name] for name in ("temperature", "seed", "cache") if name in others}
    said = {**CHAT, **{name: value for name, value in others.items() if name in ("temperature", "seed")}}
    return desk.call(task="chat", body=json.dumps(said).encode(), parameters=parameters, stream=others.get("stream", False))


async def settled() -> None:
    """Let every task go as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


# ------------------------------------------------------------------------------------------------------------------- one at a time


def test_the_same_is_answered_once_and_says_so(desk: "Desk") -> None:
    async def body() -> None:
        first, again = await desk.ask(desk.call("a b")), await desk.ask(desk.call("a b"))
        assert (first.cached, again.cached) == ("", "hit")
        assert isinstance(again.outputs, tuple)
        assert again.outputs[0].tolist() == vector_of("a b").tolist()
        assert (again.pool, again.variant, again.input_tokens, again.tokens_estimated) == ("pool", "v", 4, False)
        assert (again.compute_nusd, again.egress_nusd, again.saved_nusd, again.nusd) == (0, 50, 700, 50)
        assert len(desk.asked) == 1
        assert desk.counted == {False: 1, True: 1}

    run(body)


def test_after_its_time_an_answer_is_made_anew(desk: "Desk") -> None:
    desk.settings = CacheSettings(ttl_s=60.0)

    async def body() -> None:
        for now_s, cached in ((0.0, ""), (59.9, "hit"), (60.0, ""), (119.9, "hit"), (120.0, "")):
            desk.now_s = now_s
            assert (await desk.ask(desk.call("x"))).cached == cached

    run(body)


def test_no_tenant_has_anothers_answer(desk: "Desk") -> None:
    async def body() -> None:
        for tenant in ("a", "b", "a", "b"):
            await desk.ask(desk.call("secret", tenant=tenant))
            await desk.ask(desk.call("secret", "other", tenant=tenant))
        assert [call.caller.tenant for call in desk.asked] == ["a", "a", "b", "b"]
        desk.gate = asyncio.Event()
        both = [asyncio.create_task(desk.ask(desk.call("at once", tenant=tenant))) for tenant in ("a", "b")]
        await settled()
        desk.gate.set()
        assert [(await task).cached for task in both] == ["", ""]

    run(body)


@pytest.mark.parametrize(
    ("fields", "failure"),
    [
        ({"varies": True}, None),
        ({}, TooMany("busy")),
        ({"raw": RawAnswer(500, "application/json", b"oh")}, None),
        ({"raw": RawAnswer(200, "text/event-stream", stream=None), "varies": True}, None),
    ],
    ids=["varies", "refused", "failed elsewhere", "raw and varies"],
)
def test_what_must_not_be_given_again_is_not(desk: "Desk", fields: dict[str, Any], failure: Exception | None) -> None:
    async def body() -> None:
        desk.fields = fields
        if failure is not None:
            desk.failures.append(failure)
            with pytest.raises(TooMany):
                await desk.ask(desk.call("x"))
        else:
            await desk.ask(desk.call("x"))
        assert (await desk.ask(desk.call("x"))).cached == ""
        assert len(desk.asked) == 2

    run(body)


def test_a_client_that_wants_none_gets_none_and_leaves_none(desk: "Desk") -> None:
    async def body() -> None:
        for _ in range(2):
            assert (await desk.ask(desk.call("x", parameters={"cache": False}))).cached == ""
        assert (await desk.ask(desk.call("x"))).cached == ""
        assert (await desk.ask(desk.call("x", parameters={"cache": False}))).cached == ""
        assert desk.counted == {False: 1}

    run(body)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({}, False),
        ({"temperature": 0.7}, False),
        ({"temperature": 0}, True),
        ({"temperature": 0.0}, True),
        ({"temperature": 1, "seed": 5}, True),
        ({"cache": True}, True),
        ({"temperature": 0, "cache": False}, False),
    ],
)
def test_a_chat_is_kept_where_it_would_say_the_same(desk: "Desk", said: dict[str, Any], kept: bool) -> None:
    async def body() -> None:
        first, again = await desk.ask(chat(desk, **said)), await desk.ask(chat(desk, **said))
        assert again.cached == ("hit" if kept else "")
        assert first.raw is not None
        assert again.raw is not None
        assert again.raw.body == first.raw.body
        desk.gate = asyncio.Event()
        both = [asyncio.create_task(desk.ask(chat(desk, **{**said, "seed": 9} if "seed" in said else said))) for _ in range(2)]
        await settled()
        desk.gate.set()
        await asyncio.gather(*both)
        assert len(desk.asked) == (1 + ("seed" in said) if kept else 4)

    run(body)


def test_tensors_are_kept(desk: "Desk") -> None:
    async def body() -> None:
        for value in (1.0, 1.0, 2.0):
            reply = await desk.ask(desk.call(task="infer", inputs={"x": np.full((2, 2), value)}))
            assert not isinstance(reply.outputs, tuple)
            assert reply.outputs["y"].tolist() == [0.0, 1.0, 2.0]
        assert len(desk.asked) == 2

    run(body)


# -------------------------------------------------------------------------------------------------------------------- at once


def test_what_is_asked_at_once_is_answered_once(desk: "Desk") -> None:
    async def body() -> None:
        desk.gate = asyncio.Event()
        tasks = [asyncio.create_task(desk.ask(desk.call("x"))) for _ in range(50)]
        await settled()
        desk.gate.set()
        replies = await asyncio.gather(*tasks)
        assert [reply.cached for reply in replies] == [""] + 49 * ["shared"]
        assert {reply.saved_nusd for reply in replies[1:]} == {700}
        assert sum(reply.compute_nusd or 0 for reply in replies) == 700
        assert len(desk.asked) == 1
        assert desk.counted == {False: 1, True: 49}
        assert desk.answers._flights == {}

    run(body)


def test_a_leader_that_fails_fails_nobody_else(desk: "Desk") -> None:
    async def body() -> None:
        desk.gate, desk.failures = asyncio.Event(), [TooMany("busy")]
        tasks = [asyncio.create_task(desk.ask(desk.call("x"))) for _ in range(5)]
        await settled()
        desk.gate.set()
        replies = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(replies[0], TooMany)
        assert [reply.cached for reply in replies[1:] if isinstance(reply, Reply)] == ["", "shared", "shared", "shared"]
        assert len(desk.asked) == 2

    run(body)


def test_a_failure_of_a_server_elsewhere_is_not_shared(desk: "Desk") -> None:
    async def body() -> None:
        desk.gate = asyncio.Event()

        async def make(call: Call) -> Reply:
            reply = await desk.make(call)
            assert reply.raw is not None
            if len(desk.asked) == 1:
                reply.raw.status = 503
            return reply

        tasks = [asyncio.create_task(desk.answers.answer(chat(desk, temperature=0), make)) for _ in range(3)]
        await settled()
        desk.gate.set()
        replies = await asyncio.gather(*tasks)
        assert [reply.raw.status for reply in replies if reply.raw] == [503, 200, 200]
        assert [reply.cached for reply in replies] == ["", "", "shared"]

    run(body)


def test_where_leaders_go_on_failing_nobody_waits_for_more_than_two(desk: "Desk") -> None:
    async def body() -> None:
        desk.gate, desk.failures = asyncio.Event(), [TooMany("busy"), TooMany("busy")]
        tasks = [asyncio.create_task(desk.ask(desk.call("x"))) for _ in range(5)]
        await settled()
        desk.gate.set()
        replies = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(reply) for reply in replies] == [TooMany, TooMany, Reply, Reply, Reply]
        assert len(desk.asked) == 5
        assert desk.answers._flights == {}

    run(body)


@pytest.mark.parametrize("leaves", [0, 1], ids=["the leader", "a follower"])
def test_a_client_that_hangs_up_takes_nobody_along(desk: "Desk", leaves: int) -> None:
    async def body() -> None:
        desk.gate = asyncio.Event()
        tasks = [asyncio.create_task(desk.ask(desk.call("x"))) for _ in range(4)]
        await settled()
        tasks.pop(leaves).cancel()
        await settled()
        desk.gate.set()
        assert sorted(reply.cached for reply in await asyncio.gather(*tasks)) == ["", "shared", "shared"]
        assert len(desk.asked) == (2 if leaves == 0 else 1)
        assert desk.answers._flights == {}

    run(body)


def test_nobody_waits_for_what_may_be_treated_worse(desk: "Desk") -> None:
    """An interactive call does not wait for the same in deferrable work."""

    async def body() -> None:
        desk.gate = asyncio.Event()
        nightly = asyncio.create_task(desk.ask(desk.call("x", deadline_s=1e9)))
        interactive = asyncio.create_task(desk.ask(desk.call("x")))
        await settled()
        assert len(desk.asked) == 2
        desk.gate.set()
        await asyncio.gather(nightly, interactive)

    run(body)


# ---------------------------------------------------------------------------------------------------------------- several texts


def test_only_texts_that_are_not_kept_are_asked_for_and_the_order_stays(desk: "Desk") -> None:
    async def body() -> None:
        await desk.ask(desk.call("a a", "b"))
        reply = await desk.ask(desk.call("c", "b", "d d d", "a a", "c"))
        assert desk.texts_asked() == [("a a", "b"), ("c", "d d d")]
        assert isinstance(reply.outputs, tuple)
        texts = ("c", "b", "d d d", "a a", "c")
        assert [row.tolist() for row in reply.outputs] == [vector_of(text).tolist() for text in texts]
        assert (reply.prompt_tokens, reply.input_tokens) == (sum(map(tokens_of, texts)), 8)  # c and d alone were read
        assert (reply.cached, reply.tokens_estimated, reply.compute_nusd) == ("", False, 700)
        # a and b: 700 split by 4 and 3 tokens; c once more: 700 split by 3 and 5 tokens
        assert reply.saved_nusd == 700 + 262
        assert reply.egress_nusd == 5 * 50
        assert desk.counted == {False: 2}

    run(body)


def test_texts_kept_together_and_alone_are_the_same(desk: "Desk") -> None:
    async def body() -> None:
        await desk.ask(desk.call("a", "b b"))
        alone = await desk.ask(desk.call("b b"))
        assert (alone.cached, alone.input_tokens, alone.saved_nusd) == ("hit", 4, 400)
        await desk.ask(desk.call("c"))
        together = await desk.ask(desk.call("c", "a", "c"))
        assert (together.cached, together.input_tokens, together.saved_nusd, together.egress_nusd) == ("hit", 9, 1700, 150)
        assert len(desk.asked) == 2

    run(body)


def test_tokens_that_were_split_are_said_to_be_estimated(desk: "Desk") -> None:
    desk.known_tokens = False

    async def body() -> None:
        first = await desk.ask(desk.call("a b", "c d e f"))
        assert (first.input_tokens, first.tokens_estimated) == (10, False)
        again = await desk.ask(desk.call("a b", "c d e f"))
        assert (again.cached, again.input_tokens, again.tokens_estimated) == ("hit", 10, True)
        await desk.ask(desk.call("a b", "alone"))
        alone = await desk.ask(desk.call("alone"))
        assert (alone.cached, alone.input_tokens, alone.tokens_estimated) == ("hit", 3, False)

    run(body)


def test_the_same_texts_at_once_are_answered_once(desk: "Desk") -> None:
    async def body() -> None:
        await desk.ask(desk.call("known"))
        desk.gate = asyncio.Event()
        tasks = [
            asyncio.create_task(desk.ask(desk.call(*texts))) for texts in (("x", "known"), ("known", "x"), ("x",), ("x", "x"))
        ]
        await settled()
        desk.gate.set()
        replies = await asyncio.gather(*tasks)
        assert desk.texts_asked() == [("known",), ("x",)]
        assert [reply.cached for reply in replies] == ["", "shared", "shared", "shared"]
        assert [len(reply.outputs) for reply in replies] == [2, 2, 1, 2]
        assert [reply.prompt_tokens for reply in replies] == [6, 6, 3, 6]
        assert replies[1].saved_nusd == 1400

    run(body)


@pytest.mark.parametrize("fails", [True, False])
def test_what_failed_attempts_cost_is_not_lost(desk: "Desk", fails: bool) -> None:
    async def body() -> None:
        await desk.ask(desk.call("a"))

        busy = TooMany("busy")

        async def dear(call: Call) -> Reply:
            call.lost.append(Reply("p", "v", compute_nusd=30))
            if fails:
                raise busy
            return await desk.make(call)

        call = desk.call("a", "b", lost=[Reply("p", "v", compute_nusd=5)])
        try:
            await desk.answers.answer(call, dear)
        except TooMany:
            assert fails
        assert call.lost_nusd == 35

    run(body)


def test_an_answer_that_can_not_be_told_apart_is_asked_for_whole(desk: "Desk") -> None:
    async def body() -> None:
        await desk.ask(desk.call("a"))
        desk.fields = {"raw": RawAnswer(200, "application/json", b"all of it")}
        call = desk.call("a", "b")
        reply = await desk.ask(call)
        assert reply.raw is not None
        assert desk.texts_asked() == [("a",), ("b",), ("a", "b")]
        assert (reply.nusd, call.lost_nusd) == (800, 750)
        assert (await desk.ask(desk.call("b"))).cached == ""

    run(body)


# --------------------------------------------------------------------------------------------------------------------- streams


async def read(reply: Reply) -> bytes:
    assert reply.raw is not None
    assert reply.raw.stream is not None
    return b"".join([part async for part in reply.raw.stream])


def test_a_stream_that_came_whole_is_given_again(desk: "Desk") -> None:
    async def body() -> None:
        first = await desk.ask(chat(desk, temperature=0, stream=True))
        waiting = await desk.ask(chat(desk, temperature=0, stream=True))  # nothing is kept yet
        assert waiting.cached == ""
        said = await read(first)
        desk.now_s += 1.0
        for _ in range(2):
            again = await desk.ask(chat(desk, temperature=0, stream=True))
            assert await read(again) == said
            assert (again.cached, again.output_tokens, again.saved_nusd, again.first_token_s) == ("hit", 3, 700, desk.now_s)
        assert (await desk.ask(chat(desk, temperature=0))).cached == ""
        await read(waiting)

    run(body)


@pytest.mark.parametrize("how", ["left", "broken off", "no end", "too long", "varies"])
def test_a_stream_that_did_not_come_whole_is_not(desk: "Desk", how: str) -> None:
    async def body() -> None:
        async def make(call: Call) -> Reply:
            reply = await desk.make(call)
            raw = reply.raw
            assert raw is not None

            async def parts() -> Any:
                yield b"data: " + b"x" * (MOST_BYTES if how == "too long" else 1) + b"\n\n"
                if how == "broken off":
                    raw.status = 502
                yield b"data: [DONE]\n\n" if how != "no end" else b"data: y\n\n"

            raw.stream, reply.varies = parts(), how == "varies"
            return reply

        reply = await desk.answers.answer(chat(desk, temperature=0, stream=True), make)
        assert reply.raw is not None
        assert reply.raw.stream is not None
        if how == "left":
            await anext(reply.raw.stream)
            await reply.raw.stream.aclose()  # type: ignore[attr-defined]
        else:
            assert b"data: " in await read(reply)
        assert len(desk.answers.store) == 0
        assert desk.answers._recorder.streams == 0

    run(body)


def test_a_stream_that_fails_is_let_go_of(desk: "Desk") -> None:
    async def body() -> None:
        async def make(call: Call) -> Reply:
            async def parts() -> Any:
                yield b"data: x\n\n"
                msg = "gone"
                raise TooMany(msg)

            return Reply("pool", "v", raw=RawAnswer(200, "text/event-stream", stream=parts()))

        reply = await desk.answers.answer(chat(desk, temperature=0, stream=True), make)
        assert desk.answers._recorder.streams == 1
        with pytest.raises(TooMany):
            await read(reply)
        assert desk.answers._recorder.streams == 0

    run(body)


def test_so_many_streams_are_recorded_at_a_time_and_no_more(desk: "Desk", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MOST_STREAMS", 3)

    async def body() -> None:
        replies = [await desk.ask(chat(desk, seed=n, stream=True)) for n in range(5)]
        for reply in replies:
            assert b"[DONE]" in await read(reply)
        assert len(desk.answers.store) == 3
        assert desk.answers._recorder.streams == 0

    run(body)


def test_the_semantic_cache_wants_an_embedding() -> None:
    from tightrope.serve.answers.cache import GatewayCache
    from tightrope.serve.config.settings import SemanticCache

    with pytest.raises(ValueError, match="needs what embeds a text"):
        GatewayCache(CacheSettings(semantic=SemanticCache(0.9, "m")), None)  # type: ignore[arg-type]
