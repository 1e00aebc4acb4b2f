"""Token engines from first principles: a step reads the weights once, multiplies every token with them and reads the KV cache.

``weights_s = weight bytes / bandwidth``; ``per_token_s = 2 × parameters / arithmetic rate``; ``per_cached_token_s = KV bytes per
token / bandwidth``, each peak rate times the efficiency of ``data/accelerators.csv``. (Williams, Waterman, Patterson: Roofline,
CACM 52(4), 2009; 2 operations per parameter and token: Kaplan et al., arXiv:2001.08361.)
"""

from dataclasses import dataclass, replace

from tightrope.base.catalogue import MachineType
from tightrope.base.plan import Refusal
from tightrope.base.records import Architecture, ModelVariant, Profile, Provenance, TokenEngine
from tightrope.base.units import GIB
from tightrope.perf.processors import find_processor, processors
from tightrope.perf.tables import Accelerator, accelerators, find_accelerator

KV_BYTES = 2
"""The KV cache is kept in 16 bits whatever the weights are."""
MIN_KV_TOKENS = 4096
"""A server with a smaller KV cache is refused: it could not hold one full conversation beside another."""
ENGINE_START_S = 45.0
"""Process start, compilation and graph capture of a serving engine, beside the reading of the weights: an assumption."""


PRECISION_MARGIN = {"int8": 0.05, "int4": 0.15}
"""Added to a chip's error band, a judgement: int8 kernels were calibrated through fp8, int4 kernels not at all."""
NEEDS = "needs a token model with its architecture (parameters, layers, kv_heads, head_dim)"
MEASURE = "measure the model there and write it under profiles"
PRECISION_NOTE = {"int4": "; with slow int4 kernels steps were measured twice as long at 64 sequences, outside this band"}


def kv_bytes_per_token(architecture: Architecture) -> int:
    """Return the bytes of keys and values that one token leaves in the cache.

    >>> kv_bytes_per_token(Architecture(parameters=7.0e9, layers=32, kv_heads=4, head_dim=128))
    65536
    """
    return 2 * architecture.layers * architecture.kv_heads * architecture.head_dim * KV_BYTES


def arithmetic_per_s(chip: Accelerator, precision: str) -> float:
    """Return the multiply-add operations per second that weights of ``precision`` reach on one chip.

    8-bit weights are multiplied in 8 bits where the kernels do so; 4-bit weights are unpacked and multiplied in 16 bits.
    """
    peak = {"int8": chip.int8_tops, "fp8": chip.fp8_tflops}.get(precision)
    tera = chip.fp16_tflops * chip.compute_efficiency if peak is None else peak * chip.eight_bit_efficiency
    return tera * 1e12


def kv_tokens(variant: ModelVariant, architecture: Architecture, chip: Accelerator, split: int) -> int:
    """Return the tokens whose keys and values fit beside the weights when ``split`` chips share one model; negative if none."""
    usable = chip.visible_memory_gib * chip.memory_utilisation - chip.activation_reserve_gib
    free_bytes = usable * GIB - variant.size_bytes / split
    return int(free_bytes * min(split, architecture.kv_heads) // kv_bytes_per_token(architecture))


def token_engine(variant: ModelVariant, architecture: Architecture, chip: Accelerator, split: int = 1) -> TokenEngine:
    """Return the engine of one model on ``split`` chips."""
    speed = split * chip.tensor_parallel_efficiency if split > 1 else 1.0
    bytes_per_s = chip.memory_bandwidth_gb_per_s * 1e9 * speed
    return TokenEngine(
        overhead_s=chip.overhead_ms / 1e3,
        weights_s=variant.size_bytes / (bytes_per_s * chip.bandwidth_efficiency),
        per_token_s=2.0 * architecture.parameters / (arithmetic_per_s(chip, variant.precision) * speed),
        per_cached_token_s=kv_bytes_per_token(architecture) / (bytes_per_s * chip.cache_efficiency),
        kv_capacity_tokens=kv_tokens(variant, architecture, chip, split),
        max_sequences=chip.max_sequences,
        chunk_tokens=chip.chunk_tokens,
        load_s=ENGINE_START_S + variant.size_bytes / (chip.load_gb_per_s * 1e9),
    )


def _too_large(variant: ModelVariant, architecture: Architecture, chip: Accelerator, count: int) -> str:
    """Return the reason why a model does not fit on ``count`` chips together."""
    needs = variant.size_bytes + MIN_KV_TOKENS * kv_bytes_per_token(architecture)
    has = (chip.visible_memory_gib * chip.memory_utilisation - chip.activation_reserve_gib) * count
    return (
        f"does not fit: weights and a KV cache of {MIN_KV_TOKENS} tokens need {needs / GIB:.1f} GiB, "
        f"{count} × {chip.accelerator} gives an engine {has:.1f} GiB; use a lower precision or a larger accelerator"
    )


def _provenance(chip: Accelerator, variant: ModelVariant, split: int) -> Provenance:
    """Return where the figures come from: the datasheet, and whether token rates of this chip were ever compared."""
    spread = f"; one model over {split} chips" if split > 1 else ""
    caveat = PRECISION_NOTE.get(variant.precision, "")
    note = f"{chip.basis}: {chip.calibration}{spread}; {variant.precision} weights, fp16 KV cache{caveat}"
    band = chip.error_band + PRECISION_MARGIN.get(variant.precision, 0.0)
    return Provenance("model", f"roofline on {chip.source}", round(band, 3), note)


@dataclass(frozen=True, slots=True)
class RooflineProfiles:
    """The profile source for token models on accelerators."""

    name: str = "roofline"
    rank: int = 30

    def profile(self, variant: ModelVariant, machine: MachineType) -> Profile | Refusal:
        """Return one engine per smallest group of chips that holds the model, or why none does."""
        answer = chip_for(variant, machine) if machine.accelerator else _on_processor(variant, machine)
        if isinstance(answer, Accelerator) and variant.architecture:
            answer = _on_chips(variant, variant.architecture, machine, answer)
        return answer if isinstance(answer, Profile) else Refusal(f"{variant.name} on {machine.name}", f"roofline: {answer}")


def chip_for(variant: ModelVariant, machine: MachineType) -> Accelerator | str:
    """Return the machine's chip if it can run such a variant, else why not."""
    if variant.engine != "token" or variant.architecture is None:
        return NEEDS
    if not machine.accelerator:
        return f"the machine has no accelerator; {MEASURE}"
    chip = find_accelerator(machine)
    if chip is None:
        known = ", ".join(sorted({f"{row.accelerator} ({row.board_memory_gib:g} GiB)" for row in accelerators()}))
        return f"no figures for {machine.accelerator!r} of {machine.accelerator_memory_gib:g} GiB; known: {known}"
    if variant.precision not in chip.precisions.split():
        return f"{chip.accelerator} does not run {variant.precision} weights; it runs {chip.precisions}"
    return chip


def _on_processor(variant: ModelVariant, machine: MachineType) -> Profile | str:
    """Return the profile of a machine without accelerator, an engine on every socket, or why there is none."""
    if variant.engine != "token" or variant.architecture is None:
        return NEEDS
    found = find_processor(machine)
    if found is None:
        known = ", ".join(row.family for row in processors())
        return f"the machine has no accelerator, and {machine.family} no figures as a processor (there are of {known}); {MEASURE}"
    chip, sockets = found
    if variant.precision not in chip.precisions.split():
        return f"a processor does not run {variant.precision} weights; it runs {chip.precisions}"
    if kv_tokens(variant, variant.architecture, chip, 1) < MIN_KV_TOKENS:
        return _too_large(variant, variant.architecture, chip, 1)
    engine = token_engine(variant, variant.architecture, chip)
    return Profile(variant.name, machine.name, engine, sockets, _provenance(chip, variant, 1))


def splits(machine: MachineType) -> tuple[int, ...]:
    """Return the numbers of chips that one engine of a machine may be spread over."""
    return tuple(n for n in (1, 2, 4, 8, 16) if n <= machine.accelerators and machine.accelerators % n == 0)


def _on_chips(variant: ModelVariant, architecture: Architecture, machine: MachineType, chip: Accelerator) -> Profile | str:
    """Return the profile with the fewest chips per model, the wider ones in it; a machine runs an engine on each group of chips."""
    fits = [n for n in splits(machine) if kv_tokens(variant, architecture, chip, n) >= MIN_KV_TOKENS]
    if not fits:
        return _too_large(variant, architecture, chip, machine.accelerators)
    engines = {n: token_engine(variant, architecture, chip, n) for n in fits}
    return spread(variant, machine, {n: (engine, _provenance(chip, variant, n)) for n, engine in engines.items()})


def spread(variant: ModelVariant, machine: MachineType, engines: dict[int, tuple[TokenEngine, Provenance]]) -> Profile:
    """Return the profile of the first of ``engines``, chips of one engine → engine and origin, with the wider ones in it."""
    profiles = [
        Profile(variant.name, machine.name, engine, machine.accelerators // chips, origin)
        for chips, (engine, origin) in engines.items()
    ]
    wider = zip(profiles[1:], list(engines)[1:], strict=True)
    return replace(profiles[0], wider=tuple(replace(profile, setting=f"{chips} chips an engine") for profile, chips in wider))


PROFILES = RooflineProfiles()
