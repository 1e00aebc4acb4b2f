"""Shared by the benchmarks of serving: the model, the texts, our server, the bare loop and the peers, each as processes of their own."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from benchmarks.clients import Target
from benchmarks.minilm import CACHE, R8, minilm, texts_of
from benchmarks.processes import TIGHTROPE, _resident_kib, _tree
from benchmarks.serve_engine import sentences
from tightrope.base.errors import UnreachableError
from tightrope.perf.compress.graph import as_bytes
from tightrope.perf.compress.quantize import matrices_of, small_tables, static_int8
from tightrope.perf.compress.task import CALIBRATION
from tightrope.perf.compress.tensor_ranges import observe
from tightrope.serve.local.core_placement import usable_cores

PEERS = Path(__file__).parent / "peers"
RUNTIME = ("onnxruntime==1.32.0", "tokenizers==0.23.3", "numpy==2.4.6")
CLASSES, DIMENSIONS = 8, 384
START_S, INSTALL_S = 90.0, 300.0
MARKS = 24
"""White space behind a text that tells it from others of the same words: two to the power of so many."""


# ---------------------------------------------------------------------------------------------------------------- what is served


def model_folder() -> Path:
    """Return the folder of MiniLM in static int8 with its tokenizer, a head and the texts, made once.

    The head is drawn by chance: it takes the time of one that was fitted.
    """
    place = CACHE / "minilm-int8-static-1"
    if place.is_dir():
        return place
    graph, tokenizer = minilm()
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        draft = Path(folder) / "draft"
        draft.mkdir()
        examples = texts_of(R8, tokenizer, Path(folder))[0].take(np.arange(CALIBRATION))
        seen = observe(graph, list(matrices_of(graph)), examples)
        (draft / "model.onnx").write_bytes(as_bytes(small_tables(static_int8(graph, seen, "percentile"))))
        (draft / "tokenizer.json").write_bytes(tokenizer.read_bytes())
        random = np.random.default_rng(0)
        head = random.normal(size=(DIMENSIONS, CLASSES)).astype(np.float32)
        np.savez(draft / "head.npz", weights=head, bias=np.zeros(CLASSES, np.float32))
        (draft / "texts.json").write_text(json.dumps(sentences()), encoding="utf-8")
        draft.rename(place)
    return place


class Bodies:
    """Requests whose texts are those of the file, over and over, no two the same: they differ in white space that no model sees."""

    def __init__(self, texts: list[str]) -> None:
        """Begin with the first."""
        self.texts, self.made = texts, 0
        self.order = np.random.default_rng(0).permutation(len(texts)).tolist()

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Return those of a model's folder."""
        return cls(json.loads((folder / "texts.json").read_text(encoding="utf-8")))

    def more(self, count: int, form: str) -> list[str]:
        """Return so many bodies; ``form`` has ``%s`` where the text goes, as JSON."""
        found = []
        for number in range(self.made, self.made + count):
            mark = format(number % 2**MARKS, f"0{MARKS}b").replace("0", " ").replace("1", "\t")
            found.append(form % json.dumps(self.texts[self.order[number % len(self.texts)]] + mark))
        self.made += count
        return found


# ---------------------------------------------------------------------------------------------------------------------- servers


@dataclass(frozen=True, slots=True)
class Peer:
    """Another server of the same model: which package, how it is asked, and the sizes of its batches."""

    name: str
    packages: tuple[str, ...]
    script: str
    path: str
    form: str = '{"text": %s}'
    batch: int = 1

    def python(self) -> Path:
        """Return the interpreter of the peer's own environment, made once; raise ``UnreachableError`` where that cannot be."""
        version = f"py{sys.version_info.major}.{sys.version_info.minor}"
        place = CACHE / f"peer-{self.packages[0].replace('==', '-').replace('[serve]', '')}-{version}"
        if not place.is_dir():
            draft = place.with_suffix(".part")
            install = [str(draft / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
            for command in ([sys.executable, "-m", "venv", "--clear", str(draft)], [*install, *RUNTIME, *self.packages]):
                try:
                    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_S)
                except subprocess.TimeoutExpired as late:
                    msg = f"{self.packages[0]} was not installed within {INSTALL_S:g} s"
                    raise UnreachableError(msg, resolve="run it again, where the package index is faster") from late
                if done.returncode:
                    msg = f"{self.packages[0]} cannot be installed: {done.stderr.strip()[-200:]}"
                    raise UnreachableError(msg, resolve="run it where the package index can be reached")
            draft.rename(place)
        return place / "bin" / "python"

    def command(self, folder: Path | str, port: int) -> list[str]:
        """Return what starts it."""
        return [str(self.python()), str(PEERS / self.script), str(folder), str(port), str(self.batch)]


FASTAPI = Peer(
    "FastAPI, unbatched",
    ("fastapi==0.165.0", "uvicorn==0.54.0", "uvloop==0.23.0", "httptools==0.9.0"),
    "fastapi_server.py",
    "/classify",
)
LITSERVE = Peer("LitServe, 2 workers", ("litserve==0.2.19",), "litserve_server.py", "/predict")
LITSERVE_8 = Peer("LitServe, 2 workers, batches of 8", ("litserve==0.2.19",), "litserve_server.py", "/predict", batch=8)
BENTOML = Peer("BentoML, 2 workers", ("bentoml==1.4.40",), "bentoml_server.py", "/classify", '{"texts": [%s]}', 8)
RAY = Peer("Ray Serve, 2 replicas", ("ray[serve]==2.60.0",), "ray_server.py", "/classify", batch=8)
PEER_SERVERS = (FASTAPI, LITSERVE, LITSERVE_8, BENTOML, RAY)


class Running:
    """A server that runs, with all its processes in a group of their own."""

    def __init__(self, process: "subprocess.Popen[bytes]", target: Target, form: str) -> None:
        """Take what was started."""
        self.process, self.target, self.form = process, target, form

    @property
    def memory(self) -> tuple[float, int]:
        """Return MiB resident of all its processes, pages they share counted in each, and how many there are."""
        tree = _tree(self.process.pid)
        return sum(map(_resident_kib, tree)) / 1024, len(tree)

    @property
    def cpu_s(self) -> float:
        """Return processor seconds of all its processes, so far."""
        return sum(map(_cpu_s, _tree(self.process.pid)))

    def ask(self, text: str = '"ready?"') -> int:
        """Return the status of one answer, 0 where there is none."""
        url = f"http://127.0.0.1:{self.target.port}{self.target.path}"
        headers = {"content-type": "application/json", **dict(self.target.headers)}
        request = urllib.request.Request(url, (self.form % text).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - as above
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def wait(self, log: Path) -> "Running":
        """Wait until it answers; raise ``UnreachableError`` where it does not."""
        until = time.monotonic() + START_S
        while time.monotonic() < until and self.process.poll() is None:
            if self.ask() == 200:
                return self
            time.sleep(0.2)
        msg = f"it did not answer within {START_S:g} s: {log.read_text(errors='replace').strip()[-300:]}"
        raise UnreachableError(msg, resolve="read what it says")


def _cpu_s(pid: int) -> float:
    """Return the processor seconds of a process, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(command: list[str], target: Target, form: str, env: dict[str, str] | None = None) -> Iterator[Running]:
    """Start a server, and end all its processes afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                env={**os.environ, **(env or {})},
                cwd=folder,
            )
        mine: set[int] = set()
        try:
            server = Running(process, target, form).wait(log)
            yield server
            mine.update(_tree(process.pid))
        finally:
            _end(process, mine | set(_tree(process.pid)))


def _end(process: "subprocess.Popen[bytes]", mine: set[int]) -> None:
    """Ask a server to end, and then end what of it is left."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(15)
    for pid in mine:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait(10)


def free_port() -> int:
    """Return a port on which nothing listens now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def peer_running(peer: Peer, folder: Path | str) -> Iterator[Running]:
    """Run a peer; raise ``UnreachableError`` where it cannot be installed or does not answer."""
    port = free_port()
    with running(peer.command(folder, port), Target(port, peer.path), peer.form) as server:
        yield server


YAML = """\
name: bench
machine: {{usd_per_hour: 0.0893}}
models:
  m: {model}
classes:
  interactive: {{slo: latency p95 <= {slo_ms:g} ms, priority: 1}}
cache: {{ttl: 10 min, entries: {entries}}}
ledger: {folder}/ledger
leaves: 0 s
{more}
"""
NOOP = "{task: embed, variants: {only: {noop: true}}}"


def minilm_model(folder: Path) -> str:
    """Return the model as ``serve.yaml`` has it."""
    labels = [f"class{number}" for number in range(CLASSES)]
    variant = f"{{onnx: {folder}/model.onnx, head: {folder}/head.npz, threads: 1}}"
    return f"{{task: classify, labels: [{', '.join(labels)}], variants: {{int8: {variant}}}}}"


@contextmanager
def ours_running(
    model: str, slo_ms: float = 250.0, *, entries: int = 100_000, more: str = "", headers: tuple[tuple[str, str], ...] = ()
) -> Iterator[Running]:
    """Run ``tightrope serve`` with meter, metrics, cache and ledger on."""
    path = "/v1/embeddings" if model == NOOP else "/v1/classify"
    with tempfile.TemporaryDirectory() as folder:
        text = YAML.format(model=model, slo_ms=slo_ms, entries=entries, folder=folder, more=more)
        (Path(folder) / "serve.yaml").write_text(text, encoding="utf-8")
        port = free_port()
        command = [TIGHTROPE, "serve", str(Path(folder) / "serve.yaml"), "--port", str(port)]
        with running(command, Target(port, path, headers), '{"model": "m", "input": %s}') as server:
            yield server


def cache_hits(server: Running) -> int:
    """Return how many answers came from the cache."""
    return int(shown(server, "tightrope_cache_requests_total", 'result="hit"'))


def shown(server: Running, name: str, label: str) -> float:
    """Return the sum of our server's series of a name that have a label."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.target.port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + "{") and label in line)


class Bare:
    """The work alone, no requests: a loop with one thread on each core."""

    def __init__(self, folder: Path) -> None:
        """Start the loops; ``with`` ends them."""
        self.folder = folder

    @cached_property
    def loops(self) -> "list[subprocess.Popen[str]]":
        """The processes."""
        cores = usable_cores()
        return [
            subprocess.Popen(
                [sys.executable, str(PEERS / "bare.py"), str(self.folder), str(core), str(cores)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for core in range(cores)
        ]

    def __enter__(self) -> Self:
        """Wait until all are ready."""
        for loop in self.loops:
            assert loop.stdout is not None
            assert loop.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        """End them."""
        for loop in self.loops:
            loop.communicate(timeout=30)

    def work(self, seconds: float) -> tuple[float, float]:
        """Return texts a second of all loops together, and processor seconds of a text."""
        for loop in self.loops:
            assert loop.stdin is not None
            loop.stdin.write(f"{seconds}\n")
            loop.stdin.flush()
        per_s, texts, cpu_s = 0.0, 0, 0.0
        for loop in self.loops:
            assert loop.stdout is not None
            count, took, cpu = map(float, loop.stdout.readline().split())
            per_s, texts, cpu_s = per_s + count / took, texts + int(count), cpu_s + cpu
        return per_s, cpu_s / texts
