"""Profiles the user measured on one CPU machine, carried to other CPU machines by their CoreMark scores (``data/coremark.csv``).

A machine with more vCPUs runs more engines of the measured size side by side, not faster ones; the ratio of the scores per
vCPU scales the speed of each. CoreMark measures integer code in one core's cache, so the error band grows.
"""

from dataclasses import dataclass, replace
from datetime import date
from functools import cache

from tightrope.base.catalogue import MachineType
from tightrope.base.plan import Refusal
from tightrope.base.records import ModelVariant, Profile, Provenance, RequestEngine
from tightrope.perf.tables import read_table

SCALING_BAND = 0.20
"""Added to the error band of a measured profile when it is carried to another machine type."""
OTHER_ARCH_BAND = 0.15
"""Added on top where the instruction set differs: the vector and int8 kernels are others than those measured."""


@dataclass(frozen=True, slots=True)
class CoreMark:
    """The CoreMark score of one machine type, all threads together."""

    machine: str
    family: str
    arch: str
    vcpu: int
    coremark_per_s: float
    source: str
    seen: date

    @property
    def per_vcpu(self) -> float:
        """Score of one vCPU."""
        return self.coremark_per_s / self.vcpu


@cache
def coremarks() -> dict[str, CoreMark]:
    """Return machine type → score, every row of ``data/coremark.csv``."""
    return {row.machine: row for row in read_table("coremark", CoreMark)}


def _nearest(variant: ModelVariant, target: CoreMark) -> tuple[Profile, CoreMark] | None:
    """Return the measured CPU profile most like the target: same family first, then same instruction set, then as declared."""
    scores = coremarks()
    known = [(profile, scores[profile.machine]) for profile in variant.declared if profile.machine in scores]
    known = [(profile, score) for profile, score in known if score.vcpu <= target.vcpu]
    return min(known, key=lambda pair: (pair[1].family != target.family, pair[1].arch != target.arch), default=None)


def _carry(profile: Profile, measured: CoreMark, target: CoreMark) -> Profile:
    """Return a measured profile as it would be on the target machine."""
    speed = target.per_vcpu / measured.per_vcpu
    copies = target.vcpu // measured.vcpu
    engine = profile.engine
    if isinstance(engine, RequestEngine):
        engine = engine.speed_up(speed)
    origin = profile.provenance
    band = min(origin.error_band + SCALING_BAND + (OTHER_ARCH_BAND if target.arch != measured.arch else 0.0), 1.0)
    note = f"scaled from {measured.machine} by CoreMark: {copies} × the engines, each {speed:.2f} × as fast"
    provenance = Provenance("model", f"{origin.source}; CoreMark from {target.source}, {target.seen}", round(band, 3), note)
    return replace(
        profile,
        machine=target.machine,
        engine=engine,
        replicas_per_machine=profile.replicas_per_machine * copies,
        provenance=provenance,
    )


@dataclass(frozen=True, slots=True)
class ScaledProfiles:
    """The profile source for CPU machines that the user did not measure, but a relative of."""

    name: str = "coremark"
    rank: int = 10

    def profile(self, variant: ModelVariant, machine: MachineType) -> Profile | Refusal:
        """Return a declared request profile scaled by CoreMark, or why it cannot be."""
        what = f"{variant.name} on {machine.name}"
        target = coremarks().get(machine.name)
        if variant.engine != "request" or not variant.declared:
            return Refusal(what, "coremark: needs a request model with a profile measured on a CPU machine")
        if machine.accelerator or target is None:
            return Refusal(what, f"coremark: {machine.name} has no CoreMark score; measure the model there")
        pair = _nearest(variant, target)
        if pair is None:
            measured = ", ".join(profile.machine for profile in variant.declared)
            return Refusal(
                what, f"coremark: no measured machine with a score and at most {target.vcpu} vCPU; measured: {measured}"
            )
        return _carry(*pair, target)


PROFILES = ScaledProfiles()
