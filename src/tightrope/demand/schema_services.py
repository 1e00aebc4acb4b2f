"""What a ``workload.yaml`` may say about services: functions, containers, token APIs, and machines of one's own."""

from typing import Annotated, Literal

from pydantic import Field

from tightrope.demand.quantities import Positive, Seconds
from tightrope.demand.strict_mapping import Strict


class ApiSpec(Strict):
    """A provider's model that answers by the token: what it costs is in the price list, how fast it is you have to say."""

    provider: Annotated[str, Field(min_length=1)] = Field(description="As `tightrope prices tokens` names it, such as openai.")
    model: Annotated[str, Field(min_length=1)] = Field(description="As `tightrope prices tokens` names it, such as gpt-4o-mini.")
    ttft: Seconds | None = Field(
        None,
        description="Time to the first token that the provider keeps at the percentile you promise. Where a class promises something "
        "that rests on it and it is left out, the API does not serve that class.",
    )
    tpot: Seconds | None = Field(None, description="Time for each further token, likewise.")
    requests_per_minute: Positive | None = Field(None, description="The account's limit; none where left out.")
    tokens_per_minute: Positive | None = Field(None, description="The account's limit, of tokens read and written together.")
    batch_within: Seconds = Field(
        86_400.0, description="A class that can wait for so long is charged at the batch rates, where the list has them."
    )


class ServicesSpec(Strict):
    """How services that run without machines of your own behave, and whether machines of your own are there already."""

    keep_alive: Seconds | None = Field(
        None, description="Time for which an idle instance of a function stays warm; the service's own figure where left out."
    )
    container_start: Seconds = Field(
        60.0, description="From asking for a container to its process, before the model loads: measure it, it moves the plan."
    )
    own_machines: Literal["bought", "to buy"] = Field(
        "bought",
        description="bought: what owned.csv lists is paid for, whether it runs or not; to buy: as many of them as the plan is worth.",
    )
