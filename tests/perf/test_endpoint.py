"""Measuring a server that runs: an engine of known coefficients comes back, bad servers end in an error, two roads agree."""

import pytest
from endpoint_server import Engine, Server, lognormal, run, serving

from tightrope.base.records import TokenEngine
from tightrope.perf.endpoint.experiments import Asked
from tightrope.perf.endpoint.measure import TokenMeasured, measure_tokens
from tightrope.perf.endpoint.rising import Ramp
from tightrope.perf.endpoint.target import Limits, parse_target

SMALL = TokenEngine(0.004, 0.02, 1e-4, 4e-7, 20_000, 16, 512, 0.0)
WIDE = TokenEngine(0.002, 0.008, 4e-5, 1.5e-7, 60_000, 48, 1024, 0.0)
COEFFICIENTS = (
    "overhead_s",
    "weights_s",
    "per_token_s",
    "per_cached_token_s",
    "kv_capacity_tokens",
    "max_sequences",
    "chunk_tokens",
)


async def measured(
    server: Server, api: str = "completions", ramp: int = 0, limits: Limits | None = None, **asked: int
) -> TokenMeasured:
    """Return what measuring finds of a server."""
    async with serving(server) as url:
        said = Asked(**({"max_prompt": 4096, "max_concurrency": 128} | asked))
        return await measure_tokens(parse_target(url, api), limits or Limits(), said, Ramp(ramp), lambda _: None)


@pytest.mark.parametrize(
    ("model", "api", "noise"),
    [(SMALL, "completions", 0.0), (WIDE, "chat", 0.0), (SMALL, "completions", 0.01)],
    ids=["small", "wide", "noisy"],
)
def test_every_coefficient_comes_back(model: TokenEngine, api: str, noise: float) -> None:
    server = Server(Engine(model, lognormal(noise) if noise else lambda: 1.0), fixed=7, front_s=0.003)
    found = run(measured(server, api))
    engine = found.engine(0.0)
    for name in COEFFICIENTS:
        assert getattr(engine, name) == pytest.approx(getattr(model, name), rel=0.05), name
    assert found.memory.lower <= model.kv_capacity_tokens <= found.memory.upper
    assert found.fitted.r_squared > 0.99
    assert found.requests <= 400
