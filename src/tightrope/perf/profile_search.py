"""The one question other stages ask: how does this variant behave on this machine, and how far to trust the answer."""

from dataclasses import replace

from tightrope.base.catalogue import MachineType
from tightrope.base.plan import ProfileUse, Refusal
from tightrope.base.records import ModelVariant, Profile, RequestEngine
from tightrope.base.registry import load_profile_sources

LEAST_CHUNK = 64
"""No step is planned with fewer tokens than this: prompts would take hundreds of steps."""


def find_profile(variant: ModelVariant, machine: MachineType) -> Profile | tuple[Refusal, ...]:
    """Return the first profile in the order of the sources' ranks, or every source's reason for having none."""
    refusals: list[Refusal] = []
    for source in load_profile_sources():
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
        return replace(profile, engine=engine.limit_batches(max_batch))
    return replace(profile, engine=replace(engine, max_sequences=min(engine.max_sequences, max_batch)))


def smaller_settings(profile: Profile) -> tuple[Profile, ...]:
    """Return the profile at half and at a quarter of its largest batch, or of its tokens a step and its sequences.

    >>> from tightrope.base.records import Provenance
    >>> served = Profile("m/v", "x", RequestEngine((0.1,) * 8, 1.0), 1, Provenance("measured", "by hand", 0.1))
    >>> [found.setting for found in smaller_settings(served)]
    ['batches of up to 4', 'batches of up to 2']
    """
    engine = profile.engine
    if isinstance(engine, RequestEngine):
        sizes = [size for size in (engine.max_batch // 2, engine.max_batch // 4) if size]
        return tuple(replace(limit_batch(profile, size), setting=f"batches of up to {size}") for size in sizes)
    chunks = [size for size in (engine.chunk_tokens // 2, engine.chunk_tokens // 4) if size >= LEAST_CHUNK]
    counts = [count for count in (engine.max_sequences // 2, engine.max_sequences // 4) if count]
    return (
        *(replace(profile, engine=replace(engine, chunk_tokens=size), setting=f"steps of {size} tokens") for size in chunks),
        *(replace(limit_batch(profile, count), setting=f"{count} sequences") for count in counts),
    )


def describe(profile: Profile) -> ProfileUse:
    """Return the provenance of a profile in the words of the report: the note follows the source."""
    origin = profile.provenance
    source = f"{origin.source} ({origin.note})" if origin.note else origin.source
    return ProfileUse(f"{profile.variant} on {profile.machine}", origin.kind, source, origin.error_band)
