"""Profiles measured with a stopwatch: one classifier on one machine.

Copy the file to ``src/tightrope/perf/`` and fill in what you measured. A profile that only one workload needs belongs into that
workload's ``profiles:`` instead.
"""

from dataclasses import dataclass

from tightrope.base.catalogue import MachineType
from tightrope.base.plan import Refusal
from tightrope.base.records import ModelVariant, Profile, Provenance, RequestEngine

MODEL, PRECISION, MACHINE = "resnet50", "int8", "c6i.large"
SERVICE_S = (0.0152, 0.0287, 0.0419, 0.0555)
"""Median seconds of a batch of 1, 2, 3 and 4: an example, replace it with what you measured."""
MEASURED = Provenance("measured", "which machine, which day, how many batches after how many to warm up", error_band=0.10)


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """Knows one variant on one machine, and says so of all others."""

    name: str = "stopwatch"
    rank: int = 5
    """After what the user declared (0), before tables and models."""

    def profile(self, variant: ModelVariant, machine: MachineType) -> Profile | Refusal:
        """Return the measured engine, or what was asked and what is known."""
        if (variant.profile_key, variant.precision, machine.name) != (MODEL, PRECISION, MACHINE):
            return Refusal(f"{variant.name} on {machine.name}", f"measured only {MODEL} {PRECISION} on {MACHINE}")
        return Profile(
            variant.name, machine.name, RequestEngine(SERVICE_S, load_s=4.0), replicas_per_machine=1, provenance=MEASURED
        )


PROFILES = Stopwatch()
