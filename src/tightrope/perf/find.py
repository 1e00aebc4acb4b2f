"""The one question other stages ask: how does this variant behave on this machine, and how far to trust the answer."""

from dataclasses import replace

from tightrope.base.catalogue import MachineType
from tightrope.base.plan import ProfileUse, Refusal
from tightrope.base.records import ModelVariant, Profile, RequestEngine
from tightrope.base.registry import profile_sources


def find_profile(variant: ModelVariant, machine: MachineType) -> Profile | tuple[Refusal, ...]:
    """Return the first profile in the order of the sources' ranks, or every source's reason for having none."""
    refusals: list[Refusal] = []
    for source in profile_sources():
        answer = source.profile(variant, machine)
        if isinstance(answer, Profile):
            return answer
        refusals.append(answer)
    return tuple(refusals)


def limit_batch(profile: Profile, max_batch: int) -> Profile:
    """Return the profile with batches (or concurrent sequences) cut at ``max_batch``; 0 changes nothing.

    Raises ``ValueError`` where ``max_batch`` is negative.
    """
    if max_batch < 0:
        msg = f"got max_batch {max_batch}, expected 0 (the profile's own) or more"
        raise ValueError(msg)
    engine = profile.engine
    if max_batch == 0:
        return profile
    if isinstance(engine, RequestEngine):
        return replace(profile, engine=replace(engine, service_s=engine.service_s[:max_batch]))
    return replace(profile, engine=replace(engine, max_sequences=min(engine.max_sequences, max_batch)))


def describe(profile: Profile) -> ProfileUse:
    """Return the provenance of a profile in the words of the report: the note follows the source."""
    origin = profile.provenance
    source = f"{origin.source} ({origin.note})" if origin.note else origin.source
    return ProfileUse(f"{profile.variant} on {profile.machine}", origin.kind, source, origin.error_band)
