"""A workload's services: token APIs, functions, containers, owned machines."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ApiUse:
    """A provider's model that answers in place of a variant; latencies are None where the user states none."""

    provider: str
    model: str
    ttft_s: float | None
    tpot_s: float | None
    requests_per_s: float
    """The account's limit; infinite where there is none."""
    tokens_per_s: float
    batch_within_s: float
    """Work that can be deferred this long is billed at the batch rates."""

    @property
    def name(self) -> str:
        """The name that offers and pools use."""
        return f"{self.provider}/{self.model}"


@dataclass(frozen=True, slots=True)
class ServicePolicy:
    """How functions, containers and owned machines behave."""

    keep_alive_s: float | None = None
    """Time an idle instance of a function stays; None means the service's own figure."""
    container_start_s: float = 60.0
    """From requesting a container to its process start, before the model loads."""
    owned_is_bought: bool = True
    """Owned machines are already paid for, running or not; if False, the plan decides how many to buy."""
    own_sites: tuple[str, ...] = ()
    """Sites of owned machines that are paid for whichever regions a plan uses."""
