"""``pareto.html``: cost against latency, one chart a class; quality is the size of a point, and those of the front are ringed."""

from collections.abc import Sequence
from math import ceil, floor, log10
from pathlib import Path

from tightrope.plan.problem.speed_table import SpeedRow, find_pareto_front
from tightrope.render.chart import INK, POOLS, Chart, Spec, chart, frame
from tightrope.render.html import table, tag
from tightrope.render.page_elements import document, figure, section
from tightrope.render.speeds.tables import dollars, known, latency, rate

HEIGHT = 320
NOTE = (
    "Across: $ for a million requests. Up: what the nearest promise comes to on an idle engine, of its limit. Larger points are of higher "
    "quality; the ringed ones no other beats in all three."
)


def render_pareto(title: str, speeds: Sequence[SpeedRow]) -> dict[Path, str]:
    """Return the page: for each class its chart, and its front as a table."""
    front = find_pareto_front(tuple(speeds))
    parts = []
    for name in dict.fromkeys(item.traffic_class for item in speeds):
        group = [item for item in speeds if item.traffic_class == name]
        best = [item for item in front if item.traffic_class == name]
        parts.append(section(name, figure(_chart(name, group, best)), _table(name, best), note=NOTE))
    page = document(
        f"{title}: cost, latency, quality · Tightrope",
        [tag("h1", f"{title}: cost, latency, quality"), *parts],
        "Written by Tightrope.",
    )
    return {Path("pareto.html"): f"<!doctype html>\n{page}\n"}


def _table(name: str, best: Sequence[SpeedRow]) -> str:
    """Return the front as a table."""
    heads = (
        "machine",
        "variant",
        "offer",
        ">sustains",
        ">$ / M requests",
        ">$ / M tokens",
        ">idle, of its promise",
        ">quality",
        "known",
    )
    rows = [
        (
            f"{item.machine}, {item.region}",
            item.variant,
            item.offer,
            rate(item),
            dollars(item.usd_per_million_requests),
            dollars(item.usd_per_million_tokens),
            latency(item),
            f"{item.quality:g}",
            known(item),
        )
        for item in best
    ]
    return table(f"what nothing else beats for {name}", heads, rows, class_="stack")


def _chart(name: str, group: Sequence[SpeedRow], best: Sequence[SpeedRow]) -> Chart | None:
    """Return the chart of one class; None where no latency is known or only one point is."""
    shown = [item for item in group if item.promise_used is not None]
    if len(shown) < 2:
        return None
    variants = list(dict.fromkeys(item.variant for item in shown))
    colours = {variant: POOLS[place % len(POOLS)] for place, variant in enumerate(variants)}
    most = max(item.quality for item in shown)
    values: list[Spec] = [
        {
            "usd": item.usd_per_million_requests,
            "used": item.promise_used,
            "colour": colours[item.variant],
            "area": 30 + 90 * (item.quality / most) ** 8,
            "front": item in best,
        }
        for item in shown
    ]
    alt = f"{len(shown)} ways to serve {name} by cost and latency; {len(best)} are on the front"
    return chart(alt, lambda width: _spec(values, width), [(colours[variant], variant) for variant in variants])


def _spec(values: list[Spec], width: int) -> Spec:
    """Return the drawing of one width: every point faint, those of the front full and ringed."""
    x = _axis("usd", "$~g", [value["usd"] for value in values])
    y = _axis("used", "~%", [value["used"] for value in values])
    size = {"field": "area", "type": "quantitative", "scale": None}
    encoding: Spec = {"x": x, "y": y, "color": {"field": "colour", "type": "nominal", "scale": None}, "size": size}
    faint: Spec = {"mark": {"type": "point", "filled": True, "opacity": 0.3}, "encoding": encoding}
    full: Spec = {
        "transform": [{"filter": "datum.front"}],
        "mark": {"type": "point", "filled": True, "opacity": 1.0, "stroke": INK, "strokeWidth": 1.5},
        "encoding": encoding,
    }
    return frame(width, HEIGHT, {"left": 56, "right": 20, "top": 8, "bottom": 28}, [faint, full], values)


def _axis(field: str, form: str, values: Sequence[float]) -> Spec:
    """Return a logarithmic axis with a line at every power of ten around the values, and at two and five times where they span few."""
    low, high = floor(log10(min(values))), ceil(log10(max(values)))
    high = max(high, low + 1)
    steps = (1.0, 2.0, 5.0) if high - low <= 2 else (1.0,)
    ticks = [step * 10.0**power for power in range(low, high) for step in steps] + [10.0**high]
    scale = {"type": "log", "domain": [10.0**low, 10.0**high], "nice": False}
    axis = {"format": form, "gridColor": INK, "gridOpacity": 0.15, "values": ticks}
    return {"field": field, "type": "quantitative", "scale": scale, "axis": axis}
