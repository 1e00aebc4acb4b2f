"""Load and what is read off it: loops that keep what they promise, steps and peaks worked by hand."""

import asyncio

import numpy as np
import pytest
from endpoint_server import run

from tightrope.perf.endpoint.client import FailedError, StreamedAnswer, now_s
from tightrope.perf.endpoint.engine_steps import Peak, decode_steps, most_cached, most_running, prompt_steps
from tightrope.perf.endpoint.load_generation import closed_loop, open_loop, together

BUSY = "status 503"


def test_a_closed_loop_never_asks_for_more_at_a_time() -> None:
    now, most = [0], [0]

    async def ask(number: int) -> int:
        now[0] += 1
        most[0] = max(most[0], now[0])
        await asyncio.sleep(0.1 + 0.01 * number)
        now[0] -= 1
        return number

    assert run(closed_loop(ask, 20, 3)) == list(range(20))
    assert most == [3]


def test_an_open_loop_waits_for_nobody_and_counts_what_fails() -> None:
    sent: list[float] = []

    async def ask(number: int) -> int:
        sent.append(now_s())
        await asyncio.sleep(1000.0)
        if number % 10 == 0:
            raise FailedError(BUSY)
        return number

    opened = run(open_loop(ask, 5.0, 400, np.random.default_rng(1)))
    assert sent == pytest.approx(opened.began_s + opened.due_s)
    assert opened.late_s < 1e-9
    assert opened.errors == {"status 503": 40}
    assert [answer is None for answer in opened.answers] == [number % 10 == 0 for number in range(400)]
    gaps = np.diff(opened.due_s)
    assert gaps.mean() == pytest.approx(0.2, rel=0.15)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.2)


def test_where_one_fails_the_others_end() -> None:
    ended: list[str] = []

    async def long() -> None:
        try:
            await asyncio.sleep(1e6)
        finally:
            ended.append("long")

    async def fails() -> None:
        await asyncio.sleep(1.0)
        raise FailedError(BUSY)

    with pytest.raises(FailedError):
        run(together([long(), fails()]))
    assert ended == ["long"]


def stream(first_s: float, gaps: list[float], prompt: int = 10, sent_s: float = 0.0) -> StreamedAnswer:
    """Return an answer whose tokens came so."""
    token_s = first_s + np.concatenate([[0.0], np.cumsum(gaps)])
    return StreamedAnswer(sent_s, token_s, prompt, len(token_s))


def test_steps_of_two_sequences_are_their_common_ones() -> None:
    """One runs from 1.0 in steps of 0.1, the other from 1.2: from there a step has two sequences and 12 + 10, 24, … cached tokens."""
    rows = decode_steps([stream(1.0, [0.1] * 30), stream(1.2, [0.1] * 30)], "two")
    assert len(rows) == 3
    assert {row.decode for row in rows} == {2}
    assert [row.seconds for row in rows] == pytest.approx([0.1] * 3)
    assert [row.cached for row in rows] == pytest.approx([12 + 10 + 7, 20 + 18 + 7, 28 + 26 + 7])


def test_the_steps_of_a_prompt_are_the_longer_gaps_beside_it() -> None:
    beside = stream(1.0, [0.1, 0.1, 0.1, 0.5, 0.5, 0.3, 0.1], prompt=20)
    rows = prompt_steps(beside, StreamedAnswer(1.25, np.array([2.6]), 900, 1), "beside")
    assert [(row.from_end, round(row.seconds, 6), row.cached) for row in rows] == [(0, 0.3, 25), (1, 0.5, 24), (2, 0.5, 23)]
    assert {row.prompt for row in rows} == {900}
    assert prompt_steps(beside, StreamedAnswer(0.5, np.array([1.0]), 900, 1), "before it began") == []


def test_what_waits_does_not_run_and_what_is_put_back_is_seen() -> None:
    """The first loses its place after 1.3, with 100 + 3 cached tokens, and ends at 1.9; the third waits until 2.1."""
    put_back, steady = stream(1.0, [0.1, 0.1, 0.1, 0.6], prompt=100), stream(1.0, [0.1] * 14)
    waits = stream(2.1, [0.1] * 3)
    assert most_cached([put_back, steady, waits]) == Peak(sequences=2, tokens=103 + 13, waiting=1, stalled=True)
    assert most_running([steady, waits]).sequences == 2
    assert most_running([stream(1.0, [0.1] * 3), stream(1.3, [0.1] * 3)]).sequences == 1
