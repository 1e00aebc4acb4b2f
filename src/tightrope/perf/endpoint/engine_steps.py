"""Reads an engine's steps off the times at which the tokens of its answers came: in one step each running sequence gets one token."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tightrope.base.records import FloatArray, IntArray
from tightrope.perf.endpoint.client import StreamedAnswer

SEGMENT = 8
"""Steps whose mean time is one observation."""
STALLED = 3
"""A sequence that gets no token while another gets so many is not running."""
LONG_GAP = 2.5
"""Gaps below this multiple of a stream's median are one step and not looked at."""
WHOLE, PLAIN = -2, -1
"""Of ``Observation.from_end``: all steps of a prompt; none."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One time that was seen: a step, a mean over steps, or all steps of a prompt together."""

    experiment: str
    seconds: float
    decode: int
    """Sequences that get a token in it."""
    cached: float
    """Tokens in the KV cache of those sequences before the step."""
    prompt: int = 0
    """Tokens of the whole prompt that is read beside them."""
    from_end: int = PLAIN
    """Which of the prompt's steps, counted back from its last."""


def decode_steps(streams: Sequence[StreamedAnswer], experiment: str) -> list[Observation]:
    """Return the steps of a time in which all streams ran and no prompt was read, as means over segments."""
    start_s, end_s = max(stream.token_s[0] for stream in streams), min(stream.token_s[-1] for stream in streams)
    parts = [stream.token_s[(stream.token_s >= start_s) & (stream.token_s <= end_s)] for stream in streams]
    times = parts[int(np.argmax([len(part) for part in parts]))]
    found = []
    for first in range(0, len(times) - SEGMENT, SEGMENT):
        step_s = float(times[first + SEGMENT] - times[first]) / SEGMENT
        cached = sum(cached_at(stream, float(times[first]) + 0.3 * step_s) for stream in streams)
        found.append(Observation(experiment, step_s, len(streams), cached + len(streams) * (SEGMENT - 1) / 2))
    return found


def cached_at(stream: StreamedAnswer, time_s: float) -> int:
    """Return the tokens that a running stream has in the KV cache: its last token goes in with the next step."""
    return stream.prompt_tokens + int(np.searchsorted(stream.token_s, time_s, side="right")) - 1


def prompt_steps(beside: StreamedAnswer, prompt: StreamedAnswer, experiment: str) -> list[Observation]:
    """Return the steps in which a prompt was read beside one stream, last first, and those before it began.

    The prompt's first token comes with the token that the stream gets in the prompt's last step.
    """
    times = beside.token_s
    last = int(np.argmin(np.abs(times - prompt.token_s[0])))
    sent = int(np.searchsorted(times, prompt.sent_s, side="right"))
    if not 0 < sent < last < len(times):
        return []
    return [
        Observation(
            experiment,
            float(times[at] - times[at - 1]),
            1,
            beside.prompt_tokens + at - 1,
            prompt.prompt_tokens,
            from_end=last - at,
        )
        for at in range(last, sent, -1)
    ]


@dataclass(frozen=True, slots=True)
class Peak:
    """The moment at which most was in use."""

    sequences: int
    tokens: int
    waiting: int
    """Requests that had been sent and were not running."""
    stalled: bool
    """Whether a running sequence was put back at about that moment: the memory was full."""


def most_running(streams: Sequence[StreamedAnswer]) -> Peak:
    """Return the moment with most sequences at a time."""
    return _peak(streams, by_tokens=False)


def most_cached(streams: Sequence[StreamedAnswer]) -> Peak:
    """Return the moment with most tokens in the KV cache."""
    return _peak(streams, by_tokens=True)


def _peak(streams: Sequence[StreamedAnswer], *, by_tokens: bool) -> Peak:
    """Return the moment with most tokens, or most sequences."""
    times = np.unique(np.concatenate([stream.token_s for stream in streams]))
    running, tokens, waiting = (np.zeros(len(times), dtype=np.int64) for _ in range(3))
    stalls = np.full(len(times), False)
    for stream, (runs, got, begins) in zip(streams, (_in_use(stream, streams, times) for stream in streams), strict=True):
        running += runs
        tokens += np.where(runs, stream.prompt_tokens + got - 1, 0)
        waiting += ~runs & (times > stream.sent_s) & (times < stream.token_s[-1])
        stalls |= begins
    at = int(np.argmax(tokens if by_tokens else running))
    near = slice(max(0, at - len(streams)), at + len(streams) + 1)
    return Peak(int(running[at]), int(tokens[at]), int(waiting[at]), bool(stalls[near].any()))


def _in_use(
    stream: StreamedAnswer, streams: Sequence[StreamedAnswer], times: FloatArray
) -> tuple[np.ndarray, IntArray, np.ndarray]:
    """Return whether a stream runs at each time, how many tokens it has got, and whether it is put back then."""
    got = np.searchsorted(stream.token_s, times, side="right")
    runs = (got > 0) & (got < len(stream.token_s))
    begins = np.full(len(times), False)
    gaps = np.diff(stream.token_s)
    for at in np.flatnonzero(gaps > LONG_GAP * np.median(gaps)) if len(gaps) else ():
        if _others_go_on(streams, float(stream.token_s[at]), float(stream.token_s[at + 1])):
            runs &= (got != at + 1) | (times < stream.token_s[at] + 0.5 * np.median(gaps))
            begins |= times == stream.token_s[at]
    return runs, got, begins


def _others_go_on(streams: Sequence[StreamedAnswer], start_s: float, end_s: float) -> bool:
    """Return whether any stream got several tokens between two moments."""
    counts = (np.searchsorted(s.token_s, end_s, side="left") - np.searchsorted(s.token_s, start_s, side="right") for s in streams)
    return any(count >= STALLED for count in counts)
