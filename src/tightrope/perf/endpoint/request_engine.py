"""A server that answers whole requests: how long a batch takes, and how many it works on at a time."""

import asyncio
import math
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tightrope.base.errors import InputError
from tightrope.base.records import FloatArray
from tightrope.perf.endpoint.client import Answer, Client, FailedError, as_error, check_lag, connect, now_s
from tightrope.perf.endpoint.experiments import Progress, doubling
from tightrope.perf.endpoint.load_generation import closed_loop, round_trip_s
from tightrope.perf.endpoint.load_ramp import LoadTrial, TimedAnswer, rising
from tightrope.perf.endpoint.prompts import Prompts
from tightrope.perf.endpoint.server_limits import ask_server
from tightrope.perf.endpoint.target import MeasurementLimits, Target, check_limits
from tightrope.perf.measure.steady_part import never_falling

WARM_UP = 3
"""Requests of each point that are left out."""
GAIN = 1.1
"""Twice the requests at a time that answer less than this more are more than the server works on."""
MOST_TRIP = 0.5
"""Share of an answer's time that the way there may take: beyond, the network is measured."""
T_95 = 2.0
INTEGERS = re.compile(r"U?INT(8|16|32|64)")


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """What is asked: batches in one request, requests a point, requests at a time at most, words of a text, open shapes of inputs."""

    batches: tuple[int, ...] = (1, 2, 4, 8, 16)
    per_point: int = 30
    max_concurrency: int = 64
    words: int = 32
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()
    ramp_requests: int = 60
    seed: int = 1


@dataclass(frozen=True, slots=True)
class ConcurrencyPoint:
    """One batch at one concurrency; times are of whole answers."""

    batch: int
    concurrency: int
    requests: int
    mean_s: float
    half_width_s: float
    """Of the 95 % interval of the mean."""
    p50_s: float
    p95_s: float
    items_per_s: float


@dataclass(frozen=True, slots=True)
class RequestMeasurement:
    """What is known of a server that answers whole requests."""

    target: Target
    points: tuple[ConcurrencyPoint, ...]
    batches: tuple[int, ...]
    service_s: tuple[float, ...]
    """Time of each batch, the way there and back taken off."""
    engines: int
    """Batches that it works on at a time,"""
    engines_seen: float
    """and the figure that this was rounded from."""
    error: float
    """Largest relative error: of the means, of each batch as foretold from its neighbours, of the engines."""
    round_trip_s: float
    lag_p95_s: float
    requests: int
    seconds: float
    trials: tuple[LoadTrial, ...]


Ask = Callable[[int], Awaitable[Answer]]


async def measure_requests(target: Target, limits: MeasurementLimits, load: LoadOptions, say: Progress) -> RequestMeasurement:
    """Return how long batches take on a server; raise ``InputError`` where it fails, or a limit is reached."""
    check_limits(limits)
    async with connect(target, limits) as client:
        try:
            return await _measure(client, load, say)
        except FailedError as error:
            raise as_error(client, error) from None


def run_requests(target: Target, limits: MeasurementLimits, load: LoadOptions, say: Progress) -> RequestMeasurement:
    """Return what ``measure_requests`` does, from a program without an event loop."""
    return asyncio.run(measure_requests(target, limits, load, say))


async def _measure(client: Client, load: LoadOptions, say: Progress) -> RequestMeasurement:
    """Return what closed and open loops tell."""
    began_s = now_s()
    say("what the server says of itself")
    ask = await _asker(client, load)
    trip_s = await round_trip_s(client, "/v1/models" if client.target.api == "embeddings" else "/v2/health/ready")
    alone: list[ConcurrencyPoint] = []
    halves: list[float] = []
    for batch in load.batches:
        say(f"batches of {batch}, one at a time")
        times = await _times(ask, batch, 1, load.per_point)
        alone.append(_point(batch, 1, times))
        halves.append(abs(float(np.median(times[::2]) / np.median(times[1::2])) - 1.0))
    if trip_s > MOST_TRIP * alone[0].p50_s:
        msg = f"the way to the server and back takes {1e3 * trip_s:.1f} ms, and an answer {1e3 * alone[0].p50_s:.1f} ms"
        raise InputError(msg, resolve="measure from a machine that is nearer, or larger batches (--batch)")
    check_lag(client, alone[0].p50_s, "the shortest answer")
    service = never_falling(np.array([point.p50_s - trip_s for point in alone]))
    crowd = await _crowd(ask, load, say)
    largest = load.batches[-1]
    seen = max(point.items_per_s for point in (*crowd, alone[-1])) * float(service[-1]) / largest
    engines = max(1, round(seen))
    random = np.random.default_rng(load.seed)

    async def one(number: int) -> TimedAnswer:
        answer = await ask(-1 - number)
        return TimedAnswer(answer.sent_s, answer.done_s - answer.sent_s)

    full_per_s = engines / float(service[0])
    trials = await rising(one, full_per_s, load.ramp_requests, random, say, client.affordable) if load.ramp_requests else ()
    return RequestMeasurement(
        target=client.target,
        points=(*alone, *crowd),
        batches=load.batches,
        service_s=tuple(service.tolist()),
        engines=engines,
        engines_seen=seen,
        error=max(
            *halves, *_foretold(load.batches, service), abs(seen / engines - 1.0), *(p.half_width_s / p.mean_s for p in alone)
        ),
        round_trip_s=trip_s,
        lag_p95_s=client.lag_p95_s,
        requests=client.sent,
        seconds=now_s() - began_s,
        trials=trials,
    )


async def _crowd(ask: Ask, load: LoadOptions, say: Progress) -> list[ConcurrencyPoint]:
    """Return the largest batch at rising concurrency, until no more is answered."""
    points: list[ConcurrencyPoint] = []
    for concurrency in doubling(2, load.max_concurrency):
        say(f"batches of {load.batches[-1]}, {concurrency} at a time")
        began_s = now_s()
        count = max(load.per_point, 4 * concurrency)
        times = await _times(ask, load.batches[-1], concurrency, count)
        items_per_s = load.batches[-1] * count / (now_s() - began_s)
        points.append(replace(_point(load.batches[-1], concurrency, times), items_per_s=items_per_s))
        if len(points) > 1 and items_per_s < GAIN * points[-2].items_per_s:
            break
    return points


async def _times(ask: Ask, batch: int, concurrency: int, count: int) -> FloatArray:
    """Return the times of whole answers, warmed up, float64[requests]."""
    await closed_loop(lambda _: ask(batch), WARM_UP, 1)
    answers = await closed_loop(lambda _: ask(batch), count, concurrency)
    return np.array([answer.done_s - answer.sent_s for answer in answers])


def _point(batch: int, concurrency: int, times: FloatArray) -> ConcurrencyPoint:
    """Return what the times of one point tell."""
    mean_s, half_s = float(times.mean()), T_95 * float(times.std(ddof=1)) / math.sqrt(len(times))
    p50_s, p95_s = (float(figure) for figure in np.percentile(times, [50, 95]))
    return ConcurrencyPoint(batch, concurrency, len(times), mean_s, half_s, p50_s, p95_s, batch * concurrency / mean_s)


def _foretold(batches: tuple[int, ...], service_s: FloatArray) -> list[float]:
    """Return how far each inner batch is from the line between its neighbours, as a share."""
    inner = range(1, len(batches) - 1)
    lines = [np.interp(batches[i], (batches[i - 1], batches[i + 1]), (service_s[i - 1], service_s[i + 1])) for i in inner]
    return [0.0, *(abs(float(line / service_s[i]) - 1.0) for i, line in zip(inner, lines, strict=True))]


# ------------------------------------------------------------------------------------------------------------ what is asked


async def _asker(client: Client, load: LoadOptions) -> Ask:
    """Return a function that asks for a batch (one item where its number is negative); every request is another one."""
    random = np.random.default_rng(load.seed)
    if client.target.api == "embeddings":
        said = await ask_server(client)
        client.target = replace(client.target, model=said.model)
        prompts = Prompts(random)

        async def embed(batch: int) -> Answer:
            texts = [prompts.words(load.words) for _ in range(max(1, batch))]
            return await client.ask({"model": said.model, "input": texts}, "data", len(texts))

        return embed
    if not client.target.model:
        msg = "no model is named, and the Open Inference Protocol asks for one"
        raise InputError(msg, resolve="name it with --model")
    inputs = await _inputs(client, dict(load.shapes))

    async def infer(batch: int) -> Answer:
        named = {"id": f"measure-{client.sent}"}  # which some models of KServe want
        return await client.ask({**named, "inputs": [_filled(row, max(1, batch), random) for row in inputs]}, "outputs", 1)

    return infer


async def _inputs(client: Client, shapes: dict[str, tuple[int, ...]]) -> list[tuple[str, str, tuple[int, ...]]]:
    """Return name, type and shape (but for the batch) of a model's inputs, as the server says."""
    said = (await client.get(f"/v2/models/{client.target.model}")).body
    rows = said.get("inputs") if isinstance(said, dict) else None
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) and "name" in row for row in rows):
        msg = f"the server does not say what inputs {client.target.model!r} has"
        raise InputError(msg, resolve="use a server that answers /v2/models/NAME with the model's inputs")
    found = []
    for row in rows:
        name, shape = str(row["name"]), shapes.get(str(row["name"]), tuple(row.get("shape", (-1,))[1:]))
        if any(not isinstance(axis, int) or axis < 1 for axis in shape):
            msg = f"the input {name!r} has the shape {list(shape)} but for its batch, with an axis that is open"
            raise InputError(msg, resolve=f"state it: --input {name}=3x224x224")
        found.append((name, str(row.get("datatype", "FP32")), shape))
    return found


def _filled(row: tuple[str, str, tuple[int, ...]], batch: int, random: np.random.Generator) -> dict[str, Any]:
    """Return one made-up input."""
    name, kind, shape = row
    count = batch * math.prod(shape)
    if kind == "BYTES":
        data: list[Any] = [Prompts(random).words(8) for _ in range(count)]
    elif kind == "BOOL":
        data = (random.integers(0, 2, count) > 0).tolist()
    elif INTEGERS.fullmatch(kind):
        data = random.integers(0, 100, count).tolist()
    else:
        data = random.normal(size=count).round(4).tolist()
    return {"name": name, "shape": [batch, *shape], "datatype": kind, "data": data}
