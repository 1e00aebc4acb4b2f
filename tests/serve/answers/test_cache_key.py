"""Two calls have one digest if and only if the model sees the same and the tenant is the same."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.serve.answers import cache_key
from tightrope.serve.answers.cache_key import CacheKeys
from tightrope.serve.records import Call, Caller

if TYPE_CHECKING:
    from asking import Desk


def call_of(tenant: str, model: str, text: str, task: str = "embed", parameters: dict[str, Any] | None = None) -> Call:
    return Call("1", Caller(tenant), task, model, (text,), 0.0, parameters=parameters or {})  # type: ignore[arg-type]


PARAMETERS = st.dictionaries(
    st.sampled_from(["dimensions", "outputs", "x"]), st.one_of(st.integers(0, 3), st.text(max_size=2)), max_size=2
)
ASKED = st.tuples(
    st.text(max_size=3), st.text(max_size=3), st.text(max_size=3), st.sampled_from(["embed", "classify"]), PARAMETERS
)
ASKER = CacheKeys()


@given(ASKED, ASKED)
def test_digests_agree_where_everything_does_and_nowhere_else(one: Any, other: Any) -> None:
    keys = [ASKER.keys(call_of(*which))[0] for which in (one, other)]
    assert (keys[0] == keys[1]) == (one == other)


@given(st.lists(st.text(max_size=4), min_size=1, max_size=5))
def test_a_text_among_others_has_the_digest_it_has_alone(texts: list[str]) -> None:
    together = Call("1", Caller("t"), "embed", "m", tuple(texts), 0.0)
    assert ASKER.keys(together) == [ASKER.keys(call_of("t", "m", text))[0] for text in texts]


def test_what_is_said_to_the_cache_changes_nothing() -> None:
    for parameters in ({}, {"dimensions": 3}):
        plain, wanted = (call_of("t", "m", "x", parameters=said) for said in (parameters, {"cache": True, **parameters}))
        assert ASKER.keys(plain) == ASKER.keys(wanted)


def test_no_other_process_has_the_same_digests() -> None:
    call = call_of("t", "m", "x")
    assert CacheKeys().keys(call) != CacheKeys().keys(call)


CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": 0}


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({**CHAT, "user": "u1", "metadata": {"a": "b"}}, True),
        ({**CHAT, "model": "alias"}, True),  # the call names the model
        ({**CHAT, "stream": False}, True),
        (dict(reversed(CHAT.items())), True),
        ({**CHAT, "temperature": 1}, False),
        ({**CHAT, "max_tokens": 5}, False),
        ({**CHAT, "unheard_of": 1}, False),
        ({**CHAT, "messages": [{"role": "system", "content": "hi"}]}, False),
        ({**CHAT, "messages": [{"role": "user", "content": "Hi"}]}, False),
    ],
)
def test_of_a_chat_counts_what_the_model_sees(desk: "Desk", other: dict[str, Any], same: bool) -> None:
    one, two = (desk.call(task="chat", body=json.dumps(said, indent=n).encode()) for n, said in enumerate((CHAT, other)))
    assert (ASKER.keys(one) == ASKER.keys(two)) == same


def test_a_stream_is_another_answer_and_with_usage_another_again(desk: "Desk") -> None:
    bodies = [CHAT, {**CHAT, "stream_options": {"include_usage": True}}, {**CHAT, "stream_options": {"include_usage": False}}]
    whole = ASKER.keys(desk.call(task="chat", body=json.dumps(CHAT).encode()))
    streams = [ASKER.keys(desk.call(task="chat", body=json.dumps(body).encode(), stream=True)) for body in bodies]
    assert streams[0] == streams[2]
    assert len({whole[0], streams[0][0], streams[1][0]}) == 3


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 100_000, b'"\xff"', b'{"messages": 1e999}'])
def test_a_body_that_can_not_be_read_is_not_kept(desk: "Desk", body: bytes) -> None:
    assert ASKER.keys(desk.call(task="chat", body=body)) == []


TENSORS: list[dict[str, Any]] = [
    {"x": np.zeros((2, 3), np.float32)},
    {"x": np.zeros((3, 2), np.float32)},
    {"x": np.zeros((2, 3), np.int32)},
    {"y": np.zeros((2, 3), np.float32)},
    {"x": np.zeros((0, 3), np.float32)},
    {"x": np.ones((2, 3), np.float32)},
    {"x": np.array([b"ab", b"c"], dtype=object)},
    {"x": np.array([b"a", b"bc"], dtype=object)},
    {"x": np.zeros((2, 3), np.float32), "y": np.zeros(1)},
]


def test_tensors_differ_in_name_type_shape_and_content(desk: "Desk") -> None:
    keys = [ASKER.keys(desk.call(task="infer", inputs=tensors))[0] for tensors in TENSORS]
    assert len(set(keys)) == len(TENSORS)
    strided = {"x": np.zeros((3, 2), np.float32).T}
    assert ASKER.keys(desk.call(task="infer", inputs=strided))[0] == keys[0]
    swapped = dict(reversed(TENSORS[-1].items()))
    assert ASKER.keys(desk.call(task="infer", inputs=swapped))[0] == keys[-1]


@pytest.mark.parametrize(
    "make",
    [
        lambda desk: desk.call("x" * 600_000, "y" * 600_000),
        lambda desk: desk.call(task="chat", body=b'{"a": "' + b"x" * 1_100_000 + b'"}'),
        lambda desk: desk.call(task="infer", inputs={"x": np.zeros(2**18 + 1, np.float32)}),
        lambda desk: desk.call(task="infer", inputs={"x": np.array([b"x" * 2**20, b"y"], dtype=object)}),
        lambda desk: desk.call(),
    ],
    ids=["texts", "chat", "numbers", "strings", "nothing"],
)
def test_what_is_too_large_is_not_kept(desk: "Desk", make: "Callable[[Desk], Call]") -> None:
    assert ASKER.keys(make(desk)) == []


def test_tenants_without_end_take_no_memory_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_key, "MOST_BEGINNINGS", 10)
    asker = CacheKeys()
    first = asker.keys(call_of("0", "m", "x"))
    for n in range(100):
        asker.keys(call_of(str(n), "m", "x"))
    assert len(asker._beginnings) <= 10
    assert asker.keys(call_of("0", "m", "x")) == first
