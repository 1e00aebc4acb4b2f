"""What every chart of ours has in common: a Vega-Lite specification in two widths, the frame, the colours.

Each chart takes the width it is drawn for: a page carries a wide and a narrow drawing and shows the one that fits. Layout never
depends on how wide a font sets a word (no automatic sizes, no legends, labels cut by length), so the drawing is the same on every
machine. Ink and grid are recoloured by the page's style sheet for dark mode; the colours of marks suit both.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

Spec: TypeAlias = dict[str, Any]

WIDE, NARROW = 960, 360
"""Widths of the two drawings, in CSS pixels."""
INK = "#111111"
POOLS = ("#3b82f6", "#f59e0b", "#22a06b", "#a78bfa", "#e5534b", "#22b8cf", "#d6649f", "#8d9b2d", "#94a3b8", "#b08968")
"""Colours of pools, in order, then again from the first."""

AXIS: Spec = {
    "domain": False,
    "ticks": False,
    "labelPadding": 6,
    "labelFontSize": 12,
    "labelColor": INK,
    "title": None,
    "labelLimit": 0,
}
CONFIG: Spec = {"background": None, "aria": False, "view": {"stroke": None}, "axis": AXIS | {"labelOverlap": False}}
LITERAL: Spec = {"field": "colour", "type": "nominal", "scale": None}
"""The channel of a colour that the data name."""


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart: what it shows in words, its two drawings, and its legend as (colour, name)."""

    alt: str
    wide: Spec
    narrow: Spec
    legend: tuple[tuple[str, str], ...]


def frame(width: int, height: int, room: Spec, layers: list[Spec], values: list[Spec]) -> Spec:
    """Return a chart of a fixed size with its data inside; ``room`` is what its labels need around it."""
    size = {"width": width - room["left"] - room["right"], "height": height}
    return {**size, "padding": room, "autosize": "none", "config": CONFIG, "data": {"values": values}, "layer": layers}


def pool_legend(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the colour of each pool."""
    return [(POOLS[index % len(POOLS)], name) for index, name in enumerate(names)]


def chart(alt: str, draw: Callable[[int], Spec], legend: list[tuple[str, str]]) -> Chart:
    """Return a chart in its two widths."""
    return Chart(alt, draw(WIDE), draw(NARROW), tuple(legend))
