"""Events are the same however their bytes were cut, and none is lost."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from upstream_stand_in import USAGE, call, sse, token

from tightrope.serve.records import Reply
from tightrope.serve.upstream.openai import ChatEvents, OpenAI
from tightrope.serve.upstream.sse import Splitter, data_of

ENDS = (b"\n", b"\r\n", b"\r")
LINES = st.one_of(
    st.binary(max_size=12).filter(lambda line: b"\n" not in line and b"\r" not in line),
    st.sampled_from([b"data: x", b"data:", b": comment", b"event: e", b'data: {"usage":1}']),
)


def cut(data: bytes, borders: list[int]) -> list[bytes]:
    """Return data cut at borders."""
    at = sorted({0, len(data), *(border % (len(data) + 1) for border in borders)})
    return [data[a:b] for a, b in pairwise(at)]


@given(st.lists(LINES, max_size=12), st.sampled_from(ENDS), st.lists(st.integers(0, 10_000), max_size=20))
def test_events_do_not_depend_on_how_the_bytes_were_cut(lines: list[bytes], end: bytes, borders: list[int]) -> None:
    data = b"".join(line + end for line in lines)
    whole, parts = Splitter(1 << 20), Splitter(1 << 20)
    expected = whole.feed(data)
    found = [event for chunk in cut(data, borders) for event in parts.feed(chunk)]
    assert found == expected
    assert parts.rest == whole.rest
    assert b"".join(found) + parts.rest == data


@given(st.lists(st.binary(max_size=30), max_size=10))
def test_any_bytes_come_out_as_they_went_in(chunks: list[bytes]) -> None:
    splitter = Splitter(1 << 20)
    assert b"".join(event for chunk in chunks for event in splitter.feed(chunk)) + splitter.rest == b"".join(chunks)


@given(st.lists(LINES.filter(bool), min_size=1, max_size=5), st.sampled_from(ENDS[:2]))
def test_an_empty_line_ends_an_event(lines: list[bytes], end: bytes) -> None:
    event = b"".join(line + end for line in lines) + end
    assert Splitter(1000).feed(event + event) == [event, event]


def test_an_event_of_many_parts_is_put_together_once(monkeypatch: pytest.MonkeyPatch) -> None:
    cut, times = Splitter._cut, []

    def counted(splitter: Splitter) -> list[bytes]:
        times.append(splitter._size)
        return cut(splitter)

    monkeypatch.setattr(Splitter, "_cut", counted)
    splitter = Splitter(1 << 20)
    assert not [event for _ in range(1000) for event in splitter.feed(b"data: xxx")]
    assert splitter.feed(b"\n\n") == [b"data: xxx" * 1000 + b"\n\n"]
    assert times == [9002]


def test_an_event_that_never_ends_is_refused() -> None:
    splitter = Splitter(10)
    splitter.feed(b"data: 123\n\n"[:10])
    with pytest.raises(ValueError, match="more than 10 bytes"):
        splitter.feed(b"x" * 2)
    with pytest.raises(ValueError, match="more than 10 bytes"):
        Splitter(10).feed(b"x" * 20 + b"\n\n")


def test_data_of_several_lines_is_joined() -> None:
    assert data_of(b"id: 1\r\ndata: a\r\ndata:  b\r\n\r\n") == b"a\n b"


TEXTS = st.text(max_size=8)
EVENTS = st.lists(st.builds(token, TEXTS), max_size=6)


@given(
    EVENTS, st.booleans(), st.booleans(), st.lists(st.integers(0, 5_000), max_size=15), st.sampled_from([b"\n\n", b"\r\n\r\n"])
)
def test_a_chat_is_followed_however_it_was_cut(
    tokens: list[dict[str, Any]], wanted: bool, renamed: bool, borders: list[int], end: bytes
) -> None:
    usage = {"id": "c1", "model": "server-model", "choices": [], "usage": USAGE}
    model = "server-model" if renamed else "mine"
    asked_for = call(stream=True, said={"stream_options": {"include_usage": True}} if wanted else {})
    asked = OpenAI().ask(asked_for, model, binary=False)
    data = sse(*tokens, usage, b"[DONE]", end=end)
    events, reply = ChatEvents(asked_for, asked, model, 1 << 20), Reply("p", "v")
    passed = b"".join(events.feed(chunk) for chunk in cut(data, borders))
    events.note(reply)
    assert (reply.input_tokens, reply.output_tokens, reply.tokens_estimated) == (11, 2, False)
    assert events.done
    assert events.has_token is any(part["choices"][0]["delta"]["content"] for part in tokens)
    expected = [*tokens, *([usage] if wanted else [])]
    if not renamed:
        assert passed == sse(*expected, b"[DONE]", end=end)
    else:
        found = [json.loads(data_of(event)) for event in Splitter(1 << 20).feed(passed)[:-1]]
        assert found == [part | {"model": "mine"} for part in expected]


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_whatever_a_server_streams_nothing_breaks(chunks: list[bytes]) -> None:
    asked = OpenAI().ask(call(stream=True), "server-model", binary=False)
    events = ChatEvents(call(stream=True), asked, "server-model", 1 << 20)
    for chunk in chunks:
        events.feed(b"data: " + chunk + b"\n\n")
    events.note(Reply("p", "v"))
