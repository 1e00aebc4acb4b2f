"""Real processes on loopback: started, asked, told to leave under load, killed; nothing answered is lost, nothing is counted twice."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.serve.ports import kept_port
from tritonclient import grpc

COMMAND = [sys.executable, "-c", "from tightrope.cli import main; main()"]
WAIT_S = 60.0
YAML = """\
name: test
machine: {usd_per_hour: 3.6}
models:
  m: {task: embed, variants: {only: {noop: true}}}
classes:
  now: {slo: latency p95 <= 1 s, priority: 1}
  later: {within: 1 hour}
cache: {ttl: 1 min}
jobs: jobs.sqlite
ledger: ledger
leaves: 1 s
"""


class Server:
    """One process that serves."""

    def __init__(self, folder: Path, port: int, *options: object) -> None:
        """Start it with these options, by the folder's file where there are none; ``wait`` until it answers."""
        self.port = port
        self.log = folder / f"log-{time.monotonic_ns()}"
        with self.log.open("wb") as log:
            command = [*COMMAND, "serve", *map(str, options or (folder / "serve.yaml",)), "--port", str(port)]
            self.process = subprocess.Popen(command, stderr=log, stdout=log)  # noqa: S603 - ourselves

    def wait(self) -> "Server":
        """Wait until it is ready."""
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            assert self.process.poll() is None, self.log.read_text()
            try:
                if self.get("/readyz")[0] == 200:
                    return self
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def get(self, path: str) -> tuple[int, bytes]:
        """Return status and body."""
        return self.ask("GET", path)

    def embed(self, text: str) -> tuple[int, bytes]:
        """Return the answer to one embedding."""
        return self.ask("POST", "/v1/embeddings", json.dumps({"model": "m", "input": text}).encode())

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> tuple[int, bytes]:
        """Return status and body, on a connection of its own."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)) as connection:
            connection.request(method, path, body, {"content-type": kind})
            answer = connection.getresponse()
            return answer.status, answer.read()

    def end(self, number: int = signal.SIGTERM) -> int:
        """Tell it to go, and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(WAIT_S)


@contextmanager
def serving(folder: Path, port: int, *options: object) -> Iterator[Server]:
    """Serve for a while."""
    server = Server(folder, port, *options)
    try:
        yield server.wait()
    finally:
        server.end(signal.SIGKILL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "serve.yaml").write_text(YAML, encoding="utf-8")
    return tmp_path


def tell(*arguments: str, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    command = [*COMMAND, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=WAIT_S, cwd=cwd)  # noqa: S603 - ourselves


def run_verb(*arguments: str) -> dict[str, Any]:
    done = tell(*arguments, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def until(condition: Callable[[], object]) -> None:
    """Wait for what is to happen in a process."""
    ends_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < ends_s
        time.sleep(0.01)


def test_told_to_leave_under_load_it_fails_no_request(folder: Path, free_port: int) -> None:
    """Clients go elsewhere when they are told to: by readiness, as a balancer does, or by the answer that closes their connection."""
    (folder / "serve.yaml").write_text(YAML.replace("leaves: 1 s", "leaves: 5 s"), encoding="utf-8")
    with serving(folder, free_port) as server:
        answers: list[int] = []
        told: list[int] = []

        def ask(name: int) -> None:
            with closing(HTTPConnection("127.0.0.1", free_port, timeout=WAIT_S)) as connection:
                for number in range(100_000):
                    body = json.dumps({"model": "m", "input": f"{name} {number}"})
                    connection.request("POST", "/v1/embeddings", body, {"content-type": "application/json"})
                    answer = connection.getresponse()
                    answer.read()
                    answers.append(answer.status)
                    if answer.getheader("connection") == "close":
                        told.append(name)
                        return

        threads = [threading.Thread(target=ask, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        until(lambda: len(answers) > 200)
        server.process.send_signal(signal.SIGTERM)
        until(lambda: server.get("/readyz")[0] == 503)  # at once, while requests are still answered
        assert server.embed("late")[0] == 200
        for thread in threads:
            thread.join(WAIT_S)
        assert server.process.wait(WAIT_S) == 0
    assert sorted(told) == [0, 1, 2, 3]
    assert set(answers) == {200}


def test_clients_that_do_not_heed_it_hold_nobody_up(folder: Path, free_port: int) -> None:
    """They connect anew all the time, so that something is always in flight."""
    yaml = YAML.replace("noop: true", "noop: true, max_wait: 300 ms, max_batch: 1000")
    (folder / "serve.yaml").write_text(yaml, encoding="utf-8")
    with serving(folder, free_port) as server:
        answers: list[int] = []

        def ask(name: int) -> None:
            for number in range(1_000):
                try:
                    answers.append(server.embed(f"{name} {number}")[0])
                except ConnectionError:
                    return

        threads = [threading.Thread(target=ask, args=(name,)) for name in range(16)]
        for place, thread in enumerate(threads):
            thread.start()
            time.sleep(0.02 * (place % 7))
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(WAIT_S) == 0
        for thread in threads:
            thread.join(WAIT_S)
    assert set(answers) == {200}
    assert "with 0 requests unanswered" in server.log.read_text()


def test_killed_it_has_lost_no_answer_and_no_dollar(folder: Path, free_port: int) -> None:
    answered = 0
    for _ in range(2):
        with serving(folder, free_port) as server:
            until = time.monotonic() + 1.0
            while time.monotonic() < until:
                answered += server.embed(f"text {answered}")[0] == 200
            server.end(signal.SIGKILL)
    with serving(folder, free_port) as server:
        assert server.embed("the last")[0] == 200
        assert server.end() == 0
    total = run_verb("ledger", "total", "--ledger", str(folder / "ledger"))
    assert total["charges"][0]["requests"] == answered + 1
    [machine] = total["machines"]
    assert machine["paid_usd"] == pytest.approx(3.6 * machine["machine_hours"], abs=1e-8)
    parts = sum(machine[name] for name in ("requests_usd", "other_usd", "idle_usd", "unmetered_usd"))
    assert machine["paid_usd"] == pytest.approx(parts, abs=1e-8)
    checked = tell("ledger", "check", "--ledger", str(folder / "ledger"))
    assert checked.returncode == 0, checked.stdout


def test_a_batch_goes_on_where_a_kill_left_it(folder: Path, free_port: int) -> None:
    lines = [
        {"custom_id": f"i{number}", "method": "POST", "url": "/v1/embeddings", "body": {"model": "m", "input": f"text {number}"}}
        for number in range(3000)
    ]
    text = "\n".join(json.dumps(line) for line in lines).encode()
    boundary = "b0undary"
    form = (
        (
            f'--{boundary}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            f'--{boundary}\r\ncontent-disposition: form-data; name="file"; filename="in.jsonl"\r\n\r\n'
        ).encode()
        + text
        + f"\r\n--{boundary}--\r\n".encode()
    )
    with serving(folder, free_port) as server:
        status, said = server.ask("POST", "/v1/files", form, f"multipart/form-data; boundary={boundary}")
        assert status == 200, said
        asked = {
            "input_file_id": json.loads(said)["id"],
            "endpoint": "/v1/embeddings",
            "completion_window": "1h",
            "metadata": {"class": "later"},
        }
        status, said = server.ask("POST", "/v1/batches", json.dumps(asked).encode())
        assert status == 200, said
        batch = json.loads(said)["id"]
        time.sleep(0.5)
        server.end(signal.SIGKILL)
    with serving(folder, free_port) as server:
        until = time.monotonic() + 60
        while (found := json.loads(server.get(f"/v1/batches/{batch}")[1]))["status"] != "completed":
            assert time.monotonic() < until, found
            time.sleep(0.2)
        assert found["request_counts"] == {"total": 3000, "completed": 3000, "failed": 0}
        output = server.get(f"/v1/files/{found['output_file_id']}/content")[1]
        assert [json.loads(line)["custom_id"] for line in output.splitlines()] == [line["custom_id"] for line in lines]
        assert server.end() == 0


@pytest.fixture
def grpc_port() -> Iterator[int]:
    with kept_port() as port:
        yield port


def test_it_speaks_grpc_beside(folder: Path, free_port: int, grpc_port: int) -> None:
    yaml = YAML.replace("leaves: 1 s", f"leaves: 0 s\nlisten: {{grpc_port: {grpc_port}}}")
    (folder / "serve.yaml").write_text(yaml, encoding="utf-8")
    with serving(folder, free_port) as server, grpc.InferenceServerClient(f"127.0.0.1:{grpc_port}") as client:
        assert client.is_model_ready("m")
        texts = grpc.InferInput("input", [2], "BYTES")
        texts.set_data_from_numpy(np.array([b"a", b"b"], dtype=object))
        answer = client.infer("m", [texts]).get_response()
        assert answer.outputs[0].shape[0] == 2
        assert server.end() == 0


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--plan", "plan.json"],
        ["serve.yaml", "--plan", "plan.json"],
        ["nowhere.yaml"],
        ["serve.yaml", "--host", "0.0.0.0"],  # noqa: S104 - refused
        ["serve.yaml", "--pool", "m"],
    ],
)
def test_what_it_can_not_serve_is_said(folder: Path, options: list[str]) -> None:
    done = tell("serve", *options, cwd=folder)
    assert done.returncode == 2
    assert "Resolve:" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_said(folder: Path, free_port: int) -> None:
    with serving(folder, free_port):
        (folder / "other").mkdir()
        (folder / "other" / "serve.yaml").write_text(YAML, encoding="utf-8")
        again = Server(folder / "other", free_port)
        assert again.process.wait(WAIT_S) == 2
        assert f"cannot listen on 127.0.0.1:{free_port}" in again.log.read_text()


def test_checked_it_serves_nothing(folder: Path) -> None:
    found = run_verb("serve", str(folder / "serve.yaml"), "--check")
    assert found == {
        "workload": "test",
        "port": 8000,
        "pools": [{"pool": "m/only", "model": "m", "runs": "nowhere", "usd_per_hour": 3.6}],
    }
    assert not (folder / "ledger").exists()
    assert os.listdir(folder) == ["serve.yaml"]  # noqa: PTH208 - names alone
