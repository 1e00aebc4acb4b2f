"""Series as plain numbers with their line already written, and Prometheus' text format (0.0.4) made of them.

``prometheus_client`` needs 10 ms for 1,850 series, for which the event loop would stand still, and this 0.5; an event costs half of what
it costs there. Its parser reads in the tests what is written here.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tightrope.base.metrics import METRICS, Metric

WINDOW_S = 60
"""Of a rate."""
SLOTS = WINDOW_S + 4
"""Seconds that are kept: those of the window, the one that runs, and a few for clocks read a moment ago."""


class Cell:
    """One number that is counted up or set; None is not known, and is not shown."""

    __slots__ = ("value",)

    def __init__(self, value: float | None = 0) -> None:
        """Begin with a value."""
        self.value: float | None = value


class Count:
    """One number that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        """Begin at 0."""
        self.value = 0


class Histogram:
    """How often values fell into each bucket; a value on a border belongs to the lower one, as ``le`` says."""

    __slots__ = ("borders", "counts", "total")

    def __init__(self, borders: tuple[float, ...]) -> None:
        """Begin empty; ``borders`` rise."""
        self.borders = borders
        self.counts = [0] * (len(borders) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.borders, value)] += 1
        self.total += value


class EventRate:
    """Events a second over the last ``WINDOW_S`` whole seconds, or since the beginning where that is shorter."""

    __slots__ = ("_counts", "_now", "_since")

    def __init__(self, now_s: float) -> None:
        """Begin with none."""
        self._since = self._now = int(now_s)
        self._counts = [0] * SLOTS

    def add(self, now_s: float) -> None:
        """Count one."""
        second = int(now_s)
        if second > self._now:
            self._forget(second)
        self._counts[second % SLOTS] += 1

    def per_s(self, now_s: float) -> float:
        """Return the rate; the second that runs is left out where there is an earlier one."""
        second = max(int(now_s), self._now)
        self._forget(second)
        span = min(WINDOW_S, second - self._since)
        if span == 0:
            return float(self._counts[second % SLOTS])
        return sum(self._counts[(second - back) % SLOTS] for back in range(1, span + 1)) / span

    def _forget(self, second: int) -> None:
        """Empty the slots between the last second seen and this one."""
        for later in range(self._now + 1, min(second, self._now + SLOTS) + 1):
            self._counts[later % SLOTS] = 0
        self._now = second


@dataclass(slots=True)
class Family:
    """All series of one metric."""

    metric: Metric
    workload: str
    numbers: list[tuple[str, Cell | Count, float]] = field(default_factory=list)
    """The line up to its value, the number, and what it is multiplied by."""
    histograms: list[tuple[tuple[str, ...], Histogram]] = field(default_factory=list)
    """The lines up to their values: the buckets', the sum's, the count's."""

    def count(self, *values: str, unit: float = 1) -> Count:
        """Return a new series that counts; ``values`` are its labels' in order, ``unit`` what one is in the metric's unit."""
        made = Count()
        self.numbers.append((f"{self.metric.name}{{{self._labels(values)}}} ", made, unit))
        return made

    def cell(self, *values: str, value: float | None = 0) -> Cell:
        """Return a new series that is set."""
        made = Cell(value)
        self.numbers.append((f"{self.metric.name}{{{self._labels(values)}}} ", made, 1))
        return made

    def histogram(self, *values: str, borders: tuple[float, ...]) -> Histogram:
        """Return a new histogram."""
        made, name, labels = Histogram(borders), self.metric.name, self._labels(values)
        buckets = (f'{name}_bucket{{{labels},le="{shown(border)}"}} ' for border in (*borders, math.inf))
        self.histograms.append(((*buckets, f"{name}_sum{{{labels}}} ", f"{name}_count{{{labels}}} "), made))
        return made

    def lines(self) -> Iterator[str]:
        """Yield the family as text, with help and kind even where it has no series yet."""
        yield f"# HELP {self.metric.name} {self.metric.help}\n# TYPE {self.metric.name} {self.metric.kind}"
        for line, number, unit in self.numbers:
            value = number.value
            if value is not None:
                yield f"{line}{shown(value if unit == 1 else value * unit)}"
        for lines, histogram in self.histograms:
            sofar, total = 0, histogram.total
            for line, count in zip(lines, histogram.counts.copy(), strict=False):
                sofar += count
                yield f"{line}{sofar}"
            yield f"{lines[-2]}{shown(total)}"
            yield f"{lines[-1]}{sofar}"

    def _labels(self, values: Sequence[str]) -> str:
        """Return the labels as they are written, the workload's first."""
        pairs = zip(("workload", *self.metric.labels), (self.workload, *values), strict=True)
        return ",".join(f'{name}="{escaped(value)}"' for name, value in pairs)


def families(workload: str) -> dict[str, Family]:
    """Return every family that the gateway shows, by name, without series."""
    return {name: Family(metric, workload) for name, metric in METRICS.items()}


def text(shown_families: Iterable[Family]) -> bytes:
    """Return the families as Prometheus reads them (text format 0.0.4, UTF-8)."""
    return "".join(f"{line}\n" for family in shown_families for line in family.lines()).encode()


def shown(value: float) -> str:
    """Return a number as the text format has it.

    >>> shown(3), shown(0.25), shown(math.inf), shown(-math.inf), shown(math.nan)
    ('3', '0.25', '+Inf', '-Inf', 'NaN')
    """
    if isinstance(value, int) or math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def escaped(value: str) -> str:
    r"""Return a label's value as the text format quotes it.

    >>> print(escaped('a"b\\c'))
    a\"b\\c
    """
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
