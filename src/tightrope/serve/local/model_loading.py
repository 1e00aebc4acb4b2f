"""A model from its files to the first answer: opened, checked, measured within a bounded time, and warm."""

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tightrope.base.errors import InputError, Where
from tightrope.serve.config.settings import LocalModel, ServedPool
from tightrope.serve.local.batch_curve import Curve
from tightrope.serve.local.core_placement import held_to
from tightrope.serve.local.models import LocalModelInterface, NoModel, NoSession
from tightrope.serve.local.output_heads import finish_of
from tightrope.serve.local.sessions import Session, give_back_memory, open_sessions, quantises_while_running
from tightrope.serve.local.tensor_model import TensorModel
from tightrope.serve.local.text_model import TextModel, load_tokenizer
from tightrope.serve.records import Signature, Task

log = logging.getLogger(__name__)

MEASURE_S = 2.0
"""Longest that the service curve is measured for; what is left out follows from what is known, and is learned later."""
SELDOM_S = 0.5
"""The same of a model that is loaded only when it is asked: there may be many."""
THREADS_S = 0.25
"""Of each number of threads that is tried."""
RUNS = 2
"""Timed runs of each point, after one that is not: the shorter one counts, since others only lengthen a run."""
MOST_SESSIONS = 8
"""Engines of several threads hold the model once each."""
ENOUGH = 1.03
"""More threads for an engine are worth having where all answer this much more together."""
SAMPLE_TOKENS = 32
SAMPLES = 16
LONGEST_TOKENS = 1024
"""The longest text that is tried at the load, where ``max_tokens`` is more: most encoders take 512, and fail beyond."""
AT_ONCE_S = 1e-6
"""Time of the engine without a model."""
VARIES = 1e-4
"""An answer that turns by more than this (1 less the cosine) with what is in its batch depends on it."""


@dataclass(slots=True)
class LoadMeasurement:
    """What was measured of a model the first time it was loaded."""

    threads: int
    curve: Curve
    varies: bool = False
    """Its answers depend on what is in the batch."""
    one_thread: bool = False
    """A batch is worked on by the thread that runs it alone, whose processor time says what it took."""
    signature: Signature | None = None
    """Of a model that takes tensors."""


@dataclass(slots=True)
class LoadedModel:
    """A model that can answer; ``sessions`` has one for each slot of ``found.threads`` cores."""

    model: LocalModelInterface
    sessions: tuple[Session, ...]
    found: LoadMeasurement
    seconds: float = 0.0
    """From asking for it to its first answer, without what was measured."""


def load(
    pool: ServedPool,
    task: Task,
    places: Sequence[frozenset[int] | None],
    found: LoadMeasurement | None = None,
    within_s: float = math.inf,
) -> LoadedModel:
    """Return a pool's model, ready to answer; raise ``InputError``. What was ``found`` before is not measured again.

    ``places`` are those of the engine threads (see ``placement.places``); an engine that answers one item later than half of
    ``within_s`` is passed over for one of more threads.
    """
    local, began_s = pool.local, time.monotonic()
    if local is None:
        curve = Curve(pool.max_batch, (1,), pool.service_s or (AT_ONCE_S,))
        return LoadedModel(NoModel(task), (NoSession(),) * len(places), found or LoadMeasurement(1, curve))
    threads = tried = min(local.threads or (found.threads if found else 1), len(places))
    first = open_sessions(local, threads, slots(places, threads)[:1])[0]
    model = _model(local, task, first)
    seconds = time.monotonic() - began_s
    if found is None and not local.threads:
        threads = _fastest_threads(local, model, first, places, within_s)
    sessions = _side(local, threads, places, first if threads == tried else None)
    if found is None:
        signature = model.signature if isinstance(model, TensorModel) else None
        alone = one_thread(local, threads)
        curve = _curve(pool, model, sessions[0], time.thread_time if alone else time.perf_counter)
        found = LoadMeasurement(threads, curve, _varies(local, model, sessions[0]), alone, signature)
    else:
        for session in dict.fromkeys(sessions):
            _run_sample(model, session, 1)
        seconds = time.monotonic() - began_s
    return LoadedModel(model, sessions, found, seconds)


def let_go(held: list[LoadedModel | None]) -> None:
    """Let go of a model that only the list still holds, and of its memory; in a thread, since that takes a while."""
    held.clear()
    give_back_memory()


def slots(places: Sequence[frozenset[int] | None], threads: int) -> list[frozenset[int] | None]:
    """Return where each engine of so many threads runs: on as many neighbouring places.

    >>> slots([None] * 5, 2)
    [None, None]
    """
    groups = [places[first : first + threads] for first in range(0, len(places) - threads + 1, threads)]
    return [None if None in group else frozenset().union(*(place for place in group if place)) for group in groups]


def one_thread(local: LocalModel, threads: int) -> bool:
    """Return whether the thread that asks does all the work, so that several may ask one session."""
    return threads == 1 and local.engine == "onnxruntime"


def _side(local: LocalModel, threads: int, places: Sequence[frozenset[int] | None], first: Session | None) -> tuple[Session, ...]:
    """Return a session for each engine of so many threads: ``first``, where it has as many, is one of them, or all."""
    held = slots(places, threads)
    if first is None:
        return open_sessions(local, threads, held)
    return (first,) * len(held) if one_thread(local, threads) else (first, *open_sessions(local, threads, held[1:]))


def _model(local: LocalModel, task: Task, session: Session) -> LocalModelInterface:
    """Return how the model is asked, after it has answered once."""
    if task == "infer":
        tensors = TensorModel(session.inputs, session.outputs)
        try:
            _run_sample(tensors, session, 2)
        except ValueError:  # its own: the outputs are no rows
            tensors.join = False
        except Exception as error:  # noqa: BLE001 - made-up numbers may be none that the model takes
            log.warning("%s does not run on made-up tensors, and is measured as it serves: %s", local.path, error)
        return tensors
    if task == "chat":
        msg = "an engine in this process embeds, classifies or infers; it does not chat"
        raise InputError(msg, resolve="serve it by an upstream server (upstream:)", where=Where(local.path))
    texts = TextModel(local, load_tokenizer(local), session.inputs)
    many = texts.sample(min(SAMPLES, texts.most or SAMPLES), texts.knots[0], 0)
    other = "give the tokenizer that the model was trained with"
    answers = _said(local, session, texts.feeds(many), "tokens of its tokenizer", other)
    longest = min(texts.knots[-1], LONGEST_TOKENS)
    shorter = "set max_tokens to the most that the model was made for, such as 512"
    _said(local, session, texts.feeds(texts.sample(1, longest, 0)), f"a text of {longest:,} tokens", shorter)
    texts.finish = finish_of(local, task, session.outputs, answers)
    if not all(np.isfinite(value).all() for value in answers if value.dtype.kind == "f"):
        msg = "the model answers with numbers that are none (NaN or infinite)"
        raise InputError(msg, resolve="check the export, and the order of its inputs", where=Where(local.path))
    return texts


def _said(local: LocalModel, session: Session, feeds: Mapping[str, NDArray[Any]], what: str, resolve: str) -> list[NDArray[Any]]:
    """Return all that a model says; raise ``InputError`` where it does not run on ``what`` it is fed."""
    try:
        return session.run([port.name for port in session.outputs], feeds)
    except Exception as error:  # the runtime raises kinds of its own
        first = next((line for line in str(error).splitlines() if line.strip()), "")[:300]
        msg = f"the model does not run on {what} ({first})"
        raise InputError(msg, resolve=resolve, where=Where(local.path)) from error


def best_threads(rates: Mapping[int, float], alone_s: Mapping[int, float], within_s: float) -> int:
    """Return the threads of an engine with which all engines together answer most items a second.

    Of those that answer one item within half the time; where none does, the quickest. Fewer threads are preferred.

    >>> best_threads({1: 100.0, 2: 102.0}, {1: 0.02, 2: 0.012}, 1.0), best_threads({1: 100.0, 2: 90.0}, {1: 0.6, 2: 0.4}, 1.0)
    (1, 2)
    """
    soon = [threads for threads in rates if alone_s[threads] <= within_s / 2]
    if not soon:
        return min(rates, key=alone_s.__getitem__)
    best = min(soon)
    for threads in sorted(soon):
        if rates[threads] > rates[best] * ENOUGH:
            best = threads
    return best


def _fastest_threads(
    local: LocalModel, model: LocalModelInterface, first: Session, places: Sequence[frozenset[int] | None], within_s: float
) -> int:
    """Return the number of threads for an engine, measured with as many engines side by side as there is room for."""
    tried = [count for count in _counts(len(places)) if count == 1 or len(places) // count <= MOST_SESSIONS]
    items = model.sample(min(4, model.most or 4), min(SAMPLE_TOKENS, model.knots[-1]), 1)
    if len(tried) < 2 or not items:
        return 1
    rates: dict[int, float] = {}
    alone_s: dict[int, float] = {}
    for threads in tried:
        held, sessions = slots(places, threads), _side(local, threads, places, first if threads == 1 else None)
        alone_s[threads] = _shortest(lambda session=sessions[0]: model.run(session, items[:1]))
        rates[threads] = len(items) * _side_by_side([_bound(model, one, items) for one in sessions], held)
    best = best_threads(rates, alone_s, within_s)
    said = ", ".join(f"{count}: {rate:,.0f}/s, one in {1e3 * alone_s[count]:.1f} ms" for count, rate in rates.items())
    log.info("%s runs with %d threads an engine (%s)", local.path.name, best, said)
    return best


def _counts(cores: int) -> list[int]:
    """Return the powers of two up to a number, and the number."""
    return sorted({2**power for power in range(cores.bit_length()) if 2**power <= cores} | {cores})


def _bound(model: LocalModelInterface, session: Session, items: Sequence[Any]) -> Callable[[], object]:
    """Return a run of a batch on a session."""
    return lambda: model.run(session, items)


def _side_by_side(runs: Sequence[Callable[[], object]], held: Sequence[frozenset[int] | None]) -> float:
    """Return how many runs a second all make together, each in a thread at its place."""
    counts, end = [0] * len(runs), time.monotonic() + THREADS_S

    def repeat(place: int) -> None:
        with held_to(held[place]):
            while time.monotonic() < end:
                runs[place]()
                counts[place] += 1

    threads = [threading.Thread(target=repeat, args=(place,)) for place in range(len(runs))]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.monotonic() - began)


def _shortest(run: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the time of the shortest of a few runs after the first."""
    run()
    times = []
    for _ in range(RUNS):
        began = clock()
        run()
        times.append(clock() - began)
    return max(min(times), 1e-7)


def _run_sample(model: LocalModelInterface, session: Session, size: int) -> None:
    """Run a small batch, so that the next one finds memory taken and code loaded."""
    items = model.sample(min(size, model.most or size), model.knots[0], 0)
    if items:
        model.run(session, items)


def _curve(pool: ServedPool, model: LocalModelInterface, session: Session, clock: Callable[[], float]) -> Curve:
    """Return the service curve: as planned where lengths do not matter, else measured from the least work up while there is time.

    An engine of one thread is timed by what that took of its core, so that what else runs here now does not show as its shape.
    """
    flat = len(model.knots) == 1
    most = min(pool.max_batch, model.most or pool.max_batch)
    curve = Curve(most, model.knots, pool.service_s if flat else ())
    if curve.planned:
        return curve
    end = time.monotonic() + (MEASURE_S if pool.local is None or pool.local.keep_loaded else SELDOM_S)
    per_token_s = 0.0
    for size, length in sorted(((size, length) for size in curve.sizes for length in curve.knots), key=math.prod):
        left_s = end - time.monotonic()
        items = model.sample(size, length, size) if (RUNS + 1) * size * length * per_token_s < left_s else []
        if not items:
            continue
        taken_s = _shortest(lambda items=items: model.run(session, items), clock)
        curve.put(size, length, taken_s)
        per_token_s = taken_s / (size * length)
    if curve.known:
        curve.complete()
        log.info("%s: one item in %.2f ms, %s", pool.name, 1e3 * curve.seconds(1, curve.knots[0]), pays(curve))
    return curve


def pays(curve: Curve) -> str:
    """Return in words where batches pay, by length.

    >>> curve = Curve(2, (8, 64))
    >>> for size, length, seconds in ((1, 8, 1.0), (2, 8, 1.5), (1, 64, 8.0), (2, 64, 16.5)):
    ...     curve.put(size, length, seconds)
    >>> curve.complete()
    >>> pays(curve)
    'batches gain at most 33 % at length 8, 0 % at length 64'
    """
    gains = []
    for length in curve.knots:
        alone_s = curve.seconds(1, length)
        gain = max(size * alone_s / curve.seconds(size, length) for size in curve.sizes) - 1.0
        gains.append(f"{100 * gain:.0f} % at length {length}")
    return "batches gain at most " + ", ".join(gains)


def _varies(local: LocalModel, model: LocalModelInterface, session: Session) -> bool:
    """Return whether an answer depends on its batch, by what the file holds and by what it answers; say so in the log."""
    if model.most == 1:
        return False
    marked = quantises_while_running(local.path)
    turned = _turned(model, session)
    if not marked and turned <= VARIES:
        return False
    why = "its file quantises activations while it runs" if marked else "measured"
    log.warning(
        "%s: answers depend on what is in their batch (%s; 1 - cosine up to %.1e): they are not cached or judged unless run alone",
        local.path,
        why,
        turned,
    )
    return True


def _turned(model: LocalModelInterface, session: Session) -> float:
    """Return the largest 1 - cosine between answers alone and in a batch: of one length, and padded beside a longer one."""
    short, long = model.knots[0], min(2 * SAMPLE_TOKENS, model.knots[-1])
    most = min(8, model.most or 8)
    batches = [model.sample(most, short, 2), [*model.sample(most - 1, short, 3), *model.sample(1, long, 4)]]
    worst = 0.0
    for items in batches:
        for item, together in zip(items, model.raw(session, items) if items else [], strict=True):
            alone = model.raw(session, [item])[0]
            size = float(np.linalg.norm(alone) * np.linalg.norm(together))
            if size > 0.0:
                worst = max(worst, 1.0 - float(np.dot(alone, together)) / size)
    return worst
