"""What a panel of the dashboard is made of."""

from dataclasses import dataclass
from typing import Literal

Need = Literal["", "promises", "replicated", "metered", "spot", "cache", "waiting", "tokens"]
HIGH = 8
"""Height of a panel, in Grafana's grid of 24 columns."""


@dataclass(frozen=True, slots=True)
class PanelQuery:
    """One line of a panel, or several by label, as the legend names them."""

    expr: str
    legend: str
    dashed: bool = False
    """Drawn as what was planned or promised, and not as what is."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel; ``unit`` is Grafana's name."""

    title: str
    unit: str
    queries: tuple[PanelQuery, ...]
    description: str
    kind: Literal["timeseries", "stat", "bargauge"] = "timeseries"
    width: int = 8
    height: int = HIGH
    needs: Need = ""


@dataclass(frozen=True, slots=True)
class PanelRow:
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...]
