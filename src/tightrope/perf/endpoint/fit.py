"""The coefficients of a token engine from the steps that were seen: one joint least-squares fit, with intervals and held-out errors.

A step with ``p`` prompt and ``n`` decode tokens over ``c`` cached ones takes ``overhead + max(weights, (p + n) × per_token) + c ×
per_cached_token`` (``base.records.TokenEngine``). Given which steps are bound by arithmetic, that is linear; which are is one threshold
on ``p + n``, which is searched from every start. How a prompt is cut into steps depends on ``chunk_tokens``, which is searched as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tightrope.base.records import FloatArray, IntArray
from tightrope.perf.endpoint.engine_steps import WHOLE, Observation

NAMES = ("overhead_s", "weights_s", "per_token_s", "per_cached_token_s", "front_s")
UNITS = {
    "overhead_s": ("overhead", "ms", 1e3),
    "weights_s": ("weights", "ms", 1e3),
    "per_token_s": ("per token", "µs", 1e6),
    "per_cached_token_s": ("per cached token", "ns", 1e9),
    "front_s": ("before the first step", "ms", 1e3),
}
SURE = 0.03
"""Relative residuals beyond this count by their size, not their square (Huber, Ann. Math. Stat. 35, 1964): a hiccup decides nothing."""
STARTS = 12
ROUNDS = 12
USUAL_CHUNKS = (128, 256, 512, 1024, 2048, 4096, 8192, 16384)
"""What servers are commonly started with is tried as it is."""
COARSE = 60
DEEPER = 5
"""So many of the best coarse chunks are searched around."""
ENOUGH = 1e-3
"""A round that gains less than this share of the loss is the last."""
RANK = 1e-12
RESAMPLES = 100
HELD_OUT = 0.25
SAME = 0.05
"""A chunk that explains this much less than endless ones is not seen."""


@dataclass(frozen=True, slots=True)
class EndpointCoefficients:
    """One fit; ``front_s`` is what the first token waits for beside its steps: the network, the server's front end, the client."""

    overhead_s: float
    weights_s: float
    per_token_s: float
    per_cached_token_s: float
    front_s: float
    chunk_tokens: int

    @property
    def threshold(self) -> float:
        """Tokens of a step above which arithmetic bounds it."""
        return self.weights_s / self.per_token_s if self.per_token_s > 0 else np.inf


@dataclass(frozen=True, slots=True)
class ObservationArrays:
    """Observations as arrays."""

    seconds: FloatArray
    decode: IntArray
    cached: FloatArray
    prompt: IntArray
    from_end: IntArray
    experiment: np.ndarray

    def part(self, rows: np.ndarray) -> "ObservationArrays":
        """Return some of the rows."""
        return ObservationArrays(
            self.seconds[rows],
            self.decode[rows],
            self.cached[rows],
            self.prompt[rows],
            self.from_end[rows],
            self.experiment[rows],
        )


@dataclass(frozen=True, slots=True)
class EndpointFit:
    """The fit of all observations, and how good it is."""

    best: EndpointCoefficients
    lower: dict[str, float]
    upper: dict[str, float]
    """Of 95 % intervals by bootstrap over the observations."""
    r_squared: float
    residual_p50: float
    residual_p95: float
    """Relative, absolute, of the observations that were fitted."""
    held_out: int
    held_out_p50: float
    held_out_p95: float
    """The same of a quarter of them that a second fit did not see."""
    observations: dict[str, int]
    chunk_seen: bool
    """Whether prompts were seen to be cut into steps."""
    bound_steps: int
    """Sizes of steps (prompt and decode tokens) that were seen bound by arithmetic,"""
    free_steps: int
    """and by reading the weights."""
    most_cached: float


def tabulate(observations: Sequence[Observation]) -> ObservationArrays:
    """Return the observations as arrays."""
    return ObservationArrays(
        seconds=np.array([row.seconds for row in observations], dtype=np.float64),
        decode=np.array([row.decode for row in observations], dtype=np.int64),
        cached=np.array([row.cached for row in observations], dtype=np.float64),
        prompt=np.array([row.prompt for row in observations], dtype=np.int64),
        from_end=np.array([row.from_end for row in observations], dtype=np.int64),
        experiment=np.array([row.experiment for row in observations]),
    )


@dataclass(frozen=True, slots=True)
class PromptChunks:
    """What each observation is made of, if prompts are cut so: steps full of ``chunk`` tokens, and one of ``last`` tokens."""

    full: FloatArray
    chunk: int
    last: IntArray
    cached: FloatArray
    whole: np.ndarray


def cut(table: ObservationArrays, chunk: int) -> PromptChunks:
    """Return the steps of each observation where a step has at most ``chunk`` tokens."""
    room = np.maximum(chunk - table.decode, 1)
    parts = np.maximum(-(-table.prompt // room), 1)
    rest = table.prompt - (parts - 1) * room
    whole = table.from_end == WHOLE
    ends, inner = table.from_end == 0, (table.from_end > 0) & (table.from_end < parts)
    last = np.select([whole | ends, inner], [rest + table.decode, room + table.decode], table.decode)
    read = np.select([ends, inner], [(parts - 1) * room, (parts - 1 - table.from_end) * room], 0)
    cached = np.where(whole, room * parts * (parts - 1) / 2, table.cached + read)
    return PromptChunks(np.where(whole, parts - 1, 0).astype(np.float64), chunk, last, cached, whole)


def design(steps: PromptChunks, threshold: float) -> FloatArray:
    """Return float64[5, observations], what each coefficient of ``NAMES`` is multiplied with, where steps above the threshold are bound."""
    bound, full_bound = steps.last > threshold, steps.chunk > threshold
    matrix = np.empty((len(NAMES), len(steps.full)))
    matrix[0] = 1.0 + steps.full
    matrix[1] = np.where(bound, 0.0, 1.0) + (0.0 if full_bound else steps.full)
    matrix[2] = np.where(bound, steps.last, 0.0) + (steps.full * steps.chunk if full_bound else 0.0)
    matrix[3] = steps.cached
    matrix[4] = steps.whole
    return matrix


def _errors(table: ObservationArrays, steps: PromptChunks, at: EndpointCoefficients) -> FloatArray:
    """Return relative residuals for a known cut, no larger than a million."""
    values = np.array([at.overhead_s, at.weights_s, at.per_token_s, at.per_cached_token_s, at.front_s])
    return np.clip(values @ design(steps, at.threshold) / table.seconds - 1.0, -1e6, 1e6)


def residuals(table: ObservationArrays, at: EndpointCoefficients) -> FloatArray:
    """Return what the fit predicts less what was seen, as shares of what was seen."""
    return _errors(table, cut(table, at.chunk_tokens), at)


def loss(errors: FloatArray) -> float:
    """Return the mean loss of relative residuals."""
    size = np.abs(errors)
    return float(np.where(size <= SURE, size * size, SURE * (2 * size - SURE)).mean())


def fit_all(table: ObservationArrays, chunk: int | None = None, near: EndpointCoefficients | None = None) -> EndpointCoefficients:
    """Return the coefficients that explain the observations best; ``chunk`` is stated, or searched: near a known fit, or everywhere."""
    if chunk is not None:
        return fit_chunk(table, chunk, near)[0]
    if near is not None:
        around = {round(near.chunk_tokens * (1 + part)) for part in (-0.01, -0.003, 0.0, 0.003, 0.01)}
        return _best(table, sorted(around), near)
    longest = endless(table)
    usual = [size for size in USUAL_CHUNKS if size < longest]
    coarse = np.unique([*np.geomspace(16, longest, COARSE).astype(int), *usual]).tolist()
    ranked = sorted((fit_chunk(table, size, None) for size in coarse), key=lambda found: found[1])
    around = [_best(table, _near(fit.chunk_tokens, 0.06), fit) for fit, _ in ranked[:DEEPER]]
    found = min(around, key=lambda fit: (round(loss(residuals(table, fit)), 12), -fit.chunk_tokens))
    found = _best(table, _near(found.chunk_tokens, 0.002), found)
    return fit_chunk(table, found.chunk_tokens, None)[0]


def _near(chunk: int, width: float) -> list[int]:
    """Return chunks near one, itself among them: a few hundred at most."""
    step = max(1, round(chunk * width / 100))
    reach = step * (int(chunk * width / step) + 1)
    return [size for size in range(chunk - reach, chunk + reach + 1, step) if size > 1]


def endless(table: ObservationArrays) -> int:
    """Return a chunk that no prompt fills."""
    return int(table.prompt.max(initial=0)) + int(table.decode.max(initial=1)) + 1


def _best(table: ObservationArrays, chunks: Sequence[int], near: EndpointCoefficients | None) -> EndpointCoefficients:
    """Return the fit of the chunk that explains most; of equal ones the largest, as one that was never filled is not seen."""
    fits = [fit_chunk(table, chunk, near) for chunk in chunks]
    return min(fits, key=lambda found: (round(found[1], 12), -found[0].chunk_tokens))[0]


def fit_chunk(table: ObservationArrays, chunk: int, near: EndpointCoefficients | None) -> tuple[EndpointCoefficients, float]:
    """Return the best fit with a known chunk, and its loss: from several thresholds, moved until they are their own coefficients'."""
    steps = cut(table, chunk)
    even = np.ones(len(table.seconds))
    sizes = np.unique(np.append(steps.last, chunk))
    starts = [near.threshold] if near else np.quantile(sizes, np.linspace(0.0, 1.0, STARTS), method="lower").tolist()
    tried = [_solve(table, steps, threshold, even) for threshold in starts]
    errors = [_errors(table, steps, fit) for fit in tried]
    losses = [loss(error) for error in errors]
    best = int(np.argmin(losses))
    found, error, lost = tried[best], errors[best], losses[best]
    for _ in range(ROUNDS):
        better = _solve(table, steps, found.threshold, np.minimum(1.0, SURE / np.maximum(np.abs(error), 1e-12)))
        error = _errors(table, steps, better)
        gained = lost - loss(error)
        if gained <= 0:
            break
        found, lost = better, lost - gained
        if gained < ENOUGH * lost:
            break
    return found, lost


def _solve(table: ObservationArrays, steps: PromptChunks, threshold: float, weights: FloatArray) -> EndpointCoefficients:
    """Return the least-squares coefficients, none below 0, of relative residuals with weights, where the threshold is known."""
    matrix = design(steps, threshold) / table.seconds
    gram, right = (matrix * weights) @ matrix.T, matrix @ weights
    scale = np.sqrt(np.maximum(np.diag(gram), 1e-300))
    gram, right = gram / np.outer(scale, scale), right / scale
    free = [index for index in range(len(NAMES)) if matrix[index].any()]
    values = np.zeros(len(NAMES))
    while free:
        part, *_ = np.linalg.lstsq(gram[np.ix_(free, free)], right[free], rcond=RANK)
        if (part >= 0).all():
            values[free] = part / scale[free]
            break
        free.pop(int(np.argmin(part)))
    return EndpointCoefficients(*values.tolist(), chunk_tokens=steps.chunk)


def fit_engine(observations: Sequence[Observation], chunk: int | None, seed: int) -> EndpointFit:
    """Return the joint fit with its intervals and its errors on observations that were held out."""
    table, random = tabulate(observations), np.random.default_rng(seed)
    best = _never_free(fit_all(table, chunk), table)
    held = np.full(len(table.seconds), False)
    strata = [np.flatnonzero(table.experiment == name) for name in np.unique(table.experiment)]
    for rows in strata:
        held[random.permutation(rows)[: int(HELD_OUT * len(rows))]] = True
    tested = np.abs(residuals(table.part(held), fit_all(table.part(~held), chunk)))
    lower, upper = _intervals(table, best, chunk, strata, random)
    errors = np.abs(residuals(table, best))
    missed, spread = residuals(table, best) * table.seconds, table.seconds - table.seconds.mean()
    sizes = np.unique(cut(table, best.chunk_tokens).last)
    return EndpointFit(
        best=best,
        lower=lower,
        upper=upper,
        r_squared=1.0 - float(missed @ missed) / float(spread @ spread),
        residual_p50=_at(errors, 50),
        residual_p95=_at(errors, 95),
        held_out=int(held.sum()),
        held_out_p50=_at(tested, 50),
        held_out_p95=_at(tested, 95),
        observations={str(name): int((table.experiment == name).sum()) for name in np.unique(table.experiment)},
        chunk_seen=fit_chunk(table, endless(table), None)[1] > (1.0 + SAME) * loss(errors) + 1e-9,
        bound_steps=int((sizes > best.threshold).sum()),
        free_steps=int((sizes <= best.threshold).sum()),
        most_cached=float(table.cached.max(initial=0.0)),
    )


def _never_free(found: EndpointCoefficients, table: ObservationArrays) -> EndpointCoefficients:
    """Return a fit whose weights take at least what a token does: on processors arithmetic may bound even steps of one token.

    That is the same for every step, as none has less than one token. Where none of one was seen, nothing is known of the weights.
    """
    if found.weights_s >= found.per_token_s or int(cut(table, found.chunk_tokens).last.min(initial=2)) > 1:
        return found
    return replace(found, weights_s=found.per_token_s)


def _at(errors: FloatArray, percentile: float) -> float:
    """Return a percentile, 0 of nothing."""
    return float(np.percentile(errors, percentile)) if len(errors) else 0.0


def _intervals(
    table: ObservationArrays,
    best: EndpointCoefficients,
    chunk: int | None,
    strata: Sequence[np.ndarray],
    random: np.random.Generator,
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the 95 % intervals of all coefficients, by fits to observations drawn again within each experiment."""
    drawn = []
    for _ in range(RESAMPLES):
        rows = np.concatenate([random.choice(rows, len(rows)) for rows in strata])
        drawn.append(_never_free(fit_all(table.part(rows), chunk, near=best), table))
    names = (*NAMES, "chunk_tokens")
    low, high = np.percentile([[getattr(fit, name) for name in names] for fit in drawn], [2.5, 97.5], axis=0)
    return dict(zip(names, low.tolist(), strict=True)), dict(zip(names, high.tolist(), strict=True))


WANTED = {
    "overhead_s": "prompts of several lengths that fill steps beyond what reading the weights takes (--max-prompt)",
    "weights_s": "decoding with few sequences and short prompts, in steps that arithmetic does not bound",
    "per_token_s": "prompts of several lengths that fill steps beyond what reading the weights takes (--max-prompt)",
    "per_cached_token_s": "decoding over longer contexts (--max-prompt, or more of them at once: --max-concurrency)",
    "chunk_tokens": "prompts longer than one step of the engine (--max-prompt), or --chunk-tokens as the server was started with",
}
MOST_DOUBT = 0.1
"""A coefficient counts as found where its interval leaves less doubt than this about the step in which it matters most."""


def not_identified(fitted: EndpointFit, kv_capacity_tokens: int, chunk: int | None) -> dict[str, str]:
    """Return coefficient → the experiment that is missing, for each that the observations do not tell."""
    best = fitted.best
    full_s = best.overhead_s + max(best.weights_s, best.chunk_tokens * best.per_token_s)
    decode_s = best.overhead_s + best.weights_s
    cached_s = decode_s + kv_capacity_tokens * best.per_cached_token_s
    reach = {
        "overhead_s": (1.0, decode_s),
        "weights_s": (1.0, decode_s),
        "per_token_s": (float(best.chunk_tokens), full_s),
        "per_cached_token_s": (float(kv_capacity_tokens), cached_s),
    }
    doubt = {name: 0.5 * (fitted.upper[name] - fitted.lower[name]) * size / step_s for name, (size, step_s) in reach.items()}
    missing = {name for name, share in doubt.items() if not share <= MOST_DOUBT}
    if fitted.bound_steps < 2 or best.per_token_s <= 0:
        missing |= {"per_token_s", "overhead_s"}
    if fitted.free_steps < 1 or best.weights_s <= 0:
        missing.add("weights_s")
    if chunk is None and not fitted.chunk_seen:
        missing.add("chunk_tokens")
    return {name: WANTED[name] for name in WANTED if name in missing}
