"""Request engines from published tables (``data/published_request_profiles.csv``), found by the variant's ``profile_key``.

A batch of ``b`` takes ``batch_1 + (b - 1) / rate``: the published latency of one item, and for each further item its time at
the published saturated rate. Where a third point is published (MLPerf MultiStream, 8 items) it is kept as a check and lies
within 9 %. The figures are those of inference alone: decoding an image or cutting text into tokens is not in them.
"""

from dataclasses import dataclass
from datetime import date
from functools import cache

from tightrope.base.catalogue import MachineType
from tightrope.base.plan import Refusal
from tightrope.base.records import ModelVariant, Profile, Provenance, RequestEngine
from tightrope.perf.tables import find_accelerator, read_table

LOAD_S = 20.0
"""Process start and reading of a small model at a cold start: an assumption."""


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """Two published figures of one model on one kind of hardware."""

    profile_key: str
    hardware: str
    """Accelerator, or CPU machine family."""
    board_memory_gib: float | None
    vcpu_per_engine: int | None
    """Size of one engine on a CPU machine; None where an engine has an accelerator."""
    precision: str
    batch_1_ms: float
    items_per_s: float
    check_batch: int | None
    check_ms: float | None
    max_batch: int
    error_band: float
    source: str
    seen: date
    note: str | None

    def service_s(self, batch: int) -> float:
        """Return the time of one batch in seconds."""
        return self.batch_1_ms / 1e3 + (batch - 1) / self.items_per_s


@cache
def published_rows() -> tuple[PublishedRow, ...]:
    """Return every row of ``data/published_request_profiles.csv``."""
    return read_table("published_request_profiles", PublishedRow)


def _hardware(machine: MachineType) -> tuple[str, float | None]:
    """Return the hardware key of a machine: its accelerator and board memory, or its family."""
    if not machine.accelerator:
        return machine.family, None
    chip = find_accelerator(machine)
    return (chip.accelerator, chip.board_memory_gib) if chip else (machine.accelerator, machine.accelerator_memory_gib)


def _row_for(variant: ModelVariant, machine: MachineType) -> PublishedRow | str:
    """Return the row for a variant on a machine, else why there is none."""
    if variant.engine != "request" or not variant.profile_key:
        return "needs a request model with the name of a published one (profile: resnet50)"
    rows = [row for row in published_rows() if row.profile_key == variant.profile_key]
    if not rows:
        known = ", ".join(sorted({row.profile_key for row in published_rows()}))
        return f"no published model is called {variant.profile_key!r}; known: {known}"
    here = [row for row in rows if (row.hardware, row.board_memory_gib) == _hardware(machine)]
    if not here:
        known = ", ".join(sorted({row.hardware for row in rows}))
        return f"{variant.profile_key} is not published for {_hardware(machine)[0]}; it is for {known}"
    fit = [row for row in here if row.precision == variant.precision]
    precisions = ", ".join(sorted({row.precision for row in here}))
    return fit[0] if fit else f"published only for {precisions}; got {variant.precision}"


@dataclass(frozen=True, slots=True)
class PublishedProfiles:
    """The profile source for models that MLPerf and the like publish."""

    name: str = "published"
    rank: int = 20

    def profile(self, variant: ModelVariant, machine: MachineType) -> Profile | Refusal:
        """Return the published engine, one per accelerator or per group of vCPUs, or why there is none."""
        row = _row_for(variant, machine)
        what = f"{variant.name} on {machine.name}"
        if isinstance(row, str):
            return Refusal(what, f"published: {row}")
        replicas = machine.vcpu // row.vcpu_per_engine if row.vcpu_per_engine else machine.accelerators
        if replicas < 1:
            return Refusal(what, f"published: one engine needs {row.vcpu_per_engine} vCPU, the machine has {machine.vcpu}")
        engine = RequestEngine(tuple(row.service_s(batch) for batch in range(1, row.max_batch + 1)), LOAD_S)
        provenance = Provenance("published", f"{row.source} ({row.seen})", row.error_band, row.note or "")
        return Profile(variant.name, machine.name, engine, replicas, provenance)


PROFILES = PublishedProfiles()
