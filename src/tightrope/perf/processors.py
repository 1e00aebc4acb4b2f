"""Processors that multiply matrices (Intel AMX), as chips for the roofline: a machine without accelerator may serve small models.

``data/processors.csv`` has the rates of one socket by machine family. A machine has its share of them by vCPU; one that spans
sockets runs an engine on each. The shares of the peak rates below are common to all: they were fitted to one published rate.
"""

from dataclasses import dataclass
from datetime import date
from functools import cache

from tightrope.base.catalogue import MachineType
from tightrope.perf.tables import Accelerator, read_table

MEMORY_SHARE = 0.8
"""Share of a machine's memory for weights and KV cache; the system and the server have the rest. A judgement."""
BANDWIDTH_EFFICIENCY = 0.6
"""Share of the memory's peak rate that weights are read at. A judgement: no published figure here depends on it."""
COMPUTE_EFFICIENCY = 0.16
"""Share of the peak rate of AMX in bf16, fitted to MLPerf v5.1 on two Xeon 6787P; the others are held out."""
CHUNK_TOKENS = 512
MAX_SEQUENCES = 64
OVERHEAD_MS = 5.0


@dataclass(frozen=True, slots=True)
class Processor:
    """One socket of the machines of one family."""

    family: str
    processor: str
    vcpu_per_socket: int
    memory_bandwidth_gb_per_s: float
    bf16_tflops: float
    """Peak of the matrix units of a socket at the base clock."""
    error_band: float
    source: str
    seen: date


@cache
def processors() -> tuple[Processor, ...]:
    """Return every row of ``data/processors.csv``."""
    return read_table("processors", Processor)


def as_chip(processor: Processor, share: float, memory_gib: float) -> Accelerator:
    """Return a share of one socket as a chip of the roofline."""
    return Accelerator(
        accelerator="cpu",
        board_memory_gib=memory_gib,
        visible_memory_gib=memory_gib,
        memory_bandwidth_gb_per_s=processor.memory_bandwidth_gb_per_s * share,
        fp16_tflops=processor.bf16_tflops * share,
        int8_tops=None,
        fp8_tflops=None,
        precisions="bf16 int8 int4",
        memory_utilisation=MEMORY_SHARE,
        activation_reserve_gib=1.0,
        bandwidth_efficiency=BANDWIDTH_EFFICIENCY,
        cache_efficiency=BANDWIDTH_EFFICIENCY,
        compute_efficiency=COMPUTE_EFFICIENCY,
        eight_bit_efficiency=COMPUTE_EFFICIENCY,
        overhead_ms=OVERHEAD_MS,
        chunk_tokens=CHUNK_TOKENS,
        max_sequences=MAX_SEQUENCES,
        tensor_parallel_efficiency=1.0,
        load_gb_per_s=0.5,
        error_band=processor.error_band,
        basis="extrapolated",
        calibration="arithmetic fitted to one MLPerf rate of two Xeon 6787P; no token benchmark of this processor",
        source=f"{processor.processor}: {processor.source}",
        seen=processor.seen,
    )


def find_processor(machine: MachineType) -> tuple[Accelerator, int] | None:
    """Return a machine's socket, or its share of one, as a chip, and how many such it has; None where the family is not known."""
    found = next((row for row in processors() if row.family == machine.family), None)
    if found is None or machine.accelerator:
        return None
    sockets = max(1, machine.vcpu // found.vcpu_per_socket)
    share = min(1.0, machine.vcpu / sockets / found.vcpu_per_socket)
    return as_chip(found, share, machine.memory_gib / sockets), sockets
