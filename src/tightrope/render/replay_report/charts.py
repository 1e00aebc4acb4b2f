"""The time-line of a replay: machines, queue, latency and cost, one panel under the other on one clock, drills shaded."""

import math
from dataclasses import dataclass

from tightrope.base.replay_report import RunOutcome, TimeSeries
from tightrope.render.chart import INK, LITERAL, NARROW, WIDE, Chart, Spec, chart, frame, pool_legend

DRILL, STARTING, UNUSED = "#e5534b", "#94a3b8", "#64748b"
CLASSES = ("#3b82f6", "#f59e0b", "#22a06b", "#a78bfa", "#e5534b")
"""Colours of classes, in order, then again from the first."""
HEIGHTS = {WIDE: 150, NARROW: 130}
LIMIT = 1.25
"""Thickness of the dashed line at a promise's limit."""
MOST_MARKS = 6
STEPS_H = (1 / 12, 0.25, 0.5, 1.0, 2.0, 3.0, 6.0, 12.0, 24.0, 48.0, 168.0)
"""Distances of the marks on the clock."""
DAY_H = 24.0


@dataclass(frozen=True, slots=True)
class _TimeAxis:
    """The axis that the panels share, in hours of the trace's clock."""

    start_h: float
    end_h: float
    drill_h: tuple[float, float] | None

    def axis(self, width: int) -> Spec:
        """Return the encoding of the time."""
        most = 12 if width == WIDE else 5
        step_h = next((step for step in STEPS_H if (self.end_h - self.start_h) / step <= most), STEPS_H[-1])
        first = -(-self.start_h // step_h) * step_h
        marks = [first + number * step_h for number in range(int((self.end_h - first) / step_h) + 1)]
        label = "'day ' + (datum.value / 24 + 1)" if step_h >= DAY_H else _TIME
        return {
            "field": "h",
            "type": "quantitative",
            "scale": {"domain": [self.start_h, self.end_h], "nice": False},
            "axis": {"values": marks, "grid": True, "gridColor": INK, "labelExpr": label},
        }


_TIME = (
    "(round(datum.value * 60) % 1440 == 0 && datum.value > 0 ? 'day ' + (round(datum.value / 24) + 1) : "
    "pad(floor(round(datum.value * 60) / 60) % 24, 2, '0', 'left') + ':' + pad(round(datum.value * 60) % 60, 2, '0', 'left'))"
)
"""A mark on the clock: the time, the day at midnight."""


def clock_of(run: RunOutcome, duration_h: float) -> _TimeAxis:
    """Return the axis of one run."""
    start_h = run.series.start_h
    drill = (run.drill_start_h, run.drill_end_h) if run.drill_start_h is not None and run.drill_end_h is not None else None
    return _TimeAxis(start_h, start_h + duration_h, drill)


def machines(run: RunOutcome, duration_h: float) -> Chart:
    """Return the machines of each pool, stacked; those that start on top."""
    series = run.series
    areas = [*pool_legend(series.ready)]
    stack = [(colour, series.ready[name]) for colour, name in areas]
    starting = tuple(sum(values) for values in zip(*series.starting.values(), strict=True))
    if any(starting):
        areas.append((STARTING, "starting"))
        stack.append((STARTING, starting))
    values = _stacked(stack, series.start_h, series.bin_s / 3600.0)
    top = max((value["top"] for value in values), default=0.0)
    alt = f"machines over the time of the replay, up to {top:.3g}, stacked by pool"
    return _panel(alt, values, [], clock_of(run, duration_h), areas)


def queue(run: RunOutcome, duration_h: float) -> Chart:
    """Return how many requests waited."""
    series = run.series
    colour = CLASSES[0]
    values = _stacked([(colour, series.queued)], series.start_h, series.bin_s / 3600.0)
    alt = f"requests waiting over the time of the replay, up to {max(series.queued, default=0):.3g}"
    return _panel(alt, values, [], clock_of(run, duration_h), [(colour, "most requests waiting at a time")])


def latency(run: RunOutcome, duration_h: float) -> Chart:
    """Return p95 (bold) and p50 (thin) of each class by the time of arrival; a class whose work waits is left out beside others."""
    series = run.series
    names = shown_classes(run)
    lines: list[Spec] = []
    legend: list[tuple[str, str]] = []
    for number, name in enumerate(names):
        colour = CLASSES[number % len(CLASSES)]
        legend.append((colour, f"{name}: p95 bold, p50 thin, limit dashed"))
        if name in series.promised_ms:
            ends_h = (series.start_h, series.start_h + duration_h)
            limit_s = series.promised_ms[name] / 1000.0
            lines += [{"line": f"{name}!", "colour": colour, "h": h, "y": limit_s, "stroke": LIMIT} for h in ends_h]
        for place, (found, width) in enumerate(((series.latency_p95_ms[name], 2.0), (series.latency_p50_ms[name], 1.0))):
            lines += _line(2 * number + place, colour, width, found, series)
    alt = "latency p50 and p95 by time of arrival, on a logarithmic scale"
    return _panel(alt, [], lines, clock_of(run, duration_h), legend)


def shown_classes(run: RunOutcome) -> list[str]:
    """Return the classes whose latency is drawn: those promised one, or all where none is."""
    promised = [item.traffic_class for item in run.evidence if item.target < 1.0]
    return [name for name in run.series.latency_p95_ms if name in promised] or list(run.series.latency_p95_ms)


def cost(run: RunOutcome, duration_h: float) -> Chart:
    """Return what each pool costs in every hour, stacked, and what a commitment pays unused."""
    series = run.series
    areas = [
        (UNUSED if name not in series.ready else colour, name)
        for colour, name in pool_legend([*series.ready, *(name for name in series.usd_per_hour if name not in series.ready)])
        if name in series.usd_per_hour
    ]
    values = _stacked([(colour, series.usd_per_hour[name]) for colour, name in areas], series.start_h, 1.0)
    end_h = series.start_h + duration_h
    inside = [value | {"h": min(value["h"], end_h)} for value in values]
    alt = f"dollars an hour, up to {max((value['top'] for value in values), default=0.0):.3g}, stacked by pool"
    return _panel(alt, inside, [], clock_of(run, duration_h), areas)


def _stacked(areas: list[tuple[str, tuple[float, ...]]], start_h: float, step_h: float) -> list[Spec]:
    """Return areas one above the other as steps, the last one as long as the others."""
    values: list[Spec] = []
    feet = [0.0] * max((len(series) for _, series in areas), default=0)
    for index, (colour, series) in enumerate(areas):
        tops = [foot + figure for foot, figure in zip(feet, series, strict=True)]
        for place, (foot, top) in enumerate([*zip(feet, tops, strict=True), (feet[-1], tops[-1])]):
            values.append({"area": index, "colour": colour, "h": start_h + place * step_h, "foot": foot, "top": top})
        feet = tops
    return values


def _line(number: int, colour: str, stroke: float, found: tuple[float | None, ...], series: TimeSeries) -> list[Spec]:
    """Return a line through the middles of the bins, broken where a bin has no value; on a scale of seconds."""
    values: list[Spec] = []
    piece = 0
    for place, value_ms in enumerate(found):
        if value_ms is None or value_ms <= 0.0:
            piece += 1
            continue
        middle_h = series.start_h + (place + 0.5) * series.bin_s / 3600.0
        line = f"{number}.{piece}"
        values.append({"line": line, "colour": colour, "h": middle_h, "y": value_ms / 1000.0, "stroke": stroke})
    return values


def _panel(alt: str, areas: list[Spec], lines: list[Spec], clock: _TimeAxis, legend: list[tuple[str, str]]) -> Chart:
    """Return a panel in both widths."""
    shade = [{"from": clock.drill_h[0], "to": clock.drill_h[1]}] if clock.drill_h else []
    named = [*legend, (DRILL, "drill")] if shade else legend

    def draw(width: int) -> Spec:
        layers = [*_shade(clock, width, shade), *_areas(clock, width, areas), *_lines(clock, width, lines)]
        room = {"left": 52, "right": 14, "top": 8, "bottom": 24}
        return frame(width, HEIGHTS[width], room, layers, [*areas, *lines])

    return chart(alt, draw, named)


def _shade(clock: _TimeAxis, width: int, shade: list[Spec]) -> list[Spec]:
    """Return the layer behind the drill's time."""
    if not shade:
        return []
    x = clock.axis(width)
    return [
        {
            "data": {"values": shade},
            "mark": {"type": "rect", "opacity": 0.18, "color": DRILL},
            "encoding": {"x": x | {"field": "from"}, "x2": {"field": "to"}},
        }
    ]


def _areas(clock: _TimeAxis, width: int, areas: list[Spec]) -> list[Spec]:
    """Return the layer of stacked areas."""
    if not areas:
        return []
    height = {"type": "quantitative", "axis": {"tickCount": 4, "gridColor": INK, "format": "~s"}}
    return [
        {
            "transform": [{"filter": "isValid(datum.area)"}],
            "mark": {"type": "area", "interpolate": "step-after", "opacity": 0.85},
            "encoding": {
                "x": clock.axis(width),
                "y": height | {"field": "top"},
                "y2": {"field": "foot"},
                "detail": {"field": "area"},
                "color": LITERAL,
            },
        }
    ]


def _lines(clock: _TimeAxis, width: int, lines: list[Spec]) -> list[Spec]:
    """Return the layers of lines over seconds on a logarithmic scale, one for each thickness: a mark has one."""
    if not lines:
        return []
    low, high = (pick(line["y"] for line in lines) for pick in (min, max))
    axis = {"values": _decades(low, high), "gridColor": INK, "labelExpr": _SECONDS}
    scale = {"type": "log", "domain": [low / 1.15, high * 1.15], "nice": False}
    height = {"type": "quantitative", "axis": axis, "scale": scale, "field": "y"}
    return [
        {
            "transform": [{"filter": f"datum.stroke == {stroke}"}],
            "mark": {"type": "line", "strokeWidth": stroke} | ({"strokeDash": [5, 4]} if stroke == LIMIT else {}),
            "encoding": {"x": clock.axis(width), "y": height, "detail": {"field": "line"}, "color": LITERAL},
        }
        for stroke in sorted({line["stroke"] for line in lines})
    ]


_SECONDS = "datum.value < 0.9995 ? format(datum.value * 1000, '~r') + ' ms' : format(datum.value, ',') + ' s'"


def _decades(low: float, high: float) -> list[float]:
    """Return marks for a logarithmic scale: 1, 2 and 5 of each power of ten, or the powers alone where that is too many.

    >>> _decades(0.09, 4.0), _decades(0.001, 900.0)
    ([0.1, 0.2, 0.5, 1.0, 2.0], [0.001, 0.01, 0.1, 1.0, 10.0, 100.0])
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1,)):
        marks = [float(f"{step}e{power}") for power in powers for step in steps if low <= float(f"{step}e{power}") <= high]
        if len(marks) <= MOST_MARKS:
            break
    return marks
