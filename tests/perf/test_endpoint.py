"""Measuring a server that runs: an engine of known coefficients comes back, bad servers end in an error, two roads agree."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from aiohttp import web
from endpoint_server import Engine, Server, event, lognormal, run, served, serving
from typer.testing import CliRunner

from tightrope.base.errors import InputError
from tightrope.base.records import TokenEngine
from tightrope.cli import app
from tightrope.cli.endpoint import check_trial, replay_trial
from tightrope.demand.schema import ProfileSpec
from tightrope.perf.endpoint import token_engine
from tightrope.perf.endpoint.client import StreamedAnswer, connect
from tightrope.perf.endpoint.experiments import ExperimentLimits, Lab
from tightrope.perf.endpoint.load_ramp import Ramp
from tightrope.perf.endpoint.profile_entry import EndpointProfile, profile_of, workload_entry
from tightrope.perf.endpoint.prompts import Prompts
from tightrope.perf.endpoint.server_limits import ServerLimits, ask_server
from tightrope.perf.endpoint.target import MeasurementLimits, Target, parse_target
from tightrope.perf.endpoint.token_engine import TokenMeasurement, measure_tokens

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
    server: Server, api: str = "completions", ramp: int = 0, limits: MeasurementLimits | None = None, **asked: int
) -> TokenMeasurement:
    """Return what measuring finds of a server."""
    async with serving(server) as url:
        said = ExperimentLimits(**({"max_prompt": 4096, "max_concurrency": 128} | asked))
        return await measure_tokens(parse_target(url, api), limits or MeasurementLimits(), said, Ramp(ramp), lambda _: None)


@pytest.fixture(scope="module")
def small() -> TokenMeasurement:
    """Return one measurement of the small engine, with load that rises until it is full."""
    return run(measured(Server(Engine(SMALL), front_s=0.003, context_tokens=6000), ramp=60))


def check_coefficients(found: TokenMeasurement, model: TokenEngine) -> None:
    """Hold what was found against what is true."""
    engine = found.engine(0.0)
    for name in COEFFICIENTS:
        assert getattr(engine, name) == pytest.approx(getattr(model, name), rel=0.05), name
    assert found.memory.lower <= model.kv_capacity_tokens <= found.memory.upper
    assert found.fitted.r_squared > 0.99


def test_every_coefficient_comes_back(small: TokenMeasurement) -> None:
    check_coefficients(small, SMALL)
    assert small.fitted.best.front_s == pytest.approx(0.003, rel=0.05)


@pytest.mark.parametrize(
    ("model", "api", "noise"), [(WIDE, "chat", 0.0), (SMALL, "completions", 0.01)], ids=["wide, chat", "noisy"]
)
def test_other_engines_come_back(model: TokenEngine, api: str, noise: float) -> None:
    check_coefficients(run(measured(Server(Engine(model, lognormal(noise) if noise else lambda: 1.0), fixed=7), api)), model)


def test_the_replay_and_the_server_agree_on_every_request(small: TokenMeasurement) -> None:
    """Two roads: load that the fit never saw, on the server, and replayed on the fitted engine."""
    assert len(small.trials) >= 3
    for trial in small.trials:
        check = check_trial(trial, small.engine(0.0), 1, small.fitted.best.front_s)
        assert check.ttft_p50_s == pytest.approx(check.replayed_ttft_p50_s, rel=0.03)
        assert check.tpot_s == pytest.approx(check.replayed_tpot_s, rel=0.03)
        outcome = replay_trial(trial, small.engine(0.0), 1)
        assert np.median(np.abs(outcome.tpot_s / trial.tpot_s - 1.0)) < 0.03
    assert small.trials[-1].saturated
    assert not small.trials[0].saturated


def test_a_profile_goes_into_a_workload(small: TokenMeasurement) -> None:
    entry = workload_entry(profile_of(small, EndpointProfile("m/v", "g5.xlarge", 90.0, date(2026, 1, 2)), missed=0.07))
    read = ProfileSpec.model_validate(entry)
    assert read.steps is not None
    assert read.steps.weights_ms == pytest.approx(20.0, rel=0.05)
    assert read.kind == "measured"
    assert read.error_band == pytest.approx(0.07)


def test_what_a_server_says_is_taken_and_named() -> None:
    metrics = '# HELP x\nvllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="1250"} 1.0\n'
    server = Server(Engine(SMALL), metrics=metrics)
    found = run(measured(server, max_sequences=16))
    assert found.memory.value == 20_000
    assert "/metrics" in found.memory.how
    assert found.sequences.how == "stated by you, not measured"
    assert server.engine.preempted == 0
    profile = profile_of(found, EndpointProfile("m/v", "g5.xlarge", 90.0, date(2026, 1, 2)))
    assert "KV cache stated by the server" in profile.provenance.note


def test_what_sglang_says_is_taken() -> None:
    info = {"max_total_num_tokens": 20_000, "max_running_requests": 16, "chunked_prefill_size": -1}

    async def ask() -> ServerLimits:
        async with (
            served(Server(Engine(SMALL), info=info).app()) as url,
            connect(parse_target(url, "chat"), MeasurementLimits()) as client,
        ):
            return await ask_server(client)

    found = run(ask())
    assert (found.kv_capacity_tokens, found.max_sequences, found.chunk_tokens) == (20_000, 16, None)
    assert found.sources["max_sequences"] == "/server_info"


def test_an_engine_that_arithmetic_bounds_from_one_token_on_comes_back() -> None:
    """As vLLM on a processor: a step of one token takes what one token does, and the weights nothing beside."""
    model = replace(SMALL, weights_s=0.0001, per_token_s=0.0008)
    found = run(measured(Server(Engine(model, lognormal(0.01)))))
    check_coefficients(found, replace(model, weights_s=model.per_token_s))
    assert workload_entry(profile_of(found, EndpointProfile("m/v", "c7i.large", 20.0, date(2026, 1, 2))))["steps"]


@pytest.mark.parametrize("api", ["completions", "chat"])
@pytest.mark.parametrize("tokens", [1, 12], ids=["one", "twelve"])
def test_a_last_token_without_text_is_counted_and_no_done_is_needed(api: str, tokens: int) -> None:
    async def ask() -> StreamedAnswer:
        server = Server(Engine(SMALL), half_letters=True, done=False)
        async with serving(server) as url, connect(parse_target(url, api, "model"), MeasurementLimits()) as client:
            return await client.generate("a few words", tokens)

    stream = run(ask())
    assert len(stream.token_s) == stream.output_tokens == tokens


def test_an_empty_choice_beside_the_usage_is_no_token() -> None:
    async def ask() -> StreamedAnswer:
        server = Server(Engine(SMALL), beside=True)
        async with serving(server) as url, connect(parse_target(url, "chat", "model"), MeasurementLimits()) as client:
            return await client.generate("a few words", 5)

    assert len(run(ask()).token_s) == 5


def test_the_prompts_that_show_how_words_count_fit_into_a_small_context() -> None:
    async def learn() -> float:
        server = Server(Engine(SMALL), context_tokens=1000, per_word=5)
        async with serving(server) as url, connect(parse_target(url, "completions", "model"), MeasurementLimits()) as client:
            lab = Lab(client, ExperimentLimits(), Prompts(np.random.default_rng(1)), lambda _: None, 1000)
            await lab.calibrate()
            return lab.prompts.per_word

    assert run(learn()) == 5.0


@pytest.mark.parametrize(
    ("asked", "limits", "says"),
    [
        ({"max_prompt": 128, "kv_capacity_tokens": 20_000}, MeasurementLimits(), "chunk_tokens"),
        ({"max_concurrency": 8, "max_prompt": 1000}, MeasurementLimits(), "did not fill the KV cache"),
        ({"max_concurrency": 8, "kv_capacity_tokens": 20_000}, MeasurementLimits(), "the limit of the engine is not known"),
        ({}, MeasurementLimits(requests=40), "all 40 requests are used up"),
        ({}, MeasurementLimits(seconds=5.0), "5 seconds are over"),
    ],
    ids=["short prompts", "few at a time", "no limit seen", "requests", "seconds"],
)
def test_what_was_not_found_out_is_not_reported(asked: dict[str, int], limits: MeasurementLimits, says: str) -> None:
    server = Server(Engine(SMALL))
    with pytest.raises(InputError, match=says) as caught:
        run(measured(server, limits=limits, **asked))
    assert "--max" in str(caught.value) or "--chunk-tokens" in str(caught.value)
    assert server.asked <= limits.requests


def test_memory_that_is_full_before_the_sequences_are_is_not_taken_for_their_limit() -> None:
    crowded = replace(SMALL, kv_capacity_tokens=1200, max_sequences=100)
    with pytest.raises(InputError, match="KV cache"):
        run(measured(Server(Engine(crowded)), max_prompt=600, chunk_tokens=512))


def test_an_engine_that_does_not_follow_the_formula_is_refused() -> None:
    known = {"max_sequences": 16, "kv_capacity_tokens": 20_000, "chunk_tokens": 512, "max_prompt": 2000}
    with pytest.raises(InputError, match=r"does not follow the formula|do not tell"):
        run(measured(Server(Engine(SMALL, lognormal(0.6))), **known))
    with pytest.raises(InputError, match=r"does not follow the formula|do not tell"):
        run(measured(Server(Engine(SMALL)), **(known | {"chunk_tokens": 60})))


# ----------------------------------------------------------------------------------------------------------- bad servers

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def bad(answer: Answer, limits: MeasurementLimits, seen: list[int]) -> None:
    """Measure a server that answers so, whatever is asked."""

    async def counted(request: web.Request) -> web.StreamResponse:
        seen.append(1)
        return await answer(request)

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "model"}]})

    app = web.Application()
    app.router.add_post("/v1/completions", counted)
    app.router.add_get("/v1/models", models)
    async with served(app) as url:
        await measure_tokens(parse_target(url, "completions"), limits, ExperimentLimits(), Ramp(0), lambda _: None)


def status(code: int, text: str = "no", **headers: str) -> Answer:
    """Return an answer with a status."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=code, text=text, headers=headers)

    return answer


def whole(said: object) -> Answer:
    """Return an answer that is no stream."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response(said)

    return answer


def streamed(*parts: bytes, hang: bool = False, cut: bool = False) -> Answer:
    """Return an answer of these parts, which then hangs, is cut, or ends."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for part in parts:
            await response.write(part)
        if hang:
            await asyncio.sleep(10_000)
        if cut and request.transport is not None:
            request.transport.abort()
        return response

    return answer


TOKEN = event({"choices": [{"text": "a", "finish_reason": None}]})
DONE = b"data: [DONE]\n\n"


def usage(prompt: object, output: int) -> bytes:
    """Return what ends a stream."""
    return event({"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": output}}) + DONE


BAD = {
    "too many": (status(429, "slow down"), "status 429: slow down"),
    "broken": (status(500, "<h1>oops</h1>"), "status 500: <h1>oops</h1>"),
    "redirect": (status(307, "", Location="http://example.com/"), "redirect: to http://example.com/, which is not followed"),
    "not streamed": (whole({"choices": [{"text": "whole"}]}), "answer is not a stream"),
    "hangs": (streamed(hang=True), "no whole answer in 7 s"),
    "hangs half-way": (streamed(TOKEN, hang=True), "no whole answer in 7 s"),
    "cut": (streamed(TOKEN, cut=True), "closed half-way"),
    "no end": (streamed(TOKEN), "closed half-way: after 1 tokens"),
    "no JSON": (streamed(b"data: {nonsense\n\n"), "event is not JSON: {nonsense"),
    "other JSON": (streamed(b"data: [1, 2]\n\n"), "wrong JSON"),
    "error inside": (streamed(event({"error": {"message": "lost the GPU"}})), "lost the GPU"),
    "endless line": (streamed(b"data: " + b"x" * (3 << 20)), "wrong JSON: a line of more than"),
    "nothing": (streamed(DONE), "answer without a token"),
    "no usage": (streamed(TOKEN, DONE), "no usage"),
    "wrong usage": (streamed(TOKEN, usage("many", 16)), "wrong JSON"),
    "lumps": (streamed(TOKEN, usage(40, 16)), "16 tokens in 1 pieces"),
    "endless": (streamed(*[TOKEN] * 100), "more tokens than asked for: 16 were asked for, 25 have come"),
    "short": (streamed(*[TOKEN] * 5, usage(40, 5)), "answers of 16 tokens were asked for and 5 and 5 came"),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_a_bad_server_ends_in_an_error_that_says_what_it_did(name: str) -> None:
    answer, says = BAD[name]
    seen: list[int] = []
    with pytest.raises(InputError) as caught:
        run(bad(answer, MeasurementLimits(timeout_s=7.0), seen))
    assert says in str(caught.value)
    assert "Resolve:" in str(caught.value)
    assert len(seen) <= 3


def test_nobody_there() -> None:
    async def ask() -> None:
        async with served(web.Application()) as url:
            pass
        await measure_tokens(parse_target(url, "completions"), MeasurementLimits(), ExperimentLimits(), Ramp(0), lambda _: None)

    with pytest.raises(InputError, match="unreachable"):
        run(ask())


def test_which_model_is_meant_is_asked() -> None:
    with pytest.raises(InputError, match=r"2 models \(a, b\)"):
        run(measured(Server(Engine(SMALL), models=("a", "b"))))


def test_a_key_is_sent_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(server: Server) -> None:
        async with serving(server) as url:
            await measure_tokens(
                parse_target(url, "completions", key_variable="TEST_KEY"),
                MeasurementLimits(requests=12),
                ExperimentLimits(),
                Ramp(0),
                lambda _: None,
            )

    monkeypatch.setenv("TEST_KEY", "hunter2")
    with pytest.raises(InputError, match="12 requests"):
        run(ask(Server(Engine(SMALL), key="hunter2")))
    with pytest.raises(InputError, match="status 401") as caught:
        run(ask(Server(Engine(SMALL), key="another")))
    assert "hunter2" not in str(caught.value)
    assert "not with Bearer ***" in str(caught.value)
    monkeypatch.setenv("TEST_KEY", "")
    with pytest.raises(InputError, match="'TEST_KEY' is empty"):
        run(ask(Server(Engine(SMALL))))


@pytest.mark.parametrize(
    "url",
    ["localhost:8000", "ftp://localhost", "http://", "http://user:secret@localhost", "http://localhost/?a=b", "http://[::1"],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_target(url, "chat")
    assert "secret" not in str(caught.value)


# -------------------------------------------------------------------------------------------------------------- the verb


def test_the_verb_writes_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def instead(target: Target, *rest: Any) -> TokenMeasurement:
        async def ask() -> TokenMeasurement:
            async with serving(Server(Engine(SMALL))) as url:
                return await measure_tokens(replace(target, url=url), *rest)

        return run(ask())

    monkeypatch.setattr(token_engine, "run_tokens", instead)
    words = ["perf", "measure-endpoint", "http://127.0.0.1:1", "--machine", "g5.xlarge", "--load", "90s", "--max-prompt", "3000"]
    known = ["--max-sequences", "16", "--kv-tokens", "20000"]
    done = CliRunner().invoke(app, [*words, *known, "--ramp", "20", "--out", str(tmp_path / "a")])
    assert done.exit_code == 0, done.output
    assert "weights, ms" in done.output
    assert "replayed" in done.output
    (entry,) = yaml.safe_load((tmp_path / "a" / "profile.yaml").read_text())
    assert ProfileSpec.model_validate(entry).steps is not None
    said = json.loads((tmp_path / "a" / "endpoint.json").read_text())
    assert said["measured"]["fitted"]["best"]["per_cached_token_s"] == pytest.approx(4e-7, rel=0.05)
    assert said["load"][0]["errors"] == {}
    for wrong in (["--max-requests", "30"], ["--load", "soon"], ["--tokens", "1"], ["--batch", "0"], ["--api", "grpc"]):
        failed = CliRunner().invoke(app, [*words, *wrong, "--out", str(tmp_path / "b")])
        assert isinstance(failed.exception, InputError), wrong
    assert not (tmp_path / "b").exists()


def test_few_long_sequences_fill_a_memory_that_short_ones_would_not() -> None:
    """Eight sequences at most: prompts short enough for fine portions would leave a part of the memory empty."""
    tight = TokenEngine(0.02, 0.06, 4e-4, 3e-6, 8000, 8, 256, 0.0)
    check_coefficients(run(measured(Server(Engine(tight)), max_prompt=2048, max_concurrency=32)), tight)
