"""Compares the roofline of processors with published rates (``data/processor_benchmarks.csv``)."""

from dataclasses import dataclass
from datetime import date
from typing import Literal

from tightrope.base.records import Architecture, ModelVariant
from tightrope.perf.processors import Processor, as_chip
from tightrope.perf.roofline import token_engine
from tightrope.perf.steady_state import saturate
from tightrope.perf.tables import read_table

MEMORY_GIB = 512.0
"""Of one socket of the machines that were measured; enough that it limits nothing."""


@dataclass(frozen=True, slots=True)
class ProcessorBenchmark:
    """The requests per second of one machine."""

    processor: str
    sockets: int
    memory_bandwidth_gb_per_s: float
    """Of one socket."""
    bf16_tflops: float
    """Of one socket, at the base clock."""
    model: str
    parameters: float
    layers: int
    kv_heads: int
    head_dim: int
    bytes_per_parameter: float
    input_tokens: int
    output_tokens: int
    requests_per_s: float
    role: Literal["fit", "held-out", "outside"]
    source: str
    seen: date


@dataclass(frozen=True, slots=True)
class ProcessorCheck:
    """A published rate beside the modelled one."""

    what: str
    role: str
    published: float
    modelled: float
    error: float
    """published / modelled − 1."""


def processor_benchmarks() -> tuple[ProcessorBenchmark, ...]:
    """Return every row of ``data/processor_benchmarks.csv``."""
    return read_table("processor_benchmarks", ProcessorBenchmark)


def check_processors() -> tuple[ProcessorCheck, ...]:
    """Return every published rate with what the roofline says in its place."""
    return tuple(_check(row) for row in processor_benchmarks())


def _check(row: ProcessorBenchmark) -> ProcessorCheck:
    """Return one comparison."""
    socket = Processor(row.processor, row.processor, 1, row.memory_bandwidth_gb_per_s, row.bf16_tflops, 1.0, row.source, row.seen)
    sizes = Architecture(row.parameters, row.layers, row.kv_heads, row.head_dim)
    variant = ModelVariant(row.model, row.model, "token", "int8", 1.0, row.parameters * row.bytes_per_parameter, {}, sizes)
    best = saturate(token_engine(variant, sizes, as_chip(socket, 1.0, MEMORY_GIB)), row.input_tokens, row.output_tokens)
    modelled = row.sockets * (best.requests_per_s if best else 0.0)
    what = f"{row.model} on {row.sockets} × {row.processor} ({row.role})"
    return ProcessorCheck(what, row.role, row.requests_per_s, round(modelled, 4), round(row.requests_per_s / modelled - 1.0, 3))
