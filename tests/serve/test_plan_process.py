"""A plan run as it is rendered, by real processes: two engines of a pool with a model of texts, and a gateway before them."""

import base64
import json
import re
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.perf.compress_models import WIDTH, write_encoder
from tests.serve.ports import kept_port
from tests.serve.test_process import WAIT_S, Server, run_verb, tell

from tightrope.base.metrics import BATCHES

PLAN = Path(__file__).parent.parent / "render" / "plans" / "helpdesk.json"
POOL, CLASS, MODEL = "int8-c7i-large", "triage", "minilm"
TEXTS = ["w5 w6 w7", "w8 w9", "w10 w11 w12 w13"]
NAMES = (CLASS, MODEL)
"""What clients of the gateway may call it: by the class, or by the model."""


class Cluster:
    """A gateway and two engines, started; ``stop`` ends them."""

    def __init__(self, folder: Path, *, classifies: bool) -> None:
        self.folder, self.servers, self._ports = folder, list[Server](), ExitStack()
        try:
            self._begin(classifies=classifies)
        except BaseException:
            self.stop()
            raise

    def _begin(self, *, classifies: bool) -> None:
        folder = self.folder
        model = folder / "model"
        model.mkdir()
        write_encoder(model).rename(model / "model.onnx")
        if classifies:
            np.savez(model / "head.npz", weights=np.eye(WIDTH, 2, dtype=np.float32), bias=np.zeros(2, np.float32))
            (model / "labels.json").write_text('["bug", "praise"]', encoding="utf-8")
        *inside, port = (self._ports.enter_context(kept_port()) for _ in range(3))
        common = ("--plan", PLAN, "--host", "127.0.0.1", "--leaves", "0")
        self.engines = [self._start(one, *common, "--pool", POOL, "--model", model) for one in inside]
        for engine in self.engines:
            engine.wait()
        beside = folder / "serve.yaml"
        beside.write_text(f"limits: {{inputs: {len(TEXTS)}}}\n", encoding="utf-8")
        place = ("--place", "aws/us-east-1", "--upstreams", self._upstreams(inside), "--ledger", folder / "ledger")
        self.gateway = self._start(port, beside, *common, *place).wait()

    def _start(self, port: int, *options: object) -> Server:
        self.servers.append(Server(self.folder, port, *options))
        return self.servers[-1]

    def _upstreams(self, inside: list[int]) -> Path:
        """Write where the pools answer: of those that are not asked here, nowhere."""
        url, path = self.folder / "url", self.folder / "upstreams.json"
        url.write_text(" ".join(f"http://127.0.0.1:{port}" for port in inside) + "\n", encoding="utf-8")
        nowhere = ("int8-g6-xlarge", "int8-lambda-1769mb-serverless", "mini-openai-gpt-4o-mini-token-api")
        found = {POOL: {"url_from": str(url)}, **{name: {"url": "http://127.0.0.1:1"} for name in nowhere}}
        path.write_text(json.dumps(found), encoding="utf-8")
        return path

    def stop(self) -> None:
        """End what is left."""
        for server in self.servers:
            server.end(signal.SIGKILL)
        self._ports.close()


@pytest.fixture(scope="module")
def embedding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    yield from running(tmp_path_factory.mktemp("embedding"), classifies=False)


@pytest.fixture(scope="module")
def classifying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    yield from running(tmp_path_factory.mktemp("classifying"), classifies=True)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    yield from running(tmp_path, classifies=False)


def running(folder: Path, *, classifies: bool) -> Iterator[Cluster]:
    found = Cluster(folder, classifies=classifies)
    try:
        yield found
    finally:
        found.stop()


def asked(server: Server, path: str, body: dict[str, Any]) -> dict[str, Any]:
    status, said = server.ask("POST", path, json.dumps(body).encode())
    assert status == 200, said
    found: dict[str, Any] = json.loads(said)
    return found


def embedded(server: Server, model: str, texts: list[str]) -> NDArray[Any]:
    found = asked(server, "/v1/embeddings", {"model": model, "input": texts, "encoding_format": "base64"})
    return np.array([np.frombuffer(base64.b64decode(item["embedding"]), "<f4") for item in found["data"]])


def inferred(server: Server, model: str, texts: list[str]) -> NDArray[Any]:
    tensor = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": texts}
    (output,) = asked(server, f"/v2/models/{model}/infer", {"inputs": [tensor]})["outputs"]
    return np.array(output["data"], np.float32).reshape(output["shape"])


def test_through_the_gateway_vectors_are_the_engines(embedding: Cluster) -> None:
    own = embedded(embedding.engines[0], MODEL, TEXTS)
    assert own.shape == (len(TEXTS), WIDTH)
    assert np.linalg.norm(own, axis=1) == pytest.approx(np.ones(len(TEXTS)), rel=1e-5)
    for name in NAMES:
        assert (embedded(embedding.gateway, name, TEXTS) == own).all()
        assert inferred(embedding.gateway, name, TEXTS) == pytest.approx(own, rel=1e-6)


def test_beside_the_plan_a_file_says_what_the_plan_does_not(embedding: Cluster) -> None:
    body = json.dumps({"model": MODEL, "input": [*TEXTS, "w1"]}).encode()
    assert embedding.gateway.ask("POST", "/v1/embeddings", body)[0] == 413
    assert embedding.engines[0].ask("POST", "/v1/embeddings", body)[0] == 200


def test_through_the_gateway_labels_are_the_engines(classifying: Cluster) -> None:
    own = asked(classifying.engines[0], "/v1/classify", {"model": MODEL, "input": TEXTS})["data"]
    assert all(set(item["scores"]) == {"bug", "praise"} for item in own)
    for name in NAMES:
        found = asked(classifying.gateway, "/v1/classify", {"model": name, "input": TEXTS})
        assert found["data"] == own
        assert inferred(classifying.gateway, name, TEXTS) == pytest.approx(inferred(classifying.engines[0], MODEL, TEXTS))
    assert {item["id"] for item in json.loads(classifying.gateway.get("/v1/models")[1])["data"]} >= set(NAMES)


def test_batches_are_shown_by_the_engine_and_all_else_by_the_gateway(embedding: Cluster) -> None:
    embedded(embedding.gateway, MODEL, ["w1 w2"])
    served = [shown(engine) for engine in embedding.engines]
    assert {name for one in served for name, _ in one} == set(BATCHES)
    assert sum(one["tightrope_batch_requests", "count"] for one in served) >= 1
    gateway = shown(embedding.gateway)
    assert gateway["tightrope_arrivals_total", ""] >= 1
    assert gateway["tightrope_batch_requests", "count"] == 0, "else each would be counted twice"


def shown(server: Server) -> dict[tuple[str, str], float]:
    """Return what ``/metrics`` shows of the pool: family and part → the sum of its series."""
    found: Counter[tuple[str, str]] = Counter()
    for line in server.get("/metrics")[1].decode().splitlines():
        if not line.startswith("#") and f'pool="{POOL}"' in line:
            name, part = re.fullmatch(r"(\w+?)(?:_(bucket|sum|count))?\{.*", line).groups(default="")  # type: ignore[union-attr]
            found[name, part] += float(line.rpartition(" ")[2])
    return found


def test_an_engine_is_killed_under_load_and_every_dollar_is_the_plans(cluster: Cluster) -> None:
    """Requests on the engine that dies are answered by the other; the ledger adds up to the price of the machines that were there."""
    told: list[tuple[int, str]] = []

    def ask(name: int) -> None:
        with closing(HTTPConnection("127.0.0.1", cluster.gateway.port, timeout=WAIT_S)) as connection:
            for number in range(60):
                if (name, number) == (0, 20):
                    cluster.engines[0].process.send_signal(signal.SIGKILL)
                body = json.dumps({"model": NAMES[number % 2], "input": f"w{name} w{number}"})
                connection.request("POST", "/v1/embeddings", body, {"content-type": "application/json"})
                answer = connection.getresponse()
                told.append((answer.status, answer.getheader("x-tightrope-cost-usd") or answer.read().decode()))
                answer.read()

    threads = [threading.Thread(target=ask, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert [status for status, _ in told] == [200] * 240, told
    assert cluster.gateway.end() == 0
    assert cluster.engines[1].end() == 0
    ledger = ("--ledger", str(cluster.folder / "ledger"))
    total = run_verb("ledger", "total", *ledger)
    price = next(pool["node"]["usd_per_hour"] for pool in json.loads(PLAN.read_bytes())["pools"] if pool["name"] == POOL)
    (machine,) = (item for item in total["machines"] if item["machine_hours"])
    assert machine["paid_usd"] == pytest.approx(price * machine["machine_hours"], abs=1e-8)
    assert machine["requests_usd"] == pytest.approx(sum(float(usd) for _, usd in told), abs=1e-7)
    assert machine["requests_usd"] > 0
    assert tell("ledger", "check", *ledger).returncode == 0
