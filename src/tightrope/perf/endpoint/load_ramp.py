"""Open-loop load at rising rates, until the server is full: what the fit did not see."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np

from tightrope.base.records import FloatArray, IntArray
from tightrope.perf.endpoint.load_generation import open_loop

RAMP = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
"""Shares of the rate at which the fitted engine is full."""
BACKLOG = 1.5
"""A server that still works for so many times the time of a long calm answer after the last request has come is full."""
CALM_S = 0.05
"""Answers are never reckoned calmer than this: clocks and networks have hiccups."""


@dataclass(frozen=True, slots=True)
class Ramp:
    """How much load is tried after the fit, and of which mean size; ``requests`` 0 tries none."""

    requests: int = 40
    input_tokens: int = 256
    output_tokens: int = 64


@dataclass(frozen=True, slots=True)
class TimedAnswer:
    """One answer; what has no tokens counts as one."""

    sent_s: float
    ttft_s: float
    tpot_s: float = 0.0
    input_tokens: int = 1
    output_tokens: int = 1

    @property
    def done_s(self) -> float:
        """When the whole answer was there."""
        return self.sent_s + self.ttft_s + self.tpot_s * (self.output_tokens - 1)


@dataclass(frozen=True, slots=True)
class LoadTrial:
    """Open-loop load at one rate; arrays [requests], of those that were answered, ascending in time."""

    rate_per_s: float
    sent: int
    errors: dict[str, int]
    answered_per_s: float
    saturated: bool
    """Whether requests failed, or came faster than they were answered."""
    late_s: float
    """How much later than drawn a request was sent, at most."""
    time_s: FloatArray
    input_tokens: IntArray
    output_tokens: IntArray
    ttft_s: FloatArray
    tpot_s: FloatArray


async def rising(
    ask: Callable[[int], Awaitable[TimedAnswer]],
    full_per_s: float,
    requests: int,
    random: np.random.Generator,
    say: Callable[[str], None],
    affordable: Callable[[int, float], bool],
) -> tuple[LoadTrial, ...]:
    """Return what comes of rising shares of the rate at which the engine should be full; the first at which it is full is the last.

    So is the last one that is ``affordable``: so many requests over so many seconds.
    """
    trials: list[LoadTrial] = []
    calm_s = np.inf
    for share in RAMP:
        rate = share * full_per_s
        if not affordable(requests, requests / rate):
            say(f"no requests or no time are left for {requests} requests at {rate:.2f} a second")
            break
        say(f"{requests} requests at {rate:.2f} a second")
        opened = await open_loop(ask, rate, requests, random)
        answers = sorted(
            (answer for answer in opened.answers if isinstance(answer, TimedAnswer)), key=lambda answer: answer.sent_s
        )
        last_s = max((answer.done_s - opened.began_s for answer in answers), default=0.0)
        calm_s = min(calm_s, _long([answer.done_s - answer.sent_s for answer in answers]))
        backlog_s = last_s - float(opened.due_s[-1])
        trials.append(
            LoadTrial(
                rate_per_s=rate,
                sent=requests,
                errors=opened.errors,
                answered_per_s=len(answers) / last_s if last_s > 0 else 0.0,
                saturated=bool(opened.errors) or backlog_s > BACKLOG * max(calm_s, CALM_S),
                late_s=opened.late_s,
                time_s=np.array([answer.sent_s - opened.began_s for answer in answers], dtype=np.float64),
                input_tokens=np.array([answer.input_tokens for answer in answers], dtype=np.int64),
                output_tokens=np.array([answer.output_tokens for answer in answers], dtype=np.int64),
                ttft_s=np.array([answer.ttft_s for answer in answers], dtype=np.float64),
                tpot_s=np.array([answer.tpot_s for answer in answers], dtype=np.float64),
            )
        )
        if trials[-1].saturated:
            break
    return tuple(trials)


def _long(values: list[float]) -> float:
    """Return the 95th percentile; infinite of nothing."""
    return float(np.percentile(values, 95)) if values else np.inf
