"""Near enough is the same, in one scope alone; how often that is wrong is measured; memory stays bounded."""

import asyncio
import json
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from asking import Desk, run
from hypothesis import given
from hypothesis import strategies as st

from tightrope.serve.answers import semantic_index
from tightrope.serve.answers.cache import GatewayCache
from tightrope.serve.answers.cached_answers import CachedAnswer
from tightrope.serve.answers.semantic_index import SemanticIndex
from tightrope.serve.config.settings import CacheSettings, SemanticCache
from tightrope.serve.records import Call, RawAnswer, Reply
from tightrope.serve.refusals import Unavailable


def at(degrees: float, length: float = 1.0) -> Any:
    return length * np.array([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))])


@dataclass
class Asking(Desk):
    """Texts are angles; classes are quadrants."""

    settings: CacheSettings = field(
        default_factory=lambda: CacheSettings(semantic=SemanticCache(math.cos(math.radians(10.5)), "m", checked_share=0.0))
    )
    embedded: list[str] = field(default_factory=list)
    refuses: bool = False

    @property
    def answers(self) -> GatewayCache:
        """The cache."""
        if self.cache_ is None:
            self.cache_ = GatewayCache(self.settings, self, lambda: self.now_s, embed=self.embed)
        return self.cache_

    async def embed(self, call: Call) -> Reply:
        """Answer with the direction that a text names."""
        await asyncio.sleep(0)
        (text,) = call.inputs
        self.embedded.append(str(text))
        assert call.caller.tenant in {"a", "b", "acme"}
        if self.refuses:
            call.lost.append(Reply("e", "only", compute_nusd=5))  # as a pool does that has begun
            msg = "not loaded"
            raise Unavailable(msg)
        return Reply("e", "only", outputs=(at(float(text), length=7.0),), compute_nusd=7)

    async def make(self, call: Call) -> Reply:
        """Say in which quadrant it is."""
        self.asked.append(call)
        await asyncio.sleep(0)
        if call.task == "chat":
            text = json.loads(call.body)["messages"][-1]["content"]
            said = {"id": len(self.asked), "choices": [{"message": {"content": str(int(float(text) // 90))}}]}
            return Reply("pool", "v", raw=RawAnswer(200, "application/json", json.dumps(said).encode()), compute_nusd=9)
        scores = tuple(np.eye(4, dtype=np.float32)[int(float(str(text)) // 90)] for text in call.inputs)
        return Reply("pool", "v", outputs=scores, input_tokens=3, compute_nusd=9, **self.fields)

    async def classify(self, text: str, **others: Any) -> str:
        """Return how a text was answered: made, hit or similar."""
        return (await self.ask(self.call(text, task="classify", **others))).cached


def test_a_question_that_is_near_enough_has_the_kept_answer() -> None:
    desk = Asking()

    async def body() -> None:
        found = [await desk.classify(text) for text in ("20", "20", "30", "31", "41", "40")]
        # 31 is 11 degrees from 20, and 30 was not kept itself; 41 is near 31, as is 40
        assert found == ["", "hit", "similar", "", "similar", "similar"]
        assert len(desk.asked) == 2
        assert desk.answers.similar_hits == 3
        assert desk.answers.false_hit_rate is None
        assert desk.counted == {False: 2, True: 4}
        assert "20" in desk.embedded
        assert desk.embedded.count("20") == 1  # a hit needs none

    run(body)


def test_what_the_look_up_cost_is_on_the_call() -> None:
    desk = Asking()

    async def body() -> None:
        calls = [desk.call(text, task="classify") for text in ("20", "21")]
        assert [(await desk.ask(call)).cached for call in calls] == ["", "similar"]
        assert [call.lost_nusd for call in calls] == [7, 7]

    run(body)


def test_only_the_text_may_differ() -> None:
    desk = Asking()

    async def body() -> None:
        await desk.classify("20")
        assert await desk.classify("21", tenant="b") == ""
        assert await desk.classify("21", parameters={"top": 3}) == ""
        assert (await desk.ask(desk.call("21", task="embed"))).cached == ""  # an embedding is as dear as the search for it
        assert (await desk.ask(desk.call("21", "22", task="classify"))).cached == ""
        assert await desk.classify("21.5", parameters={"cache": False}) == ""
        assert await desk.classify("22.5") == "similar"

    run(body)


def chat_of(desk: Asking, text: Any, before: str = "", **others: Any) -> Call:
    messages = [{"role": "system", "content": before}, {"role": "user", "content": text}]
    body = json.dumps({"model": "m", "temperature": 0, "messages": messages, **others}).encode()
    return desk.call(task="chat", body=body, parameters={"temperature": 0})


def test_of_a_chat_the_last_words_may_differ() -> None:
    desk = Asking()

    async def body() -> None:
        first = await desk.ask(chat_of(desk, "20"))
        near = await desk.ask(chat_of(desk, "25"))
        assert near.cached == "similar"
        assert near.raw is not None
        assert first.raw is not None
        assert near.raw.body == first.raw.body
        for other in (chat_of(desk, "25", before="be rude"), chat_of(desk, "25", max_tokens=1), chat_of(desk, "95")):
            assert (await desk.ask(other)).cached == ""
        parts = chat_of(desk, "26")
        parts.body = parts.body.replace(b'"26"', b'["26"]')  # not one text: only exactly the same is the same
        with pytest.raises(TypeError):
            await desk.ask(parts)

    run(body)


def test_how_often_it_is_wrong_is_measured(caplog: pytest.LogCaptureFixture) -> None:
    """Of ten hits every second is answered anew: those from the other quadrant were wrong, and the client has the right answer."""
    desk = Asking()
    desk.settings = CacheSettings(semantic=SemanticCache(math.cos(math.radians(10.5)), "m", checked_share=0.5))
    caplog.set_level("INFO")

    async def body() -> None:
        await desk.classify("85")
        found = []
        for n in range(10):
            text = f"{86 + 0.1 * n}" if n < 6 else f"{90 + 0.1 * n}"
            reply = await desk.ask(desk.call(text, task="classify"))
            found.append(reply.cached)
            if reply.cached == "":
                assert isinstance(reply.outputs, tuple)
                assert int(reply.outputs[0].argmax()) == float(text) // 90
        assert found == ["similar", ""] * 5
        answers = desk.answers
        # the 8th is checked against 85's class and differs; the 10th finds that answer, which is right
        assert (answers.similar_hits, answers.checked, answers.wrong) == (10, 5, 1)
        assert answers.false_hit_rate == 0.2
        words = [await desk.ask(chat_of(desk, text)) for text in ("88", "89", "91")]
        assert [reply.cached for reply in words] == ["", "similar", ""]
        assert (answers.checked, answers.wrong) == (6, 2)
        assert [record.args for record in caplog.records] == [(1, 0), (2, 0), (4, 1)]

    run(body)


def test_an_answer_that_is_gone_is_near_nothing() -> None:
    desk = Asking()
    desk.settings = CacheSettings(ttl_s=60.0, semantic=SemanticCache(0.98, "m", checked_share=0.0))

    async def body() -> None:
        await desk.classify("20")
        desk.now_s += 60.0
        assert await desk.classify("21") == ""
        assert await desk.classify("19") == "similar"  # of 21, though 20 was nearer
        assert await desk.classify("20") == "similar"

    run(body)


def test_where_nothing_can_be_embedded_all_goes_on() -> None:
    desk = Asking(refuses=True)

    async def body() -> None:
        assert [await desk.classify(text) for text in ("20", "21", "21")] == ["", "", "hit"]
        desk.refuses = False
        desk.fields = {"varies": True}
        assert [await desk.classify(text) for text in ("50", "51")] == ["", ""]

    run(body)


def test_what_an_embedding_cost_that_failed_is_the_questions_own() -> None:
    desk = Asking(refuses=True)
    call = desk.call("20", task="classify", deadline_s=9.0)
    run(lambda: desk.ask(call))
    assert call.lost_nusd == 5


# ------------------------------------------------------------------------------------------------------------------- the index

KEPT = CachedAnswer.of(Reply("p", "v"))


def key_of(number: int) -> bytes:
    return number.to_bytes(16)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(0, 359)), max_size=60),
    st.integers(0, 359),
    st.sets(st.integers(0, 5)),
)
def test_it_finds_what_a_search_of_everything_finds(added: list[tuple[int, int, int]], asked: int, gone: set[int]) -> None:
    index, held = SemanticIndex(0.9), {}
    for scope, key, degrees in added:
        index.add(bytes([scope]), at(degrees, 3.0), key_of(key))
        held[scope, key] = degrees
    looked: list[int] = []

    def get(key: bytes) -> CachedAnswer | None:
        looked.append(int.from_bytes(key))
        return None if looked[-1] in gone else KEPT

    for scope in range(3):
        looked.clear()
        found = index.find(bytes([scope]), at(asked), get)
        cosines = {
            key: float(at(degrees) @ at(asked)) for (mine, key), degrees in held.items() if mine == scope and key not in gone
        }
        best = max(cosines.values(), default=-1.0)
        if abs(best - 0.9) > 1e-6:
            assert (found is not None) == (best > 0.9)
        if found is not None:
            assert cosines[looked[-1]] == pytest.approx(best, abs=1e-6)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(semantic_index, "MOST_ROWS", 100)
    monkeypatch.setattr(semantic_index, "MOST_IN_SCOPE", 20)
    index = SemanticIndex(0.9999)
    for scope in range(30):
        for n in range(50):
            index.add(bytes([scope]), at(n), key_of(n))
    assert index.rows == 100 == sum(len(rows) for rows in index._scopes.values())
    assert sorted(index._scopes) == [bytes([scope]) for scope in range(25, 30)]
    assert index.find(bytes([29]), at(49), lambda _: KEPT) is KEPT
    assert index.find(bytes([29]), at(29), lambda _: KEPT) is None  # of a scope the oldest goes first
    assert all(len(rows.places) == 20 for rows in index._scopes.values())


@pytest.mark.parametrize("vector", [np.zeros(2), np.array([np.nan, 1.0]), np.array([np.inf, 1.0])])
def test_what_has_no_direction_is_near_nothing(vector: Any) -> None:
    index = SemanticIndex(0.5)
    index.add(b"s", at(0), b"k")
    with np.errstate(invalid="ignore"):
        index.add(b"s", vector, b"other")
        assert index.find(b"s", vector, lambda _: KEPT) is None
    assert index.rows == 1


def test_another_embedding_model_begins_anew() -> None:
    index = SemanticIndex(0.5)
    index.add(b"s", at(0), b"k")
    assert index.find(b"s", np.ones(3), lambda _: KEPT) is None
    index.add(b"s", np.ones(3), b"k")
    assert index.find(b"s", at(0), lambda _: KEPT) is None
    assert index.find(b"s", np.ones(3), lambda _: KEPT) is KEPT
    assert index.rows == 1
