"""Small models, callers and doubles for the tests of engines in this process."""

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

from tightrope.base.plan import ServedClass
from tightrope.serve.config.settings import LocalModel, ServedPool
from tightrope.serve.ledger.meter import MachineMeter
from tightrope.serve.local.engines import Engines
from tightrope.serve.local.models import NoModel
from tightrope.serve.local.pool import LocalPool
from tightrope.serve.records import Call, Caller, Task

sys.path.append(str(Path(__file__).parents[2] / "perf"))  # the encoder that compression is tested on
from compress_models import WORDS, write_encoder

__all__ = ["WORDS", "write_encoder"]
TENANT = Caller("tenant")
FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING


def write(path: Path, nodes: list, inputs: dict, outputs: dict, constants: dict[str, np.ndarray] | None = None) -> Path:
    """Write a model; inputs and outputs are name → (type, shape)."""
    ports = [
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in side.items()] for side in (inputs, outputs)
    ]
    held = [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(nodes, "graph", *ports, held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def affine(path: Path, shape: Sequence[object] = ("rows", 3)) -> Path:
    """Write a model that doubles and adds one."""
    nodes = [helper.make_node("Mul", ["x", "two"], ["z"]), helper.make_node("Add", ["z", "one"], ["y"])]
    held = {"two": np.float32(2), "one": np.float32(1)}
    constants = {name: np.array(value) for name, value in held.items()}
    return write(path, nodes, {"x": (FLOAT, list(shape))}, {"y": (FLOAT, list(shape))}, constants)


def lookup(path: Path) -> Path:
    """Write a model that looks four numbers up: it fails on any other place."""
    table = {"table": np.array([10.0, 11.0, 12.0, 13.0], np.float32)}
    return write(
        path,
        [helper.make_node("Gather", ["table", "place"], ["value"])],
        {"place": (INT64, ["rows", 1])},
        {"value": (FLOAT, ["rows", 1])},
        table,
    )


def logits(path: Path, table: np.ndarray, last: str = "") -> Path:
    """Write a model whose answer is the sum of its tokens' rows of a table, through one more operator where one is named."""
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=FLOAT),
        helper.make_node("Unsqueeze", ["mask", "two"], ["wide"]),
        helper.make_node("Mul", ["rows", "wide"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "one"], ["sum"], keepdims=0),
        helper.make_node(last or "Identity", ["sum"], ["logits"]),
    ]
    ids = {name: (INT64, ["texts", "tokens"]) for name in ("input_ids", "attention_mask")}
    held = {"table": table.astype(np.float32), "two": np.array([2]), "one": np.array([1])}
    return write(path, nodes, ids, {"logits": (FLOAT, ["texts", table.shape[1]])}, held)


def text(*words: int) -> str:
    """Return a text of the encoder's words."""
    return " ".join(f"w{word}" for word in words)


def call(inputs: Any, task: Task = "embed", traffic_class: str = "", **more: Any) -> Call:
    """Return a call; a text is one of one text."""
    given = (inputs,) if isinstance(inputs, str) else inputs
    return Call("call", more.pop("caller", TENANT), task, "model", given, time.monotonic(), traffic_class, **more)


def served(name: str, priority: int = 0, answer_within_s: float | None = None) -> ServedClass:
    """Return a class of traffic."""
    return ServedClass(name, (), 0.0, priority=priority, answer_within_s=answer_within_s)


class Noted:
    """Notes the batches."""

    def __init__(self) -> None:
        """Begin with none."""
        self.sizes: list[int] = []

    def batch(self, pool: str, size: int, service_s: float) -> None:  # noqa: ARG002 - as a pool calls it
        """Note one."""
        self.sizes.append(size)


def pool_of(
    local: LocalModel | Path | None,
    task: Task = "embed",
    classes: Sequence[ServedClass] = (),
    engines: Engines | None = None,
    **settings: Any,
) -> LocalPool:
    """Return a pool with one engine thread, unless it is given others; its batches are noted in ``_metrics``."""
    model = LocalModel(local, threads=1) if isinstance(local, Path) else local
    pool = ServedPool("pool", "model", "variant", local=model, **({"max_batch": 8} | settings))
    found = engines or Engines(1, MachineMeter(3600.0, 1.0))
    return LocalPool(pool, task, {one.name: one for one in classes}, found, Noted())


def run(pool: LocalPool, use: Callable[[LocalPool], Any]) -> Any:
    """Return what ``use`` finds out of a pool that has started, and stop it."""

    async def whole() -> Any:
        await pool.start()
        try:
            return await asyncio.wait_for(use(pool), 60)
        finally:
            await pool.stop(10.0)

    return asyncio.run(whole())


class Gated(NoModel):
    """Answers each text with its number once the gate is open, and notes who was in each batch."""

    def __init__(self) -> None:
        """Begin with the gate closed."""
        super().__init__("embed")
        self.gate, self.began = threading.Event(), threading.Event()
        self.batches: list[list[str]] = []

    def items(self, ticket: Any) -> Any:
        """Return items of the length that the text's last part says."""
        items = super().items(ticket)
        for item, words in zip(items, ticket.call.inputs, strict=True):
            item.payload, item.length, item.tokens = words, int(words.rpartition(" ")[2]), 1
        return items

    def run(self, session: Any, items: Any) -> list[Any]:  # noqa: ARG002 - as above
        """Wait for the gate."""
        self.batches.append([item.payload for item in items])
        self.began.set()
        assert self.gate.wait(60)
        return [np.array([float(len(item.payload))], np.float32) for item in items]
