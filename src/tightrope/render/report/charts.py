"""The report's charts as Vega-Lite specifications: plain dictionaries, data inside."""

import json
from dataclasses import asdict, dataclass
from math import fsum

from tightrope.base.plan import Plan
from tightrope.render import formats
from tightrope.render.chart import INK, LITERAL, NARROW, WIDE, Chart, Spec, chart, frame, pool_legend

TODAY, PLANNED, SAVES, COSTS, ALONE = "#94a3b8", "#3b82f6", "#22a06b", "#e5534b", "#a7d9bf"
ROW, PAIRED_ROW = 26, 20
"""Height of a bar in CSS pixels, alone in its row and beside another."""
DAY = 24
_DAYS = {WIDE: "'day ' + (datum.value / 24 + 1)", NARROW: "'d' + (datum.value / 24 + 1)"}


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its row's name, both ends, the amount as said, its colour."""

    name: str
    start_usd: float
    end_usd: float
    label: str
    colour: str


def _bars(bars: list[Bar], width: int, per_row: int) -> Spec:
    """Return horizontal bars, ``per_row`` of them in a row, each with its amount written behind its larger end."""
    names = [_short(bar.name, width) for bar in bars[::per_row]]
    values = [
        {"row": index // per_row, "slot": index % per_row, "far": max(bar.start_usd, bar.end_usd), **asdict(bar)}
        for index, bar in enumerate(bars)
    ]
    # Rows are numbers and their names a JSON literal: two names cut to the same text stay two rows, and no name is code.
    axis = {"labelExpr": f"{json.dumps(names)}[datum.value]"}
    place = {"y": {"field": "row", "type": "ordinal", "axis": axis, "scale": {"paddingInner": 0.3 if per_row > 1 else 0.25}}}
    place |= {"yOffset": {"field": "slot", "type": "ordinal"}} if per_row > 1 else {}
    x = {"type": "quantitative", "axis": {"labels": False, "tickCount": 4, "gridColor": INK}}
    bar = {
        "mark": {"type": "bar", "cornerRadius": 2},
        "encoding": {**place, "x": x | {"field": "start_usd"}, "x2": {"field": "end_usd"}, "color": LITERAL},
    }
    text = {
        "mark": {"type": "text", "align": "left", "dx": 6, "fontSize": 12, "color": INK},
        "encoding": {**place, "x": x | {"field": "far"}, "text": {"field": "label"}},
    }
    room = {"left": _label_room(width), "right": 64, "top": 2, "bottom": 2}
    return frame(width, len(bars) * (PAIRED_ROW if per_row > 1 else ROW), room, [bar, text], values)


def _label_room(width: int) -> int:
    """Return how many pixels the labels of bars get."""
    return 160 if width == WIDE else 120


def _short(text: str, width: int) -> str:
    """Return a label that fits its room, at about eight pixels a character."""
    most = _label_room(width) // 8
    text = formats.strip_controls(text)
    return text if len(text) <= most else text[: most - 1] + "…"


def bill(plan: Plan) -> Chart:
    """Return the bill by cost driver, today beside the plan."""
    today = formats.has_today(plan)
    bars: list[Bar] = []
    for driver, now, planned in formats.by_driver(plan):
        bars += [Bar(driver, 0.0, now, formats.usd(now), TODAY)] * today + [
            Bar(driver, 0.0, planned, formats.usd(planned), PLANNED)
        ]
    legend = [(TODAY, "today")] * today + [(PLANNED, "this plan")]
    return chart("dollars a month by cost driver, as in the table below", lambda width: _bars(bars, width, 1 + today), legend)


def waterfall(plan: Plan) -> Chart:
    """Return the way from today's bill to the plan's, lever by lever; what no lever explains is a step of its own.

    Where it is known what levers save by themselves, a second bar of each says so, from today's bill.
    """
    today = level = plan.today_monthly_cost_usd
    by_itself = alone(plan)
    bars = _row(Bar("today", 0.0, level, formats.usd(level), TODAY), None, by_itself)
    for name, saving, _ in steps(plan):
        colour = SAVES if saving >= 0 else COSTS
        bar = Bar(name, level, level - saving, formats.signed_usd(-saving), colour)
        other = (
            Bar(name, today, today - by_itself[name], formats.signed_usd(-by_itself[name]), ALONE) if name in by_itself else None
        )
        bars += _row(bar, other, by_itself)
        level -= saving
    bars += _row(Bar("this plan", 0.0, plan.monthly_cost_usd, formats.usd(plan.monthly_cost_usd), PLANNED), None, by_itself)
    legend = [
        (SAVES, "takes off the bill"),
        (COSTS, "adds to it"),
        *([(ALONE, "by itself, from today's bill")] if by_itself else []),
    ]
    per_row = 2 if by_itself else 1
    return chart(
        "from today's bill to the plan's in the steps of the table below", lambda width: _bars(bars, width, per_row), legend
    )


def _row(bar: Bar, other: Bar | None, by_itself: dict[str, float]) -> list[Bar]:
    """Return the bars of one row: one, or two where some lever has a second."""
    return [bar, other or Bar(bar.name, bar.start_usd, bar.start_usd, "", bar.colour)] if by_itself else [bar]


def alone(plan: Plan) -> dict[str, float]:
    """Return lever → what it saves by itself, US dollars a month, where that is known and is anything."""
    found = {lever.name: lever.alone_usd for lever in plan.levers if lever.alone_usd is not None}
    return found if any(abs(usd) >= formats.NOTHING_USD for usd in found.values()) else {}


def steps(plan: Plan) -> list[tuple[str, float, str]]:
    """Return (lever, saving in $ a month, note); what the levers leave unexplained comes last."""
    said = [(lever.name, lever.saving_usd, lever.note) for lever in plan.levers]
    rest = plan.today_monthly_cost_usd - plan.monthly_cost_usd - fsum(saving for _, saving, _ in said)
    return said if abs(rest) < formats.NOTHING_USD else [*said, ("everything else", rest, "not one lever's alone")]


def capacity(plan: Plan) -> Chart | None:
    """Return what the pools sustain within the promises, stacked, under the week's demand; None where no series is given."""
    areas, demand = _series(plan, "capacity:"), _series(plan, "demand:")
    if not areas or not demand:
        return None
    line = [fsum(block) for block in zip(*demand.values(), strict=False)]
    alt = f"requests a second over {len(line)} hours: demand up to {max(line):.3g}, capacity stacked by pool"
    return chart(alt, lambda width: _week(areas, line, width), [*pool_legend(areas), (INK, "demand")])


def machines(plan: Plan) -> Chart | None:
    """Return the machines planned in every block, stacked by pool; None where there is no schedule."""
    areas = {
        pool.name: [float(count) for count in pool.schedule] for pool in plan.pools if pool.schedule and not pool.serving.metered
    }
    if not areas:
        return None
    total = [fsum(block) for block in zip(*areas.values(), strict=False)]
    alt = f"machines over {len(total)} hours, between {min(total):g} and {max(total):g}, stacked by pool"
    return chart(alt, lambda width: _week(areas, [], width), pool_legend(areas))


def _series(plan: Plan, kind: str) -> dict[str, list[float]]:
    """Return name → series of one kind, pools in the plan's order, then by name."""
    order = {pool.name: index for index, pool in enumerate(plan.pools)}
    found = {key.removeprefix(kind): series for key, series in plan.charts.items() if key.startswith(kind) and series}
    return dict(sorted(found.items(), key=lambda item: (order.get(item[0], len(order)), item[0])))


def _week(areas: dict[str, list[float]], line: list[float], width: int) -> Spec:
    """Return stacked steps over the blocks and, where given, a line of steps over them."""
    blocks = max(map(len, areas.values()))
    hours = {
        "field": "block",
        "type": "quantitative",
        "scale": {"domain": [0, blocks], "nice": False},
        "axis": {
            "values": list(range(0, blocks, DAY)),
            "grid": True,
            "gridColor": INK,
            "labelAlign": "left",
            "labelExpr": _DAYS[width],
        },
    }
    height = {"type": "quantitative", "axis": {"tickCount": 5, "gridColor": INK, "format": "~s"}}
    area = {
        "transform": [{"filter": "datum.pool >= 0"}],
        "mark": {"type": "area", "interpolate": "step-after", "opacity": 0.85},
        "encoding": {
            "x": hours,
            "y": height | {"field": "top"},
            "y2": {"field": "foot"},
            "detail": {"field": "pool"},
            "color": LITERAL,
        },
    }
    demand = {
        "transform": [{"filter": "datum.pool < 0"}],
        "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 1.75},
        "encoding": {"x": hours, "y": height | {"field": "top"}, "color": LITERAL},
    }
    room = {"left": 44, "right": 10, "top": 8, "bottom": 24}
    values = [*_stack(areas), *_steps(-1, INK, [0.0] * len(line), line)]
    return frame(width, 240 if width == WIDE else 200, room, [area, demand] if line else [area], values)


def _stack(areas: dict[str, list[float]]) -> list[Spec]:
    """Return the values of areas one above the other."""
    feet = [0.0] * max(map(len, areas.values()))
    values: list[Spec] = []
    for index, ((colour, _), series) in enumerate(zip(pool_legend(areas), areas.values(), strict=True)):
        tops = [foot + figure for foot, figure in zip(feet, series, strict=False)]
        values += _steps(index, colour, feet, tops)
        feet = tops
    return values


def _steps(pool: int, colour: str, feet: list[float], tops: list[float]) -> list[Spec]:
    """Return a series as steps, the last one as long as the others."""
    ends = [*zip(feet, tops, strict=False)][-1:]
    pairs = [*zip(feet, tops, strict=False), *ends]
    return [{"pool": pool, "colour": colour, "block": block, "foot": foot, "top": top} for block, (foot, top) in enumerate(pairs)]
