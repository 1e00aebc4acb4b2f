"""Profiles the user measured and wrote into the workload: they count before anything we model."""

from dataclasses import dataclass

from tightrope.base.catalogue import MachineType
from tightrope.base.plan import Refusal
from tightrope.base.records import ModelVariant, Profile


@dataclass(frozen=True, slots=True)
class DeclaredProfiles:
    """The profile source for what the workload's ``profiles:`` say; nothing is scaled to other machines."""

    name: str = "declared"
    rank: int = 0

    def profile(self, variant: ModelVariant, machine: MachineType) -> Profile | Refusal:
        """Return the user's own profile of this machine, or say which machines the user measured."""
        for profile in variant.declared:
            if profile.machine == machine.name:
                return profile
        measured = ", ".join(profile.machine for profile in variant.declared) or "no machine"
        return Refusal(f"{variant.name} on {machine.name}", f"declared: the workload has profiles of this variant for {measured}")


PROFILES = DeclaredProfiles()
