"""The fit alone, on times that were computed: every coefficient, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from tightrope.perf.endpoint.engine_steps import PLAIN, WHOLE, Observation
from tightrope.perf.endpoint.fit import EndpointCoefficients, fit_all, fit_engine, not_identified, residuals, tabulate

TRUE = EndpointCoefficients(0.004, 0.02, 1e-4, 4e-7, 0.003, 512)
PROMPTS = (24, 50, 104, 217, 290, 361, 431, 502, 691, 943, 1690, 1966, 4096)


def seen(true: EndpointCoefficients, prompts: tuple[int, ...] = PROMPTS, noise: float = 0.0, seed: int = 1) -> list[Observation]:
    """Return what a run of experiments would see of an engine, by the formula of the replay."""
    random = np.random.default_rng(seed)

    def step(tokens: int, cached: float) -> float:
        exact_s = true.overhead_s + max(true.weights_s, tokens * true.per_token_s) + cached * true.per_cached_token_s
        return exact_s * float(np.exp(random.normal(0.0, noise)))

    rows = [Observation("one sequence", step(1, cached), 1, cached) for cached in (16, 500, 1500, 3000, 4000) for _ in range(4)]
    rows += [Observation("many sequences", step(n, 20 * n), n, 20 * n) for n in (2, 4, 8, 16, 64) for _ in range(4)]
    rows += [Observation("long contexts", step(n, 4000 * n), n, 4000 * n) for n in (2, 4) for _ in range(4)]
    for prompt in prompts:
        parts = [min(true.chunk_tokens, prompt - done) for done in range(0, prompt, true.chunk_tokens)]
        whole_s = true.front_s + sum(step(part, at * true.chunk_tokens) for at, part in enumerate(parts))
        rows.append(Observation("first token", whole_s, 0, 0.0, prompt, WHOLE))
        room = true.chunk_tokens - 1
        beside = [min(room, prompt - done) for done in range(0, prompt, room)]
        rows += [
            Observation("prompt beside", step(part + 1, 30 + at * room), 1, 30, prompt, len(beside) - 1 - at)
            for at, part in enumerate(beside)
        ]
        rows.append(Observation("prompt beside", step(1, 29), 1, 29, prompt, len(beside)))
    return rows


def test_coefficients_come_back_from_exact_times() -> None:
    fitted = fit_engine(seen(TRUE), None, 1)
    for name in ("overhead_s", "weights_s", "per_token_s", "per_cached_token_s", "front_s", "chunk_tokens"):
        assert getattr(fitted.best, name) == pytest.approx(getattr(TRUE, name), rel=1e-6), name
    assert fitted.r_squared > 1 - 1e-9
    assert fitted.held_out_p95 < 1e-6
    assert not not_identified(fitted, 20_000, None)


@pytest.mark.parametrize("seed", range(4))
def test_any_engine_is_found_with_its_chunk(seed: int) -> None:
    random = np.random.default_rng(seed)
    chunk = int(random.integers(200, 1500))
    weights_s = float(random.uniform(0.005, 0.05))
    true = EndpointCoefficients(
        float(random.uniform(0.1, 0.5)) * weights_s,
        weights_s,
        weights_s / float(random.uniform(0.2, 0.7) * chunk),
        weights_s * float(random.uniform(1e-6, 5e-5)),
        0.002,
        chunk,
    )
    found = fit_all(tabulate(seen(true)))
    assert found.chunk_tokens == chunk
    for name in ("overhead_s", "weights_s", "per_token_s", "per_cached_token_s"):
        assert getattr(found, name) == pytest.approx(getattr(true, name), rel=1e-3), name


def test_noise_and_hiccups_move_little_and_intervals_hold_the_truth() -> None:
    rows = seen(TRUE, noise=0.01)
    hiccups = [replace(row, seconds=5 * row.seconds) for row in rows[::25]]
    fitted = fit_engine([*rows, *hiccups], None, 1)
    assert fitted.best.chunk_tokens == pytest.approx(512, rel=0.02)
    for name in ("weights_s", "per_token_s", "per_cached_token_s"):
        assert getattr(fitted.best, name) == pytest.approx(getattr(TRUE, name), rel=0.05), name
        assert fitted.lower[name] <= getattr(TRUE, name) * 1.01
        assert fitted.upper[name] >= getattr(TRUE, name) * 0.99
    assert fitted.residual_p95 > 0.005


@pytest.mark.parametrize(
    ("prompts", "missing"),
    [
        ((24, 50, 104), {"overhead_s", "per_token_s", "chunk_tokens"}),
        ((24, 50, 104, 217, 290, 361, 431, 502), {"chunk_tokens"}),
    ],
    ids=["no step bound by arithmetic", "no prompt cut"],
)
def test_what_was_not_seen_is_refused(prompts: tuple[int, ...], missing: set[str]) -> None:
    wanted = not_identified(fit_engine(seen(TRUE, prompts), None, 1), 20_000, None)
    assert missing <= set(wanted)
    assert "weights_s" not in wanted or "overhead_s" in wanted


def test_a_cache_that_was_hardly_filled_says_nothing_about_a_large_one() -> None:
    rows = [row for row in seen(TRUE, noise=0.02) if row.cached < 100 and row.prompt < 600]
    wanted = not_identified(fit_engine(rows, 512, 1), 1_000_000, 512)
    assert "per_cached_token_s" in wanted


def test_a_stated_chunk_is_kept() -> None:
    rows = [row for row in seen(TRUE) if row.prompt < 500]
    fitted = fit_engine(rows, 512, 1)
    assert fitted.best.chunk_tokens == 512
    assert np.abs(residuals(tabulate(rows), fitted.best)).max() < 1e-6
    assert "chunk_tokens" not in not_identified(fitted, 20_000, 512)
    assert PLAIN < 0
