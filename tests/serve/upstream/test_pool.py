"""One request before one server or several: what is sent, what comes back, what it cost."""

import gc
import json
from dataclasses import replace

import pytest
from upstream_stand_in import ANSWER, USAGE, Server, bench, call, read, said, says, sse, streams, token, within

from tightrope.base.errors import InputError
from tightrope.serve.config.settings import ServedPool, Upstream
from tightrope.serve.ledger.meter import MachineMeter
from tightrope.serve.records import RawAnswer, Reply
from tightrope.serve.refusals import Malformed, TooLarge, UpstreamFailed
from tightrope.serve.upstream.pool import UpstreamPool

TOKENS = ServedPool("p", "m", "v", usd_per_million_input_tokens=2.0, usd_per_million_output_tokens=10.0, usd_per_gb_egress=0.1)


def test_a_chat_goes_on_with_the_servers_name_and_comes_back_with_the_clients() -> None:
    async def work() -> None:
        async with bench(Server()) as on:
            reply = await on.ask(said={"temperature": 0.5, "metadata": {"a": [1, 2]}}, traceparent="00-aa-bb-01", identity="r-7")
            headers, body = on.servers[0].asked[0]
            assert body["model"] == "server-model"
            assert (body["temperature"], body["metadata"]) == (0.5, {"a": [1, 2]})
            assert "stream_options" not in body
            assert headers["traceparent"] == "00-aa-bb-01"
            assert headers["x-request-id"] == "r-7"
            assert "authorization" not in headers
            assert isinstance(reply.raw, RawAnswer)
            assert json.loads(reply.raw.body) == ANSWER | {"model": "mine"}
            assert (reply.input_tokens, reply.output_tokens, reply.tokens_estimated) == (11, 2, False)
            assert (reply.pool, reply.variant, reply.replica) == ("p", "v", on.servers[0].url.removeprefix("http://"))
            assert on.heard.batches == [("p", 1, reply.service_s)]

    within(work())


def test_tokens_and_bytes_are_charged_and_machines_by_the_meter() -> None:
    async def work() -> None:
        async with bench(Server(), pool=TOKENS) as on:
            reply = await on.ask()
            assert reply.tokens_nusd == 11 * 2000 + 2 * 10_000
            assert reply.raw is not None
            assert reply.egress_nusd == -(-len(reply.raw.body) // 10)
            assert reply.compute_nusd is None  # nobody said what the machine costs
        async with bench(Server(), pool=replace(TOKENS, stays=frozenset({call().traffic_class}))) as on:
            assert (await on.ask()).egress_nusd == 0
        async with bench(Server()) as on:
            reply = await on.ask()
            assert on.meter.read(on.meter.clock()).ended_nusd == reply.compute_nusd
            assert reply.compute_nusd
            assert on.meter.read(on.meter.clock()).used_nusd == reply.compute_nusd

    within(work())


@pytest.mark.parametrize(
    "usage", [None, "many", {"prompt_tokens": -1, "completion_tokens": 2}, {"prompt_tokens": 2**40}, {"prompt_tokens": "3"}, []]
)
def test_tokens_that_are_not_said_or_can_not_be_are_reckoned(usage: object) -> None:
    async def work() -> None:
        answer = {key: value for key, value in ANSWER.items() if key != "usage"} | ({} if usage is None else {"usage": usage})
        async with bench(Server([says(answer)])) as on:
            reply = await on.ask(text="x" * 400)
            assert reply.tokens_estimated
            assert 100 <= reply.input_tokens <= 130
            assert reply.output_tokens > 0

    within(work())


def test_a_stream_goes_on_byte_for_byte() -> None:
    sent = b": hello\n\n" + sse(token("a"), token("b"), {"id": "c1", "choices": [], "usage": USAGE}, b"[DONE]")

    async def work() -> None:
        pieces = [sent[i : i + 7] for i in range(0, len(sent), 7)]
        async with bench(Server([streams(*pieces)]), model="mine") as on:
            reply = await on.ask(stream=True, said={"stream_options": {"include_usage": True, "more": 1}})
            assert await read(reply) == sent
            assert on.servers[0].asked[0][1]["stream_options"] == {"include_usage": True, "more": 1}
            assert (reply.input_tokens, reply.output_tokens, reply.tokens_estimated) == (11, 2, False)
            assert reply.first_token_s is not None
            assert reply.compute_nusd
            assert reply.raw is not None
            assert reply.raw.status == 200
            assert on.pool.load().in_flight == 0

    within(work())


def test_usage_that_the_client_did_not_ask_for_is_read_and_not_passed_on() -> None:
    async def work() -> None:
        usage = {"id": "c1", "model": "server-model", "choices": [], "usage": USAGE}
        server = Server([streams(sse(token("a", usage=None)), sse(token("b", usage=None)) + sse(usage), sse(b"[DONE]"))])
        async with bench(server) as on:
            reply = await on.ask(stream=True)
            passed = [token("a", usage=None, model="mine"), token("b", usage=None, model="mine"), b"[DONE]"]
            assert said(await read(reply)) == passed
            assert server.asked[0][1]["stream_options"] == {"include_usage": True}
            assert (reply.input_tokens, reply.output_tokens) == (11, 2)

    within(work())


def test_a_stream_without_usage_counts_its_parts() -> None:
    async def work() -> None:
        async with bench(Server([streams(sse(token("a"), token("b"), token("c"), b"[DONE]"))])) as on:
            reply = await on.ask(stream=True)
            await read(reply)
            assert (reply.output_tokens, reply.tokens_estimated) == (3, True)
            assert reply.input_tokens > 10

    within(work())


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_an_answer_leaves_nothing_to_the_garbage_collector(stream: bool) -> None:
    def replies() -> int:
        return sum(type(one) is Reply for one in gc.get_objects())  # of a weak proxy `isinstance` may fail

    async def work() -> None:
        answers = [streams(sse(token("a"), b"[DONE]")) if stream else says(ANSWER) for _ in range(3)]
        async with bench(Server(answers)) as on:
            gc.collect()
            gc.disable()
            before = replies()
            for _ in range(3):
                reply = await on.ask(stream=stream)
                if stream:
                    await read(reply)
                del reply
            assert replies() == before

    try:
        within(work())
    finally:
        gc.enable()


def test_a_connection_is_used_again_after_an_answer_and_after_a_stream() -> None:
    async def work() -> None:
        server = Server([says(ANSWER), streams(sse(token("a"), b"[DONE]")), says(ANSWER)])
        ports = set()

        async def noted(request):  # noqa: ANN001, ANN202
            ports.add(request.transport.get_extra_info("peername"))
            return await handlers.pop(0)(request)

        handlers, server.answers = server.answers, [noted]
        async with bench(server) as on:
            await on.ask()
            await read(await on.ask(stream=True))
            await on.ask()
        assert len(ports) == 1

    within(work())


@pytest.mark.parametrize(
    ("status", "body", "kind", "message", "parameter"),
    [
        (400, {"error": {"message": "server-model takes  9 words", "param": "messages"}}, Malformed, "^mine takes 9 words", "messages"),
        (400, {"error": "the server-models of server-model, 'server-model'."}, Malformed, "^the server-models of mine, 'mine'\\.$", None),
        (422, {"object": "error", "message": "bad"}, Malformed, "bad", None),
        (413, b"<html>", TooLarge, "refused the request with 413", None),
        (401, {"error": {"message": "key sk-123 is wrong"}}, UpstreamFailed, "answered with 401", None),
        (404, {"error": "no such model"}, UpstreamFailed, "answered with 404", None),
        (302, b"", UpstreamFailed, "answered with 302", None),
        (500, {"error": "boom"}, UpstreamFailed, "failed with 500", None),
    ],
)  # fmt: skip
def test_what_a_server_refuses(status: int, body: object, kind: type, message: str, parameter: str | None) -> None:
    async def work() -> None:
        async with bench(Server([says(body, status)])) as on:
            with pytest.raises(kind, match=message) as caught:
                await on.ask()
            assert caught.value.parameter == parameter
            assert "sk-123" not in str(caught.value)
            assert len(on.servers[0].asked) == 1

    within(work())


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"null", b'{"a": 1}garbage', b"[" * 100_000])
def test_an_answer_that_is_no_answer(body: bytes) -> None:
    async def work() -> None:
        async with bench(Server([says(body)])) as on:
            asked = call()
            with pytest.raises(UpstreamFailed):
                await on.pool.answer(asked)
            assert asked.lost_nusd
            assert on.meter.read(on.meter.clock()).used_nusd == asked.lost_nusd

    within(work())


def test_an_answer_that_is_too_large_is_broken_off() -> None:
    async def work() -> None:
        async with bench(Server([says(b'{"x": "' + b"a" * 200_000 + b'"}')]), answer_bytes=50_000) as on:
            with pytest.raises(UpstreamFailed, match="more than 50,000 bytes"):
                await on.ask()
        async with bench(Server([streams(b"data: " + b"a" * 200_000)]), answer_bytes=50_000) as on:
            reply = await on.ask(stream=True)
            assert b"broke off" in await read(reply)

    within(work())


def test_a_call_that_is_no_object_goes_nowhere() -> None:
    async def work() -> None:
        async with bench(Server()) as on:
            for body in (b"[]", b"{", b"", b'{"stream_options": 3}'):
                asked = call(stream=True)
                asked.body = body
                if body:
                    with pytest.raises(Malformed):
                        await on.pool.answer(asked)
            assert not on.servers[0].asked

    within(work())


def test_embeddings_come_as_arrays_in_the_order_asked() -> None:
    async def work() -> None:
        data = [{"index": 1, "embedding": [3, 4.5]}, {"index": 0, "embedding": [1, 2]}]
        server = Server([says({"data": data, "usage": {"prompt_tokens": 5}})])
        async with bench(server, task="embed") as on:
            reply = await on.ask(task="embed", inputs=("a", "b"), parameters={"dimensions": 2})
            assert [vector.tolist() for vector in reply.outputs] == [[1, 2], [3, 4.5]]
            assert {str(vector.dtype) for vector in reply.outputs} == {"float32"}
            assert (reply.input_tokens, reply.output_tokens, reply.tokens_estimated) == (5, 0, False)
            expected = {"model": "server-model", "input": ["a", "b"], "encoding_format": "float", "dimensions": 2}
            assert server.asked[0][1] == expected

    within(work())


@pytest.mark.parametrize(
    "data",
    [
        [],
        [{"index": 0, "embedding": [1]}],
        [{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [1]}],
        [{"index": 0, "embedding": [1]}, {"index": 1, "embedding": [1, 2]}],
        [{"index": 0, "embedding": "AAAA"}, {"index": 1, "embedding": "AAAA"}],
    ],
)
def test_embeddings_that_are_none(data: list[dict[str, object]]) -> None:
    async def work() -> None:
        async with bench(Server([says({"data": data})]), task="embed") as on:
            with pytest.raises(UpstreamFailed):
                await on.ask(task="embed", inputs=("a", "b"))

    within(work())


def test_the_base_url_may_end_as_openai_writes_it() -> None:
    async def work() -> None:
        server = Server()
        await server.start()
        async with bench(urls=(server.url + "/v1",)) as on:
            await on.ask()
        await server.stop()
        assert len(server.asked) == 1

    within(work())


@pytest.mark.parametrize(
    ("task", "upstream", "message"),
    [
        ("infer", Upstream("openai", ("http://h:1",)), "not for 'infer'"),
        ("chat", Upstream("oip", ("http://h:1",)), "not for 'chat'"),
        ("chat", Upstream("openai", ()), "names no servers"),
        ("chat", Upstream("openai", ("ftp://h",)), "base URL"),
        ("chat", Upstream("openai", ("http://user:secret@h",)), "base URL"),
        ("chat", Upstream("openai", ("http://h:99999",)), "base URL"),
        ("chat", None, "names no servers"),
    ],
)
def test_servers_that_can_not_be_asked_are_refused(task, upstream, message: str) -> None:  # noqa: ANN001
    with pytest.raises(InputError, match=message) as caught:
        UpstreamPool(ServedPool("p", "m", "v", upstream=upstream), task, {}, MachineMeter(None, 1.0), None)  # type: ignore[arg-type]
    assert "secret" not in str(caught.value)
