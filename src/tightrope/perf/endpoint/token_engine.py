"""The whole measurement of a language model's server: experiments, limits, the joint fit, and load at rising rates."""

import asyncio
from dataclasses import dataclass, replace

import numpy as np

from tightrope.base.errors import InputError
from tightrope.base.records import TokenEngine
from tightrope.perf.endpoint.client import Client, FailedError, as_error, check_lag, connect, now_s
from tightrope.perf.endpoint.experiments import EngineLimit, ExperimentLimits, Lab, Progress, further_lengths, grown
from tightrope.perf.endpoint.fit import EndpointFit, fit_engine, not_identified
from tightrope.perf.endpoint.load_generation import round_trip_s
from tightrope.perf.endpoint.load_ramp import LoadTrial, Ramp, TimedAnswer, rising
from tightrope.perf.endpoint.prompts import Prompts
from tightrope.perf.endpoint.server_limits import ServerLimits, ask_server
from tightrope.perf.endpoint.target import MeasurementLimits, Target, check_limits
from tightrope.perf.steady_state import saturate

MOST_MISSED = 0.15
"""A fit whose median error on held-out steps is larger is none."""
SAME_LIMIT = 1.1
"""Sequences may have stopped for want of memory, where they held nearly as much as there is."""


@dataclass(frozen=True, slots=True)
class TokenMeasurement:
    """What is known of a language model's server."""

    target: Target
    said: ServerLimits
    fitted: EndpointFit
    chunk: EngineLimit
    sequences: EngineLimit
    memory: EngineLimit
    round_trip_s: float
    lag_p95_s: float
    """How late this program itself was, at the 95th percentile."""
    requests: int
    seconds: float
    trials: tuple[LoadTrial, ...]

    def engine(self, load_s: float) -> TokenEngine:
        """Return the engine as the planner takes it."""
        best = self.fitted.best
        return TokenEngine(
            overhead_s=best.overhead_s,
            weights_s=best.weights_s,
            per_token_s=best.per_token_s,
            per_cached_token_s=best.per_cached_token_s,
            kv_capacity_tokens=self.memory.value,
            max_sequences=self.sequences.value,
            chunk_tokens=self.chunk.value,
            load_s=load_s,
        )


async def measure_tokens(
    target: Target, limits: MeasurementLimits, asked: ExperimentLimits, ramp: Ramp, say: Progress
) -> TokenMeasurement:
    """Return the fitted engine of a server; raise ``InputError`` where it fails, a limit is reached, or a coefficient stays unknown."""
    check_limits(limits)
    async with connect(target, limits) as client:
        try:
            return await _measure(client, asked, ramp, say)
        except FailedError as error:
            raise as_error(client, error) from None


async def _measure(client: Client, asked: ExperimentLimits, ramp: Ramp, say: Progress) -> TokenMeasurement:
    """Return what all experiments tell."""
    began_s = now_s()
    say("what the server says of itself")
    said = await ask_server(client)
    client.target = replace(client.target, model=said.model)
    known = replace(
        asked,
        chunk_tokens=asked.chunk_tokens or said.chunk_tokens,
        max_sequences=asked.max_sequences or said.max_sequences,
        kv_capacity_tokens=asked.kv_capacity_tokens or said.kv_capacity_tokens,
    )
    trip_s = await round_trip_s(client, "/v1/models")
    lab = Lab(client, known, Prompts(np.random.default_rng(asked.seed)), say, said.context_tokens)
    await lab.calibrate()
    await lab.decode_alone()
    peak = await lab.sequences()
    await lab.prompt_times(grown(2 * lab.short, lab.long, 8))
    first = lab.first_fit()
    await lab.prompt_times(further_lengths(first, lab.short, lab.long))
    sequences = known.max_sequences or (peak.sequences if peak else 0)
    memory = await lab.memory(lab.first_fit().chunk_tokens, sequences or known.max_concurrency)
    if not sequences:
        msg = f"all {known.max_concurrency} sequences ran at a time, so the limit of the engine is not known"
        raise InputError(msg, resolve="allow more with --max-concurrency, or state --max-sequences")
    if known.max_sequences is None and peak is not None and peak.tokens * SAME_LIMIT > memory.lower:
        msg = f"{peak.sequences} sequences ran at a time when the KV cache was full: the limit of the engine is not known"
        raise InputError(msg, resolve="state --max-sequences as the server was started with")
    say("fit")
    fitted = fit_engine(lab.observations, known.chunk_tokens, asked.seed)
    check(client, fitted, memory.value, known)
    chunk = fitted.best.chunk_tokens
    seen = EngineLimit(
        chunk, round(fitted.lower["chunk_tokens"]), round(fitted.upper["chunk_tokens"]), "measured: prompts longer than a step"
    )
    measured = TokenMeasurement(
        target=client.target,
        said=said,
        fitted=fitted,
        chunk=_told(seen, asked.chunk_tokens, said, "chunk_tokens"),
        sequences=_told(
            EngineLimit(sequences, sequences, sequences, "measured: more were sent, so many ran"),
            asked.max_sequences,
            said,
            "max_sequences",
        ),
        memory=_told(memory, asked.kv_capacity_tokens, said, "kv_capacity_tokens"),
        round_trip_s=trip_s,
        lag_p95_s=client.lag_p95_s,
        requests=client.sent,
        seconds=now_s() - began_s,
        trials=(),
    )
    trials = await _ramp(client, lab.prompts, measured.engine(0.0), ramp, say, asked.seed)
    return replace(measured, requests=client.sent, seconds=now_s() - began_s, trials=trials)


def check(client: Client, fitted: EndpointFit, kv_capacity_tokens: int, asked: ExperimentLimits) -> None:
    """Raise ``InputError`` where a coefficient is not identified, or this program was too slow to tell."""
    missing = not_identified(fitted, kv_capacity_tokens, asked.chunk_tokens)
    if missing:
        best = fitted.best
        named = ", ".join(
            f"{name} (between {fitted.lower[name]:.3g} and {fitted.upper[name]:.3g}, best {getattr(best, name):.3g})"
            for name in missing
        )
        msg = f"the observations do not tell {named}; nothing is reported"
        raise InputError(msg, resolve="it takes " + "; ".join(dict.fromkeys(missing.values())))
    if fitted.held_out_p50 > MOST_MISSED:
        msg = f"half of the steps that were held out are off by more than {fitted.held_out_p50:.0%}: the engine does not follow the formula"
        raise InputError(
            msg, resolve="measure one engine that nobody else uses, without speculative decoding; correct what you stated"
        )
    check_lag(client, fitted.best.overhead_s + fitted.best.weights_s, "a step of the engine")


def _told(seen: EngineLimit, stated: int | None, said: ServerLimits, name: str) -> EngineLimit:
    """Return a limit with how it is known: stated by the user, by the server, or seen."""
    if stated is not None:
        return EngineLimit(stated, stated, stated, "stated by you, not measured")
    if name in said.sources:
        value = int(getattr(said, name))
        return EngineLimit(value, value, value, f"stated by the server ({said.sources[name]}), not measured")
    return seen


async def _ramp(
    client: Client, prompts: Prompts, engine: TokenEngine, ramp: Ramp, say: Progress, seed: int
) -> tuple[LoadTrial, ...]:
    """Return open-loop load at rising rates, until the server is full."""
    full = saturate(engine, ramp.input_tokens, ramp.output_tokens) if ramp.requests else None
    if full is None:
        return ()
    random = np.random.default_rng(seed)

    def size(mean: int) -> int:
        return int(random.integers(max(2, mean // 2), mean * 3 // 2 + 1))

    async def ask(_: int) -> TimedAnswer:
        stream = await client.generate(prompts.text(size(ramp.input_tokens)), size(ramp.output_tokens))
        return TimedAnswer(stream.sent_s, stream.ttft_s, stream.tpot_s, stream.prompt_tokens, stream.output_tokens)

    return await rising(ask, full.requests_per_s, ramp.requests, random, say, client.affordable)


def run_tokens(target: Target, limits: MeasurementLimits, asked: ExperimentLimits, ramp: Ramp, say: Progress) -> TokenMeasurement:
    """Return what ``measure_tokens`` does, from a program without an event loop."""
    return asyncio.run(measure_tokens(target, limits, asked, ramp, say))
