"""The sweep: threads × batch × length, each point until its mean is known, on a machine that is quiet enough to tell.

All points are measured a little in every round, so that a point's rounds lie apart in time. A machine's clock and the caches that it shares
with others drift over seconds; runs in one stretch agree with each other better than with those of the next.
"""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tightrope.base.errors import InputError, Where, build_unknown_name_error
from tightrope.perf.measure.cpu_noise import others
from tightrope.perf.measure.engines import Engine, engines, run_all
from tightrope.perf.measure.steady_part import SteadyTimes, half_width, steady_part

ROUNDS, MOST_ROUNDS = 4, 16
"""At least and at most, of each point."""
LEAST_RUNS = 4
"""In a round, once it is known how long one takes."""
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """What to sweep, and how sure to be."""

    model: Path
    batches: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    lengths: tuple[int, ...] = (32, 128)
    """Of the axis after the batch, where the model leaves it open."""
    threads: tuple[int, ...] = ()
    """Threads of one engine; as many engines as the cores hold run side by side. Empty: 1, 2, 4 … all cores."""
    seconds: float = 2.0
    """Of each point, in four rounds; up to four times as many where its mean is not known well enough."""
    precision: float = 0.03
    """Half-width of the 95 % interval of the mean, as a share of it, that a point must come to."""
    most_noise_cores: float = 0.15
    """Cores that others may take in a round; one in which they took more does not count."""
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()
    """Input → its shape but for the batch, where the model leaves more than one axis open."""
    seed: int = 1


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """What one shape takes on one arrangement of engines, all of which work at once."""

    threads: int
    engines: int
    batch: int
    length: int
    """0 where the model leaves no length open."""
    mean_s: float
    half_width_s: float
    p50_s: float
    p95_s: float
    runs: int
    warm_up_runs: int
    noise_cores: float | None
    """Cores that others took; None where the system does not tell."""

    @property
    def items_per_s(self) -> float:
        """Items that all the engines answer in a second."""
        return self.engines * self.batch / self.mean_s


@dataclass(frozen=True, slots=True)
class ModelMeasurement:
    """A whole sweep."""

    model: str
    cores: int
    points: tuple[SweepPoint, ...]
    load_s: float
    """The slowest engine's loading of the model from disk, those before it having brought it into memory."""
    cold_start_s: float
    """From asking for a process to its model being loaded, nothing else being measured at the time."""
    memory_mib: float
    """The most that one engine had, at the largest shape."""


def measure_onnx(asked: SweepOptions, progress: Progress = lambda _: None) -> ModelMeasurement:
    """Return the sweep of an ONNX model on this machine.

    Raises ``InputError`` where the model cannot be loaded or run, or where the machine was too noisy to say anything: it says how noisy.
    """
    mine = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    cores = len(mine)
    _check(asked, cores)
    points: list[SweepPoint] = []
    memory_mib, load_s, cold_s = 0.0, 0.0, 0.0
    for threads in asked.threads or _threads(cores):
        with engines(asked.model, 1, threads, mine) as alone:
            cold_s = max(cold_s, alone[0].start_s)
        with engines(asked.model, cores // threads, threads, mine) as running:
            load_s = max(load_s, *(engine.load_s for engine in running))
            found, most_mib = _points(asked, running, threads, progress)
            points += found
            memory_mib = max(memory_mib, most_mib)
    return ModelMeasurement(asked.model.name, cores, tuple(points), load_s, cold_s, memory_mib)


def _threads(cores: int) -> tuple[int, ...]:
    """Return 1, 2, 4 … and all cores.

    >>> _threads(6)
    (1, 2, 4, 6)
    """
    return tuple(sorted({2**power for power in range(cores.bit_length()) if 2**power <= cores} | {cores}))


def _check(asked: SweepOptions, cores: int) -> None:
    """Refuse what cannot be measured, before anything is started."""
    if not asked.model.is_file():
        msg = "there is no such file"
        raise InputError(msg, resolve="give an .onnx file", where=Where(asked.model))
    for name, values in (("--batch", asked.batches), ("--length", asked.lengths), ("--threads", asked.threads)):
        if any(value < 1 for value in values):
            msg = f"{name} is {min(values)}, expected 1 or more"
            raise InputError(msg, resolve="give whole numbers from 1 on")
    if max(asked.threads, default=1) > cores:
        msg = f"--threads is {max(asked.threads)}, and this machine has {cores} cores for us"
        raise InputError(msg, resolve=f"give at most {cores}")


def _points(asked: SweepOptions, running: list[Engine], threads: int, progress: Progress) -> tuple[list[SweepPoint], float]:
    """Return every shape on one arrangement of engines, and the most memory that one of them had."""
    names = [item["name"] for item in running[0].inputs]
    for name, _ in asked.shapes:
        if name not in names:
            raise build_unknown_name_error(name, kind="input", known=names, where=Where(asked.model))
    lengths = asked.lengths if _has_length(asked, running[0]) else (0,)
    series: list[_Series] = []
    for length in lengths:
        for batch in sorted(asked.batches):
            job = {"inputs": [_shaped(asked, item, batch, length) for item in running[0].inputs], "seed": asked.seed}
            series.append(_Series(replace(_NOTHING, threads=threads, engines=len(running), batch=batch, length=length), job))
    for number in range(MOST_ROUNDS):
        for item in series:
            if not item.known(asked):
                at = f"batch {item.shape.batch}" + (f", length {item.shape.length}" if item.shape.length else "")
                progress(f"{threads} threads × {len(running)} engines, round {number + 1}, {at}")
                item.measure(asked, running)
    if unsure := next((item for item in series if not item.known(asked)), None):
        raise _unsure(asked, unsure.point, unsure.refused)
    return [item.point for item in series], max(item.memory_mib for item in series)


_NOTHING = SweepPoint(1, 1, 1, 0, 0.0, math.inf, 0.0, 0.0, 0, 0, None)


@dataclass(slots=True)
class _Series:
    """One shape's rounds."""

    shape: SweepPoint
    job: dict[str, Any]
    rounds: list[list[SteadyTimes]] = field(default_factory=list)
    """The quiet ones: one steady part for each engine."""
    noises: list[float | None] = field(default_factory=list)
    """Cores that others took in each of them."""
    refused: float | None = None
    """Cores that others took in the last round that does not count."""
    memory_mib: float = 0.0

    def measure(self, asked: SweepOptions, running: list[Engine]) -> None:
        """Run one round."""
        last_s = max((part.mean_s for parts in self.rounds[-1:] for part in parts), default=0.0)
        seconds = max(asked.seconds / ROUNDS, LEAST_RUNS * last_s)
        answers, before, after = run_all(running, self.job | {"seconds": seconds}, asked.model)
        self.memory_mib = max(self.memory_mib, *(answer["rss_mib"] for answer in answers))
        noise = others(before, after)
        if noise is not None and noise > asked.most_noise_cores:
            self.refused = noise
        else:
            self.rounds.append([steady_part(np.array(answer["times_s"])) for answer in answers])
            self.noises.append(noise)

    def known(self, asked: SweepOptions) -> bool:
        """Return whether the mean is known well enough."""
        return len(self.rounds) >= ROUNDS and self.point.half_width_s <= asked.precision * self.point.mean_s

    @property
    def point(self) -> SweepPoint:
        """What is known so far."""
        if not self.rounds:
            return self.shape
        means = [float(np.mean([part.mean_s for part in parts])) for parts in self.rounds]
        told = [noise for noise in self.noises if noise is not None]
        every = [part for parts in self.rounds for part in parts]
        return replace(
            self.shape,
            mean_s=float(np.mean(means)),
            half_width_s=half_width(means),
            p50_s=float(np.mean([part.p50_s for part in every])),
            p95_s=float(np.mean([max(part.p95_s for part in parts) for parts in self.rounds])),
            runs=sum(part.runs for part in every),
            warm_up_runs=max(part.warm_up for part in every),
            noise_cores=float(np.mean(told)) if told else None,
        )


def _unsure(asked: SweepOptions, tried: SweepPoint, refused: float | None) -> InputError:
    """Return the error of a point that was never quiet or sure enough: how noisy (the last that did not count, if any), how unsure."""
    took = tried.noise_cores if refused is None else refused
    noise = "an unknown part" if took is None else f"{took:.2f}"
    known = "not known" if math.isinf(tried.half_width_s) else f"known to ±{tried.half_width_s / tried.mean_s:.1%}"
    shape = f"{tried.threads} threads, batch {tried.batch}, length {tried.length}"
    msg = (
        f"the machine is too noisy to measure on: at {shape}, other programs took {noise} cores (at most {asked.most_noise_cores:g} may), "
        f"and the mean is {known} (at most ±{asked.precision:.0%} may) after {MOST_ROUNDS} rounds"
    )
    return InputError(
        msg, resolve="stop what else runs, or accept it with --max-noise and --precision, which widen the error band"
    )


def _open_lengths(item: dict[str, Any]) -> list[int]:
    """Return the places of the axes that the model leaves open, its batch left out."""
    return [place for place, size in enumerate(item["shape"]) if place and (not isinstance(size, int) or size < 0)]


def _has_length(asked: SweepOptions, engine: Engine) -> bool:
    """Return whether an input has an open axis beside its batch."""
    stated = dict(asked.shapes)
    return any(item["name"] not in stated and _open_lengths(item) for item in engine.inputs)


def _shaped(asked: SweepOptions, item: dict[str, Any], batch: int, length: int) -> dict[str, Any]:
    """Return an input with its shape in numbers; raise ``InputError`` where more is open than batch and length."""
    stated, shape, free = dict(asked.shapes).get(item["name"]), list(item["shape"]), _open_lengths(item)
    if stated is not None:
        return item | {"shape": [batch, *stated]}
    if len(free) > 1:
        axes = "x".join(str(size) for size in shape)
        msg = f"input {item['name']!r} has the shape {axes}: more than its batch and one length are open"
        raise InputError(msg, resolve=f"say --input {item['name']}=3x224x224, all but the batch", where=Where(asked.model))
    if shape and isinstance(shape[0], int) and shape[0] not in {-1, batch}:
        msg = f"input {item['name']!r} is fixed at a batch of {shape[0]}, got {batch}"
        raise InputError(msg, resolve=f"say --batch {shape[0]}, or export the model with an open batch", where=Where(asked.model))
    for place in free:
        shape[place] = length
    return item | {"shape": [batch, *shape[1:]] if shape else []}


def best_arrangement(measured: ModelMeasurement, shares: Sequence[tuple[int, float]], within_s: float = math.inf) -> int:
    """Return the threads of one engine at which the machine answers most, a batch taking no longer than ``within_s``.

    ``shares`` says which part of the items has which length. Where two are within 2 % the one whose engines are faster is taken.
    """
    rates: dict[int, float] = {}
    for threads in sorted({point.threads for point in measured.points}):
        times = service_times(measured, threads, shares)
        count = next(point.engines for point in measured.points if point.threads == threads)
        rates[threads] = max((count * batch / time_s for batch, time_s in times.items() if time_s <= within_s), default=0.0)
    if not any(rates.values()):
        msg = f"no batch is answered within {1e3 * within_s:g} ms on this machine"
        raise InputError(msg, resolve="allow more time (--within), or make the model smaller: `tightrope perf compress`")
    return max(threads for threads, rate in rates.items() if rate >= 0.98 * max(rates.values()))


def service_times(measured: ModelMeasurement, threads: int, shares: Sequence[tuple[int, float]]) -> dict[int, float]:
    """Return batch → mean seconds of one whose items have these lengths, each batch being of one length."""
    at = {(point.batch, point.length): point.mean_s for point in measured.points if point.threads == threads}
    lengths = sorted({length for _, length in at})
    return {
        batch: sum(share * float(np.interp(length, lengths, [at[batch, known] for known in lengths])) for length, share in shares)
        for batch in sorted({batch for batch, _ in at})
    }
