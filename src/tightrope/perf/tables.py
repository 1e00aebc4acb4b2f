"""Reads the fact tables of this folder (``data/*.csv``): each row names its public source and the day it was seen.

A cell that is empty is unknown or unsupported, never zero: it is read as None.
"""

import csv
import re
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import TypeVar

from pydantic import TypeAdapter

from tightrope.base.catalogue import MachineType

Row = TypeVar("Row")

SAME_MEMORY = 0.15
"""Two boards of one name are told apart by memory; sellers round it by up to this fraction."""


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One chip: datasheet rates (dense), the memory a program sees, and how much of each a serving engine reaches."""

    accelerator: str
    board_memory_gib: float
    """Memory as sold."""
    visible_memory_gib: float
    """Memory that the driver offers to a program."""
    memory_bandwidth_gb_per_s: float
    fp16_tflops: float
    int8_tops: float | None
    """None where the common serving kernels do not multiply in int8: weights are then stored in int8 only."""
    fp8_tflops: float | None
    precisions: str
    """Precisions of the weights that the common serving kernels run, separated by spaces."""
    memory_utilisation: float
    """Share of the visible memory given to the engine (vLLM: ``--gpu-memory-utilization``)."""
    activation_reserve_gib: float
    """Peak working memory of one step at ``chunk_tokens``, beside weights and KV cache."""
    bandwidth_efficiency: float
    """Share of the bandwidth reached when the weights are read."""
    cache_efficiency: float
    """Share of the bandwidth reached when the scattered blocks of the KV cache are read."""
    compute_efficiency: float
    eight_bit_efficiency: float
    """As ``compute_efficiency``, for 8-bit arithmetic: quantising activations costs time that is not in the peak rate."""
    overhead_ms: float
    """Scheduling, sampling and kernel launches of one step."""
    chunk_tokens: int
    """Most tokens of one step (vLLM: ``--max-num-batched-tokens``)."""
    max_sequences: int
    """Most sequences of one step (vLLM: ``--max-num-seqs``)."""
    tensor_parallel_efficiency: float
    """Share of ``n`` chips' speed that remains when one model is split over them."""
    load_gb_per_s: float
    """Assumed rate at which weights reach the chip from object storage at a cold start."""
    error_band: float
    basis: str
    """``calibrated`` where published token rates were fitted, else ``extrapolated``."""
    calibration: str
    source: str
    seen: date


def read_table(name: str, row: type[Row]) -> tuple[Row, ...]:
    """Return ``data/<name>.csv`` as records; raise ``pydantic.ValidationError`` where a cell is not of its field's type."""
    with files("tightrope.perf").joinpath("data", f"{name}.csv").open(encoding="utf-8") as lines:
        cells = [{key: text or None for key, text in line.items()} for line in csv.DictReader(lines)]
    return TypeAdapter(tuple[row, ...]).validate_python(cells)  # type: ignore[valid-type]


@cache
def accelerators() -> tuple[Accelerator, ...]:
    """Return every chip of ``data/accelerators.csv``."""
    return read_table("accelerators", Accelerator)


def find_accelerator(machine: MachineType) -> Accelerator | None:
    """Return the chip of a machine, None where the table has none."""
    return find_chip(machine.accelerator, machine.accelerator_memory_gib)


def find_chip(accelerator: str, memory_gib: float) -> Accelerator | None:
    """Return the chip of the same name (less a suffix such as ``-40gb``) and about the same memory."""
    name = re.sub(r"-\d+gb$", "", accelerator)
    gap = {
        chip: abs(chip.board_memory_gib - memory_gib) / chip.board_memory_gib
        for chip in accelerators()
        if chip.accelerator == name
    }
    best = min(gap, key=lambda chip: gap[chip], default=None)
    return best if best and gap[best] <= SAME_MEMORY else None
