"""Pieces of a page that several reports have: the document, sections, figures, the table of evidence."""

from collections.abc import Iterable
from importlib import resources

from tightrope.base.plan import Evidence
from tightrope.render import formats
from tightrope.render.chart import INK, Chart
from tightrope.render.html import Html, raw, table, tag
from tightrope.render.svg import draw_chart

NOTHING = Html("")


def document(title: str, parts: Iterable[str], footer: str) -> Html:
    """Return a whole page, its style inside; parts without markup are left out."""
    style = resources.files("tightrope.render").joinpath("style.css").read_text(encoding="utf-8")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", raw(style)),
    )
    body = tag("body", tag("main", *(part for part in parts if part), tag("footer", footer)))
    return tag("html", head, body, lang="en")


def section(title: str, *parts: str, note: str = "") -> Html:
    """Return a section under its heading, one line of explanation first."""
    return tag("section", tag("h2", title), *([tag("p", note, class_="quiet")] if note else []), *parts)


def figure(chart: Chart | None) -> Html:
    """Return a chart with its legend, in the drawing that fits the window."""
    if chart is None:
        return NOTHING
    keys = (
        tag("li", tag("i", style=f"background:{colour}", class_="ink" if colour == INK else ""), name)
        for colour, name in chart.legend
    )
    drawings = (tag("div", draw_chart(spec), class_=width) for spec, width in ((chart.wide, "wide"), (chart.narrow, "narrow")))
    picture = tag("div", *drawings, role="img", aria_label=chart.alt)
    return tag("figure", tag("ul", *keys, class_="legend"), picture)


def details(summary: str, *parts: str) -> Html:
    """Return parts that open on demand."""
    return tag("details", tag("summary", summary), *parts)


def share(fraction: float) -> Html:
    """Return a share as a small bar with its figure."""
    width = 100 * min(1.0, max(0.0, fraction))
    bar = tag("span", tag("i", style=f"width:{width:.1f}%"), class_="bar", aria_hidden="true")
    return tag("span", bar, formats.percent(fraction), class_="share")


def evidence(caption: str, evidence: Iterable[Evidence], good: str, bad: str) -> Html:
    """Return one row per promise, its verdict in the words given."""
    heads = (
        "class",
        "promise",
        "verdict",
        ">attained [interval]",
        "to the promise",
        ">promised",
        ">p50",
        ">p95",
        ">p99",
        ">requests",
    )
    rows = []
    for item in evidence:
        kept = item.verdict == "proven"
        verdict = tag("span", f"✓ {good}" if kept else f"✗ {bad}", class_="good" if kept else "bad")
        seen = tag("span", formats.attainment(item), " ", tag("span", formats.interval(item), class_="quiet"))
        times = [formats.duration(figure) for figure in (item.p50_ms, item.p95_ms, item.p99_ms)]
        row = (
            item.traffic_class,
            item.slo,
            verdict,
            seen,
            _interval(item),
            formats.target_share(item),
            *times,
            f"{item.requests:,}",
        )
        rows.append(row)
    return table(caption, heads, rows, class_="stack")


def _interval(item: Evidence) -> Html:
    """Return the confidence interval against the target, on a scale from a little below both to 100 %."""
    if not item.requests:
        return NOTHING
    least = min(item.target, item.attainment_low)
    floor = max(0.0, 1 - 1.25 * max(1 - least, 0.004))

    def at(share: float) -> float:
        """Return the place on the scale in per cent."""
        return 100 * (share - floor) / (1 - floor)

    low, high = at(item.attainment_low), at(item.attainment_high)
    parts = [
        tag("i", class_="span", style=f"left:{low:.1f}%;width:{max(high - low, 1.5):.1f}%"),
        tag("i", class_="tick", style=f"left:{at(item.target):.1f}%"),
    ]
    return tag("span", *parts, class_="interval good" if item.verdict == "proven" else "interval bad", aria_hidden="true")
