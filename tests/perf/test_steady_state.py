"""The closed form of continuous batching agrees with stepping through it, and behaves as batching does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightrope.base.records import TokenEngine
from tightrope.perf.steady_state import most_sequences, saturate, steady_state, step_s

ENGINE = TokenEngine(
    overhead_s=0.002,
    weights_s=0.05,
    per_token_s=3e-4,
    per_cached_token_s=3e-7,
    kv_capacity_tokens=100_000,
    max_sequences=64,
    chunk_tokens=512,
    load_s=60.0,
)


def stepped_rate_per_s(engine: TokenEngine, input_tokens: int, output_tokens: int, sequences: int, requests: int) -> float:
    """Serve requests one step at a time: decode first, then prompts in the room that is left; always ``sequences`` in flight."""
    prompt = [input_tokens] * sequences
    done = [0] * sequences
    finished, clock_s = 0, 0.0
    while finished < requests:
        decoding = [slot for slot in range(sequences) if prompt[slot] == 0]
        room = engine.chunk_tokens - len(decoding)
        cached = sum(input_tokens - prompt[slot] + done[slot] for slot in range(sequences))
        read = 0
        for slot in range(sequences):
            part = min(prompt[slot], room - read)
            prompt[slot] -= part
            read += part
        clock_s += step_s(engine, read + len(decoding), cached)
        for slot in decoding:
            done[slot] += 1
            if done[slot] == output_tokens:
                finished += 1
                prompt[slot], done[slot] = input_tokens, 0
    return finished / clock_s


@pytest.mark.parametrize(
    ("input_tokens", "output_tokens", "sequences"), [(100, 200, 8), (1000, 200, 16), (2000, 100, 32), (30, 60, 64)]
)
def test_the_closed_form_is_close_to_stepping_through(input_tokens: int, output_tokens: int, sequences: int) -> None:
    stepped = stepped_rate_per_s(ENGINE, input_tokens, output_tokens, sequences, requests=40 * sequences)
    assert steady_state(ENGINE, input_tokens, output_tokens, sequences).requests_per_s == pytest.approx(stepped, rel=0.10)


@given(st.integers(1, 4000), st.integers(1, 2000), st.integers(1, 63))
def test_more_in_flight_is_never_faster_for_one_but_never_slower_than_one(
    input_tokens: int, output_tokens: int, sequences: int
) -> None:
    fewer, more = (steady_state(ENGINE, input_tokens, output_tokens, count) for count in (sequences, sequences + 1))
    assert more.tpot_s >= fewer.tpot_s * (1 - 1e-9)
    assert fewer.requests_per_s * fewer.tpot_s * output_tokens == pytest.approx(sequences)


def test_one_sequence_takes_its_steps_one_after_the_other() -> None:
    assert steady_state(ENGINE, 0, 100, 1).tpot_s == pytest.approx(0.002 + 0.05 + 50 * 3e-7)


def test_saturation_keeps_the_limit_and_is_the_best_that_does() -> None:
    free, bound = saturate(ENGINE, 500, 200), saturate(ENGINE, 500, 200, tpot_limit_s=0.08)
    assert free is not None
    assert bound is not None
    assert bound.tpot_s <= 0.08 < steady_state(ENGINE, 500, 200, bound.sequences + 1).tpot_s
    assert bound.requests_per_s < free.requests_per_s


def test_a_limit_below_one_step_is_out_of_reach() -> None:
    assert saturate(ENGINE, 500, 200, tpot_limit_s=0.05) is None


def test_the_kv_cache_bounds_the_sequences() -> None:
    assert most_sequences(ENGINE, 1900, 100) == 50
    assert most_sequences(ENGINE, 100, 100) == ENGINE.max_sequences
    assert most_sequences(ENGINE, 100_000, 1) == 0
