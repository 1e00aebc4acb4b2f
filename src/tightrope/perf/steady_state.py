"""What a token engine reaches when a fixed number of sequences is always in flight: closed form, no queue, no randomness.

Used to compare profiles with published rates and to rule candidates out before they are replayed; the replay has the last word.
"""

from dataclasses import dataclass

from tightrope.base.records import TokenEngine


@dataclass(frozen=True, slots=True)
class SteadyState:
    """A steady state with ``sequences`` in flight: every one that ends is followed by another."""

    sequences: int
    requests_per_s: float
    tpot_s: float
    """Time between two output tokens of one sequence, prefill of the others included."""


def step_s(engine: TokenEngine, tokens: float, cached_tokens: float) -> float:
    """Return the time of one step with ``tokens`` (prefill and decode) over ``cached_tokens``, in seconds.

    >>> round(step_s(TokenEngine(0.004, 0.02, 1e-4, 1e-7, 100_000, 256, 2048, 60.0), 512, 10_000), 4)
    0.0562
    """
    dense_s = max(engine.weights_s, tokens * engine.per_token_s)
    return engine.overhead_s + dense_s + cached_tokens * engine.per_cached_token_s


def steady_state(engine: TokenEngine, input_tokens: float, output_tokens: float, sequences: int) -> SteadyState:
    """Return rate and TPOT with ``sequences`` requests of one size always in flight.

    While every sequence decodes ``output_tokens`` steps, as many prompts are read in the room that decoding leaves in each
    step. Where that room is too small for the prompts, the cycle has more steps than output tokens.
    """
    room = max(engine.chunk_tokens - sequences, 1)
    cached = sequences * (input_tokens + output_tokens / 2)
    full_steps = sequences * input_tokens / room
    decode_steps = max(output_tokens - full_steps, 0.0)
    cycle_s = full_steps * step_s(engine, room + sequences, cached) + decode_steps * step_s(engine, sequences, cached)
    return SteadyState(sequences, sequences / cycle_s, cycle_s / output_tokens)


def most_sequences(engine: TokenEngine, input_tokens: float, output_tokens: float) -> int:
    """Return how many requests of one size run at once without preemption; 0 where the KV cache is too small for one."""
    return min(engine.max_sequences, int(engine.kv_capacity_tokens // (input_tokens + output_tokens)))


def saturate(
    engine: TokenEngine, input_tokens: float, output_tokens: float, tpot_limit_s: float = float("inf")
) -> SteadyState | None:
    """Return the steady state of the highest rate that keeps TPOT within the limit; None where none does."""
    counts = range(1, most_sequences(engine, input_tokens, output_tokens) + 1)
    states = (steady_state(engine, input_tokens, output_tokens, count) for count in counts)
    return max((state for state in states if state.tpot_s <= tpot_limit_s), key=lambda state: state.requests_per_s, default=None)
