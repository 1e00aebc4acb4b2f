"""What a ``workload.yaml`` may say about caches and cascades."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tightrope.demand.quantities import Bytes, Positive, Seconds, Share, Wait
from tightrope.demand.strict_mapping import Strict


class CacheSpec(Strict):
    """A cache of answers before the fleet. It acts on requests with a key, which a recorded trace may have."""

    entries: Annotated[int, Field(ge=1, le=1_000_000_000)] | Literal["auto"] = Field(
        description="Most answers kept; the least recently used goes first. `auto` lets the plan choose, none among it."
    )
    ttl: Seconds = Field(description="Time for which an answer may be given again.")
    hit: Wait = Field(0.0, description="Time that an answer from the cache takes.")
    bytes_per_entry: Bytes | None = Field(None, description="Memory that one answer takes, its key and overhead included.")
    machine: str | None = Field(
        None, description="Machine type that the cache runs on, paid on demand; where left out, the cache is on no bill."
    )

    @model_validator(mode="after")
    def sized_by_machine(self) -> Self:
        """Want what the size is decided by."""
        if (self.machine is None) != (self.bytes_per_entry is None):
            msg = "expected machine and bytes_per_entry together: they say how many machines the entries need"
            raise ValueError(msg)
        if self.entries == "auto" and self.machine is None:
            msg = "expected machine and bytes_per_entry beside entries: auto, which weighs what they cost"
            raise ValueError(msg)
        if self.bytes_per_entry == 0.0:
            msg = "expected bytes_per_entry above 0"
            raise ValueError(msg)
        return self


class CascadePointSpec(Strict):
    """What a threshold of the small model's confidence leads to."""

    escalated: Share = Field(description="Share of the requests that go on to the large model.")
    quality: Positive = Field(description="Mean quality of all answers, on the scale of quality_floor.")


class CascadeSpec(Strict):
    """A small model that is asked first, and a large one for the answers that are not trusted."""

    small: str = Field(description="model/variant that every request goes to first.")
    large: str = Field(description="model/variant that the others go on to.")
    curve: Annotated[list[CascadePointSpec], Field(min_length=1)] = Field(
        description="Measured on requests like these: one point for each threshold, by the share escalated."
    )
    within: Seconds = Field(description="Time in which the small model must have answered; the large one has the rest.")

    @model_validator(mode="after")
    def rises(self) -> Self:
        """Want a curve that rises: a request escalated is one more for the better model."""
        for before, after in zip(self.curve, self.curve[1:], strict=False):
            if not (after.escalated > before.escalated and after.quality >= before.quality):
                msg = "expected points whose escalated rises and whose quality never falls"
                raise ValueError(msg)
        if self.small == self.large:
            msg = f"expected two variants, got {self.small!r} for both"
            raise ValueError(msg)
        return self
