"""What a workload states of services: token APIs, functions, containers, machines of one's own."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ApiUse:
    """A provider's model that answers in a variant's place: its latencies as the user states them, None where not."""

    provider: str
    model: str
    ttft_s: float | None
    tpot_s: float | None
    requests_per_s: float
    """The account's limit, infinite where there is none."""
    tokens_per_s: float
    batch_within_s: float
    """Work that can wait for so long is paid at the batch rates."""

    @property
    def name(self) -> str:
        """Name it as offers and pools do."""
        return f"{self.provider}/{self.model}"


@dataclass(frozen=True, slots=True)
class ServicePolicy:
    """How functions, containers and machines of one's own behave."""

    keep_alive_s: float | None = None
    """Time for which an idle instance of a function stays; None is the service's own figure."""
    container_start_s: float = 60.0
    """From asking for a container to its process, before the model loads."""
    owned_is_bought: bool = True
    """Machines of one's own are paid for, whether they run or not; else the plan decides how many to buy."""
    own_sites: tuple[str, ...] = ()
    """Where machines of one's own stand that are paid for whichever regions a plan uses."""
