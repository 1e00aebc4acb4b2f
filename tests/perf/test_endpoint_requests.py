"""Measuring a server that answers whole requests: embeddings and the Open Inference Protocol."""

import asyncio
from typing import Any

import pytest
from aiohttp import web
from endpoint_server import run, served

from tightrope.base.errors import InputError
from tightrope.base.units import today
from tightrope.cli.endpoint import check_trial
from tightrope.demand.schema import ProfileSpec
from tightrope.perf.endpoint.client import check_lag, connect
from tightrope.perf.endpoint.profile_entry import EndpointProfile, engine_of, profile_of, workload_entry
from tightrope.perf.endpoint.request_engine import LoadOptions, RequestMeasurement, measure_requests
from tightrope.perf.endpoint.target import MeasurementLimits, parse_target

ALPHA_S, BETA_S = 0.01, 0.004


class Batches:
    """Answers each request as a batch of its own, ``engines`` at a time; a batch of ``b`` takes ``ALPHA_S + b × BETA_S``."""

    def __init__(self, engines: int, front_s: float = 0.0, wrong: str = "") -> None:
        """Begin idle; ``wrong`` is what it does wrong."""
        self.seats, self.front_s, self.wrong = asyncio.Semaphore(engines), front_s, wrong

    async def serve(self, count: int) -> None:
        """Take the time of a batch."""
        await asyncio.sleep(self.front_s)
        async with self.seats:
            await asyncio.sleep(ALPHA_S + BETA_S * count)

    async def embed(self, request: web.Request) -> web.Response:
        """Answer texts."""
        texts = (await request.json())["input"]
        await self.serve(len(texts))
        return web.json_response({"data": [{"embedding": [0.1]} for _ in texts[1 if self.wrong == "one less" else 0 :]]})

    async def infer(self, request: web.Request) -> web.Response:
        """Answer tensors."""
        body = await request.json()
        assert body["id"]
        for given in body["inputs"]:
            size = 1
            for axis in given["shape"]:
                size *= axis
            assert len(given["data"]) == size
        await self.serve(body["inputs"][0]["shape"][0])
        return web.Response(text="nonsense") if self.wrong == "no JSON" else web.json_response({"outputs": [{"data": [1]}]})

    async def small(self, request: web.Request) -> web.Response:
        """Answer what needs no model."""
        await asyncio.sleep(self.front_s)
        if request.path.endswith("/models"):
            return web.json_response({"data": [{"id": "model"}]})
        rows = [{"name": "ids", "datatype": "INT64", "shape": [-1, -1]}, {"name": "x", "datatype": "FP32", "shape": [-1, 3]}]
        return web.json_response({"inputs": rows})

    def app(self) -> web.Application:
        """Return the server's paths."""
        app = web.Application(client_max_size=1 << 26)
        app.router.add_post("/v1/embeddings", self.embed)
        app.router.add_post("/v2/models/net/infer", self.infer)
        for path in ("/v1/models", "/v2/models/net", "/v2/health/ready"):
            app.router.add_get(path, self.small)
        return app


def found(api: str, engines: int, front_s: float = 0.0, wrong: str = "", **load: Any) -> RequestMeasurement:
    """Return what measuring finds."""

    async def ask() -> RequestMeasurement:
        async with served(Batches(engines, front_s, wrong).app()) as url:
            target = parse_target(url, api, "net" if api == "infer" else "")
            asked = LoadOptions(**({"shapes": (("ids", (16,)),), "per_point": 12, "max_concurrency": 16} | load))
            return await measure_requests(target, MeasurementLimits(), asked, lambda _: None)

    return run(ask())


@pytest.mark.parametrize(
    ("api", "engines", "front_s"), [("embeddings", 1, 0.0), ("infer", 3, 0.002)], ids=["embeddings", "infer"]
)
def test_times_of_batches_and_engines_come_back(api: str, engines: int, front_s: float) -> None:
    measured = found(api, engines, front_s)
    assert measured.engines == engines
    for batch, time_s in zip(measured.batches, measured.service_s, strict=True):
        assert time_s == pytest.approx(ALPHA_S + BETA_S * batch, rel=0.05)
    assert measured.round_trip_s == pytest.approx(front_s, abs=1e-3)
    assert measured.trials[-1].saturated
    calm = check_trial(measured.trials[0], *engine_of(measured))
    assert calm.ttft_p50_s == pytest.approx(calm.replayed_ttft_p50_s, rel=0.05)
    entry = ProfileSpec.model_validate(workload_entry(profile_of(measured, EndpointProfile("m/v", "c7i.large", 5.0, today()))))
    assert isinstance(entry.service_ms, list)
    assert len(entry.service_ms) == 16
    assert entry.replicas_per_machine == engines


@pytest.mark.parametrize(
    ("api", "wrong", "load", "says"),
    [
        ("embeddings", "one less", {}, "expected a list of 1 under 'data'"),
        ("infer", "no JSON", {}, "answer is not JSON: nonsense"),
        ("infer", "", {"shapes": ()}, "with an axis that is open"),
    ],
    ids=["too few", "no JSON", "open shape"],
)
def test_a_bad_answer_is_told(api: str, wrong: str, load: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as caught:
        found(api, 1, 0.0, wrong, **load)
    assert says in str(caught.value)


def test_a_network_that_takes_longer_than_the_model_is_not_taken_off() -> None:
    with pytest.raises(InputError, match="the way to the server and back takes"):
        found("embeddings", 1, 0.05)


def test_a_program_that_is_late_itself_does_not_report() -> None:
    async def ask() -> None:
        async with served(Batches(1).app()) as url, connect(parse_target(url, "embeddings"), MeasurementLimits()) as client:
            client.lags_s += [0.0] * 10 + [0.004] * 90
            check_lag(client, 0.021, "a step")
            check_lag(client, 0.019, "a step")

    with pytest.raises(InputError, match=r"late by 4\.0 ms .* a step takes 19\.0 ms"):
        run(ask())
