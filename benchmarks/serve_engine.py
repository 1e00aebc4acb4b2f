"""The engine pool called directly, without HTTP: MiniLM in int8, 32 requests in flight, beside a bare loop of the same work."""

import asyncio
import os
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.minilm import R8, minilm, rows_of
from tightrope.perf.compress.graph import as_bytes
from tightrope.perf.compress.quantize import dynamic_int8
from tightrope.serve.config.settings import LocalModel, ServedPool
from tightrope.serve.ledger.meter import MachineMeter
from tightrope.serve.local.core_placement import usable_cores
from tightrope.serve.local.engines import Engines
from tightrope.serve.local.pool import LocalPool
from tightrope.serve.records import Call, Caller

NAME = "serve-engine"
DOC = "texts a second through the engine pool beside a bare loop of tokenise + onnxruntime, MiniLM-L6 int8; target 0.95"
TEXTS, IN_FLIGHT, BATCH = 200, 32, 8
ROUNDS, PASSES = 6, 6
"""Turns that the two take by one another, and how often each goes through the texts in one."""


@dataclass(frozen=True, slots=True)
class Took:
    """Texts a second, and processor seconds for each text: where others use the machine, the second is the better figure."""

    per_s: float
    cpu_s: float


def run() -> dict:
    """Return the pool's rate beside the bare loop's."""
    graph, tokenizer = minilm()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "minilm-int8.onnx"
        path.write_bytes(as_bytes(dynamic_int8(graph)))
        model = LocalModel(path, tokenizer=tokenizer, threads=1)
        texts = sentences()
        bare = bare_loop(model, texts)
        ours, theirs, sizes = asyncio.run(alternate(model, texts, bare))
    best, peer = max(one.per_s for one in ours), max(one.per_s for one in theirs)
    return {
        "name": NAME,
        "value": best,
        "unit": "texts/s",
        "peer": f"{usable_cores()} one-thread loops, batches of {BATCH} in order of length",
        "peer_value": peer,
        "ratio": best / peer,
        "detail": {
            "target": 0.95,
            "ratio_by_processor_time": round(min(one.cpu_s for one in theirs) / min(one.cpu_s for one in ours), 3),
            "cpu_ms_a_text": [round(1e3 * min(one.cpu_s for one in side), 3) for side in (ours, theirs)],
            "mean_batch": round(float(np.mean(sizes)), 2),
        },
    }


def sentences() -> list[str]:
    """Return texts with the lengths of sentences: the beginnings of Reuters articles, 4 to 40 words, 18 in the middle (lognormal)."""
    _, rows = rows_of(R8)
    random = np.random.default_rng(0)
    words = np.clip(np.exp(random.normal(np.log(18), 0.5, TEXTS)), 4, 40).astype(int)
    return [" ".join(text.split()[:count]) for (_, text), count in zip(rows, words, strict=False)]


def bare_loop(model: LocalModel, texts: list[str]) -> Callable[[], Took]:
    """Return a function that goes through the texts as fast as can be: all known beforehand, in order of length, no requests."""
    import onnxruntime
    from tokenizers import Tokenizer

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    tokenizer = Tokenizer.from_file(str(model.tokenizer))
    tokenizer.enable_padding()
    tokenizer.enable_truncation(model.max_tokens)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model.path), options, providers=["CPUExecutionProvider"])
    ordered = sorted(texts, key=lambda text: len(tokenizer.encode(text).ids))
    batches = [ordered[first : first + BATCH] for first in range(0, len(ordered), BATCH)] * PASSES
    cores = usable_cores()

    def work(mine: list[list[str]]) -> None:
        for batch in mine:
            tokens = tokenizer.encode_batch(batch)
            ids, mask = (np.array([getattr(one, part) for one in tokens]) for part in ("ids", "attention_mask"))
            states = session.run(None, {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)})[0]
            vectors = (states * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    def once() -> Took:
        threads = [threading.Thread(target=work, args=(batches[core::cores],)) for core in range(cores)]
        began, used = time.perf_counter(), time.process_time()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        count = sum(map(len, batches))
        return Took(count / (time.perf_counter() - began), (time.process_time() - used) / count)

    return once


class Sizes:
    """Notes the sizes of batches."""

    def __init__(self) -> None:
        """Begin with none."""
        self.sizes: list[int] = []

    def batch(self, pool: str, size: int, service_s: float) -> None:  # noqa: ARG002 - as the pool calls it
        """Note one."""
        self.sizes.append(size)


async def alternate(model: LocalModel, texts: list[str], bare: Callable[[], Took]) -> tuple[list[Took], list[Took], list[int]]:
    """Return what the pool and the bare loop took, turn by turn, and the sizes of the pool's batches."""
    metrics = Sizes()
    engines = Engines(0, MachineMeter(1.0, usable_cores()))
    pool = LocalPool(ServedPool("minilm", "minilm", "int8", local=model, max_batch=BATCH), "embed", {}, engines, metrics)
    await pool.start()
    ours: list[Took] = []
    theirs: list[Took] = []
    for turn in range(ROUNDS):
        ours.append(await closed_loop(pool, texts, turn))
        theirs.append(bare())
    await pool.stop(10.0)
    return ours, theirs, metrics.sizes


async def closed_loop(pool: LocalPool, texts: list[str], seed: int) -> Took:
    """Return what it takes to ask for every text, in an order by chance, so many at a time."""
    order = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(texts)), PASSES)).tolist()
    count, caller = len(order), Caller("bench")

    async def client() -> None:
        while order:
            text = texts[order.pop()]
            await pool.answer(Call("", caller, "embed", "minilm", (text,), time.monotonic()))

    began, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*(client() for _ in range(IN_FLIGHT)))
    return Took(count / (time.perf_counter() - began), (time.process_time() - used) / count)
