"""What was found, as records: ``variants.json``, and the blocks that a workload takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tightrope.perf.compress.cascade import CalibratedCascade
from tightrope.perf.compress.quality import QualityScore
from tightrope.perf.compress.task import VariantTrial
from tightrope.perf.compress.variant_search import ORIGINAL, CompressionResult
from tightrope.perf.compress.variant_speed import VariantSpeed


@dataclass(frozen=True, slots=True)
class Registered:
    """One variant, as ``variants.json`` says it."""

    name: str
    precision: str
    file: str | None
    """None where it was not written."""
    how: str
    size_mb: float
    quality: float
    """The metric on examples kept apart, the original's being 1."""
    held_out: QualityScore
    speed: VariantSpeed
    batch_variant: bool
    least_cosine_alone: float
    front: bool
    within_budget: bool
    cascade_only: bool
    """Written as the first of a cascade, being over the budget alone."""
    pruned: bool
    """Whether parts of the original are taken out."""


def written(found: CompressionResult) -> list[VariantTrial]:
    """Return what is worth a file: the original, what is within the budget and beaten by nothing, and what a cascade begins with."""
    names = {ORIGINAL, *(found.within & found.front), *(item.small for item in useful(found))}
    return [trial for trial in found.trials if trial.name in names]


def registered(found: CompressionResult) -> list[Registered]:
    """Return the record of everything that was tried, the original first."""
    files = {trial.name for trial in written(found)}
    firsts = {item.small for item in useful(found)}
    original = found.trials[0].test.metric
    return [
        Registered(
            trial.name,
            trial.precision,
            f"{trial.name}.onnx" if trial.name in files else None,
            trial.how,
            round(len(trial.model) / 1e6, 3),
            round(trial.test.metric / original, 4),
            trial.test,
            found.speeds[trial.name],
            trial.batch_variant,
            trial.alone,
            trial.name in found.front,
            trial.name in found.within,
            trial.name in firsts,
            trial.pruned,
        )
        for trial in found.trials
    ]


def workload_block(
    found: CompressionResult, model: str, traffic: str, profiles: Mapping[str, dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Return the block ``models:`` of a workload, with the variants that were written."""
    files = {trial.name for trial in written(found)}
    variants = {
        item.name: {
            "precision": item.precision,
            "quality": item.quality,
            "size": f"{item.size_mb:g} MB",
            **({"pruned": True} if item.pruned else {}),
            "serves": {traffic: "100 %"},
            **({"profiles": [profiles[item.name]]} if profiles and item.name in profiles else {}),
        }
        for item in registered(found)
        if item.name in files
    }
    return {"models": {model: {"engine": "request", "variants": variants}}}


def cascade_block(calibrated: CalibratedCascade, model: str, within_ms: float) -> dict[str, Any]:
    """Return the block ``cascade:`` of a traffic class."""
    curve = [{"escalated": f"{100 * point['escalated']:g} %", "quality": point["quality"]} for point in calibrated.curve()]
    small, large = f"{model}/{calibrated.small}", f"{model}/{calibrated.large}"
    return {"cascade": {"small": small, "large": large, "within": f"{within_ms:g} ms", "curve": curve}}


def useful(found: CompressionResult) -> list[CalibratedCascade]:
    """Return the cascades worth taking: from a variant that is over the budget alone, and yet as good as the original with its help.

    A variant whose answers depend on the batch is none: what goes on would depend on what it was batched with.
    """
    names = {trial.name for trial in found.trials if not trial.batch_variant} - found.within
    return [item for item in found.cascades if item.small in names and item.parity]
